import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

const samples = fileURLToPath(new URL('../../samples', import.meta.url));
const names = readdirSync(samples).filter(isSample);

function isSample(name: string): boolean {
  const folder = join(samples, name);
  return statSync(folder).isDirectory() && readdirSync(folder).includes('main.c');
}

test.each(names)('%s is complete and small', (name) => {
  expect(readdirSync(join(samples, name)).sort()).toEqual([
    'README.md',
    'expected.txt',
    'guest.cfg',
    'main.c',
    'vmlinux',
  ]);
  expect(statSync(join(samples, name, 'vmlinux')).size).toBeLessThan(60_000);
});

const readelf = 'readelf';
const hasGcc = ['gcc', 'ld', readelf].every((program) => spawnSync(program, ['--version']).status === 0);

describe.runIf(hasGcc)('built again from source', () => {
  let output: string;
  beforeAll(() => {
    output = mkdtempSync(join(tmpdir(), 'pvh-samples-'));
    execFileSync('node', [join(samples, 'build.mjs'), '--output', output]);
  });
  afterAll(() => rmSync(output, { recursive: true, force: true }));

  const toolchain = (folder: string) => readFileSync(join(folder, 'toolchain.json'), 'utf8');
  /** Names of sections and of functions: equal whatever gcc made of the code. */
  const outline = (elf: string) =>
    execFileSync(readelf, ['-sSW', elf], { encoding: 'utf8', env: { ...process.env, LC_ALL: 'C' } })
      .split('\n')
      .flatMap((line) => line.match(/^ {2}\[ ?\d+\] (\S+)|FUNC .* (\S+)$/)?.slice(1) ?? [])
      .filter((name) => name !== undefined)
      .sort();

  test.each(names)('%s is the committed file', (name) => {
    const built = join(output, name, 'vmlinux');
    const committed = join(samples, name, 'vmlinux');
    if (toolchain(output) === toolchain(samples))
      expect(readFileSync(built).equals(readFileSync(committed))).toBe(true);
    else expect(outline(built)).toEqual(outline(committed));
  });
});
