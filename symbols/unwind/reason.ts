// Why a trace ended or had to be pieced together, as data and in words.
import { hex16 } from '../address.ts';
import type { MemoryFault } from '../errors.ts';
import type { SavedContext } from './pt-regs.ts';
import type { RowRegister } from './row.ts';
import type { StackOverflow } from './stacks.ts';

/** Why no caller can be told. */
export type UnwindFailure =
  | { readonly why: 'no unwind information'; readonly address: bigint }
  | { readonly why: 'return address is not code'; readonly address: bigint }
  /** ftrace or a kretprobe put its own address there, and the true one is not found. */
  | { readonly why: 'return address was replaced'; readonly address: bigint }
  | { readonly why: 'frame pointer is none'; readonly address: bigint }
  | { readonly why: 'stack pointer does not rise'; readonly address: bigint }
  | { readonly why: 'stack pointer leaves its stack'; readonly address: bigint }
  | { readonly why: 'stack goes in circles'; readonly address: bigint }
  | { readonly why: 'nothing more found by scanning'; readonly address: bigint }
  | { readonly why: 'stack cannot be read'; readonly fault: MemoryFault }
  | { readonly why: 'register is not known'; readonly register: RowRegister }
  | { readonly why: 'call frame information is damaged'; readonly detail: string }
  | { readonly why: 'too many frames' };

/** Why a trace ended. Only the first two are the true end of it. */
export type UnwindEnd =
  | { readonly why: 'end of stack' }
  | { readonly why: 'user mode'; readonly context: SavedContext }
  | UnwindFailure;

/** Undefined when the trace ended where the stack does: that is no news. */
export function endText(end: UnwindEnd): string | undefined {
  switch (end.why) {
    case 'end of stack':
    case 'user mode':
      return undefined;
    case 'stack cannot be read':
      return `${end.why}: ${end.fault.message}`;
    case 'register is not known':
      return `${end.why}: ${end.register}`;
    case 'call frame information is damaged':
      return `${end.why}: ${end.detail}`;
    case 'too many frames':
      return end.why;
    default:
      return `${end.why}: ${hex16(end.address)}`;
  }
}

/** For example `stack overflow: rsp is 24 bytes below the TASK stack (ffffc90000010000-ffffc90000014000)`. */
export function overflowText({ stack, rsp }: StackOverflow): string {
  const range = `${hex16(stack.low)}-${hex16(stack.high)}`;
  const distance =
    rsp < stack.low ? `${stack.low - rsp} bytes below` : `${rsp - stack.low} bytes above the bottom of`;
  return `stack overflow: rsp is ${distance} the ${stack.name} stack (${range})`;
}
