// From a vCPU's registers, caller by caller, over exception frames and stack switches, to the end of the stack: finds the row of
// each frame, judges where it led to, and says so where it had to guess. Knows no format of unwind tables and no names. Always ends.
import { FormatError, MemoryFault } from '../errors.ts';
import type { MemorySource } from '../memory.ts';
import { isBehindCall } from './call-site.ts';
import type { Frame } from './frame.ts';
import { type FramePointerContext, framePointerRow, justCalled, returnRow } from './frame-pointer.ts';
import { IRET_OFFSET, isUserMode, looksLikeIretFrame, type SavedContext } from './pt-regs.ts';
import type { UnwindEnd, UnwindFailure } from './reason.ts';
import { type KnownRegisters, ROW_REGISTERS, type RowSource, type UnwindRow } from './row.ts';
import { type ScanEnd, scanForCallers } from './scan.ts';
import { overflowAt, type StackOverflow, type StackRange, stackAt, stackOf } from './stacks.ts';
import { executeRow, StackMemory, type State, type Step, savedContext, UnknownRegister } from './step.ts';

export interface UnwindStart {
  readonly rip: bigint;
  readonly registers: KnownRegisters & { readonly rsp: bigint };
  /** False when rip is a return address, as in a task that sleeps. */
  readonly exact?: boolean;
}

/** `auto` takes the best way at each frame; the others are used alone. */
export type UnwindWay = 'auto' | 'orc' | 'cfi' | 'fp' | 'scan';

/**
 * The return address that a tracer put its own in place of: undefined when `address` is no tracer's.
 * @param slot where it lies.
 */
export type TracedReturn = (
  address: bigint,
  slot: bigint,
) => { readonly original: bigint | undefined } | undefined;

/** What unwinding rests on. */
export interface UnwindContext {
  readonly memory: MemorySource;
  /** Where the code that runs is read, in place of `memory`: it throws where that is no more (Linux frees its init text). */
  readonly code?: MemorySource;
  /** Tables, best first. */
  readonly rows: readonly RowSource[];
  /** Whether an address can be code: return addresses that cannot end the trace. */
  readonly isCode: (address: bigint) => boolean;
  readonly way?: UnwindWay;
  /** Stacks of the vCPU, as far as they are known. */
  readonly stacks?: readonly StackRange[];
  /** 4 for 32-bit code. */
  readonly wordSize?: 8 | 4;
  readonly tracedReturn?: TracedReturn;
  /** Tables that are asked only for registers that the others do not tell (ORC knows rsp and rbp). */
  readonly registerRows?: readonly RowSource[];
}

export type UnwindStep =
  | { readonly kind: 'frame'; readonly frame: Frame }
  /** The frames that follow are on this stack. */
  | { readonly kind: 'stack'; readonly name: string }
  /** The frames that follow were interrupted: their registers as the exception saved them at `at`. */
  | { readonly kind: 'exception'; readonly at: bigint; readonly context: SavedContext }
  /** The caller of the last frame is not known for this reason: what follows was found by scanning. */
  | { readonly kind: 'gap'; readonly why: UnwindFailure }
  /** The frame that follows had run out of its stack. */
  | { readonly kind: 'overflow'; readonly overflow: StackOverflow }
  /** `user`: the registers of user mode under the kernel's work, where the trace did not lead to them. */
  | { readonly kind: 'end'; readonly end: UnwindEnd; readonly user?: SavedContext | undefined };

/** A 16 KiB stack of the smallest frames has 1024. */
const MAX_FRAMES = 4096;
/** Scans in one trace, and those among them that look for a caller whose own caller can be found. */
const MAX_GAPS = 256;
const MAX_CAREFUL_SCANS = 16;

interface Stopped {
  readonly end: UnwindEnd;
  /** Where a scan for the next frame starts; at the stack pointer when absent. */
  readonly resume?: bigint;
}

/** A step, and how it came about. */
interface Found extends Step {
  readonly gap?: UnwindFailure;
  /** The address of a tracer's trampoline that stood in the place of the caller's. */
  readonly trampoline?: bigint;
  readonly doubt?: Frame['doubt'];
}

const isStopped = (result: Found | Stopped): result is Stopped => 'end' in result;
const isRow = (result: UnwindRow | UnwindEnd): result is UnwindRow => 'kind' in result;

/** Ends that no scan can better: true ones, and those that bound the work. */
const isFinal = ({ why }: UnwindEnd): boolean =>
  ['end of stack', 'user mode', 'stack goes in circles', 'too many frames'].includes(why);

/** What is thrown while a row is executed, as a reason. */
function failureOf(error: unknown): UnwindFailure {
  if (error instanceof MemoryFault) return { why: 'stack cannot be read', fault: error };
  if (error instanceof UnknownRegister) return { why: 'register is not known', register: error.register };
  if (error instanceof FormatError)
    return { why: 'call frame information is damaged', detail: error.message };
  throw error;
}

/** Tables in guest memory can be unreadable: then they have no row. */
function findIn(source: RowSource, pc: bigint): UnwindRow | undefined {
  try {
    return source.find(pc);
  } catch (error) {
    if (error instanceof MemoryFault) return undefined;
    throw error;
  }
}

/** The general registers out of what may be all of a vCPU's. */
const general = (registers: KnownRegisters): KnownRegisters =>
  Object.fromEntries(
    ROW_REGISTERS.flatMap((name) => (registers[name] === undefined ? [] : [[name, registers[name]]])),
  );

class Unwinding implements FramePointerContext {
  readonly #context: UnwindContext;
  readonly #way: UnwindWay;
  readonly #seen = new Set<string>();
  #state: State;
  /** Way of the last step. */
  #followed: UnwindRow['how'] | undefined;
  /** True when the address of the frame is a tracer's and nobody knows the true one. */
  #replaced = false;
  #stackName: string | undefined;
  #scans = 0;
  readonly memory: StackMemory;
  readonly code: MemorySource;
  readonly stacks: readonly StackRange[];
  readonly isCode: (address: bigint) => boolean;

  constructor(context: UnwindContext, start: UnwindStart) {
    this.#context = context;
    this.#way = context.way ?? 'auto';
    this.#state = { rip: start.rip, registers: general(start.registers), exact: start.exact ?? true };
    this.memory = new StackMemory(context.memory, context.wordSize ?? 8);
    this.code = context.code ?? context.memory;
    this.stacks = context.stacks ?? [];
    this.isCode = context.isCode;
  }

  *run(): Generator<UnwindStep> {
    yield* this.#first();
    for (let count = 0; count < MAX_FRAMES; count++) {
      const found = this.#next();
      if (isStopped(found)) {
        yield this.#ended(found.end);
        return;
      }
      yield* this.#tell(found);
      this.#followed = found.how;
      this.#replaced = found.trampoline === found.next.rip;
      this.#state = found.next;
    }
    yield this.#ended({ why: 'too many frames' });
  }

  *#first(): Generator<UnwindStep> {
    const { rip, registers, exact } = this.#state;
    const stack = registers.rsp === undefined ? undefined : stackOf(this.stacks, registers.rsp);
    yield* this.#enter(stack);
    yield* this.#overflow(registers.rsp, false);
    const frame: Frame = { address: rip, how: 'registers', exact, registers, stack: stack?.name };
    yield { kind: 'frame', frame };
  }

  *#tell({ next, at, how, exception, gap, trampoline, doubt }: Found): Generator<UnwindStep> {
    if (gap) yield { kind: 'gap', why: gap };
    const stack = stackAt(this.stacks, at);
    yield* this.#enter(stack);
    if (exception) {
      yield { kind: 'exception', ...exception };
      yield* this.#overflow(next.registers.rsp, stack?.name === '#DF');
    }
    const { registers, exact } = next;
    const common = { stackAddress: at, how, registers, stack: stack?.name };
    if (trampoline !== undefined)
      yield { kind: 'frame', frame: { ...common, address: trampoline, exact: true } };
    if (trampoline === next.rip) return;
    const frame: Frame = { ...common, address: next.rip, exact };
    yield { kind: 'frame', frame: doubt ? { ...frame, doubt } : frame };
  }

  *#enter(stack: StackRange | undefined): Generator<UnwindStep> {
    if (!stack || stack.name === this.#stackName) return;
    this.#stackName = stack.name;
    yield { kind: 'stack', name: stack.name };
  }

  *#overflow(rsp: bigint | undefined, faulted: boolean): Generator<UnwindStep> {
    const overflow = rsp === undefined ? undefined : overflowAt(this.stacks, rsp, faulted);
    if (overflow) yield { kind: 'overflow', overflow };
  }

  #ended(end: UnwindEnd): UnwindStep {
    return { kind: 'end', end, user: end.why === 'user mode' ? undefined : this.#userContext() };
  }

  /** The registers of user mode at the top of the task's stack, where they look like it. */
  #userContext(): SavedContext | undefined {
    for (const at of this.stacks.flatMap(({ userRegisters = [] }) => userRegisters)) {
      if (!this.#looksLikeRegisters(at)) continue;
      const context = savedContext(this.memory, at, true);
      if (isUserMode(context)) return context;
    }
    return undefined;
  }

  #looksLikeRegisters(at: bigint): boolean {
    try {
      const words = [0n, 8n, 16n, 24n, 32n].map((offset) =>
        this.memory.word(at + BigInt(IRET_OFFSET) + offset),
      );
      return looksLikeIretFrame(words, this.isCode);
    } catch (error) {
      if (error instanceof MemoryFault) return false;
      throw error;
    }
  }

  #next(): Found | Stopped {
    if (this.#way === 'scan') return this.#scan(this.#state.registers.rsp);
    const found = this.#byRow();
    if (!isStopped(found) || this.#way !== 'auto' || isFinal(found.end)) return found;
    return this.#rescue(found.end as UnwindFailure, found.resume); // isFinal() took the two that are no failures
  }

  #byRow(): Found | Stopped {
    const row = this.#findRow();
    if (!isRow(row)) return { end: row };
    if (row.kind === 'end') return { end: { why: 'end of stack' } };
    const state = row.how === 'cfi' ? this.#overLink(this.#state) : this.#state;
    try {
      return this.#judge(this.#withRegisters(executeRow(this.memory, state, row), row), row);
    } catch (error) {
      return { end: failureOf(error) };
    }
  }

  #findRow(): UnwindRow | UnwindEnd {
    const state = this.#state;
    if (this.#replaced) return { why: 'return address was replaced', address: state.rip };
    // A call through a bad pointer: the return address is the last thing pushed.
    if (state.exact && !this.isCode(state.rip)) return justCalled(this.memory.wordSize);
    if (this.#way === 'fp') return framePointerRow(this, state);
    const row = this.#tableRow(state, this.#context.rows);
    if (row) return row;
    const atReturn = returnRow(this.memory, state);
    if (atReturn) return atReturn;
    const unknown: UnwindFailure = { why: 'no unwind information', address: state.rip };
    if (this.#way !== 'auto') return unknown;
    // Entry code without tables that called a handler: the handler's argument, the registers, lies on the stack's top.
    const { rsp } = state.registers;
    if (!state.exact && rsp !== undefined && this.memory.wordSize === 8 && this.#looksLikeRegisters(rsp))
      return { ...justCalled(8), kind: 'registers', cfa: { base: 'rsp', offset: 0, load: 'none' } };
    const byPointer = framePointerRow(this, state);
    if (isRow(byPointer)) return this.#leadsToCode(byPointer) ? byPointer : unknown;
    // A chain of frame pointers ends in a zero; ORC keeps none.
    return byPointer.why === 'end of stack' && this.#followed !== 'orc' ? byPointer : unknown;
  }

  /** The first row of the wanted kind. */
  #tableRow({ rip, exact }: State, sources: readonly RowSource[]): UnwindRow | undefined {
    const pc = exact ? rip : rip - 1n;
    for (const source of sources) {
      const row = findIn(source, pc);
      if (row && row.kind !== 'unknown' && (this.#way === 'auto' || row.how === this.#way)) return row;
    }
    return undefined;
  }

  /** True when the row's return address is one. */
  #leadsToCode(row: UnwindRow): boolean {
    try {
      const { next, exception } = executeRow(this.memory, this.#state, row);
      if (exception) return true;
      return this.isCode(next.rip) && isBehindCall(this.code, next.rip) !== false;
    } catch (error) {
      failureOf(error);
      return false;
    }
  }

  /**
   * Compilers do not tell of a stack switch in inline assembly: where the stack pointer is at the word that keeps that of the
   * stack left, the code is about to take it from there.
   */
  #overLink(state: State): State {
    const { rsp } = state.registers;
    if (rsp === undefined) return state;
    const stack = stackOf(this.stacks, rsp);
    if (stack?.link !== rsp) return state;
    try {
      const left = this.memory.word(rsp);
      return stackOf(this.stacks, left) ? { ...state, registers: { ...state.registers, rsp: left } } : state;
    } catch (error) {
      failureOf(error);
      return state;
    }
  }

  /** Adds registers that `registerRows` know, where they agree with the row on the frame. */
  #withRegisters(step: Step, row: UnwindRow): Step {
    if (row.how !== 'orc' || row.kind !== 'call') return step;
    const more = this.#registerRow();
    if (!more) return step;
    try {
      const other = executeRow(this.memory, this.#overLink(this.#state), more);
      if (other.at !== step.at) return step;
      return {
        ...step,
        next: { ...step.next, registers: { ...other.next.registers, ...step.next.registers } },
      };
    } catch (error) {
      failureOf(error);
      return step;
    }
  }

  #registerRow(): UnwindRow | undefined {
    const { rip, exact } = this.#state;
    for (const source of this.#context.registerRows ?? []) {
      const row = findIn(source, exact ? rip : rip - 1n);
      if (row?.kind === 'call' && !row.signal) return row;
    }
    return this.#context.registerRows ? returnRow(this.memory, this.#state) : undefined;
  }

  /** What speaks against a step, or the step as it is told. */
  #judge(step: Step, row: UnwindRow): Found | Stopped {
    const { next, at, exception } = step;
    if (exception && isUserMode(exception.context))
      return { end: { why: 'user mode', context: exception.context } };
    if (row.how === 'fp' && next.rip === 0n) return { end: { why: 'end of stack' } };
    const place = `${next.rip}:${next.registers.rsp}`;
    if (this.#seen.has(place)) return { end: { why: 'stack goes in circles', address: next.rip } };
    this.#seen.add(place);
    if (exception) return step;
    const resume = at + BigInt(this.memory.wordSize);
    const traced = this.#context.tracedReturn?.(next.rip, at);
    if (traced) {
      const { original } = traced;
      return { ...step, trampoline: next.rip, next: { ...next, rip: original ?? next.rip } };
    }
    if (!this.isCode(next.rip))
      return { end: { why: 'return address is not code', address: next.rip }, resume };
    const astray = this.#astray(next.registers.rsp, row);
    if (astray) return { end: astray, resume };
    const doubtful = !next.exact && isBehindCall(this.code, next.rip) === false;
    return doubtful ? { ...step, doubt: 'not behind a call' } : step;
  }

  /** Where a stack pointer may not go by a call: down, or off its stack to nowhere. */
  #astray(to: bigint | undefined, { cfa }: UnwindRow): UnwindFailure | undefined {
    const from = this.#state.registers.rsp;
    if (from === undefined || to === undefined) return undefined;
    const plain = 'base' in cfa && cfa.load === 'none' && (cfa.base === 'rsp' || cfa.base === 'rbp');
    const [before, after] = [stackOf(this.stacks, from), stackOf(this.stacks, to)];
    const same = before ? before === after : plain;
    if (same && to <= from) return { why: 'stack pointer does not rise', address: to };
    if (plain && before && !after) return { why: 'stack pointer leaves its stack', address: to };
    return undefined;
  }

  /** The next frame that a scan finds, with why it was needed; that alone when there is none. */
  #rescue(why: UnwindFailure, resume?: bigint): Found | Stopped {
    if (this.#scans++ >= MAX_GAPS) return { end: why };
    const found = this.#scan(resume ?? this.#state.registers.rsp);
    return isStopped(found) ? { end: why } : { ...found, gap: why };
  }

  #scan(from: bigint | undefined): Found | Stopped {
    if (from === undefined) return { end: { why: 'register is not known', register: 'rsp' } };
    const careful = this.#way === 'auto' && this.#scans <= MAX_CAREFUL_SCANS;
    const candidates = scanForCallers(this, from);
    let first: Step | undefined;
    let end: ScanEnd | undefined;
    for (;;) {
      const { done, value } = candidates.next();
      if (done) {
        end = value;
        break;
      }
      first ??= value;
      if (!careful || this.#holds(value)) {
        first = value;
        break;
      }
    }
    if (!first) return { end: end ?? { why: 'end of stack' } };
    const { exception } = first;
    if (exception && isUserMode(exception.context))
      return { end: { why: 'user mode', context: exception.context } };
    return first;
  }

  /** Whether a candidate has itself a caller by the tables, so far as they can tell. */
  #holds({ next, exception }: Step): boolean {
    if (exception) return true;
    const row = this.#tableRow(next, this.#context.rows);
    if (!row || row.kind === 'end') return true;
    try {
      const beyond = executeRow(this.memory, next, row);
      if (beyond.exception) {
        const at = row.kind === 'registers' ? beyond.at : beyond.at - BigInt(IRET_OFFSET);
        return this.#looksLikeRegisters(at);
      }
      return this.isCode(beyond.next.rip) && isBehindCall(this.code, beyond.next.rip) !== false;
    } catch (error) {
      return failureOf(error).why === 'register is not known';
    }
  }
}

/** Frames from the innermost out, exception frames between them, and at last why there are no more. */
export function unwind(context: UnwindContext, start: UnwindStart): Generator<UnwindStep> {
  return new Unwinding(context, start).run();
}
