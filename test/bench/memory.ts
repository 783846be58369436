// npm run bench:memory: what an image of the memory adds to the user CPU of `pvh-report collect` on a panicked Debian guest of 512 MiB,
// against `zstd -3` over its pages that are not all zero, and against the whole core.elf; by turns, fifteen times. The means count:
// how Linux shares the time of a process between user and system is sampled, and right on average only. With it the same with the
// system's time, and the wall time against that of a report without. Needs the program zstd. Last line: `ratio <--memory=all/zstd -3>`.
import { closeSync, openSync, statSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { isZeros, pagesOf } from '../../core/dump/vmcore-image.ts';
import { openCoreFile } from '../../core/target/preserved.ts';
import { Host } from '../kernel/guest.ts';
import { debianKernel } from '../support/debian.ts';
import { type Cost, costOf } from './cost.ts';

const ROUNDS = 15;
const bin = fileURLToPath(new URL('../../dist/tools/bin/pvh-report.js', import.meta.url));

using host = new Host();

const env = { PVH_STATE_DIR: host.stateDir };

const mean = (values: readonly number[]): number =>
  values.reduce((sum, value) => sum + value, 0) / values.length;

/** The pages of a dump that are not all zero, one behind the other. */
function writeTouched(core: string, path: string): void {
  const target = openCoreFile(core);
  const file = openSync(path, 'w');
  for (const { bytes } of pagesOf(target)) if (bytes && !isZeros(bytes)) writeSync(file, bytes);
  closeSync(file);
  target.close();
}

const domid = host.createLinux('guest', {
  kernel: debianKernel('linux-image-cloud-amd64').vmlinuz,
  memory: '512',
  extra: 'console=hvc0',
});
await host.untilShutdown(domid);
const core = join(host.stateDir, 'domains', String(domid), 'core.elf');
const touched = join(host.stateDir, 'touched');
writeTouched(core, touched);

const reportOf = (part: string): string => join(host.stateDir, `${part}.tar.gz`);
const collect = (part: string): Cost =>
  costOf(
    env,
    process.execPath,
    ...[bin, 'collect', String(domid), '-q', `--memory=${part}`, '-o', reportOf(part)],
  );
const zstd = (path: string): Cost => costOf(env, 'zstd', '-q', '-3', '-T1', '-c', path);
const runs = {
  stacks: () => collect('stacks'),
  kernel: () => collect('kernel'),
  all: () => collect('all'),
  touched: () => zstd(touched),
  core: () => zstd(core),
};
type Name = keyof typeof runs;
const names = Object.keys(runs) as Name[]; // the keys above
const costs = new Map<Name, Cost[]>(names.map((name) => [name, []]));
for (let round = 0; round < ROUNDS; round++) for (const name of names) costs.get(name)?.push(runs[name]());

const meanOf = (name: Name, part: keyof Cost): number =>
  mean((costs.get(name) ?? []).map((cost) => cost[part]));
const user = (name: Name): number => meanOf(name, 'user');
const wall = (name: Name): number => meanOf(name, 'wall');
for (const part of ['stacks', 'kernel', 'all'] as const)
  console.log(
    `--memory=${part} ${user(part).toFixed(2)} s user, ${wall(part).toFixed(2)} s wall, ${statSync(reportOf(part)).size} bytes`,
  );
for (const [name, path] of [
  ['touched', touched],
  ['core', core],
] as const)
  console.log(`zstd -3 ${name} ${user(name).toFixed(2)} s user, of ${statSync(path).size} bytes`);
const extra = (name: Name, reference: Name, part: keyof Cost = 'user'): string =>
  ((meanOf(name, part) - meanOf('stacks', part)) / meanOf(reference, part)).toFixed(2);
console.log(`wall of --memory=all over --memory=stacks ${(wall('all') / wall('stacks')).toFixed(2)}`);
console.log(`ratio of --memory=all to the whole core.elf ${extra('all', 'core')}`);
console.log(`ratio with the system's time ${extra('all', 'touched', 'cpu')}`);
console.log(`ratio of --memory=kernel ${extra('kernel', 'touched')}`);
console.log(`ratio ${extra('all', 'touched')}`);
