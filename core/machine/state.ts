// A Machine's whole state as a value: what Machine.snapshot writes and Machine.restore reads.

/** Level-triggered interrupt beside the LAPIC: taken with `vector` whenever IF = 1 and the byte at gpa `flagGpa` is not 0. */
export interface InterruptLine {
  readonly flagGpa: number;
  readonly vector: number;
}

export interface VcpuState {
  /** The vCPU block of core/cpu/layout.ts. */
  readonly block: Uint8Array;
  readonly line: InterruptLine | undefined;
}

export interface MachineState {
  readonly ramBytes: number;
  /** ns. */
  readonly virtualTime: number;
  readonly random: Uint8Array;
  readonly vcpus: readonly VcpuState[];
  /** RAM pages that are not all zero, by gfn. */
  readonly pages: ReadonlyMap<number, Uint8Array>;
  readonly frames: readonly Uint8Array[];
  /** [gfn, frame] ascending. */
  readonly mapped: readonly (readonly [number, number])[];
  readonly removed: readonly number[];
}
