// Traces that are wanted twice: what unwinding gave the first time, as far as it takes a bounded room.
import type { VcpuRegisters } from '../../core/machine/registers.ts';
import type { UnwindStep } from '../../symbols/unwind/unwinder.ts';

/** Of a vCPU, or of the task at an address. */
export type TraceOwner = VcpuRegisters | bigint;

/** Some 50 MiB; a task has a dozen. */
const MAX_STEPS = 1 << 16;

export class KeptTraces {
  readonly #kept = new Map<TraceOwner, readonly UnwindStep[]>();
  #steps = 0;

  /** The steps of one trace; `unwind` makes them when they are not kept. */
  steps(owner: TraceOwner, unwind: () => Iterable<UnwindStep>): Iterable<UnwindStep> {
    const kept = this.#kept.get(owner);
    if (kept) return kept;
    if (this.#steps >= MAX_STEPS) return unwind();
    const steps = [...unwind()];
    this.#steps += steps.length;
    this.#kept.set(owner, steps);
    return steps;
  }
}
