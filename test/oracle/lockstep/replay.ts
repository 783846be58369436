// Runs a lockstep program in our Machine and compares with its trace at every checkpoint.
import { readFileSync } from 'node:fs';
import type { Exit } from '../../../core/machine/exit.ts';
import type { Machine } from '../../../core/machine/machine.ts';
import type { VcpuRegisters } from '../../../core/machine/registers.ts';
import { readLockstepElf } from './elf.ts';
import type { LockstepProgram } from './programs.ts';
import {
  type Checkpoint,
  CONTROL_NAMES,
  SEGMENT_NAMES,
  STUB_REGISTERS,
  TRACED_FLAGS,
  type Trace,
  unpackTrace,
} from './trace.ts';

/** RAM the programs expect. */
export const LOCKSTEP_RAM = 0x400_0000;

const CHECK_PORT = 0x84;
const FINISH_PORT = 0x85;
/** The programs mask the interrupts of QEMU's PC there. */
const MASK_PORTS: readonly number[] = [0x21, 0xa1];
const OUT_BYTES = 2n;
const SLICE = 1_000_000;
const CODE32 = { selector: 8, base: 0n, limit: 0xffff_ffff, attributes: 0xc09b };
const DATA32 = { selector: 16, base: 0n, limit: 0xffff_ffff, attributes: 0xc093 };
const CS_LONG = 0x2000;

export interface Divergence {
  /** Number of the checkpoint, and where QEMU stood: `objdump -d -M intel` finds it. */
  readonly checkpoint: number;
  readonly rip: string;
  readonly differences: readonly string[];
}

/** Puts the program into memory and vCPU 0 at its entry, as PVH starts it. */
function load(machine: Machine, elfFile: Uint8Array): void {
  const elf = readLockstepElf(elfFile);
  for (const { address, bytes } of elf.segments) machine.write(address, bytes);
  machine.setState(0, 'running');
  machine.setRegisters(0, {
    rip: BigInt(elf.entry),
    rflags: 2n,
    cr0: 0x11n,
    cr4: 0n,
    efer: 0n,
    cs: CODE32,
    ds: DATA32,
    es: DATA32,
    ss: DATA32,
    fs: DATA32,
    gs: DATA32,
    tr: { selector: 0, base: 0n, limit: 0x67, attributes: 0x8b },
  });
}

function runToPort(machine: Machine): Exit {
  for (let slices = 0; slices < 20; slices++) {
    const exit = machine.run(0, SLICE);
    if (exit.kind === 'port-out' && MASK_PORTS.includes(exit.port)) continue;
    if (exit.kind !== 'budget') return exit;
  }
  return { kind: 'budget' };
}

/** Our registers under the names and with the widths of a trace. */
function tracedRegisters(registers: VcpuRegisters): Record<string, string> {
  const is64 = ((registers.cs.attributes ?? 0) & CS_LONG) !== 0 && (registers.efer ?? 0n) >= 0x400n;
  const wide = (value: bigint): string => (is64 ? value : value & 0xffff_ffffn).toString(16);
  const all = registers as unknown as Record<string, bigint>; // by name: the names are keys of it
  const values: Record<string, string> = {};
  STUB_REGISTERS.forEach((name, i) => {
    values[name] = i >= 8 && !is64 ? '0' : wide(all[name] ?? 0n);
  });
  for (const name of SEGMENT_NAMES) values[name] = (registers[name as 'cs'].selector ?? 0).toString(16);
  for (const name of CONTROL_NAMES) values[name] = (all[name] ?? 0n).toString(16);
  values['rip'] = wide(registers.rip - OUT_BYTES);
  values['rflags'] = (Number(registers.rflags) & TRACED_FLAGS).toString(16);
  values['fs_base'] = (registers.fs.base ?? 0n).toString(16);
  values['gs_base'] = (registers.gs.base ?? 0n).toString(16);
  values['kernel_gs_base'] = (registers.kernel_gs_base ?? 0n).toString(16);
  return values;
}

function compareRegisters(expected: Checkpoint, registers: VcpuRegisters): string[] {
  const got = tracedRegisters(registers);
  const is64 = ((registers.cs.attributes ?? 0) & CS_LONG) !== 0;
  return Object.entries(expected.registers).flatMap(([name, value]) => {
    // Outside 64-bit code QEMU's stub shows what is left in the upper halves, or not, as it likes.
    if (!is64 && /^r(8|9|1[0-5])$/.test(name)) return [];
    const want = name === 'efer' ? (BigInt(`0x${value}`) & ~1n).toString(16) : value;
    const have = name === 'efer' ? (BigInt(`0x${got[name] ?? '0'}`) & ~1n).toString(16) : got[name];
    return want === have ? [] : [`${name}: QEMU ${value}, here ${got[name]}`];
  });
}

function compareMemory(
  program: LockstepProgram,
  watch: number,
  want: Uint8Array,
  have: Uint8Array,
): string[] {
  const lines: string[] = [];
  const isIgnored = (at: number): boolean =>
    (program.ignore ?? []).some(({ from, to }) => at >= from && at < to);
  for (let at = 0; at < want.length && lines.length < 8; at++) {
    if (want[at] === have[at] || isIgnored(at)) continue;
    const from = at & ~7;
    const show = (bytes: Uint8Array): string => Buffer.from(bytes.subarray(from, from + 16)).toString('hex');
    lines.push(`[${(watch + from).toString(16)}]: QEMU ${show(want)}, here ${show(have)}`);
    at = from + 15;
  }
  return lines;
}

const LINES_KEPT = 15;

/** Runs a self-checked program; the source lines of the expectations that failed. */
export function runSelfChecked(machine: Machine, program: LockstepProgram): string[] {
  const elfFile = readFileSync(new URL(`${program.name}.elf`, import.meta.url));
  const { symbols } = readLockstepElf(elfFile);
  load(machine, elfFile);
  let exit = runToPort(machine);
  while (exit.kind === 'port-out' && exit.port === CHECK_PORT) exit = runToPort(machine);
  const at = (name: string): number => symbols.get(name) ?? 0;
  const failures = machine.readU32(at('failures'));
  const lines = Array.from({ length: Math.min(failures, LINES_KEPT) }, (_, i) =>
    machine.readU32(at('failed_lines') + (i + 1) * 4),
  ).map((line) => `${program.name}.S:${line}`);
  const ended = exit.kind === 'port-out' && exit.port === FINISH_PORT;
  const place = `rip ${machine.registers(0).rip.toString(16)}, last at ${program.name}.S:${machine.readU32(at('want_line'))}`;
  return ended ? lines : [...lines, `stopped with ${exit.kind} at ${place}`];
}

/** Everything that differs, checkpoint by checkpoint; stops after `most` of them. */
export function replayLockstep(machine: Machine, program: LockstepProgram, most = 1): Divergence[] {
  const file = (suffix: string): Uint8Array =>
    readFileSync(new URL(`${program.name}${suffix}`, import.meta.url));
  const trace: Trace = unpackTrace(file('.trace.br'));
  load(machine, file('.elf'));
  const want = new Uint8Array(trace.watchBytes);
  const divergences: Divergence[] = [];
  trace.checkpoints.forEach((expected, checkpoint) => {
    if (divergences.length >= most) return;
    for (const [offset, bytes] of expected.memory) want.set(Buffer.from(bytes, 'hex'), offset);
    const exit = runToPort(machine);
    const isPoint = exit.kind === 'port-out' && (exit.port === CHECK_PORT || exit.port === FINISH_PORT);
    const registers = machine.registers(0);
    const differences = isPoint
      ? [
          ...compareRegisters(expected, registers),
          ...compareMemory(program, trace.watch, want, machine.read(trace.watch, trace.watchBytes)),
        ]
      : [`stopped with ${exit.kind} at rip ${registers.rip.toString(16)} cr2 ${registers.cr2.toString(16)}`];
    if (differences.length) {
      divergences.push({ checkpoint, rip: expected.registers['rip'] ?? '?', differences });
      if (!isPoint) most = 0;
    }
  });
  return divergences;
}
