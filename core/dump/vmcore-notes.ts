// The notes of a memory dump, as core/target/vmcore-notes.ts reads them: NT_PRSTATUS of each CPU (linux v6.1 include/linux/elfcore.h,
// arch/x86/include/asm/elf.h), QEMU's CPU states (qemu v7.2 target/i386/arch_dump.c) and VMCOREINFO.
import { inKernelMode, type Segment, type VcpuRegisters } from '../machine/registers.ts';
import type { VmcoreImage } from './vmcore-image.ts';

const NT_PRSTATUS = 1;
const PRSTATUS_SIZE = 336;
const QEMU_STATE_SIZE = 440;

const align4 = (value: number): number => (value + 3) & ~3;
const latin1 = (text: string): Uint8Array => Buffer.from(text, 'latin1');

function note(name: string, type: number, descriptor: Uint8Array): Uint8Array {
  const nameSize = name.length + 1;
  const bytes = new Uint8Array(12 + align4(nameSize) + align4(descriptor.length));
  const view = new DataView(bytes.buffer);
  view.setUint32(0, nameSize, true);
  view.setUint32(4, descriptor.length, true);
  view.setUint32(8, type, true);
  bytes.set(latin1(name), 12);
  bytes.set(descriptor, 12 + align4(nameSize));
  return bytes;
}

const u64 = (view: DataView, offset: number, values: readonly bigint[]): void =>
  values.forEach((value, index) => {
    view.setBigUint64(offset + index * 8, BigInt.asUintN(64, value), true);
  });

/** No system call is being made. */
const NO_SYSTEM_CALL = 0xffff_ffff_ffff_ffffn;

/** @param gsBase what stands for the only base of GS that the note has room for. */
function prstatus(registers: VcpuRegisters, pid: number, gsBase: bigint): Uint8Array {
  const bytes = new Uint8Array(PRSTATUS_SIZE);
  const view = new DataView(bytes.buffer);
  view.setInt32(32, pid, true);
  const { r15, r14, r13, r12, rbp, rbx, r11, r10, r9, r8, rax, rcx, rdx, rsi, rdi } = registers;
  const { rip, cs, rflags, rsp, ss, fs, gs, ds, es } = registers;
  const selectors = (...segments: Segment[]): bigint[] => segments.map(({ selector }) => BigInt(selector));
  u64(view, 112, [
    ...[r15, r14, r13, r12, rbp, rbx, r11, r10, r9, r8, rax, rcx, rdx, rsi, rdi, NO_SYSTEM_CALL],
    ...[rip, ...selectors(cs), rflags, rsp, ...selectors(ss), fs.base ?? 0n, gsBase],
    ...selectors(ds, es, fs, gs),
  ]);
  return bytes;
}

/** Attributes stand in bits 8-15 and 20-23 of a descriptor's second word, in 0-7 and 12-15 of the VMCS. */
const flagsOf = (attributes: number): number => (attributes & 0xf0ff) << 8;

interface WholeSegment extends Segment {
  readonly base: bigint;
  readonly limit: number;
  readonly attributes: number;
}

const isWhole = (segment: Segment | undefined): segment is WholeSegment =>
  segment?.base !== undefined && segment.limit !== undefined && segment.attributes !== undefined;

/** What QEMU writes of a CPU, when all of it is known. */
function qemuState(registers: VcpuRegisters): Uint8Array | undefined {
  const { cs, ds, es, fs, gs, ss, ldtr, tr, gdtr, idtr, cr0, cr2, cr3, cr4, kernel_gs_base } = registers;
  const segments = [cs, ds, es, fs, gs, ss, ldtr, tr].filter(isWhole);
  if (segments.length < 8 || !gdtr || !idtr) return undefined;
  if (cr0 === undefined || cr2 === undefined || cr3 === undefined || cr4 === undefined) return undefined;
  if (kernel_gs_base === undefined) return undefined;
  const bytes = new Uint8Array(QEMU_STATE_SIZE);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, 1, true);
  view.setUint32(4, QEMU_STATE_SIZE, true);
  const { rax, rbx, rcx, rdx, rsi, rdi, rsp, rbp, r8, r9, r10, r11, r12, r13, r14, r15 } = registers;
  u64(view, 8, [rax, rbx, rcx, rdx, rsi, rdi, rsp, rbp, r8, r9, r10, r11, r12, r13, r14, r15]);
  u64(view, 136, [registers.rip, registers.rflags]);
  const tables = [gdtr, idtr].map(({ base, limit }) => ({ selector: 0, limit, attributes: 0, base }));
  for (const [index, { selector, limit, attributes, base }] of [...segments, ...tables].entries()) {
    const at = 152 + index * 24;
    view.setUint32(at, selector, true);
    view.setUint32(at + 4, limit, true);
    view.setUint32(at + 8, flagsOf(attributes), true);
    u64(view, at + 16, [base]);
  }
  u64(view, 392, [cr0, 0n, cr2, cr3, cr4, kernel_gs_base]);
  return bytes;
}

/** Bytes behind the registers of NT_PRSTATUS: pr_fpvalid. */
const PRSTATUS_TAIL = 8;
const PRSTATUS_REGISTERS = 27 * 8;

/**
 * A note that gdb passes over, for its size, and that the others read as any: drgn finds registers by their distance from the start,
 * crash by that from the end.
 */
function withoutGdb(status: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(PRSTATUS_SIZE + PRSTATUS_REGISTERS);
  bytes.set(status);
  const registers = PRSTATUS_SIZE - PRSTATUS_TAIL - PRSTATUS_REGISTERS;
  bytes.set(status.subarray(registers, registers + PRSTATUS_REGISTERS), PRSTATUS_SIZE - PRSTATUS_TAIL);
  return bytes;
}

export interface VmcoreNotes {
  /** NT_PRSTATUS by CPU, then QEMU's states if every CPU's is known whole, then VMCOREINFO. */
  readonly all: Uint8Array;
  /** For gdb alone, in a segment of their own; empty where it can read the others. */
  readonly gdb: Uint8Array;
}

/**
 * The notes of an image. All tools count CPUs by the place of the note. drgn wants the process number of the task that a CPU runs, which
 * is 0 for all that are idle; gdb takes the number for the name of a thread, keeps one of each name, and 0 for none.
 * @param forGdb whether gdb reads the file.
 */
export function vmcoreNotes({ cpus, vmcoreinfo }: VmcoreImage, forGdb: boolean): VmcoreNotes {
  const states = cpus.flatMap(({ registers }) => (registers && qemuState(registers)) ?? []);
  const asQemu = cpus.length > 0 && states.length === cpus.length;
  // QEMU stores the base in use, Linux that of user mode.
  const gsBase = (registers: VcpuRegisters): bigint =>
    (asQemu || !inKernelMode(registers) ? registers.gs.base : registers.kernel_gs_base) ?? 0n;
  const pids = new Set(cpus.map(({ pid }) => pid));
  const apart = forGdb && (pids.has(0) || pids.size < cpus.length);
  const status = (registers: VcpuRegisters | undefined, pid: number): Uint8Array =>
    registers ? prstatus(registers, pid, gsBase(registers)) : new Uint8Array(0);
  const statuses = cpus.map(({ registers, pid }) => {
    const plain = status(registers, pid);
    return note('CORE', NT_PRSTATUS, apart && registers ? withoutGdb(plain) : plain);
  });
  const named = cpus.map(({ registers }, cpu) => note('CPU', NT_PRSTATUS, status(registers, cpu + 1)));
  return {
    all: Buffer.concat([
      ...statuses,
      ...(asQemu ? states.map((state) => note('QEMU', 0, state)) : []),
      ...(vmcoreinfo === undefined ? [] : [note('VMCOREINFO', 0, latin1(vmcoreinfo))]),
    ]),
    gdb: Buffer.concat(apart ? named : []),
  };
}
