// Kernel modules for guests under test, built from source as a user would with Debian's header packages, which stay uninstalled.
import { execFileSync } from 'node:child_process';
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { debianTree, dependenciesOf } from './debian.ts';

/**
 * Builds the module in `folder` (a Kbuild file and its sources) for the kernel `release`.
 * @returns the bytes of its one .ko. @throws Error with what the compiler said.
 */
export function kernelModule(release: string, folder: string): Buffer {
  const headers = `linux-headers-${release}`;
  const needed = dependenciesOf(headers).filter((name) => /^linux-(headers|kbuild)-/.test(name));
  const sources = join(debianTree(headers, needed), 'usr/src');
  const common = needed.find((name) => name.startsWith('linux-headers-'));
  if (common === undefined) throw new Error(`${headers} depends on no common headers`);
  const scratch = mkdtempSync(join(tmpdir(), 'pvh-module-'));
  try {
    cpSync(folder, scratch, { recursive: true });
    // The module's own BTF would need pahole.
    const settings = [`O=${join(sources, headers)}`, `M=${scratch}`, 'CONFIG_DEBUG_INFO_BTF_MODULES='];
    execFileSync('make', ['-s', '-C', join(sources, common), ...settings, 'modules'], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const built = readdirSync(scratch).find((name) => name.endsWith('.ko'));
    if (built === undefined) throw new Error(`${folder} makes no module`);
    return readFileSync(join(scratch, built));
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}
