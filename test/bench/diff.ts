// npm run bench:diff: how much CPU `pvh-report diff` takes for two reports with consoles of 10 MB, the start of node included.
// Last line: `seconds <median of 5>`; before it, the ratio to what unpacking and reading the two reports takes (`signature`, twice).
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { packReport } from '../pvh-report/support.ts';
import { costOf, median } from './cost.ts';

const BYTES = 10e6;
const ROUNDS = 5;
const cli = fileURLToPath(new URL('../../dist/tools/bin/pvh-report.js', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'pvh-bench-'));

/** The same numbers each time (Numerical Recipes' constants). */
function* numbers(seed: number): Generator<number> {
  for (let state = seed; ; yield state >>> 8) state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
}

const WORDS = 'disk link queue timer reset page inode socket device driver request buffer clock region'.split(
  ' ',
);

/** Lines of a log that two guests have in common, but for times and addresses, with some of each one's own. */
function consoleOf(seed: number): string {
  const [shared, own] = [numbers(7), numbers(seed)];
  const next = (of: Generator<number>, below: number): number => (of.next().value ?? 0) % below;
  const lines: string[] = [];
  for (let bytes = 0, time = 0; bytes < BYTES; bytes += (lines.at(-1)?.length ?? 0) + 1) {
    time += next(own, 900);
    const isOwn = next(own, 100) === 0;
    const from = isOwn ? own : shared;
    const words = Array.from({ length: 4 }, () => WORDS[next(from, WORDS.length)]).join(' ');
    const address = (0xffff888000000000n + BigInt(next(own, 1 << 24))).toString(16);
    lines.push(
      `[${(time / 1000).toFixed(6).padStart(12)}] ${isOwn ? 'own' : 'sys'}${next(from, 40)}: ${words} at ${address} (${next(from, 5000)} of ${next(own, 5000)})`,
    );
  }
  return `${lines.join('\n')}\n[99999.000000] Kernel panic - not syncing: sysrq triggered crash\n`;
}

const seconds = (...args: readonly string[]): number => costOf({}, process.execPath, cli, ...args).user;

function medianOf(work: () => number): number {
  const times = Array.from({ length: ROUNDS }, work);
  console.log(`  ${times.map((time) => time.toFixed(2)).join(' ')}`);
  return median(times);
}

try {
  const reports: string[] = [];
  for (const seed of [1, 2]) {
    const path = join(folder, `${seed}.tar.gz`);
    const bytes = await packReport({ console: consoleOf(seed), frames: ['panic', 'sysrq_handle_crash'] });
    writeFileSync(path, bytes);
    reports.push(path);
  }
  const [a = '', b = ''] = reports;
  const read = medianOf(() => seconds('signature', a) + seconds('signature', b));
  const diff = medianOf(() => seconds('diff', a, b));
  console.log(`ratio ${(diff / read).toFixed(2)} to reading both`);
  console.log(`seconds ${diff.toFixed(3)}`);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
