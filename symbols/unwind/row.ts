// An UnwindRow says how to get from one frame to its caller at one address. ORC, DWARF CFI and frame pointers each only make
// rows; unwinder.ts executes them. Data only.

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
export type RowRegister = (typeof ROW_REGISTERS)[number];

/** A memory slot or a value: register plus offset. `cfa` stands for the canonical frame address of this row. */
export interface Place {
  readonly base: RowRegister | 'cfa';
  readonly offset: number;
}

/** The frame's CFA: the place's value, or what memory holds there (`at`), or what memory holds at the base, plus the offset. */
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
  readonly how: 'orc' | 'cfi' | 'fp';
  readonly kind: RowKind;
  readonly cfa: CfaRule;
  /** Where the caller's values are saved; registers that are not named keep their value. */
  readonly saved: Readonly<Partial<Record<RowRegister, Place>>>;
  /** Where a `call` row has the return address; the 8 bytes below the CFA when absent. */
  readonly returnAddress?: Place;
  /** The caller was interrupted here: its address is an instruction, not behind a call. */
  readonly signal: boolean;
}

/** Answers "which row?" for a code address; undefined where it has none. */
export interface RowSource {
  find(pc: bigint): UnwindRow | undefined;
}

/** Code that keeps frame pointers: saved rbp at rbp, return address above it. */
export const FRAME_POINTER_ROW: UnwindRow = {
  how: 'fp',
  kind: 'call',
  cfa: { base: 'rbp', offset: 16, load: 'none' },
  saved: { rbp: { base: 'cfa', offset: -16 } },
  signal: false,
};

/** Right behind a call, nothing pushed: after a jump to a bad address. */
export const JUST_CALLED_ROW: UnwindRow = {
  how: 'fp',
  kind: 'call',
  cfa: { base: 'rsp', offset: 8, load: 'none' },
  saved: {},
  signal: false,
};
