// DWARF call frame information (DWARF 5 §6.4, and .eh_frame of the LSB): from an address to a row. Executes no expressions: where a
// rule is one, there is no row.
import { ByteReader } from '../bytes.ts';
import { type ElfFile, findSection, readSection } from '../elf/elf-file.ts';
import { FormatError } from '../errors.ts';
import { orderByAddress } from '../symbol-table.ts';
import type { CfaRule, Place, RowRegister, RowSource, UnwindRow } from './row.ts';

/** DWARF register numbers of x86-64 (psABI figure 3.36); 16 would be the return address. */
const REGISTERS: readonly RowRegister[] = [
  'rax',
  'rdx',
  'rcx',
  'rbx',
  'rsi',
  'rdi',
  'rbp',
  'rsp',
  'r8',
  'r9',
  'r10',
  'r11',
  'r12',
  'r13',
  'r14',
  'r15',
];

const MAX_SECTION = 256 << 20;
const MAX_STATES = 64;

interface CommonEntry {
  readonly codeAlign: number;
  readonly dataAlign: number;
  readonly returnRegister: number;
  readonly signal: boolean;
  readonly pointerEncoding: number;
  readonly augmented: boolean;
  readonly instructions: Uint8Array;
}

/** DW_EH_PE_* of .eh_frame pointers: absolute, and relative with 4 bytes, are what kernels have. */
const DW_EH_PE_absptr = 0x00;
const DW_EH_PE_sdata4 = 0x0b;
const DW_EH_PE_udata4 = 0x03;
const DW_EH_PE_pcrel = 0x10;

function uleb(reader: ByteReader): number {
  let value = 0;
  for (let scale = 1; ; scale *= 128) {
    const byte = reader.u8();
    value += (byte & 0x7f) * scale;
    if (!Number.isSafeInteger(value)) throw reader.error('LEB128 number too large');
    if ((byte & 0x80) === 0) return value;
  }
}

function sleb(reader: ByteReader): number {
  let value = 0;
  for (let scale = 1; ; scale *= 128) {
    const byte = reader.u8();
    value += (byte & 0x7f) * scale;
    if (!Number.isSafeInteger(value)) throw reader.error('LEB128 number too large');
    if ((byte & 0x80) === 0) return (byte & 0x40) !== 0 ? value - scale * 128 : value;
  }
}

interface Section {
  readonly name: string;
  readonly bytes: Uint8Array;
  readonly address: bigint;
  /** .eh_frame: CIE pointers are relative and its id is 0. */
  readonly isEh: boolean;
  readonly bits: 32 | 64;
}

/** One entry's body behind its length; undefined at the terminator or the end. */
function* entries(section: Section): Generator<{ start: number; body: ByteReader; wide: boolean }> {
  const reader = new ByteReader(section.name, section.bytes);
  while (reader.remaining >= 4) {
    const start = reader.offset;
    let length = reader.u32();
    const wide = length === 0xffffffff;
    if (wide) length = reader.size64();
    if (length === 0) {
      if (section.isEh) return;
      continue;
    }
    const body = new ByteReader(section.name, section.bytes.subarray(0, reader.offset + length)).seek(
      reader.offset,
    );
    reader.skip(length);
    yield { start, body, wide };
  }
}

function isCommon(section: Section, id: bigint, wide: boolean): boolean {
  if (section.isEh) return id === 0n;
  return id === (wide ? 0xffff_ffff_ffff_ffffn : 0xffff_ffffn);
}

function readCommon(section: Section, body: ByteReader): CommonEntry {
  const version = body.u8();
  if (![1, 3, 4].includes(version)) throw body.error(`call frame information of version ${version}`);
  const augmentation = body.cstring();
  if (version === 4) body.skip(2); // address and segment selector size
  const codeAlign = uleb(body);
  const dataAlign = sleb(body);
  const returnRegister = version === 1 ? body.u8() : uleb(body);
  let pointerEncoding = DW_EH_PE_absptr;
  const augmented = augmentation.startsWith('z');
  if (augmented) {
    const data = body.split(uleb(body));
    for (const letter of augmentation.slice(1)) {
      if (letter === 'R') pointerEncoding = data.u8();
      else if (letter === 'L') data.skip(1);
      else if (letter === 'P') readPointer(section, data, data.u8());
    }
  }
  const signal = augmentation.includes('S');
  const instructions = body.take(body.remaining);
  return { codeAlign, dataAlign, returnRegister, signal, pointerEncoding, augmented, instructions };
}

function readPointer(section: Section, reader: ByteReader, encoding: number): bigint {
  const base = encoding & DW_EH_PE_pcrel ? section.address + BigInt(reader.offset) : 0n;
  switch (encoding & 0x0f) {
    case DW_EH_PE_absptr:
      return BigInt.asUintN(64, base + (section.bits === 64 ? reader.u64() : BigInt(reader.u32())));
    case DW_EH_PE_udata4:
      return BigInt.asUintN(64, base + BigInt(reader.u32()));
    case DW_EH_PE_sdata4:
      return BigInt.asUintN(64, base + BigInt(reader.i32()));
    default:
      throw reader.error(`pointer encoding 0x${encoding.toString(16)}`);
  }
}

/** Rules while instructions run; a register that is missing keeps its value. */
interface Rules {
  cfa: { register: number; offset: number } | undefined;
  saved: Map<number, number | 'undefined' | 'expression'>;
}

const copyRules = ({ cfa, saved }: Rules): Rules => ({ cfa: cfa && { ...cfa }, saved: new Map(saved) });

/** Runs instructions until the location passes `target`. Names of the cases: DWARF 5 §6.4.2. */
class Interpreter {
  readonly #common: CommonEntry;
  readonly #stack: Rules[] = [];
  #initial: Rules = { cfa: undefined, saved: new Map() };
  rules: Rules = { cfa: undefined, saved: new Map() };

  constructor(section: Section, common: CommonEntry) {
    this.#common = common;
    this.run(section, common.instructions, 0n, 0n);
    this.#initial = copyRules(this.rules);
  }

  run(section: Section, bytes: Uint8Array, start: bigint, target: bigint): void {
    const reader = new ByteReader(section.name, bytes);
    let location = start;
    while (reader.remaining > 0) {
      const code = reader.u8();
      const advance = this.#advance(code, reader);
      if (advance === undefined) {
        this.#execute(code, reader);
        continue;
      }
      location += BigInt(advance * this.#common.codeAlign);
      if (location > target) return;
    }
  }

  #advance(code: number, reader: ByteReader): number | undefined {
    if (code >>> 6 === 1) return code & 0x3f; // DW_CFA_advance_loc
    if (code === 0x02) return reader.u8(); // DW_CFA_advance_loc1
    if (code === 0x03) return reader.u16(); // DW_CFA_advance_loc2
    return code === 0x04 ? reader.u32() : undefined; // DW_CFA_advance_loc4
  }

  #execute(code: number, reader: ByteReader): void {
    const { rules } = this;
    const { dataAlign } = this.#common;
    if (code >>> 6 === 2) {
      rules.saved.set(code & 0x3f, uleb(reader) * dataAlign); // DW_CFA_offset
      return;
    }
    switch (code >>> 6 === 3 ? 0x06 : code) {
      case 0x00: // DW_CFA_nop
        return;
      case 0x05: // DW_CFA_offset_extended
        rules.saved.set(uleb(reader), uleb(reader) * dataAlign);
        return;
      case 0x06: // DW_CFA_restore, DW_CFA_restore_extended
        this.#restore(code >>> 6 === 3 ? code & 0x3f : uleb(reader));
        return;
      case 0x07: // DW_CFA_undefined
        rules.saved.set(uleb(reader), 'undefined');
        return;
      case 0x08: // DW_CFA_same_value
        rules.saved.delete(uleb(reader));
        return;
      case 0x0a: // DW_CFA_remember_state
        if (this.#stack.length >= MAX_STATES) throw reader.error('too many remembered states');
        this.#stack.push(copyRules(rules));
        return;
      case 0x0b: // DW_CFA_restore_state
        this.rules = this.#stack.pop() ?? this.rules;
        return;
      case 0x0c: // DW_CFA_def_cfa
        rules.cfa = { register: uleb(reader), offset: uleb(reader) };
        return;
      case 0x0d: // DW_CFA_def_cfa_register
        rules.cfa = { register: uleb(reader), offset: rules.cfa?.offset ?? 0 };
        return;
      case 0x0e: // DW_CFA_def_cfa_offset
        if (rules.cfa) rules.cfa.offset = uleb(reader);
        else uleb(reader);
        return;
      case 0x0f: // DW_CFA_def_cfa_expression
        reader.skip(uleb(reader));
        rules.cfa = undefined;
        return;
      case 0x10: // DW_CFA_expression
      case 0x16: // DW_CFA_val_expression
        rules.saved.set(uleb(reader), 'expression');
        reader.skip(uleb(reader));
        return;
      case 0x11: // DW_CFA_offset_extended_sf
        rules.saved.set(uleb(reader), sleb(reader) * dataAlign);
        return;
      case 0x12: // DW_CFA_def_cfa_sf
        rules.cfa = { register: uleb(reader), offset: sleb(reader) * dataAlign };
        return;
      case 0x13: // DW_CFA_def_cfa_offset_sf
        rules.cfa = { register: rules.cfa?.register ?? 7, offset: sleb(reader) * dataAlign };
        return;
      case 0x2e: // DW_CFA_GNU_args_size
        uleb(reader);
        return;
      default:
        throw reader.error(`call frame instruction 0x${code.toString(16)}`);
    }
  }

  #restore(register: number): void {
    const initial = this.#initial.saved.get(register);
    if (initial === undefined) this.rules.saved.delete(register);
    else this.rules.saved.set(register, initial);
  }
}

const UNKNOWN: UnwindRow = {
  how: 'cfi',
  kind: 'unknown',
  cfa: { base: 'rsp', offset: 0, load: 'none' },
  saved: {},
  signal: false,
};

function toRow({ cfa, saved }: Rules, common: CommonEntry): UnwindRow {
  const base = cfa && REGISTERS[cfa.register];
  const returnRule = saved.get(common.returnRegister);
  if (returnRule === 'undefined') return { ...UNKNOWN, kind: 'end' };
  if (!cfa || !base || typeof returnRule !== 'number') return UNKNOWN;
  const places: Partial<Record<RowRegister, Place>> = {};
  for (const [register, rule] of saved) {
    const name = REGISTERS[register];
    if (name && typeof rule === 'number') places[name] = { base: 'cfa', offset: rule };
  }
  const rule: CfaRule = { base, offset: cfa.offset, load: 'none' };
  return {
    how: 'cfi',
    kind: 'call',
    cfa: rule,
    saved: places,
    returnAddress: { base: 'cfa', offset: returnRule },
    signal: common.signal,
  };
}

/** Rows of one .debug_frame or .eh_frame. The index of its functions is made at the first question. */
export class CfiRows implements RowSource {
  readonly #section: Section;
  /** Common entries by their offset: thousands of functions share one. */
  readonly #commons = new Map<number, CommonEntry>();
  #index: { starts: BigUint64Array; ends: BigUint64Array; offsets: Uint32Array } | undefined;

  constructor(section: Section) {
    this.#section = section;
  }

  find(pc: bigint): UnwindRow | undefined {
    this.#index ??= this.#makeIndex();
    const { starts, ends, offsets } = this.#index;
    let low = 0;
    let high = starts.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((starts[middle] ?? 0n) <= pc) low = middle + 1;
      else high = middle;
    }
    const found = low - 1;
    if (found < 0 || pc >= (ends[found] ?? 0n)) return undefined;
    try {
      return this.#row(offsets[found] ?? 0, pc);
    } catch (error) {
      if (error instanceof FormatError) return undefined;
      throw error;
    }
  }

  #row(offset: number, pc: bigint): UnwindRow | undefined {
    const part = { ...this.#section, bytes: this.#section.bytes.subarray(offset) };
    const [entry] = entries(part);
    const description = entry && this.#description(offset, entry.body, entry.wide);
    if (!description) return undefined;
    const interpreter = new Interpreter(this.#section, description.common);
    interpreter.run(this.#section, description.instructions, description.start, pc);
    return toRow(interpreter.rules, description.common);
  }

  /** Function and instructions of an entry at `offset`; undefined for a common entry. `body` starts behind the length. */
  #description(
    offset: number,
    body: ByteReader,
    wide: boolean,
  ): { start: bigint; end: bigint; common: CommonEntry; instructions: Uint8Array } | undefined {
    const section = this.#section;
    const idOffset = offset + body.offset;
    const id = wide ? body.u64() : BigInt(body.u32());
    if (isCommon(section, id, wide)) return undefined;
    const commonOffset = Number(section.isEh ? BigInt(idOffset) - id : id);
    if (commonOffset < 0 || commonOffset >= section.bytes.length)
      throw body.error('common entry outside the section');
    const common = this.#common(commonOffset);
    // Pointers that are relative count from their own place in the section.
    const whole = new ByteReader(section.name, section.bytes.subarray(0, offset + body.bytes.length)).seek(
      offset + body.offset,
    );
    const start = readPointer(section, whole, common.pointerEncoding);
    const length = readPointer(section, whole, common.pointerEncoding & 0x0f);
    if (common.augmented) whole.skip(uleb(whole));
    return { start, end: start + length, common, instructions: whole.take(whole.remaining) };
  }

  #common(offset: number): CommonEntry {
    const known = this.#commons.get(offset);
    if (known) return known;
    const part = { ...this.#section, bytes: this.#section.bytes.subarray(offset) };
    const [entry] = entries(part);
    const id = entry && (entry.wide ? entry.body.u64() : BigInt(entry.body.u32()));
    if (!entry || id === undefined || !isCommon(this.#section, id, entry.wide))
      throw new FormatError('no common entry', { source: this.#section.name, offset });
    const common = readCommon(this.#section, entry.body);
    this.#commons.set(offset, common);
    return common;
  }

  #makeIndex(): { starts: BigUint64Array; ends: BigUint64Array; offsets: Uint32Array } {
    const found: { start: bigint; end: bigint; offset: number }[] = [];
    try {
      for (const { start: offset, wide } of entries(this.#section)) {
        const [entry] = entries({ ...this.#section, bytes: this.#section.bytes.subarray(offset) });
        const description = entry && this.#description(offset, entry.body, wide);
        if (description) found.push({ start: description.start, end: description.end, offset });
      }
    } catch (error) {
      // What was read until the damage serves.
      if (!(error instanceof FormatError)) throw error;
    }
    const low = Uint32Array.from(found, ({ start }) => Number(start & 0xffffffffn));
    const high = Uint32Array.from(found, ({ start }) => Number(start >> 32n));
    const sorted = Array.from(orderByAddress(low, high), (row) => found[row]).filter(
      (entry) => entry !== undefined,
    );
    return {
      starts: BigUint64Array.from(sorted, ({ start }) => start),
      ends: BigUint64Array.from(sorted, ({ end }) => BigInt.asUintN(64, end)),
      offsets: Uint32Array.from(sorted, ({ offset }) => offset),
    };
  }
}

/** Tables of an ELF file: .debug_frame before .eh_frame. Compressed sections are not read. */
export function cfiFromElf(elf: ElfFile): CfiRows[] {
  return ['.debug_frame', '.eh_frame'].flatMap((name) => {
    const section = findSection(elf, name);
    const compressed = section !== undefined && (section.flags & 0x800) !== 0;
    if (!section || compressed || section.size === 0 || section.size > MAX_SECTION) return [];
    const bytes = readSection(elf, section);
    return [
      new CfiRows({ name, bytes, address: section.address, isEh: name === '.eh_frame', bits: elf.bits }),
    ];
  });
}
