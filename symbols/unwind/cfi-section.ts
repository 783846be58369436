// Entries of .debug_frame and .eh_frame: common ones, and those of functions with their addresses. Executes no instructions.
import { ByteReader } from '../bytes.ts';
import { sleb, uleb } from '../leb128.ts';

export interface CfiSection {
  readonly name: string;
  readonly bytes: Uint8Array;
  /** Address of the section's first byte, for pointers that are relative to themselves. */
  readonly address: bigint;
  /** .eh_frame: pointers to common entries are relative and their id is 0. */
  readonly isEh: boolean;
  readonly bits: 32 | 64;
  /** What relative pointers can count from beside their own place; undefined where the file does not say. */
  readonly textAddress?: bigint | undefined;
  readonly dataAddress?: bigint | undefined;
}

/** DW_EH_PE_* of .eh_frame pointers (LSB Core §10.5.1): the low half is the form, the high half what it counts from. */
const DW_EH_PE_absptr = 0x00;
const DW_EH_PE_uleb128 = 0x01;
const DW_EH_PE_udata2 = 0x02;
const DW_EH_PE_udata4 = 0x03;
const DW_EH_PE_udata8 = 0x04;
const DW_EH_PE_sleb128 = 0x09;
const DW_EH_PE_sdata2 = 0x0a;
const DW_EH_PE_sdata4 = 0x0b;
const DW_EH_PE_sdata8 = 0x0c;
const DW_EH_PE_pcrel = 0x10;
const DW_EH_PE_textrel = 0x20;
const DW_EH_PE_datarel = 0x30;
const DW_EH_PE_aligned = 0x50;
const DW_EH_PE_omit = 0xff;

/** Compilers write `zR`, `zPLR`, `zRS`. */
const MAX_AUGMENTATION = 16;

export interface CommonEntry {
  readonly codeAlign: number;
  readonly dataAlign: number;
  readonly returnRegister: number;
  readonly signal: boolean;
  readonly pointerEncoding: number;
  readonly augmented: boolean;
  /** Bytes of an address: version 4 says so itself. */
  readonly bits: 32 | 64;
  readonly instructions: Uint8Array;
}

export interface FunctionEntry {
  readonly common: CommonEntry;
  readonly start: bigint;
  readonly end: bigint;
  readonly instructions: Uint8Array;
}

/** Where an entry starts, where its id lies, and its end. */
interface Extent {
  readonly start: number;
  readonly idOffset: number;
  readonly end: number;
  readonly wide: boolean;
}

/** The section's entry at the reader; undefined at the terminator. Moves the reader behind it. */
function nextExtent(section: CfiSection, reader: ByteReader): Extent | undefined {
  while (reader.remaining >= 4) {
    const start = reader.offset;
    let length = reader.u32();
    const wide = length === 0xffffffff;
    if (wide) length = reader.size64();
    if (length === 0) {
      if (section.isEh) return undefined;
      continue;
    }
    const idOffset = reader.offset;
    reader.skip(length);
    return { start, idOffset, end: reader.offset, wide };
  }
  return undefined;
}

function form(reader: ByteReader, encoding: number, bits: 32 | 64): bigint {
  switch (encoding & 0x0f) {
    case DW_EH_PE_absptr:
      return bits === 64 ? reader.u64() : BigInt(reader.u32());
    case DW_EH_PE_uleb128:
      return BigInt(uleb(reader));
    case DW_EH_PE_udata2:
      return BigInt(reader.u16());
    case DW_EH_PE_udata4:
      return BigInt(reader.u32());
    case DW_EH_PE_udata8:
    case DW_EH_PE_sdata8:
      return reader.u64();
    case DW_EH_PE_sleb128:
      return BigInt(sleb(reader));
    case DW_EH_PE_sdata2:
      return BigInt(reader.i16());
    case DW_EH_PE_sdata4:
      return BigInt(reader.i32());
    default:
      throw reader.error(`pointer encoding 0x${encoding.toString(16)}`);
  }
}

export class CfiEntries {
  readonly #section: CfiSection;
  /** Common entries by their offset: thousands of functions share one. */
  readonly #commons = new Map<number, CommonEntry>();

  constructor(section: CfiSection) {
    this.#section = section;
  }

  /**
   * Offset and addresses of every function entry, in the order of the section.
   * @throws FormatError at damage; what was given before it holds.
   */
  *functions(): Generator<{ offset: number; start: bigint; end: bigint }> {
    const reader = this.#reader();
    const body = this.#reader();
    for (;;) {
      const extent = nextExtent(this.#section, reader);
      if (!extent) return;
      const common = this.#commonOf(extent, body);
      if (!common) continue;
      yield { offset: extent.start, ...this.#addresses(common, body) };
    }
  }

  /** The function entry at an offset that functions() gave. @throws FormatError */
  functionAt(offset: number): FunctionEntry | undefined {
    const extent = nextExtent(this.#section, this.#reader().seek(offset));
    if (!extent) return undefined;
    const body = new ByteReader(this.#section.name, this.#section.bytes.subarray(0, extent.end));
    const common = this.#commonOf(extent, body);
    if (!common) return undefined;
    const { start, end } = this.#addresses(common, body);
    if (common.augmented) body.skip(uleb(body));
    return { common, start, end, instructions: body.take(body.remaining) };
  }

  #reader(): ByteReader {
    return new ByteReader(this.#section.name, this.#section.bytes);
  }

  /** The common entry of a function entry, with the reader behind the id; undefined for a common entry itself. */
  #commonOf({ idOffset, wide }: Extent, body: ByteReader): CommonEntry | undefined {
    const { isEh, bytes } = this.#section;
    body.seek(idOffset);
    const id = wide ? body.u64() : BigInt(body.u32());
    if (this.#isCommon(id, wide)) return undefined;
    const offset = Number(isEh ? BigInt(idOffset) - id : id);
    if (offset < 0 || offset >= bytes.length) throw body.error('common entry outside the section');
    return this.#common(offset);
  }

  #isCommon(id: bigint, wide: boolean): boolean {
    if (this.#section.isEh) return id === 0n;
    return id === (wide ? 0xffff_ffff_ffff_ffffn : 0xffff_ffffn);
  }

  #addresses(common: CommonEntry, body: ByteReader): { start: bigint; end: bigint } {
    const start = this.#pointer(body, common.pointerEncoding, common.bits);
    // The length has the form of the address but counts from nothing.
    const length = form(body, common.pointerEncoding & 0x0f, common.bits);
    return { start, end: BigInt.asUintN(64, start + length) };
  }

  #common(offset: number): CommonEntry {
    const known = this.#commons.get(offset);
    if (known) return known;
    const extent = nextExtent(this.#section, this.#reader().seek(offset));
    const body = new ByteReader(this.#section.name, this.#section.bytes.subarray(0, extent?.end));
    if (!extent || !this.#isCommon(this.#id(extent, body), extent.wide))
      throw body.error('not a common entry');
    const common = this.#readCommon(body);
    this.#commons.set(offset, common);
    return common;
  }

  #id({ idOffset, wide }: Extent, body: ByteReader): bigint {
    body.seek(idOffset);
    return wide ? body.u64() : BigInt(body.u32());
  }

  #readCommon(body: ByteReader): CommonEntry {
    const version = body.u8();
    if (![1, 3, 4].includes(version)) throw body.error(`call frame information of version ${version}`);
    const augmentation = body.cstring(MAX_AUGMENTATION);
    let { bits } = this.#section;
    if (version === 4) {
      const size = body.u8();
      if (size !== 8 && size !== 4) throw body.error(`addresses of ${size} bytes`);
      bits = size === 8 ? 64 : 32;
      body.skip(1); // segment selector size
    }
    const codeAlign = uleb(body);
    const dataAlign = sleb(body);
    const returnRegister = version === 1 ? body.u8() : uleb(body);
    const augmented = augmentation.startsWith('z');
    const pointerEncoding = augmented ? this.#readAugmentation(augmentation, body) : DW_EH_PE_absptr;
    return {
      codeAlign,
      dataAlign,
      returnRegister,
      signal: augmentation.includes('S'),
      pointerEncoding,
      augmented,
      bits,
      instructions: body.take(body.remaining),
    };
  }

  /** The encoding of pointers; other augmentation data are skipped. */
  #readAugmentation(augmentation: string, body: ByteReader): number {
    const length = uleb(body);
    const end = body.offset + length;
    if (length > body.remaining) throw body.error('augmentation data outside the entry');
    let encoding = DW_EH_PE_absptr;
    for (const letter of augmentation.slice(1)) {
      if (letter === 'R') encoding = body.u8();
      else if (letter === 'L') body.skip(1);
      else if (letter === 'P') this.#pointer(body, body.u8(), this.#section.bits);
    }
    body.seek(end);
    return encoding;
  }

  /** A pointer itself; what it points to when it is indirect is not looked up: code addresses never are. */
  #pointer(reader: ByteReader, encoding: number, bits: 32 | 64): bigint {
    if (encoding === DW_EH_PE_omit) return 0n;
    const { address, textAddress, dataAddress } = this.#section;
    const origin = encoding & 0x70;
    if (origin === DW_EH_PE_aligned) {
      const word = bits / 8;
      const misaligned = Number((address + BigInt(reader.offset)) % BigInt(word));
      if (misaligned > 0) reader.skip(word - misaligned);
      return form(reader, DW_EH_PE_absptr, bits);
    }
    const base =
      origin === 0
        ? 0n
        : origin === DW_EH_PE_pcrel
          ? address + BigInt(reader.offset)
          : origin === DW_EH_PE_textrel
            ? textAddress
            : origin === DW_EH_PE_datarel
              ? dataAddress
              : undefined;
    if (base === undefined) throw reader.error(`pointer encoding 0x${encoding.toString(16)}`);
    return BigInt.asUintN(bits, base + form(reader, encoding, bits));
  }
}
