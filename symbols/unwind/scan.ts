// The last resort: words on a stack that look like return addresses, and groups of them that look like an exception's. Stale ones
// look so too: whoever follows them has to mark them.
import type { MemoryFault } from '../errors.ts';
import { type MemorySource, WordReader } from '../memory.ts';
import { isBehindCall } from './call-site.ts';
import { IRET_OFFSET, looksLikeIretFrame } from './pt-regs.ts';
import { type StackRange, stackOf } from './stacks.ts';
import { type StackMemory, type Step, savedContext } from './step.ts';

/** Bytes that are looked through where the end of the stack is not known. */
const UNKNOWN_STACK = 16384n;

export interface ScanContext {
  readonly memory: StackMemory;
  /** Where code is read. */
  readonly code: MemorySource;
  readonly isCode: (address: bigint) => boolean;
  readonly stacks: readonly StackRange[];
}

/** End of a scan: the stack's, where its end is known, memory that cannot be read, or the limit. */
export type ScanEnd =
  | { readonly why: 'end of stack' }
  | { readonly why: 'stack cannot be read'; readonly fault: MemoryFault }
  | { readonly why: 'nothing more found by scanning'; readonly address: bigint };

/** The exception's registers whose iret frame lies at `at`: a whole pt_regs when the scan has passed that much. */
function exceptionAt(memory: StackMemory, at: bigint, start: bigint): Step {
  const whole = at - BigInt(IRET_OFFSET) >= start;
  const place = whole ? at - BigInt(IRET_OFFSET) : at;
  const context = savedContext(memory, place, whole);
  const next = { rip: context.rip, registers: context.registers, exact: true };
  return { next, at: place, how: 'scan', exception: { at: place, context } };
}

/** Callers that the words from `start` up could be, lowest first; over a stack's link to the stack that was left. */
export function* scanForCallers(context: ScanContext, start: bigint): Generator<Step, ScanEnd> {
  const { memory, code, isCode, stacks } = context;
  let fault: MemoryFault | undefined;
  const words = new WordReader(memory.memory, memory.wordSize, (seen) => {
    fault = seen;
  });
  const step = BigInt(memory.wordSize);
  const left = new Set<StackRange>();
  let from = (start / step) * step;
  for (;;) {
    const stack = stackOf(stacks, from);
    const limit = stack?.high ?? from + UNKNOWN_STACK;
    for (let at = from; at < limit; at += step) {
      if (at === stack?.link) break;
      const value = words.word(at);
      if (value === undefined) {
        // The guard page below a stack: what is above it can still be read.
        if (stack && at < stack.low) {
          at = stack.low - step;
          continue;
        }
        if (fault) return { why: 'stack cannot be read', fault };
        break;
      }
      const group = (): bigint[] => [0n, 1n, 2n, 3n, 4n].map((index) => words.word(at + index * step) ?? 0n);
      if (memory.wordSize === 8 && isSelector(words.word(at + step)) && looksLikeIretFrame(group(), isCode))
        yield exceptionAt(memory, at, from);
      else if (isCode(value) && isBehindCall(code, value) !== false)
        yield { next: { rip: value, registers: { rsp: at + step }, exact: false }, at, how: 'scan' };
    }
    const linked = stack?.link === undefined ? undefined : words.word(stack.link);
    const other = linked === undefined ? undefined : stackOf(stacks, linked);
    if (!stack || linked === undefined || !other || left.has(other)) {
      const ended = stack !== undefined && stack.link === undefined;
      return ended ? { why: 'end of stack' } : { why: 'nothing more found by scanning', address: limit };
    }
    left.add(stack);
    from = linked;
  }
}

const isSelector = (word: bigint | undefined): boolean => word !== undefined && word >= 8n && word < 0x100n;
