// Rows as DWARF call frame information (DWARF 5 §6.4), for debuggers that know no ORC. What a row does not tell is written as not
// known: a debugger would take a register that is not named for one that kept its value.
import { type Place, ROW_REGISTERS, type RowKind, type RowRegister, type UnwindRow } from './row.ts';

/** DWARF register numbers of x86-64 (psABI figure 3.36). */
const NUMBERS: Readonly<Record<RowRegister, number>> = {
  rax: 0,
  rdx: 1,
  rcx: 2,
  rbx: 3,
  rsi: 4,
  rdi: 5,
  rbp: 6,
  rsp: 7,
  r8: 8,
  r9: 9,
  r10: 10,
  r11: 11,
  r12: 12,
  r13: 13,
  r14: 14,
  r15: 15,
};
const RETURN_ADDRESS = 16;
const [RFLAGS, CS, SS] = [49, 51, 52] as const;
/** Registers that a called function keeps, beside rbp and rsp (psABI §3.2.1). */
const KEPT: readonly RowRegister[] = ['rbx', 'r12', 'r13', 'r14', 'r15'];

const DATA_ALIGN = 8;
const WORD = 8;
/** Bytes of code after which a new entry begins: a debugger executes an entry from its start. */
const MAX_CODE = 1n << 14n;

const DW_CFA_advance_loc4 = 0x04;
const DW_CFA_advance_loc2 = 0x03;
const DW_CFA_advance_loc1 = 0x02;
const DW_CFA_undefined = 0x07;
const DW_CFA_same_value = 0x08;
const DW_CFA_def_cfa = 0x0c;
const DW_CFA_def_cfa_expression = 0x0f;
const DW_CFA_expression = 0x10;
const DW_CFA_offset_extended_sf = 0x11;
const DW_CFA_val_offset = 0x14;
const DW_CFA_advance_loc = 0x40;
const DW_OP_deref = 0x06;
const DW_OP_consts = 0x11;
const DW_OP_plus = 0x22;
const DW_OP_breg0 = 0x70;

function uleb(value: number): number[] {
  const bytes = [];
  for (let rest = value; ; ) {
    const byte = rest % 128;
    rest = Math.floor(rest / 128);
    bytes.push(rest === 0 ? byte : byte | 0x80);
    if (rest === 0) return bytes;
  }
}

function sleb(value: number): number[] {
  const bytes = [];
  for (let rest = value; ; ) {
    const byte = rest & 0x7f;
    rest >>= 7;
    const isLast = rest === ((byte & 0x40) === 0 ? 0 : -1);
    bytes.push(isLast ? byte : byte | 0x80);
    if (isLast) return bytes;
  }
}

const little = (value: bigint | number, bytes: number): number[] =>
  Array.from({ length: bytes }, (_, index) => Number((BigInt(value) >> BigInt(8 * index)) & 0xffn));

/** A register's saved value lies `offset` bytes above the CFA. */
const savedAt = (register: number, offset: number): number[] => [
  DW_CFA_offset_extended_sf,
  ...uleb(register),
  ...sleb(offset / DATA_ALIGN),
];

/** pt_regs (linux arch/x86/include/asm/ptrace.h), which begins at the CFA of a `registers` row. */
const PT_REGS: readonly (readonly [register: number, offset: number])[] = [
  ...(['r15', 'r14', 'r13', 'r12', 'rbp', 'rbx', 'r11', 'r10', 'r9', 'r8'] as const).map(
    (name, index) => [NUMBERS[name], WORD * index] as const,
  ),
  ...(['rax', 'rcx', 'rdx', 'rsi', 'rdi'] as const).map(
    (name, index) => [NUMBERS[name], 80 + WORD * index] as const,
  ),
  [RETURN_ADDRESS, 128],
  [CS, 136],
  [RFLAGS, 144],
  [NUMBERS.rsp, 152],
  [SS, 160],
];
/** What the processor pushes for an exception. */
const IRET_FRAME: readonly (readonly [register: number, offset: number])[] = [
  [RETURN_ADDRESS, 0],
  [CS, 8],
  [RFLAGS, 16],
  [NUMBERS.rsp, 24],
  [SS, 32],
];

type WrittenKind = Exclude<RowKind, 'unknown'>;

/** What holds for all rows of a kind. */
const INITIAL: Readonly<Record<WrittenKind, readonly number[]>> = {
  call: [
    ...savedAt(RETURN_ADDRESS, -WORD),
    ...[DW_CFA_val_offset, NUMBERS.rsp, 0],
    // A called function may leave anything in these.
    ...ROW_REGISTERS.filter((name) => !KEPT.includes(name) && name !== 'rbp' && name !== 'rsp').flatMap(
      (name) => [DW_CFA_undefined, NUMBERS[name]],
    ),
  ],
  registers: PT_REGS.flatMap(([register, offset]) => savedAt(register, offset)),
  'iret frame': IRET_FRAME.flatMap(([register, offset]) => savedAt(register, offset)),
  end: [DW_CFA_undefined, RETURN_ADDRESS],
};

function placed({ base, offset }: Place): number[] {
  // The CFA is on the stack already where an expression for a register begins.
  if (base === 'cfa') return [DW_OP_consts, ...sleb(offset), DW_OP_plus];
  return [DW_OP_breg0 + NUMBERS[base], ...sleb(offset)];
}

/** @returns undefined for a rule that ORC does not have. */
function cfaOf({ cfa }: UnwindRow): number[] | undefined {
  if ('expression' in cfa) return undefined;
  const { base, offset, load } = cfa;
  if (load === 'none' && offset >= 0) return [DW_CFA_def_cfa, NUMBERS[base], ...uleb(offset)];
  const expression = {
    none: placed(cfa),
    'at place': [...placed(cfa), DW_OP_deref],
    'at base': [...placed({ base, offset: 0 }), DW_OP_deref, DW_OP_consts, ...sleb(offset), DW_OP_plus],
  }[load];
  return [DW_CFA_def_cfa_expression, ...uleb(expression.length), ...expression];
}

/** Where rbp is, in a row that does not hold all registers. */
function framePointerOf({ kind, saved: { rbp } }: UnwindRow): number[] | undefined {
  if (kind === 'registers' || kind === 'end') return [];
  if (rbp === undefined) return [DW_CFA_same_value, NUMBERS.rbp];
  if (rbp === 'lost' || 'expression' in rbp || 'value' in rbp) return undefined;
  const expression = placed(rbp);
  return [DW_CFA_expression, NUMBERS.rbp, ...uleb(expression.length), ...expression];
}

const keptInPlace = KEPT.flatMap((name) => [DW_CFA_same_value, NUMBERS[name]]);
const keptNowhere = KEPT.flatMap((name) => [DW_CFA_undefined, NUMBERS[name]]);
const keptByKind: readonly number[] = [];

/**
 * A function that has nothing on its stack cannot have put away the registers that it must keep: they are what they were. Of any
 * other only its author knows where they are.
 */
function keptOf({ kind, cfa }: UnwindRow): readonly number[] {
  if (kind !== 'call') return keptByKind;
  const isUntouched =
    !('expression' in cfa) && cfa.base === 'rsp' && cfa.load === 'none' && cfa.offset === WORD;
  return isUntouched ? keptInPlace : keptNowhere;
}

function advance(bytes: bigint): number[] {
  if (bytes < 0x40n) return [DW_CFA_advance_loc | Number(bytes)];
  if (bytes < 0x100n) return [DW_CFA_advance_loc1, Number(bytes)];
  if (bytes < 0x10000n) return [DW_CFA_advance_loc2, ...little(bytes, 2)];
  return [DW_CFA_advance_loc4, ...little(bytes, 4)];
}

interface Written {
  /** Where its common entry lies. */
  readonly common: number;
  readonly code: readonly number[];
  readonly kept: readonly number[];
}

/** Entries of one .debug_frame section, in the order in which rows are added. */
export class CfiWriter {
  #bytes: Uint8Array = new Uint8Array(1 << 16);
  #length = 0;
  /** Common entries by kind and signal. */
  readonly #commons = new Map<string, number>();
  /** Tables have the same row many times. */
  readonly #written = new WeakMap<UnwindRow, Written>();

  /** The section. */
  get bytes(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }

  /**
   * Rows that follow each other, each from its address up to the next one's. Of addresses whose row is unknown nothing is
   * written. @returns how many rows were.
   */
  add(rows: Iterable<{ readonly address: bigint; readonly row: UnwindRow }>): number {
    let open:
      | { start: bigint; common: number; code: number[]; at: bigint; kept: readonly number[] | undefined }
      | undefined;
    let pending: { address: bigint; row: UnwindRow } | undefined;
    let count = 0;
    const close = (end: bigint): void => {
      if (open && end > open.start) this.#function(open.common, open.start, end, open.code);
      open = undefined;
    };
    for (const next of rows) {
      if (pending && next.address > pending.address) {
        const { address, row } = pending;
        const written = this.#write(row);
        if (!written) close(address);
        else {
          const { common, code, kept } = written;
          const isNew = !open || open.common !== common || address - open.start > MAX_CODE;
          if (isNew) close(address);
          open ??= { start: address, common, code: [], at: address, kept: undefined };
          if (address > open.at) open.code.push(...advance(address - open.at));
          open.code.push(...code, ...(open.kept === kept ? [] : kept));
          open.at = address;
          open.kept = kept;
          count++;
        }
      }
      pending = next;
    }
    if (pending) close(pending.address);
    return count;
  }

  /** The instructions of a row; undefined when it tells nothing. */
  #write(row: UnwindRow): Written | undefined {
    const known = this.#written.get(row);
    if (known) return known;
    const [cfa, rbp] = [cfaOf(row), framePointerOf(row)];
    if (row.kind === 'unknown' || !cfa || !rbp) return undefined;
    const common = this.#common(row.kind, row.signal);
    const written = { common, code: [...cfa, ...rbp], kept: keptOf(row) };
    this.#written.set(row, written);
    return written;
  }

  #common(kind: WrittenKind, signal: boolean): number {
    const key = `${kind}:${signal}`;
    const known = this.#commons.get(key);
    if (known !== undefined) return known;
    const at = this.#length;
    this.#commons.set(key, at);
    const body = [
      ...little(0xffffffff, 4),
      1,
      ...(signal ? ['S'.charCodeAt(0)] : []),
      0,
      ...uleb(1),
      ...sleb(DATA_ALIGN),
      RETURN_ADDRESS,
      ...[DW_CFA_def_cfa, NUMBERS.rsp, WORD],
      ...INITIAL[kind],
    ];
    this.#entry(body);
    return at;
  }

  #function(common: number, start: bigint, end: bigint, code: readonly number[]): void {
    this.#entry([...little(common, 4), ...little(start, WORD), ...little(end - start, WORD), ...code]);
  }

  /** Padded to whole words with DW_CFA_nop, its length before it. */
  #entry(body: readonly number[]): void {
    const length = Math.ceil((body.length + 4) / WORD) * WORD - 4;
    while (this.#length + length + 4 > this.#bytes.length) {
      const grown = new Uint8Array(2 * this.#bytes.length);
      grown.set(this.#bytes);
      this.#bytes = grown;
    }
    this.#bytes.set(little(length, 4), this.#length);
    this.#bytes.set(body, this.#length + 4);
    this.#bytes.fill(0, this.#length + 4 + body.length, this.#length + 4 + length);
    this.#length += 4 + length;
  }
}
