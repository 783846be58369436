// Files made to do harm, given to every command that reads a report: refused with a reason, nothing left behind, memory bounded.
import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { scratchFolder } from '../support.ts';
import { REFUSED, reportWith } from './bundles.ts';
import { COMMANDS, type Ran } from './commands.ts';

/** One whole report, unpacked, a few times over, and node. */
const MOST_MIB = 1024;

const cli = fileURLToPath(new URL('hostile-cli.ts', import.meta.url));
const loader = new URL('../../../tools/dev/typescript.mjs', import.meta.url).href;

const folder = scratchFolder();
afterAll(() => folder.remove());
for (const name of ['in', 'cwd', 'tmp']) mkdirSync(join(folder.path, name));

/** Runs every command over what is in `in/`. */
function runAll(): Ran[] {
  const { stdout, stderr, status } = spawnSync(process.execPath, ['--import', loader, cli, folder.path], {
    encoding: 'utf8',
    maxBuffer: 1 << 28,
    env: { PATH: process.env['PATH'], HOME: join(folder.path, 'cwd') },
  });
  expect([stderr, status]).toEqual(['', 0]);
  return stdout
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Ran); // what hostile-cli.ts prints
}

const fileOf = (index: number): string => `${String(index).padStart(3, '0')}.tar.gz`;
let runs: Ran[];

beforeAll(async () => {
  folder.write('good.tar.gz', await reportWith());
  folder.write('System.map', Buffer.from('ffffffff81000000 T _text\n'));
  for (const [index, { make }] of REFUSED.entries()) folder.write(`in/${fileOf(index)}`, await make());
  runs = runAll();
}, 300_000);

test.each(REFUSED.map(({ name, reason }, index) => [name, reason, fileOf(index)] as const))(
  '%s is refused by every command',
  (_, reason, file) => {
    const own = runs.filter(({ bundle }) => bundle === file);
    expect(own.map(({ command }) => command)).toEqual(Object.keys(COMMANDS));
    for (const { command, status, out, err, left } of own) {
      // That something in a report is not what its manifest says is what verify is there to find out.
      const found = command === 'verify' && status === 1;
      expect([command, status, found ? err : out, left]).toEqual([command, found ? 1 : 2, '', []]);
      expect(`${command}: ${found ? out : err}`).toMatch(reason);
      if (!found) expect(`${command}: ${err}`).toContain(file);
      expect(err).not.toMatch(/[^\P{Cc}\n]|\p{Cf}|\n +at /u);
    }
  },
);

test('triage lists all of them', () => {
  const [ran] = runs.filter(({ command }) => command === 'triage');
  expect([ran?.status, ran?.err, ran?.left.filter((path) => !path.startsWith('index'))]).toEqual([0, '', []]);
  const rows = JSON.parse(ran?.out ?? '') as { path: string; error: string | null }[];
  expect(rows.map(({ path }) => path)).toEqual(REFUSED.map((_, index) => `in/${fileOf(index)}`));
  for (const [index, { reason }] of REFUSED.entries()) expect(rows[index]?.error).toMatch(reason);
  expect(ran?.out).not.toMatch(/[^\P{Cc}\n]|\p{Cf}/u);
});

test('none of them takes much memory', () => {
  let before = 0;
  const steps = runs.flatMap(({ bundle, command, peakMiB }) => {
    const more = peakMiB - before;
    before = peakMiB;
    return more > 16
      ? [`${REFUSED[Number.parseInt(bundle, 10)]?.name ?? bundle}, ${command}: ${peakMiB}`]
      : [];
  });
  expect(before, steps.join('\n')).toBeLessThan(MOST_MIB);
});
