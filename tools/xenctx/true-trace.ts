// The call trace as unwinding finds it, in the form in which Linux prints its own: names with offset and size, register blocks
// where an exception or a system call came in between, and why the trace ended when it is not the stack's end.
import { hex16 } from '../../symbols/address.ts';
import { formatSymbol } from '../../symbols/symbolizer.ts';
import type { Frame } from '../../symbols/unwind/frame.ts';
import type { SavedContext } from '../../symbols/unwind/pt-regs.ts';
import { endText, overflowText } from '../../symbols/unwind/reason.ts';
import { type UnwindStep, unwind } from '../../symbols/unwind/unwinder.ts';
import type { GuestKernel } from './kernel.ts';
import type { UnwindWay } from './options.ts';
import type { VcpuView } from './view.ts';

export function unwindSteps(view: VcpuView, kernel: GuestKernel, way: UnwindWay): Generator<UnwindStep> {
  const { rows } = kernel;
  const { memory } = view;
  return unwind(
    { memory, rows, isCode: kernel.isCode, way },
    { rip: view.registers.rip, registers: view.registers },
  );
}

/** Return addresses are looked up one byte before: the call is there. `exact` addresses were interrupted at that instruction. */
export function frameName(kernel: GuestKernel, frame: Frame, exact: boolean): string | undefined {
  const { symbolizer } = kernel;
  const hit = exact ? symbolizer.symbolize(frame.address) : symbolizer.symbolizeReturn(frame.address);
  return hit && formatSymbol(hit);
}

const upper = (
  registers: SavedContext['registers'],
  names: readonly (keyof SavedContext['registers'])[],
): string =>
  names
    .map((name) => {
      const value = registers[name];
      return `${name
        .toUpperCase()
        .padEnd(3, ' ')
        .replace(/^R(\d) /, 'R0$1')}: ${value === undefined ? '?'.repeat(16) : hex16(value)}`;
    })
    .join(' ');

function* contextLines(context: SavedContext, kernel: GuestKernel): Generator<string> {
  const hex4 = (value: number): string => value.toString(16).padStart(4, '0');
  const { registers, rip, cs, ss, rflags, origRax } = context;
  const hit = (cs & 3) === 0 ? kernel.symbolizer.symbolize(rip) : undefined;
  yield `RIP: ${hex4(cs)}:${hit ? formatSymbol(hit) : `0x${rip.toString(16)}`}`;
  const flags = rflags.toString(16).padStart(8, '0');
  const original = origRax === undefined ? '' : ` ORIG_RAX: ${hex16(origRax)}`;
  yield `RSP: ${hex4(ss)}:${hex16(registers.rsp ?? 0n)} EFLAGS: ${flags}${original}`;
  if (registers.r15 === undefined) return;
  yield upper(registers, ['rax', 'rbx', 'rcx']);
  yield upper(registers, ['rdx', 'rsi', 'rdi']);
  yield upper(registers, ['rbp', 'r8', 'r9']);
  yield upper(registers, ['r10', 'r11', 'r12']);
  yield upper(registers, ['r13', 'r14', 'r15']);
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
export const trueTraceLines = (view: VcpuView, kernel: GuestKernel, way: UnwindWay): Generator<string> =>
  foldRepeats(allLines(view, kernel, way));

function* allLines(view: VcpuView, kernel: GuestKernel, way: UnwindWay): Generator<string> {
  let exact = true;
  let named = false;
  for (const step of unwindSteps(view, kernel, way)) {
    switch (step.kind) {
      case 'frame': {
        if (named) {
          // Its name stands in the register block before it.
          named = false;
          exact = false;
          break;
        }
        const name = frameName(kernel, step.frame, exact) ?? `0x${step.frame.address.toString(16)}`;
        // Frame pointers are a guess in code that need not keep them; what a scan found is one always.
        const guess = step.frame.how === 'fp' && way !== 'fp' && kernel.rows.length > 0 ? ' [fp]' : '';
        yield ` ${step.frame.how === 'scan' ? '? ' : ''}${name}${guess}`;
        exact = false;
        break;
      }
      case 'exception':
        yield* contextLines(step.context, kernel);
        exact = true;
        named = true;
        break;
      case 'end': {
        if (step.end.why === 'user mode') yield* contextLines(step.end.context, kernel);
        const text = endText(step.end);
        if (text !== undefined) yield ` (${text})`;
        break;
      }
      case 'gap':
        yield ` (${endText(step.why)})`;
        break;
      case 'overflow':
        yield ` (${overflowText(step.overflow)})`;
        break;
      case 'stack':
        break;
    }
  }
}
