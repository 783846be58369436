// Executes rows: from a vCPU's registers, caller by caller, over exception frames and stack switches, to the end of the stack.
// Knows no format of unwind tables and no names. Always ends.
import { MemoryFault } from '../errors.ts';
import type { MemorySource } from '../memory.ts';
import type { Frame } from './frame.ts';
import {
  IRET_SIZE,
  isUserMode,
  PT_REGS_SIZE,
  parseIretFrame,
  parsePtRegs,
  type SavedContext,
} from './pt-regs.ts';
import {
  type CfaRule,
  FRAME_POINTER_ROW,
  JUST_CALLED_ROW,
  type Place,
  type RowRegister,
  type RowSource,
  type UnwindRow,
} from './row.ts';

type Registers = Partial<Record<RowRegister, bigint>>;

export interface UnwindStart {
  readonly rip: bigint;
  readonly registers: Readonly<Registers> & { readonly rsp: bigint };
}

/** What unwinding rests on. */
export interface UnwindContext {
  readonly memory: MemorySource;
  /** Tables, best first; frame pointers are tried when none has a row. */
  readonly rows: readonly RowSource[];
  /** Whether an address can be code: return addresses that cannot end the trace. */
  readonly isCode: (address: bigint) => boolean;
}

/** Why a trace ended. Only the first two are the true end of it. */
export type UnwindEnd =
  | { readonly why: 'end of stack' }
  | { readonly why: 'user mode'; readonly context: SavedContext }
  | { readonly why: 'no unwind information'; readonly address: bigint }
  | { readonly why: 'return address is not code'; readonly address: bigint }
  | { readonly why: 'stack cannot be read'; readonly fault: MemoryFault }
  | { readonly why: 'register is not known'; readonly register: RowRegister }
  | { readonly why: 'stack goes in circles'; readonly address: bigint }
  | { readonly why: 'too many frames' };

export type UnwindStep =
  | { readonly kind: 'frame'; readonly frame: Frame }
  /** The frames that follow were interrupted: their registers as the exception saved them at `at`. */
  | { readonly kind: 'exception'; readonly at: bigint; readonly context: SavedContext }
  | { readonly kind: 'end'; readonly end: UnwindEnd };

/** A 16 KiB stack of the smallest frames has 1024. */
const MAX_FRAMES = 4096;
/** How far above the stack pointer a frame pointer may lie to be believed: one kernel stack. */
const MAX_FP_DISTANCE = 16384n;

/** Registers that a function gives back unchanged (System V x86-64 psABI 3.2.1). */
const CALLEE_SAVED: readonly RowRegister[] = ['rbx', 'rbp', 'r12', 'r13', 'r14', 'r15'];

class UnknownRegister extends Error {
  readonly register: RowRegister;
  constructor(register: RowRegister) {
    super(register);
    this.register = register;
  }
}

interface State {
  readonly rip: bigint;
  readonly registers: Readonly<Registers>;
  /** True when rip is an instruction, false when it is behind a call. */
  readonly exact: boolean;
}

const wrap = (value: bigint): bigint => BigInt.asUintN(64, value);

function load(memory: MemorySource, address: bigint, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  memory.read(wrap(address), bytes);
  return bytes;
}

const loadWord = (memory: MemorySource, address: bigint): bigint =>
  new DataView(load(memory, address, 8).buffer).getBigUint64(0, true);

function registerValue(registers: Readonly<Registers>, register: RowRegister): bigint {
  const value = registers[register];
  if (value === undefined) throw new UnknownRegister(register);
  return value;
}

function canonicalFrameAddress(memory: MemorySource, registers: Readonly<Registers>, rule: CfaRule): bigint {
  const base = registerValue(registers, rule.base);
  const offset = BigInt(rule.offset);
  if (rule.load === 'at base') return wrap(loadWord(memory, base) + offset);
  return rule.load === 'at place' ? loadWord(memory, base + offset) : wrap(base + offset);
}

/** The caller's registers behind a call row: saved ones loaded, callee-saved ones kept, the others forgotten. */
function callerRegisters(memory: MemorySource, state: State, row: UnwindRow, cfa: bigint): Registers {
  const registers: Registers = { rsp: cfa };
  // ORC tells of rbp only: the others are right no more once a function was left.
  for (const name of row.how === 'cfi' ? CALLEE_SAVED : (['rbp'] as const)) {
    const value = state.registers[name];
    if (value !== undefined) registers[name] = value;
  }
  return { ...registers, ...savedRegisters(memory, state, row, cfa) };
}

const placeAddress = ({ registers }: State, cfa: bigint, { base, offset }: Place): bigint =>
  wrap((base === 'cfa' ? cfa : registerValue(registers, base)) + BigInt(offset));

/** A signal frame whose return address and stack pointer lie as the CPU pushes them at an exception. */
function isIretFrame(row: UnwindRow, returnPlace: Place): boolean {
  const rsp = row.saved.rsp;
  return (
    row.signal && rsp !== undefined && rsp.base === returnPlace.base && rsp.offset === returnPlace.offset + 24
  );
}

function savedRegisters(memory: MemorySource, state: State, row: UnwindRow, cfa: bigint): Registers {
  const entries = Object.entries(row.saved).map(([name, place]) => [
    name,
    loadWord(memory, placeAddress(state, cfa, place)),
  ]);
  return Object.fromEntries(entries);
}

/** True when rbp can be a frame pointer: above the stack pointer, on its stack, with a code address above what it points to. */
function framePointerHolds(context: UnwindContext, { registers }: State): boolean {
  const { rsp, rbp } = registers;
  if (rsp === undefined || rbp === undefined || rbp < rsp || rbp - rsp > MAX_FP_DISTANCE || rbp % 8n !== 0n)
    return false;
  try {
    return context.isCode(loadWord(context.memory, rbp + 8n));
  } catch (error) {
    if (error instanceof MemoryFault) return false;
    throw error;
  }
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

function findRow(context: UnwindContext, state: State): UnwindRow | undefined {
  const pc = state.exact ? state.rip : state.rip - 1n;
  for (const source of context.rows) {
    const row = findIn(source, pc);
    if (row && row.kind !== 'unknown') return row;
  }
  // A call through a bad pointer: the return address is the last thing pushed.
  if (state.exact && !context.isCode(state.rip)) return JUST_CALLED_ROW;
  return framePointerHolds(context, state) ? FRAME_POINTER_ROW : undefined;
}

/** One row executed: the caller's state, or the end, and the exception frame that lies between. */
function step(
  { memory }: UnwindContext,
  state: State,
  row: UnwindRow,
): { next: State; frame: Frame; exception?: { at: bigint; context: SavedContext } } {
  const cfa = canonicalFrameAddress(memory, state.registers, row.cfa);
  if (row.kind === 'call') {
    const place = row.returnAddress ?? { base: 'cfa', offset: -8 };
    const at = placeAddress(state, cfa, place);
    const rip = loadWord(memory, at);
    const registers = callerRegisters(memory, state, row, cfa);
    const next = { rip, registers, exact: row.signal };
    const frame: Frame = { address: rip, stackAddress: at, how: row.how };
    if (!isIretFrame(row, place)) return { next, frame };
    const pushed = parseIretFrame(load(memory, at, IRET_SIZE));
    return { next, frame, exception: { at, context: { ...pushed, registers } } };
  }
  const whole = row.kind === 'registers';
  const bytes = load(memory, cfa, whole ? PT_REGS_SIZE : IRET_SIZE);
  const context = whole ? parsePtRegs(bytes) : parseIretFrame(bytes);
  const kept = whole ? {} : { ...state.registers, ...savedRegisters(memory, state, row, cfa) };
  return {
    next: { rip: context.rip, registers: { ...kept, ...context.registers }, exact: true },
    frame: { address: context.rip, stackAddress: cfa, how: row.how },
    exception: { at: cfa, context },
  };
}

const ended = (end: UnwindEnd): UnwindStep => ({ kind: 'end', end });

/** Frames from the innermost out, exception frames between them, and at last why there are no more. */
export function* unwind(context: UnwindContext, start: UnwindStart): Generator<UnwindStep> {
  let state: State = { rip: start.rip, registers: start.registers, exact: true };
  yield { kind: 'frame', frame: { address: start.rip, how: 'registers' } };
  let followed: UnwindRow['how'] | undefined;
  const seen = new Set<string>();
  for (let count = 0; count < MAX_FRAMES; count++) {
    const row = findRow(context, state);
    // Frame-pointer chains end in a zero.
    if (!row && followed === 'fp' && state.registers.rbp === 0n) return yield ended({ why: 'end of stack' });
    if (!row) return yield ended({ why: 'no unwind information', address: state.rip });
    if (row.kind === 'end') return yield ended({ why: 'end of stack' });
    let result: ReturnType<typeof step>;
    try {
      result = step(context, state, row);
    } catch (error) {
      if (error instanceof MemoryFault) return yield ended({ why: 'stack cannot be read', fault: error });
      if (error instanceof UnknownRegister)
        return yield ended({ why: 'register is not known', register: error.register });
      throw error;
    }
    const { next, frame, exception } = result;
    if (exception && isUserMode(exception.context))
      return yield ended({ why: 'user mode', context: exception.context });
    if (row.how === 'fp' && next.rip === 0n) return yield ended({ why: 'end of stack' });
    const place = `${next.rip}:${next.registers.rsp}`;
    if (seen.has(place)) return yield ended({ why: 'stack goes in circles', address: next.rip });
    seen.add(place);
    if (exception) yield { kind: 'exception', ...exception };
    else if (!context.isCode(next.rip))
      return yield ended({ why: 'return address is not code', address: next.rip });
    yield { kind: 'frame', frame };
    followed = row.how;
    state = next;
  }
  yield ended({ why: 'too many frames' });
}
