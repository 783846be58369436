// Rows for code that keeps frame pointers: saved rbp at rbp, return address above it. Judges by the value of rbp and by the code
// bytes of a prologue.
import { MemoryFault } from '../errors.ts';
import { IRET_OFFSET, looksLikeIretFrame } from './pt-regs.ts';
import type { UnwindFailure } from './reason.ts';
import type { UnwindRow } from './row.ts';
import { type StackRange, stackOf } from './stacks.ts';
import type { StackMemory, State } from './step.ts';

/** How far above the stack pointer a frame pointer may lie to be believed where stacks are not known: one kernel stack. */
const MAX_DISTANCE = 16384n;

/** CFA `words` above the base; the caller's rbp lies at it when it has been pushed. */
function row(base: 'rsp' | 'rbp', words: 1 | 2, wordSize: number): UnwindRow {
  const offset = words * wordSize;
  return {
    how: 'fp',
    kind: 'call',
    cfa: { base, offset, load: 'none' },
    saved: words === 2 ? { rbp: { base: 'cfa', offset: -offset } } : {},
    signal: false,
  };
}

/** Linux with frame pointers marks an exception by a frame pointer that is odd: one more than the address of its pt_regs. */
const ENCODED_REGISTERS: UnwindRow = {
  how: 'fp',
  kind: 'registers',
  cfa: { base: 'rbp', offset: -1, load: 'none' },
  saved: {},
  signal: true,
};

/** Right behind a call, nothing pushed: after a jump to a bad address. A guess. */
export const justCalled = (wordSize: number): UnwindRow => ({ ...row('rsp', 1, wordSize), how: 'scan' });

/** At an instruction that returns the return address is the word at rsp, whatever the function did before: no guess. */
export function returnRow(memory: StackMemory, { rip, exact }: State): UnwindRow | undefined {
  const isReturn = exact && codeAt(memory, rip)?.[0] === 0xc3;
  return isReturn ? { ...row('rsp', 1, memory.wordSize), how: 'registers' } : undefined;
}

function codeAt(memory: StackMemory, rip: bigint): Uint8Array | undefined {
  try {
    return memory.bytes(rip, 4);
  } catch (error) {
    if (error instanceof MemoryFault) return undefined;
    throw error;
  }
}

const startsWith = (bytes: Uint8Array, ...start: readonly number[]): boolean =>
  start.every((byte, index) => bytes[index] === byte);

/** The row at an instruction before the frame pointer is set up. */
function prologueRow(memory: StackMemory, rip: bigint): UnwindRow | undefined {
  const code = codeAt(memory, rip);
  if (!code) return undefined;
  const { wordSize } = memory;
  const endbr = wordSize === 8 ? 0xfa : 0xfb;
  // endbr; push rbp
  if (startsWith(code, 0xf3, 0x0f, 0x1e, endbr) || code[0] === 0x55) return row('rsp', 1, wordSize);
  // mov rbp, rsp in its two encodings
  const mov = wordSize === 8 && code[0] === 0x48 ? code.subarray(1) : code;
  const sets = startsWith(mov, 0x89, 0xe5) || startsWith(mov, 0x8b, 0xec);
  return sets && (wordSize === 4 || mov !== code) ? row('rsp', 2, wordSize) : undefined;
}

function isEncodedRegisters(memory: StackMemory, rbp: bigint, isCode: (address: bigint) => boolean): boolean {
  if (memory.wordSize !== 8 || rbp % 8n !== 1n) return false;
  try {
    const start = rbp - 1n + BigInt(IRET_OFFSET);
    return looksLikeIretFrame(
      [0n, 8n, 16n, 24n, 32n].map((offset) => memory.word(start + offset)),
      isCode,
    );
  } catch (error) {
    if (error instanceof MemoryFault) return false;
    throw error;
  }
}

/** What a stack may hold above its outermost frame: a pt_regs and some words. */
const OUTERMOST = 512n;

function isNearTop(stacks: readonly StackRange[], rsp: bigint): boolean {
  const stack = stackOf(stacks, rsp);
  return stack === undefined || stack.high - rsp <= OUTERMOST;
}

export interface FramePointerContext {
  readonly memory: StackMemory;
  readonly isCode: (address: bigint) => boolean;
  readonly stacks: readonly StackRange[];
}

/** The row for a frame, the true end of the chain, or why rbp is no frame pointer. */
export function framePointerRow(
  { memory, isCode, stacks }: FramePointerContext,
  state: State,
): UnwindRow | UnwindFailure | { readonly why: 'end of stack' } {
  const { rip, registers, exact } = state;
  const early = returnRow(memory, state) ?? (exact ? prologueRow(memory, rip) : undefined);
  if (early) return early;
  const { rsp, rbp } = registers;
  if (rbp === undefined) return { why: 'register is not known', register: 'rbp' };
  if (rsp === undefined) return { why: 'register is not known', register: 'rsp' };
  // A zero ends the chain, but code without frame pointers has zeros in rbp too.
  if (rbp === 0n)
    return isNearTop(stacks, rsp) ? { why: 'end of stack' } : { why: 'frame pointer is none', address: rbp };
  if (isEncodedRegisters(memory, rbp, isCode)) return ENCODED_REGISTERS;
  const known = stackOf(stacks, rbp);
  const changes = known !== undefined && known !== stackOf(stacks, rsp);
  const rises = rbp >= rsp && (known !== undefined || rbp - rsp <= MAX_DISTANCE);
  if (rbp % BigInt(memory.wordSize) !== 0n || !(changes || rises))
    return { why: 'frame pointer is none', address: rbp };
  return row('rbp', 2, memory.wordSize);
}
