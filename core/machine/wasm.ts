// The exports of core/cpu/build/cpu.wasm as Machine sees them.

export interface CpuExports {
  /** Puts every vCPU into its reset state and clears what is shared. RAM_BYTES, VCPU_COUNT are set before. */
  initialise(): void;
  /** Runs a vCPU; the result is an EXIT_* of core/cpu/layout.ts. */
  run(vcpu: number, budget: number): number;
  /** Makes the CPU block hold this vCPU's state. */
  switchTo(vcpu: number): void;
  /**
   * Derives everything that follows from the block after the host changed registers of the current vCPU. `translation` is
   * 1 when control registers were among them.
   */
  registersChanged(translation: number): void;
  /** In PAE paging: reads the four page-directory pointers that CR3 points to. */
  loadPagePointers(): void;
  resetVcpu(vcpu: number): void;
  /** Offset in memory of a guest-physical byte, 0 when nothing backs it. */
  hostAt(gpa: number): number;
  mapFrameAt(gfn: number, host: number): number;
  unmapFrameAt(gfn: number): void;
  /** A page of this memory was written or replaced by the host: cached code and write tags go. */
  hostWrote(host: number, length: number): void;
  flushEveryTlb(): void;
  /** Guest-physical address of a linear address with supervisor rights, -1 when it has none. */
  translateLinear(vcpu: number, linear: bigint): number;
  raiseNmi(vcpu: number): void;
  raiseInterrupt(vcpu: number, vector: number): void;
  /** True when run() would find something to deliver or execute. */
  isRunnable(vcpu: number): number;
  injectException(vcpu: number, vector: number, error: number): void;
  /** Gives a pending IN, INS or RDMSR its value. */
  answer(vcpu: number, value: bigint): void;
  /** Virtual ns of the earliest LAPIC timer of any vCPU, -1 when none is armed. */
  nextTimer(): number;
  /** Fires LAPIC timers that are due. */
  fireTimers(): void;
}
