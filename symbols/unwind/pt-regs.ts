// struct pt_regs of x86-64 Linux (arch/x86/include/asm/ptrace.h): what an exception or system call leaves on the stack.
import type { RowRegister } from './row.ts';

/** Bytes of the whole structure, and of the part that the CPU itself pushes. */
export const PT_REGS_SIZE = 168;
export const IRET_OFFSET = 128;
export const IRET_SIZE: number = PT_REGS_SIZE - IRET_OFFSET;

const ORDER: readonly RowRegister[] = [
  'r15',
  'r14',
  'r13',
  'r12',
  'rbp',
  'rbx',
  'r11',
  'r10',
  'r9',
  'r8',
  'rax',
  'rcx',
  'rdx',
  'rsi',
  'rdi',
];
const ORIG_RAX = 120;

/** Registers of an interrupted context. Those that the frame does not hold are absent. */
export interface SavedContext {
  readonly rip: bigint;
  readonly cs: number;
  readonly rflags: bigint;
  readonly ss: number;
  readonly registers: Readonly<Partial<Record<RowRegister, bigint>>>;
  /** System call number or error code; only in a whole pt_regs. */
  readonly origRax?: bigint | undefined;
}

export const isUserMode = (context: SavedContext): boolean => (context.cs & 3) === 3;

/** Flags that are 1 and flags that are 0 whatever happens (SDM vol 1 figure 3-8); bits above 21 are reserved. */
const ALWAYS_SET = 0x2n;
const ALWAYS_CLEAR: bigint = ~0x3f_ffffn | 0x8028n;
const MAX_SELECTOR = 0x100n;
/** User addresses end here at the latest (5-level paging). */
const USER_END: bigint = 1n << 56n;

const isSelector = (value: bigint, privilege: bigint): boolean =>
  value < MAX_SELECTOR && (value & 3n) === privilege;

/**
 * Whether five words look like what the CPU pushes at an exception: selectors of one privilege, flags with the fixed bits right,
 * addresses where such a privilege has them. Words that only look so are rare, but can be.
 * @param words rip, cs, rflags, rsp, ss.
 */
export function looksLikeIretFrame(words: readonly bigint[], isCode: (address: bigint) => boolean): boolean {
  const [rip = 0n, cs = 0n, rflags = 0n, rsp = 0n, ss = 0n] = words;
  if ((rflags & ALWAYS_SET) === 0n || (BigInt.asUintN(64, ALWAYS_CLEAR) & rflags) !== 0n) return false;
  const privilege = cs & 3n;
  if (cs < 8n || !isSelector(cs, privilege) || !isSelector(ss, privilege)) return false;
  // User mode runs with interrupts on.
  if (privilege === 3n) return (rflags & 0x200n) !== 0n && rip < USER_END && rsp < USER_END;
  return privilege === 0n && isCode(rip) && rsp >= 1n << 63n && rsp % 8n === 0n;
}

/** @param bytes 40 bytes as the CPU pushes them: rip, cs, rflags, rsp, ss. */
export function parseIretFrame(bytes: Uint8Array): SavedContext {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return {
    rip: view.getBigUint64(0, true),
    cs: view.getUint16(8, true),
    rflags: view.getBigUint64(16, true),
    ss: view.getUint16(32, true),
    registers: { rsp: view.getBigUint64(24, true) },
  };
}

/** @param bytes 168 bytes of a pt_regs. */
export function parsePtRegs(bytes: Uint8Array): SavedContext {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const general = Object.fromEntries(ORDER.map((name, index) => [name, view.getBigUint64(index * 8, true)]));
  const frame = parseIretFrame(bytes.subarray(IRET_OFFSET));
  return {
    ...frame,
    registers: { ...general, ...frame.registers },
    origRax: view.getBigUint64(ORIG_RAX, true),
  };
}
