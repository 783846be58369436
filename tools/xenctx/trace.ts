// The Stack block and the traces of xenctx, line for line. Which words are frames is decided in symbols/unwind.

import { followFramePointers, scanStack } from '../../symbols/unwind/classic.ts';
import type { TraceStep } from '../../symbols/unwind/frame.ts';
import { dumpLines } from './memory.ts';
import type { XenctxOptions } from './options.ts';
import { hexWord, stackLimit, unreadableWord, type VcpuView } from './view.ts';

/** The steps of the trace that the options ask for, from `start` on (the stack pointer, or -d's address). */
export function traceSteps(view: VcpuView, start: bigint, options: XenctxOptions): Generator<TraceStep> {
  const limit = stackLimit(view, options.stackPages);
  if (options.framePointers) return followFramePointers(view.words, start, view.frame, limit);
  return scanStack(view.words, start, limit, (value) => view.symbols.classify(value) === 'text');
}

/** What stands between the address of a slot and its content. */
function prefix(step: TraceStep, options: XenctxOptions): string {
  if (!(options.framePointers && options.stackTrace)) return step.kind === 'frame' ? ' ' : '   ';
  if (step.kind === 'frame') return '|';
  return step.kind === 'word' && step.role === 'saved frame pointer' ? '|--' : '|  ';
}

function traceLine(view: VcpuView, step: TraceStep, options: XenctxOptions): string | undefined {
  const hex = (value: bigint): string => hexWord(value, view.wordSize);
  const start = prefix(step, options);
  switch (step.kind) {
    case 'frame': {
      const { address, stackAddress } = step.frame;
      return `${hex(stackAddress ?? 0n)}: ${start} [<${hex(address)}>]${view.symbols.label(address, 'any')}`;
    }
    case 'word':
      return options.stackTrace ? `${hex(step.at)}: ${start} ${hex(step.value)}` : undefined;
    case 'unreadable':
      return options.stackTrace ? `${hex(step.at)}: ${start} ${unreadableWord(view.wordSize)}` : undefined;
  }
}

/** The Stack block; with -d from its address. */
export function* stackBlock(view: VcpuView, options: XenctxOptions): Generator<string> {
  if (options.lines === 0) return;
  yield 'Stack:';
  const bytesPerLine = Math.ceil(options.bytesPerLine / view.wordSize) * view.wordSize;
  const start = options.dumpAsStack ?? view.stack;
  yield* dumpLines(view, start, stackLimit(view, options.stackPages), { ...options, bytesPerLine });
  yield '';
}

/** Stack block and trace; with -d from its address and without the line of the instruction pointer. */
export function* stackLines(view: VcpuView, options: XenctxOptions): Generator<string> {
  yield* stackBlock(view, options);
  if (!view.protectedMode) return;
  yield options.stackTrace ? 'Stack Trace:' : 'Call Trace:';
  if (options.dumpAsStack === undefined) {
    const { instruction, symbols, wordSize } = view;
    const field = ' '.repeat(2 * wordSize);
    const mark = options.stackTrace ? '*' : ' ';
    yield `${field}  ${mark} [<${hexWord(instruction, wordSize)}>]${symbols.label(instruction, 'any')} <--`;
  }
  for (const step of traceSteps(view, options.dumpAsStack ?? view.stack, options)) {
    const line = traceLine(view, step, options);
    if (line !== undefined) yield line;
  }
}
