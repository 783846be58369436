// Compiles small C programs for tests that need real object files.
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** True when a program can be run. */
export const hasProgram = (name: string): boolean => spawnSync(name, ['--version']).status === 0;

/** Bytes of what a compiler makes of one source file, `src/<name>` seen from the folder it runs in. */
export function compile(
  compiler: string,
  source: { readonly name: string; readonly text: string },
  flags: readonly string[],
): Uint8Array {
  const folder = mkdtempSync(join(tmpdir(), 'pvh-compile-'));
  try {
    writeFileSync(join(folder, source.name), source.text);
    execFileSync(compiler, [...flags, '-o', 'out', source.name], {
      cwd: folder,
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    return new Uint8Array(readFileSync(join(folder, 'out')));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
