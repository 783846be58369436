// Modules of Debian's kernel packages, for the initramfs of a guest under test.
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { debianPackage, newestKernelPackage } from './debian.ts';

/** The path of a file of the package, its name with a compression's ending or without. @throws Error when there is none. */
function fileNamed(root: string, name: string): string {
  const found = readdirSync(root, { recursive: true, encoding: 'utf8' }).find(
    (path) => path.endsWith(`/${name}`) || path.endsWith(`/${name}.xz`),
  );
  if (found === undefined) throw new Error(`no ${name} in ${root}`);
  return join(root, found);
}

/** Contents by file name: `loop.ko`. */
export function debianModules(meta: string, names: readonly string[]): Record<string, Uint8Array> {
  const root = debianPackage(newestKernelPackage(meta));
  return Object.fromEntries(
    names.map((name) => {
      const path = fileNamed(root, `${name}.ko`);
      const bytes = path.endsWith('.xz')
        ? execFileSync('xz', ['-dc', path], { maxBuffer: 1 << 26 })
        : readFileSync(path);
      return [`${name}.ko`, bytes];
    }),
  );
}

/** The file of a module with source lines, in the -dbg package (a large download). */
export const debianModuleDebug = (meta: string, name: string): string =>
  fileNamed(debianPackage(`${newestKernelPackage(meta)}-dbg`), `${name}.ko`);
