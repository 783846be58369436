// Random-access bytes of a file or of memory, and a cursor over them that cannot leave them. Opens no file.
import { FormatError } from './errors.ts';

/** All that a parser sees of an input: its name for messages, its size, and bytes by offset. */
export interface ByteSource {
  readonly name: string;
  readonly size: number;
  /**
   * A view or a copy of exactly `length` bytes; the caller does not write into it.
   * @throws FormatError when the range is not inside the source.
   */
  read(offset: number, length: number): Uint8Array;
  /** Fills `into` from `offset` on, without a copy on the way: for long reads, where a source can do it. Throws as read does. */
  readInto?(offset: number, into: Uint8Array): void;
}

/** Fills `into` from `offset` of a source on. @throws FormatError when the range is not inside the source. */
export function readInto(source: ByteSource, offset: number, into: Uint8Array): void {
  if (source.readInto) source.readInto(offset, into);
  else into.set(source.read(offset, into.length));
}

/** @throws FormatError unless offset..offset+length lies in 0..size; NaN and fractions are refused too. */
export function checkRange(name: string, size: number, offset: number, length: number): void {
  const inside =
    Number.isSafeInteger(offset) &&
    Number.isSafeInteger(length) &&
    offset >= 0 &&
    length >= 0 &&
    length <= size - offset;
  if (!inside)
    throw new FormatError(
      `ends too early: 0x${length.toString(16)} bytes wanted here, 0x${size.toString(16)} are all`,
      { source: name, offset },
    );
}

/** Bytes that are in memory already. */
export function memorySource(name: string, given: Uint8Array): ByteSource {
  // What comes out is never a Buffer, whose slice() is no copy.
  const bytes = new Uint8Array(given.buffer, given.byteOffset, given.length);
  return {
    name,
    size: bytes.length,
    read(offset, length) {
      checkRange(name, bytes.length, offset, length);
      return bytes.subarray(offset, offset + length);
    },
  };
}

/** A part of a source as a source of its own; offsets in its errors are relative to the part. */
export function sliceSource(source: ByteSource, name: string, start: number, size: number): ByteSource {
  checkRange(source.name, source.size, start, size);
  return {
    name,
    size,
    read(offset, length) {
      checkRange(name, size, offset, length);
      return source.read(start + offset, length);
    },
  };
}

/** Two lower-case hex digits a byte. */
export const hexOf = (bytes: Uint8Array): string =>
  Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');

/** One character a byte, U+0000 to U+00FF. Not by TextDecoder: what it calls latin1 is windows-1252, as Node takes it from version 22 on. */
export const latin1Of = (bytes: Uint8Array): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1');

/** Text up to the first NUL (or `terminator`) or to the end, one character a byte: symbol names are ASCII in practice. */
export function textUntilNul(bytes: Uint8Array, start: number, terminator = 0): string {
  let end = start;
  while (end < bytes.length && bytes[end] !== 0 && bytes[end] !== terminator) end++;
  return latin1Of(bytes.subarray(start, end));
}

/** Little-endian cursor over bytes in memory. Every method throws FormatError at the end of the bytes. */
export class ByteReader {
  readonly name: string;
  readonly bytes: Uint8Array;
  readonly #view: DataView;
  /** Where in the file the bytes came from: added to offsets in errors. */
  readonly #base: number;
  offset = 0;

  constructor(name: string, bytes: Uint8Array, base = 0) {
    this.name = name;
    this.bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#base = base;
  }

  get remaining(): number {
    return this.bytes.length - this.offset;
  }

  /** Moves to an absolute offset of these bytes. */
  seek(offset: number): this {
    if (!Number.isSafeInteger(offset) || offset < 0 || offset > this.bytes.length)
      throw this.error(`no such place: ${offset}`);
    this.offset = offset;
    return this;
  }

  skip(length: number): this {
    this.#take(length);
    return this;
  }

  u8(): number {
    return this.#view.getUint8(this.#take(1));
  }
  u16(): number {
    return this.#view.getUint16(this.#take(2), true);
  }
  i16(): number {
    return this.#view.getInt16(this.#take(2), true);
  }
  u32(): number {
    return this.#view.getUint32(this.#take(4), true);
  }
  i32(): number {
    return this.#view.getInt32(this.#take(4), true);
  }
  u64(): bigint {
    return this.#view.getBigUint64(this.#take(8), true);
  }
  /** A u64 that has to be a size, count or file offset: at most 2^53 - 1. */
  size64(): number {
    const value = this.u64();
    if (value > BigInt(Number.MAX_SAFE_INTEGER))
      throw this.error(`0x${value.toString(16)} is not a possible size`);
    return Number(value);
  }

  /** A view of the next `length` bytes. */
  take(length: number): Uint8Array {
    const start = this.#take(length);
    return this.bytes.subarray(start, start + length);
  }

  /** A reader of the next `length` bytes, which this one skips. */
  split(length: number): ByteReader {
    const base = this.#base + this.offset;
    return new ByteReader(this.name, this.take(length), base);
  }

  /**
   * Text up to a NUL, which is skipped.
   * @param limit more characters than these are damage: a place read again and again must not be long each time.
   */
  cstring(limit: number = Number.POSITIVE_INFINITY): string {
    const end = Math.min(this.bytes.length, this.offset + limit + 1);
    const length = this.bytes.subarray(this.offset, end).indexOf(0);
    if (length < 0) throw this.error('text without an end');
    const text = latin1Of(this.bytes.subarray(this.offset, this.offset + length));
    this.offset += length + 1;
    return text;
  }

  error(message: string): FormatError {
    return new FormatError(message, { source: this.name, offset: this.#base + this.offset });
  }

  #take(length: number): number {
    if (!Number.isSafeInteger(length) || length < 0 || length > this.remaining)
      throw this.error(`0x${length.toString(16)} bytes wanted, 0x${this.remaining.toString(16)} left`);
    const start = this.offset;
    this.offset += length;
    return start;
  }
}
