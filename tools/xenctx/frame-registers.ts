// --registers-of-frame: what is known of the registers in one frame of a trace. Frames are counted from the innermost, which is 0.
import { hex16 } from '../../symbols/address.ts';
import type { Frame } from '../../symbols/unwind/frame.ts';
import type { UnwindWay } from '../../symbols/unwind/unwinder.ts';
import type { GuestKernel } from '../shared/guest-kernel.ts';
import { type Thread, unwindThread } from '../shared/unwinding.ts';
import { frameName, registerRows } from './true-trace.ts';

/** The frame with this number; undefined when the trace has fewer. */
export function frameAt(
  kernel: GuestKernel,
  thread: Thread,
  way: UnwindWay,
  number: number,
): Frame | undefined {
  let count = 0;
  for (const step of unwindThread(kernel, thread, way, true))
    if (step.kind === 'frame' && count++ === number) return step.frame;
  return undefined;
}

export function* frameRegisterLines(
  kernel: GuestKernel,
  thread: Thread,
  way: UnwindWay,
  number: number,
): Generator<string> {
  const frame = frameAt(kernel, thread, way, number);
  if (!frame) {
    yield `(there is no frame ${number})`;
    return;
  }
  const { address, registers = {} } = frame;
  yield `Registers of frame ${number}: ${frameName(kernel, frame) ?? '?'}`;
  const { rsp } = registers;
  yield `RIP: ${hex16(address)} RSP: ${rsp === undefined ? '?'.repeat(16) : hex16(rsp)}`;
  yield* registerRows(registers);
}
