// A true call trace as JSON.
import { hex16 } from '../../symbols/address.ts';
import type { SourceFrame } from '../../symbols/dwarf/debug-info.ts';
import type { Frame } from '../../symbols/unwind/frame.ts';
import type { SavedContext } from '../../symbols/unwind/pt-regs.ts';
import { endText, overflowText } from '../../symbols/unwind/reason.ts';
import type { UnwindWay } from '../../symbols/unwind/unwinder.ts';
import type { GuestKernel } from '../shared/guest-kernel.ts';
import { instructionOf, type Thread, unwindThread } from '../shared/unwinding.ts';
import { frameAt } from './frame-registers.ts';
import type { Json } from './json-value.ts';
import { frameName, type TraceLayout } from './true-trace.ts';

const generalJson = (registers: SavedContext['registers']): { [name: string]: Json } =>
  Object.fromEntries(
    Object.entries(registers)
      .filter(([, value]) => typeof value === 'bigint')
      .map(([name, value]) => [name, hex16(value)]),
  );

const contextJson = ({ rip, cs, rflags, ss, origRax, registers }: SavedContext): Json => ({
  rip: hex16(rip),
  cs,
  rflags: hex16(rflags),
  ss,
  ...generalJson(registers),
  ...(origRax === undefined ? {} : { orig_rax: hex16(origRax) }),
});

const sourceJson = ({ function: name, file, line, column }: SourceFrame): Json => ({
  function: name ?? null,
  file: file ?? null,
  line: line ?? null,
  column: column ?? null,
});

function frameJson(kernel: GuestKernel, frame: Frame, layout: TraceLayout): { [key: string]: Json } {
  const { how, address, stackAddress, stack, doubt, exact } = frame;
  return {
    how,
    address: hex16(address),
    symbol: frameName(kernel, frame) ?? null,
    at: stackAddress === undefined ? null : hex16(stackAddress),
    stack: stack ?? null,
    exact: exact === true,
    ...(doubt === undefined ? {} : { doubt }),
    ...(layout.sourceLines ? { source: kernel.lines(instructionOf(frame)).map(sourceJson) } : {}),
  };
}

/** Frames, exceptions, stacks and gaps in their order, and why there are no more. */
export function unwindJson(kernel: GuestKernel, thread: Thread, layout: TraceLayout): Json {
  const frames: Json[] = [];
  const result = (end: string, detail: string | undefined, user: SavedContext | undefined): Json => ({
    way: layout.unwind,
    frames,
    end,
    detail: detail ?? null,
    user: user ? contextJson(user) : null,
  });
  for (const step of unwindThread(kernel, thread, layout.unwind))
    switch (step.kind) {
      case 'frame':
        frames.push(frameJson(kernel, step.frame, layout));
        break;
      case 'exception':
        frames.push({ how: 'exception', at: hex16(step.at), registers: contextJson(step.context) });
        break;
      case 'gap':
        frames.push({ how: 'gap', why: endText(step.why) ?? null });
        break;
      case 'overflow':
        frames.push({ how: 'overflow', why: overflowText(step.overflow) });
        break;
      case 'stack':
        break;
      case 'end': {
        const user = step.end.why === 'user mode' ? step.end.context : step.user;
        return result(step.end.why, endText(step.end), user);
      }
    }
  return result('end of stack', undefined, undefined);
}

/** Registers of one frame; null when the trace is shorter. */
export function frameRegistersJson(
  kernel: GuestKernel,
  thread: Thread,
  way: UnwindWay,
  number: number,
): Json {
  const frame = frameAt(kernel, thread, way, number);
  return frame ? { frame: number, rip: hex16(frame.address), ...generalJson(frame.registers ?? {}) } : null;
}
