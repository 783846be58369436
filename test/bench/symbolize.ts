// npm run bench:symbolize: user CPU of 1,000 random addresses of Debian's 6.1 cloud kernel with lines and inlined functions: ours with a
// warm index and llvm-symbolizer, both as processes of their own, five times by turns; the medians count. Also says what the first 12
// addresses cost without an index, and the making of the index. Last line: `ratio <ours/llvm>`.
import { spawnSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { hostCodecs } from '../../core/host/codecs.ts';
import { FileSource } from '../../core/host/file-source.ts';
import { hex16 } from '../../symbols/address.ts';
import { writeDebugIndex } from '../../symbols/dwarf/index-file.ts';
import { openElf } from '../../symbols/elf/elf-file.ts';
import { readSymbolTable } from '../../symbols/elf/symtab.ts';
import { randomAddresses } from '../oracle/lines.ts';
import { debianKernel } from '../support/debian.ts';
import { median } from './cost.ts';

const ADDRESSES = 1000;
const STACK = 12;
const ROUNDS = 5;
const SEED = 1;

/** Reads addresses from a file and prints their frames, with what a tool would load and nothing else. */
const PROGRAM = `
import { readFileSync } from 'node:fs';
const dist = process.argv[1];
const { FileSource } = await import(dist + 'core/host/file-source.js');
const { openElf } = await import(dist + 'symbols/elf/elf-file.js');
const { openDebugInfo } = await import(dist + 'symbols/dwarf/debug-info.js');
const [, , vmlinux, addresses, index] = process.argv;
const info = openDebugInfo(openElf(new FileSource(vmlinux)), index && new FileSource(index));
const lines = [];
for (const text of readFileSync(addresses, 'utf8').split('\\n'))
  for (const { function: name, file, line, column } of info.lookup(BigInt(text))) lines.push(name, file + ':' + line + ':' + column);
process.stdout.write(lines.join('\\n'));
`;

/** Not ru_maxrss: that of a new process starts with that of the one that made it (Linux keeps it over execve). */
const PEAK = `
const peak = /^VmHWM:\\s+(\\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1];
process.stderr.write('peak ' + peak + '\\n');
`;

interface Measured {
  /** Seconds. */
  readonly user: number;
  readonly peakMiB: number;
  readonly output: string;
}

const folder = mkdtempSync(join(tmpdir(), 'pvh-bench-'));
const dist = new URL('../../dist/', import.meta.url).href;

/** Runs a program under time(1) of bash and a reader of its peak. */
function measure(program: string, args: readonly string[], input = ''): Measured {
  const report = join(folder, 'times');
  const { stdout, status, stderr } = spawnSync(
    'bash',
    ['-c', 'TIMEFORMAT=%U; { time "$@" 2>&3; } 3>&2 2>"$0"', report, program, ...args],
    { input, encoding: 'utf8', maxBuffer: 1 << 28 },
  );
  if (status !== 0) throw new Error(`${program}: exit ${status}\n${stderr}`);
  return {
    user: Number(readFileSync(report, 'utf8')),
    peakMiB: Number(/^peak (\d+)$/m.exec(stderr)?.[1] ?? 0) / 1024,
    output: stdout,
  };
}

const node = (vmlinux: string, addresses: string, index: string[]): Measured =>
  measure(process.execPath, [
    '--input-type=module',
    '--eval',
    `${PROGRAM}\n${PEAK}`,
    dist,
    vmlinux,
    addresses,
    ...index,
  ]);

function makeIndex(vmlinux: string, path: string): void {
  const source = new FileSource(vmlinux);
  const file = openSync(path, 'w');
  const before = process.cpuUsage();
  let size = 0;
  for (const piece of writeDebugIndex(openElf(source, hostCodecs))) size += writeSync(file, piece);
  const seconds = process.cpuUsage(before).user / 1e6;
  closeSync(file);
  source.close();
  console.log(`index: ${(size / 1e6).toFixed(1)} MB in ${seconds.toFixed(2)} s`);
}

try {
  const vmlinux = debianKernel('linux-image-cloud-amd64').vmlinux();
  const source = new FileSource(vmlinux);
  const table = readSymbolTable(openElf(source, hostCodecs));
  source.close();
  if (!table) throw new Error(`no symbols in ${vmlinux}`);
  const addresses = randomAddresses(table, ADDRESSES, SEED).map((address) => `0x${hex16(address)}`);
  const many = join(folder, 'addresses');
  const few = join(folder, 'stack');
  writeFileSync(many, addresses.join('\n'));
  writeFileSync(few, addresses.slice(0, STACK).join('\n'));
  const index = join(folder, 'index');
  console.log(`${vmlinux}; user CPU in seconds, peak resident MiB`);
  makeIndex(vmlinux, index);
  const ours: Measured[] = [];
  const llvm: Measured[] = [];
  const cold: Measured[] = [];
  for (let round = 1; round <= ROUNDS; round++) {
    ours.push(node(vmlinux, many, [index]));
    llvm.push(measure('llvm-symbolizer', [`--obj=${vmlinux}`, '--inlines'], addresses.join('\n')));
    cold.push(node(vmlinux, few, []));
  }
  const user = (runs: readonly Measured[]): number => median(runs.map((run) => run.user));
  const peak = (runs: readonly Measured[]): string =>
    `${Math.max(...runs.map((run) => run.peakMiB)).toFixed(0)} MiB`;
  console.log(
    `${ADDRESSES} addresses: ours ${user(ours).toFixed(2)} s ${peak(ours)}, llvm-symbolizer ${user(llvm).toFixed(2)} s`,
  );
  console.log(`${STACK} addresses without index: ours ${user(cold).toFixed(2)} s ${peak(cold)}`);
  console.log(`ratio ${(user(ours) / user(llvm)).toFixed(2)}`);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
