// A fast little-endian cursor for DWARF data, LEB128 included. Like ByteReader it cannot leave its bytes.
import { textUntilNul } from '../bytes.ts';
import { FormatError } from '../errors.ts';

/** Longest LEB128 number of 64 bits. */
const MAX_LEB = 10;
const FAR = 2 ** 32;

/** Every method throws FormatError at the end of the bytes. 64-bit numbers come as doubles: exact to 2^53, then rounded. */
export class Cursor {
  readonly name: string;
  readonly bytes: Uint8Array;
  readonly #base: number;
  offset: number;

  /** @param base where in the section the bytes begin, for messages. */
  constructor(name: string, bytes: Uint8Array, offset = 0, base = 0) {
    this.name = name;
    this.bytes = bytes;
    this.#base = base;
    this.offset = offset;
  }

  get remaining(): number {
    return this.bytes.length - this.offset;
  }

  u8(): number {
    const value = this.bytes[this.offset];
    if (value === undefined) throw this.#ended();
    this.offset++;
    return value;
  }
  i8(): number {
    return (this.u8() << 24) >> 24;
  }
  u16(): number {
    return this.u8() + this.u8() * 0x100;
  }
  u24(): number {
    return this.u16() + this.u8() * 0x10000;
  }
  u32(): number {
    const { bytes, offset } = this;
    const top = bytes[offset + 3];
    if (top === undefined) throw this.#ended();
    this.offset = offset + 4;
    const low = (bytes[offset] ?? 0) | ((bytes[offset + 1] ?? 0) << 8) | ((bytes[offset + 2] ?? 0) << 16);
    return low + top * 0x1000000;
  }
  u64(): number {
    const low = this.u32();
    return low + this.u32() * FAR;
  }
  /** An offset or length of the 32-bit or 64-bit DWARF format. */
  word(size: 4 | 8): number {
    return size === 4 ? this.u32() : this.u64();
  }
  uint(size: number): number {
    let value = 0;
    for (let scale = 1; size > 0; size--, scale *= 0x100) value += this.u8() * scale;
    return value;
  }

  uleb(): number {
    const first = this.u8();
    if (first < 0x80) return first;
    let value = first & 0x7f;
    let scale = 0x80;
    for (let count = 1; count < MAX_LEB; count++, scale *= 0x80) {
      const byte = this.u8();
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
    }
    throw this.error('LEB128 number of more than 64 bits');
  }
  sleb(): number {
    let value = 0;
    let scale = 1;
    for (let count = 0; count < MAX_LEB; count++) {
      const byte = this.u8();
      value += (byte & 0x7f) * scale;
      scale *= 0x80;
      if (byte < 0x80) return byte & 0x40 ? value - scale : value;
    }
    throw this.error('LEB128 number of more than 64 bits');
  }
  /** Like uleb, exactly. */
  uleb64(): bigint {
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = this.u8();
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return BigInt.asUintN(64, value);
    }
    throw this.error('LEB128 number of more than 64 bits');
  }
  skipLeb(): void {
    while (this.u8() >= 0x80);
  }

  skip(length: number): void {
    if (!(length >= 0 && length <= this.bytes.length - this.offset)) throw this.#ended();
    this.offset += length;
  }
  seek(offset: number): this {
    if (!(offset >= 0 && offset <= this.bytes.length)) throw this.error(`no such place: ${offset}`);
    this.offset = offset;
    return this;
  }
  skipText(): void {
    const nul = this.bytes.indexOf(0, this.offset);
    if (nul < 0) throw this.#ended();
    this.offset = nul + 1;
  }
  text(): string {
    const start = this.offset;
    this.skipText();
    return textUntilNul(this.bytes, start);
  }

  error(message: string): FormatError {
    return new FormatError(message, { source: this.name, offset: this.#base + this.offset });
  }
  #ended(): FormatError {
    return this.error('data ends early');
  }
}
