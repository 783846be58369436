// `npm run oracle:lockstep-record`: builds the lockstep programs with gcc, runs each under qemu-system-x86_64 (TCG), and writes
// its trace. The ELF and the trace are committed; replaying needs neither gcc nor QEMU.
import { spawn, spawnSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readFileSync, readSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { readLockstepElf } from './elf.ts';
import { GdbStub } from './gdb-stub.ts';
import { PROGRAMS } from './programs.ts';
import {
  type Checkpoint,
  CONTROL_NAMES,
  memoryChanges,
  packTrace,
  SEGMENT_NAMES,
  STUB_REGISTERS,
  TRACED_FLAGS,
  type Trace,
} from './trace.ts';

const HERE = fileURLToPath(new URL('.', import.meta.url));
const QEMU = 'qemu-system-x86_64';
const MEMORY_MIB = 64;
const MOST_CHECKPOINTS = 20_000;
const RIP_NUMBER = 16;
const STOPPED = /^[TS]05/;

function runTool(tool: string, args: readonly string[]): string {
  const { status, stdout, stderr } = spawnSync(tool, args, { cwd: HERE, encoding: 'utf8' });
  if (status !== 0) throw new Error(`${tool} ${args.join(' ')}: ${stderr}`);
  return stdout;
}

function buildProgram(name: string, scratch: string): string {
  const object = join(scratch, `${name}.o`);
  const elf = join(HERE, `${name}.elf`);
  runTool('gcc', ['-c', '-o', object, `${name}.S`]);
  runTool('ld', [
    '--no-warn-rwx-segments',
    '-z',
    'max-page-size=4096',
    '-T',
    'lockstep.ld',
    '-o',
    elf,
    object,
  ]);
  return elf;
}

/** Fields of the stub's answer to `g`: name and bytes, in order (QEMU gdb-xml/i386-64bit.xml). */
const STUB_FIELDS: readonly (readonly [string, number])[] = [
  ...STUB_REGISTERS.map((name) => [name, 8] as const),
  ['rip', 8],
  ['rflags', 4],
  ...SEGMENT_NAMES.map((name) => [name, 4] as const),
  ['fs_base', 8],
  ['gs_base', 8],
  ['kernel_gs_base', 8],
  ['cr0', 8],
  ['cr2', 8],
  ['cr3', 8],
  ['cr4', 8],
  ['cr8', 8],
  ['efer', 8],
];

function parseRegisters(answer: string): Record<string, string> {
  const bytes = Buffer.from(answer, 'hex');
  const registers: Record<string, string> = {};
  let at = 0;
  for (const [name, size] of STUB_FIELDS) {
    const value = size === 8 ? bytes.readBigUInt64LE(at) : BigInt(bytes.readUInt32LE(at));
    registers[name] = value.toString(16);
    at += size;
  }
  registers['rflags'] = (Number.parseInt(registers['rflags'] ?? '0', 16) & TRACED_FLAGS).toString(16);
  return registers;
}

const KEPT = new Set([
  ...STUB_REGISTERS,
  ...SEGMENT_NAMES,
  ...CONTROL_NAMES,
  'rip',
  'rflags',
  'fs_base',
  'gs_base',
  'kernel_gs_base',
]);

async function traceProgram(elfPath: string, scratch: string): Promise<Trace> {
  const elf = readLockstepElf(readFileSync(elfPath));
  const symbol = (name: string): number => elf.symbols.get(name) ?? 0;
  const [watch, watchBytes] = [symbol('watch'), symbol('watch_end') - symbol('watch')];
  const points = checkpointAddresses(elfPath);
  const memoryFile = join(scratch, 'memory');
  const socket = join(scratch, 'gdb.sock');
  const child = spawn(
    QEMU,
    [
      ...['-machine', 'q35,memory-backend=ram', '-accel', 'tcg', '-cpu', 'max,vendor=GenuineIntel'],
      ...['-object', `memory-backend-file,id=ram,size=${MEMORY_MIB}M,mem-path=${memoryFile},share=on`],
      ...['-m', `${MEMORY_MIB}M`, '-nodefaults', '-display', 'none', '-no-reboot', '-kernel', elfPath, '-S'],
      ...['-chardev', `socket,id=gdb,path=${socket},server=on,wait=off`, '-gdb', 'chardev:gdb'],
    ],
    { stdio: ['ignore', 'inherit', 'inherit'] },
  );
  const checkpoints: Checkpoint[] = [];
  try {
    const stub = await GdbStub.open(socket, 10_000);
    // QEMU takes P packets only from a client that has read its description.
    await stub.ask('qXfer:features:read:target.xml:0,ffb');
    for (const address of points) await stub.ask(`Z0,${address.toString(16)},1`);
    const file = openSync(memoryFile, 'r');
    let before: Uint8Array = new Uint8Array(watchBytes);
    for (let first = true; checkpoints.length < MOST_CHECKPOINTS; first = false) {
      const stopped = await stub.ask('c').catch((error: Error) => error.message);
      if (!STOPPED.test(stopped))
        throw new Error(
          `${elfPath}: after ${JSON.stringify(checkpoints.slice(-3), undefined, 1)}: ${stopped}`,
        );
      const all = parseRegisters(await stub.ask('g'));
      const registers = Object.fromEntries(Object.entries(all).filter(([name]) => KEPT.has(name)));
      const now = new Uint8Array(watchBytes);
      readSync(file, now, 0, watchBytes, watch);
      // The firmware leaves things in memory before the program clears it.
      checkpoints.push({
        registers,
        memory: memoryChanges(first ? new Uint8Array(watchBytes) : before, now),
      });
      before = now;
      const linear = Number.parseInt(all['rip'] ?? '0', 16);
      if (isFinish(elf, points, linear, all)) break;
      await stub.ask(`P${RIP_NUMBER.toString(16)}=${littleHex(BigInt(linear + 2))}`);
    }
    closeSync(file);
    stub.close();
  } finally {
    child.kill('SIGKILL');
    await new Promise((resolve) => child.once('close', resolve));
    rmSync(memoryFile, { force: true });
    rmSync(socket, { force: true });
  }
  const qemu = runTool(QEMU, ['--version']).split('\n')[0] ?? '';
  return { watch, watchBytes, qemu, checkpoints };
}

function littleHex(value: bigint): string {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(value);
  return bytes.toString('hex');
}

function checkpointAddresses(elfPath: string): number[] {
  const elf = readLockstepElf(readFileSync(elfPath));
  const [from, to] = [elf.symbols.get('checkpoints') ?? 0, elf.symbols.get('checkpoints_end') ?? 0];
  const segment = elf.segments.find(({ address, bytes }) => from >= address && to <= address + bytes.length);
  if (!segment) throw new Error(`${elfPath}: no checkpoints`);
  const table = Buffer.from(segment.bytes.subarray(from - segment.address, to - segment.address));
  return Array.from({ length: table.length / 4 }, (_, i) => table.readUInt32LE(i * 4));
}

/** FINISH is the last entry of the table by construction: it is the one with port 0x85. */
function isFinish(
  elf: ReturnType<typeof readLockstepElf>,
  points: readonly number[],
  rip: number,
  registers: Record<string, string>,
): boolean {
  const code = elf.segments.find(({ address, bytes }) => rip >= address && rip < address + bytes.length);
  if (!code || !points.includes(rip) || registers['cs'] === undefined) return false;
  return code.bytes[rip - code.address + 1] === 0x85;
}

const scratch = mkdtempSync(join(tmpdir(), 'pvh-report-lockstep-'));
const wanted = process.argv.slice(2);
try {
  for (const { name, isSelfChecked } of PROGRAMS) {
    if (wanted.length && !wanted.includes(name)) continue;
    const elf = buildProgram(name, scratch);
    if (isSelfChecked) continue;
    const trace = await traceProgram(elf, scratch);
    const bytes = packTrace(trace);
    writeFileSync(join(HERE, `${name}.trace.br`), bytes);
    process.stdout.write(`${name}: ${trace.checkpoints.length} checkpoints, ${bytes.length} bytes\n`);
  }
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
