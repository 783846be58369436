// npm run bench:core: how fast guest memory comes out of a dump-core file, against `cat` on the same file, and what opening a large
// one costs. Last line: `ratio <ours / cat>` in bytes a second, median of 5.
import { execFileSync, spawnSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { writeDumpCore } from '../../core/dump/dump-core.ts';
import { createFile } from '../../core/host/files.ts';
import { openCoreFile } from '../../core/target/preserved.ts';
import { registersWith } from '../support/registers.ts';
import { median } from './cost.ts';

const GIB = 2 ** 30;
const PAGE = 4096;
const ROUNDS = 5;
/** What a report's collector asks for at once. */
const PIECE = 1 << 20;

/** @param fill frames that are holes of the file stay undefined. */
function* frames(
  count: number,
  fill: (gfn: number) => Uint8Array | undefined,
): Generator<[number, Uint8Array | undefined]> {
  for (let gfn = 0; gfn < count; gfn++) yield [gfn, fill(gfn)];
}

function writeCore(path: string, count: number, fill: (gfn: number) => Uint8Array | undefined): void {
  const vcpus = [{ id: 0, online: true, registers: registersWith({}) }];
  createFile(path, (file) => {
    writeDumpCore(file, { vcpus, xen: { major: 4, minor: 17, extra: '' }, frames: frames(count, fill) });
  });
}

function seconds(work: () => void): number {
  const start = performance.now();
  work();
  return (performance.now() - start) / 1000;
}

/**
 * Opens a core in a process of its own: seconds that opening takes, and MiB of the whole process at its peak. That is VmHWM: ru_maxrss
 * of a new process starts with that of the one that made it (Linux keeps it over execve), which here is this bench.
 */
function openingCost(path: string): { seconds: number; mebibytes: number } {
  const module = fileURLToPath(new URL('../../dist/core/target/preserved.js', import.meta.url));
  const script = `
    const { readFileSync } = await import('node:fs');
    const { openCoreFile } = await import(${JSON.stringify(module)});
    const start = performance.now();
    const target = openCoreFile(${JSON.stringify(path)});
    const time = (performance.now() - start) / 1000;
    if (target.frames.length !== 1) throw new Error('frames are missing');
    const peak = /^VmHWM:\\s+(\\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1];
    console.log(time, Number(peak) / 1024);`;
  const output = execFileSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8' });
  const [time = 0, memory = 0] = output.trim().split(' ').map(Number);
  return { seconds: time, mebibytes: memory };
}

const folder = mkdtempSync(join(tmpdir(), 'pvh-bench-'));
try {
  const large = join(folder, 'large.core');
  writeCore(large, (4 * GIB) / PAGE, () => undefined);
  const costs = Array.from({ length: ROUNDS }, () => openingCost(large));
  const opening = median(costs.map((cost) => cost.seconds));
  const memory = median(costs.map((cost) => cost.mebibytes));
  console.log(`opening 4 GiB: ${opening.toFixed(3)} s, ${memory.toFixed(0)} MiB`);
  rmSync(large);

  const path = join(folder, 'full.core');
  const page = new Uint8Array(PAGE);
  writeCore(path, GIB / PAGE, (gfn) => page.fill((gfn % 255) + 1));
  const ours: number[] = [];
  const cats: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    cats.push(
      seconds(() => {
        const sink = openSync('/dev/null', 'w');
        spawnSync('cat', [path], { stdio: ['ignore', sink, 'inherit'] });
        closeSync(sink);
      }),
    );
    ours.push(
      seconds(() => {
        const target = openCoreFile(path);
        const into = new Uint8Array(PIECE);
        for (let at = 0; at < GIB; at += PIECE) target.readPhysical(at, into);
        target.close();
      }),
    );
  }
  const rate = (time: number): string => `${(1 / time).toFixed(2)} GiB/s`;
  console.log(`1 GiB: ours ${rate(median(ours))}, cat ${rate(median(cats))}`);
  console.log(`ratio ${(median(cats) / median(ours)).toFixed(2)}`);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
