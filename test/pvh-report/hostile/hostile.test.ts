// Files made to do harm, given to every command that reads a report: refused with a reason, nothing left behind, memory bounded.
import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { unpackReport } from '../../../tools/pvh-report/report.ts';
import { scratchFolder } from '../support.ts';
import { XenHost } from '../xen-host.ts';
import { REFUSED, reportWith } from './bundles.ts';
import { COMMANDS, type Ran } from './commands.ts';
import { NASTY, nastyRecords } from './nasty.ts';

/** A whole report, unpacked, a few times over, and node. */
const MOST_MIB = 1024;

const cli = fileURLToPath(new URL('hostile-cli.ts', import.meta.url));
const loader = new URL('../../../tools/dev/typescript.mjs', import.meta.url).href;

const folder = scratchFolder();
afterAll(() => folder.remove());

const fileOf = (index: number): string => `${String(index).padStart(3, '0')}.tar.gz`;
/** Anything that would steer a terminal or turn words round. */
const STEERS = /[^\P{Cc}\n\t]|[\u202a-\u202e]/u;

/** Runs every command over each of the files, all in one process. */
async function runAll(
  name: string,
  bundles: readonly { readonly make: () => Promise<Uint8Array> | Uint8Array }[],
): Promise<Ran[]> {
  for (const part of ['in', 'cwd', 'tmp']) mkdirSync(join(folder.path, name, part), { recursive: true });
  folder.write(`${name}/good.tar.gz`, await reportWith());
  folder.write(`${name}/System.map`, Buffer.from('ffffffff81000000 T _text\n'));
  for (const [index, { make }] of bundles.entries())
    folder.write(`${name}/in/${fileOf(index)}`, await make());
  const root = join(folder.path, name);
  const { stdout, stderr, status } = spawnSync(process.execPath, ['--import', loader, cli, root], {
    encoding: 'utf8',
    maxBuffer: 1 << 28,
    env: { PATH: process.env['PATH'], HOME: join(root, 'cwd') },
  });
  expect([stderr, status]).toEqual(['', 0]);
  return stdout
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Ran); // what hostile-cli.ts prints
}

/** Where the peak of all rose, and by which it was reached. */
function peaks(runs: readonly Ran[], names: readonly string[]): { most: number; steps: string } {
  let most = 0;
  const steps = runs.flatMap(({ bundle, command, peakMiB }) => {
    const more = peakMiB - most;
    most = peakMiB;
    return more > 16 ? [`${names[Number.parseInt(bundle, 10)] ?? bundle}, ${command}: ${peakMiB}`] : [];
  });
  return { most, steps: steps.join('\n') };
}

describe('what is no report', () => {
  let runs: Ran[];
  beforeAll(async () => {
    runs = await runAll('refused', REFUSED);
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
        expect(err).not.toMatch(STEERS);
        expect(err).not.toMatch(/\n +at /);
      }
    },
  );

  test('triage lists all of them', () => {
    const [ran] = runs.filter(({ command }) => command === 'triage');
    const elsewhere = ran?.left.filter((path) => !path.startsWith('index'));
    expect([ran?.status, ran?.err, elsewhere]).toEqual([0, '', []]);
    const rows = JSON.parse(ran?.out ?? '') as { path: string; error: string | null }[];
    expect(rows.map(({ path }) => path)).toEqual(REFUSED.map((_, index) => `in/${fileOf(index)}`));
    for (const [index, { reason }] of REFUSED.entries()) expect(rows[index]?.error).toMatch(reason);
    expect(ran?.out).not.toMatch(STEERS);
  });

  test('none of them takes much memory', () => {
    const { most, steps } = peaks(
      runs,
      REFUSED.map(({ name }) => name),
    );
    expect(most, steps).toBeLessThan(MOST_MIB);
  });
});

test('reports that say what none of ours does are taken or refused, and nothing worse', {
  timeout: 600_000,
}, async () => {
  using host = new XenHost();
  const { files } = await unpackReport((await host.collect()).report);
  const bundles = [...NASTY, ...nastyRecords(files)];
  const runs = await runAll('nasty', bundles);
  const names = bundles.map(({ name }) => name);
  for (const { bundle, command, status, out, err, left } of runs) {
    const where = `${names[Number.parseInt(bundle, 10)] ?? bundle}, ${command}`;
    expect([0, 1, 2, 3], where).toContain(status);
    if (status === 2 && out === '') expect(err, where).not.toBe('');
    expect(err, where).not.toMatch(/\n +at /);
    for (const text of [out, err]) expect(text, where).not.toMatch(STEERS);
    // What a command is asked to write, at the place where it is asked to.
    const own = new RegExp(`^(?:cwd|in/${bundle.replace('.tar.gz', '')}[^/]*|index(?:/[^/]*)?)(?:/[^/]*)? `);
    expect(
      left.filter((path) => !own.test(path) || /\.tmp /.test(path)),
      where,
    ).toEqual([]);
  }
  const { most, steps } = peaks(runs, names);
  expect(most, steps).toBeLessThan(MOST_MIB);
});
