// The call trace as unwinding finds it, in the form in which Linux prints its own: names with offset and size, the stacks between
// angle brackets, register blocks where an exception or a system call came in between, and why it ended or had to be guessed.
import { hex16 } from '../../symbols/address.ts';
import { formatSymbol } from '../../symbols/symbolizer.ts';
import type { Frame } from '../../symbols/unwind/frame.ts';
import type { SavedContext } from '../../symbols/unwind/pt-regs.ts';
import { endText, overflowText } from '../../symbols/unwind/reason.ts';
import type { UnwindStep, UnwindWay } from '../../symbols/unwind/unwinder.ts';
import type { GuestKernel } from '../shared/guest-kernel.ts';
import { type Thread, unwindThread } from '../shared/unwinding.ts';
import { inlinedLines, placeOf, sourceOf } from './source-lines.ts';

export interface TraceLayout {
  readonly unwind: UnwindWay;
  readonly sourceLines: boolean;
}

/** Return addresses are looked up one byte before: the call is there. */
export function frameName({ symbolizer }: GuestKernel, { address, exact }: Frame): string | undefined {
  const hit = exact ? symbolizer.symbolize(address) : symbolizer.symbolizeReturn(address);
  return hit && formatSymbol(hit);
}

/** `R8` is `R08`, as the kernel writes it. */
export const registerLabel = (name: string): string => name.toUpperCase().replace(/^R(\d)$/, 'R0$1');

const ROWS = [
  ['rax', 'rbx', 'rcx'],
  ['rdx', 'rsi', 'rdi'],
  ['rbp', 'r8', 'r9'],
  ['r10', 'r11', 'r12'],
  ['r13', 'r14', 'r15'],
] as const;

/** The general registers in the kernel's order, those that are not known as question marks. */
export const registerRows = (registers: SavedContext['registers']): string[] =>
  ROWS.map((names) =>
    names
      .map((name) => {
        const value = registers[name];
        return `${registerLabel(name)}: ${value === undefined ? '?'.repeat(16) : hex16(value)}`;
      })
      .join(' '),
  );

function* contextLines(context: SavedContext, kernel: GuestKernel, place: string): Generator<string> {
  const hex4 = (value: number): string => value.toString(16).padStart(4, '0');
  const { registers, rip, cs, ss, rflags, origRax } = context;
  const hit = (cs & 3) === 0 ? kernel.symbolizer.symbolize(rip) : undefined;
  yield `RIP: ${hex4(cs)}:${hit ? formatSymbol(hit) : `0x${rip.toString(16)}`}${place}`;
  const flags = rflags.toString(16).padStart(8, '0');
  const original = origRax === undefined ? '' : ` ORIG_RAX: ${hex16(origRax)}`;
  yield `RSP: ${hex4(ss)}:${hex16(registers.rsp ?? 0n)} EFLAGS: ${flags}${original}`;
  if (registers.r15 !== undefined) yield* registerRows(registers);
}

/** Frames of a recursion that are shown one by one. */
const SHOWN_REPEATS = 3;

/** Folds runs of one line, so that the end of a runaway recursion can be found. */
function* foldRepeats(lines: Iterable<string>): Generator<string> {
  let last: string | undefined;
  let repeats = 0;
  const rest = function* (): Generator<string> {
    if (repeats > SHOWN_REPEATS) yield ` (the line above ${repeats - SHOWN_REPEATS} more times)`;
  };
  for (const line of lines) {
    if (line === last) repeats++;
    else {
      yield* rest();
      last = line;
      repeats = 1;
    }
    if (repeats <= SHOWN_REPEATS) yield line;
  }
  yield* rest();
}

/** Lines behind `Call Trace:`. */
export const trueTraceLines = (kernel: GuestKernel, thread: Thread, layout: TraceLayout): Generator<string> =>
  foldRepeats(allLines(kernel, thread, layout));

function* allLines(kernel: GuestKernel, thread: Thread, layout: TraceLayout): Generator<string> {
  let stack: string | undefined;
  /** An exception whose frame comes next: its name stands in the register block. */
  let pending: SavedContext | undefined;
  for (const step of unwindThread(kernel, thread, layout.unwind)) {
    switch (step.kind) {
      case 'stack':
        if (stack !== undefined) yield ` </${stack}>`;
        yield ` <${step.name}>`;
        stack = step.name;
        break;
      case 'exception':
        pending = step.context;
        break;
      case 'frame': {
        const source = layout.sourceLines ? sourceOf(kernel, step.frame) : undefined;
        if (pending) yield* contextLines(pending, kernel, placeOf(source));
        else yield frameLine(kernel, step.frame, layout.unwind) + placeOf(source);
        yield* inlinedLines(source);
        pending = undefined;
        break;
      }
      default:
        yield* remarkLines(step, kernel);
    }
  }
  if (stack !== undefined) yield ` </${stack}>`;
}

function frameLine(kernel: GuestKernel, frame: Frame, way: UnwindWay): string {
  const name = frameName(kernel, frame) ?? `0x${frame.address.toString(16)}`;
  // Frame pointers are a guess in code that need not keep them; what a scan found is one always.
  const guessed = frame.how === 'fp' && way !== 'fp' && kernel.rows.length > 0;
  const doubt = frame.doubt === undefined ? '' : ` [${frame.doubt}]`;
  return ` ${frame.how === 'scan' ? '? ' : ''}${name}${guessed ? ' [fp]' : ''}${doubt}`;
}

function* remarkLines(
  step: Extract<UnwindStep, { kind: 'end' | 'gap' | 'overflow' }>,
  kernel: GuestKernel,
): Generator<string> {
  switch (step.kind) {
    case 'gap':
      yield ` (${endText(step.why)})`;
      break;
    case 'overflow':
      yield ` (${overflowText(step.overflow)})`;
      break;
    case 'end': {
      const text = endText(step.end);
      if (text !== undefined) yield ` (${text})`;
      const user = step.end.why === 'user mode' ? step.end.context : step.user;
      if (user) yield* contextLines(user, kernel, '');
    }
  }
}
