// What a fuzz target is: one reader of hostile bytes, the valid inputs that mutation starts from, and its bounds.

export interface FuzzTarget {
  readonly name: string;
  /** Small valid inputs, as real as can be. Asked for once a job. */
  seeds(): readonly Uint8Array[];
  /**
   * Reads all that can be read of an input. FormatError and MemoryFault may leave it, nothing else.
   * @returns how many things it read: that a seed's number is not 0 shows that the target tries something.
   */
  run(bytes: Uint8Array): number;
  /** Most bytes of typed arrays and buffers that one input may ask for in all; 64 MiB when absent. */
  readonly maxBytes?: number;
}
