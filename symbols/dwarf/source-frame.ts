// What debug information answers: frames of source code at an address. Only types.

/** A function at an address, or one that was inlined into the next frame. */
export interface SourceFrame {
  /** Undefined where the debug information has none (assembler, folded copies): the symbol table may. */
  readonly function: string | undefined;
  readonly file: string | undefined;
  readonly line: number | undefined;
  readonly column: number | undefined;
}

/** Addresses are those that the file was linked for: the caller takes off a KASLR slide or a module's base. */
export interface DebugInfo {
  /** Innermost frame first, the last one is the function that stands alone; none when the address is not known. */
  lookup(address: bigint): readonly SourceFrame[];
  /** What could not be read so far, for the user: answers lack it. */
  readonly warnings: readonly string[];
}
