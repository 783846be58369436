// An UnwindRow says how to get from one frame to its caller at one address. ORC, DWARF CFI and frame pointers each only make
// rows; step.ts executes them. Data only.

export const ROW_REGISTERS = [
  'rax',
  'rcx',
  'rdx',
  'rbx',
  'rsp',
  'rbp',
  'rsi',
  'rdi',
  'r8',
  'r9',
  'r10',
  'r11',
  'r12',
  'r13',
  'r14',
  'r15',
] as const;
/** In 32-bit code the names stand for eax, ecx and so on. */
export type RowRegister = (typeof ROW_REGISTERS)[number];
/** What is known of a frame's registers; the others are lost. */
export type KnownRegisters = Readonly<Partial<Record<RowRegister, bigint>>>;

/** A memory slot: register plus offset. `cfa` stands for the canonical frame address of this row. */
export interface Place {
  readonly base: RowRegister | 'cfa';
  readonly offset: number;
}

/** A DWARF expression that gives a memory slot, or with `value` what lies in no memory. */
export interface Computed {
  readonly expression: Uint8Array;
  /** Registers by their DWARF number. */
  readonly numbering: readonly RowRegister[];
  readonly value: boolean;
}

/** Where a caller's register is: in a slot, as the address of one (`value`), computed, or nowhere any more. */
export type SavedRule = Place | (Place & { readonly value: true }) | Computed | 'lost';

/** The frame's CFA: the place's value, or what memory holds there (`at place`), or what memory holds at the base, plus the offset. */
export interface CfaRule extends Place {
  readonly base: RowRegister;
  readonly load: 'none' | 'at place' | 'at base';
}

/**
 * `call`: a return address lies below the CFA. `registers`: a whole pt_regs lies at the CFA. `iret frame`: only rip, cs, rflags,
 * rsp and ss do. `end`: outermost frame of a stack. `unknown`: the tables say that they do not know.
 */
export type RowKind = 'call' | 'registers' | 'iret frame' | 'end' | 'unknown';

export interface UnwindRow {
  readonly how: 'registers' | 'orc' | 'cfi' | 'fp' | 'scan';
  readonly kind: RowKind;
  readonly cfa: CfaRule | Computed;
  /** Where the caller's values are; registers that are not named keep their value. */
  readonly saved: Readonly<Partial<Record<RowRegister, SavedRule>>>;
  /** Where a `call` row has the return address; the word below the CFA when absent. */
  readonly returnAddress?: Place | Computed;
  /** The caller was interrupted here: its address is an instruction, not behind a call. */
  readonly signal: boolean;
}

/** Answers "which row?" for a code address; undefined where it has none. */
export interface RowSource {
  find(pc: bigint): UnwindRow | undefined;
}

/** Code and the rows for it: the kernel's image, one module. */
interface RowRange {
  readonly low: bigint;
  readonly high: bigint;
  readonly rows: RowSource;
}

/** Rows of many ranges as one source: the first range that holds an address answers for it. */
export function rowsByRange(ranges: readonly RowRange[]): RowSource {
  return { find: (pc) => ranges.find(({ low, high }) => pc >= low && pc < high)?.rows.find(pc) };
}

/** Rows of a file for code that runs `slide` above where the file was linked. */
export function shiftedRows(rows: RowSource, slide: bigint): RowSource {
  return slide === 0n ? rows : { find: (pc) => rows.find(BigInt.asUintN(64, pc - slide)) };
}
