// Files compressed in blocks that can each be read alone: BGZF (SAM/BAM format specification, section 4.1). `gunzip` reads them as
// any gzip file; every block carries its CRC. The offsets of the blocks lie in a second file in the form that `bgzip -i` writes.
import { crc32, deflateRaw, inflateRawSync } from 'node:zlib';
import { ByteReader, type ByteSource, checkRange } from '../../symbols/bytes.ts';
import { FormatError } from '../../symbols/errors.ts';
import type { NewFile } from './files.ts';

/** Bytes of input in a block: with its header and packed at the worst it still fits into the 64 KiB of a BGZF block. */
const BLOCK = 0xff00;
const HEADER = 18;
const TRAILER = 8;
const MAX_PACKED = 1 << 16;
/** Faster than 6 by half, and 2 % larger (Debian's vmlinux 6.1). */
const LEVEL = 3;
/** zlib works in threads of its own. */
const AT_ONCE = 4;
const CACHED_BLOCKS = 512;
/** Magic, deflate, FEXTRA, no time, no flags, unknown system, 6 bytes of extra field: `BC`, its length 2, the block's size. */
const HEADER_START = [0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 0xff, 6, 0, 0x42, 0x43, 2, 0];
/** An empty block, which ends the file. */
const END = Uint8Array.from([...HEADER_START, 0x1b, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0]);

const viewOf = (bytes: Uint8Array): DataView =>
  new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

function packBlock(content: Uint8Array): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    deflateRaw(content, { level: LEVEL }, (error, packed) => {
      if (error) return reject(error);
      const block = new Uint8Array(HEADER + packed.length + TRAILER);
      const view = viewOf(block);
      block.set(HEADER_START);
      view.setUint16(HEADER - 2, block.length - 1, true);
      block.set(packed, HEADER);
      view.setUint32(block.length - 8, crc32(content), true);
      view.setUint32(block.length - 4, content.length, true);
      resolve(block);
    });
  });
}

/**
 * Writes `source` packed, and the index of its blocks.
 * @param onPiece gets the input in order, for a digest or for progress.
 */
export async function writeBlockedGzip(
  source: ByteSource,
  file: NewFile,
  onPiece: (content: Uint8Array) => void,
): Promise<{ readonly index: Uint8Array; readonly size: number }> {
  const starts: [number, number][] = [];
  let written = 0;
  for (let offset = 0; offset < source.size; ) {
    const group: Promise<Uint8Array>[] = [];
    const offsets: number[] = [];
    for (; group.length < AT_ONCE && offset < source.size; offset += BLOCK) {
      const content = source.read(offset, Math.min(BLOCK, source.size - offset));
      onPiece(content);
      offsets.push(offset);
      group.push(packBlock(content));
    }
    for (const [index, block] of (await Promise.all(group)).entries()) {
      starts.push([written, offsets[index] ?? 0]);
      file.write(written, block);
      written += block.length;
    }
  }
  file.write(written, END);
  return { index: writeIndex(starts.slice(1)), size: written + END.length };
}

/** The first block starts at 0 in both and is not listed. */
function writeIndex(starts: readonly (readonly [number, number])[]): Uint8Array {
  const bytes = new Uint8Array(8 + starts.length * 16);
  const view = viewOf(bytes);
  view.setBigUint64(0, BigInt(starts.length), true);
  starts.forEach(([packed, plain], index) => {
    view.setBigUint64(8 + index * 16, BigInt(packed), true);
    view.setBigUint64(16 + index * 16, BigInt(plain), true);
  });
  return bytes;
}

function readIndex(index: ByteSource, packedSize: number, size: number): number[] {
  const reader = new ByteReader(index.name, index.read(0, index.size));
  const count = reader.size64();
  if (reader.remaining !== count * 16 || count !== Math.max(0, Math.ceil(size / BLOCK) - 1))
    throw new FormatError(`index of ${count + 1} blocks for ${size} bytes`, { source: index.name });
  const starts = [0];
  for (let block = 1; block <= count; block++) {
    const start = reader.size64();
    const length = start - (starts[block - 1] ?? 0);
    if (reader.size64() !== block * BLOCK || length <= 0 || length > MAX_PACKED || start > packedSize)
      throw reader.error(`block ${block} is out of order`);
    starts.push(start);
  }
  return starts;
}

/** The content of a blocked gzip file; keeps the blocks used last. */
export class BlockedGzipSource implements ByteSource {
  readonly name: string;
  readonly size: number;
  readonly #packed: ByteSource;
  readonly #starts: readonly number[];
  /** Block number to content, oldest use first. */
  readonly #blocks = new Map<number, Uint8Array>();

  /**
   * @param size of the content, in bytes.
   * @throws FormatError when the index does not belong to such a file.
   */
  constructor(packed: ByteSource, index: ByteSource, size: number) {
    this.name = packed.name;
    this.size = size;
    this.#packed = packed;
    this.#starts = readIndex(index, packed.size, size);
  }

  /** @throws FormatError when a block is damaged. */
  read(offset: number, length: number): Uint8Array {
    checkRange(this.name, this.size, offset, length);
    if (length === 0) return new Uint8Array(0);
    const first = Math.floor(offset / BLOCK);
    const start = offset - first * BLOCK;
    if (start + length <= BLOCK) return this.#block(first).subarray(start, start + length);
    const into = new Uint8Array(length);
    for (let done = 0; done < length; ) {
      const number = Math.floor((offset + done) / BLOCK);
      const from = offset + done - number * BLOCK;
      const piece = this.#block(number).subarray(from, from + length - done);
      into.set(piece, done);
      done += piece.length;
    }
    return into;
  }

  #block(number: number): Uint8Array {
    const cached = this.#blocks.get(number);
    const block = cached ?? this.#unpack(number);
    if (cached) this.#blocks.delete(number);
    else if (this.#blocks.size >= CACHED_BLOCKS) {
      const [oldest] = this.#blocks.keys();
      if (oldest !== undefined) this.#blocks.delete(oldest);
    }
    this.#blocks.set(number, block);
    return block;
  }

  #unpack(number: number): Uint8Array {
    const start = this.#starts[number] ?? 0;
    const end = this.#starts[number + 1] ?? this.#packed.size - END.length;
    const damaged = (cause?: unknown): FormatError =>
      new FormatError(`block ${number} is damaged`, { source: this.name, offset: start, cause });
    if (end - start < HEADER + TRAILER) throw damaged();
    const bytes = this.#packed.read(start, end - start);
    const view = viewOf(bytes);
    const size = Math.min(BLOCK, this.size - number * BLOCK);
    const headed = HEADER_START.every((byte, index) => bytes[index] === byte);
    if (!headed || view.getUint16(HEADER - 2, true) !== bytes.length - 1) throw damaged();
    let content: Uint8Array;
    try {
      const inflated = inflateRawSync(bytes.subarray(HEADER, -TRAILER), { maxOutputLength: BLOCK });
      // No Buffer leaves here: its slice() would be a window into the cache.
      content = new Uint8Array(inflated.buffer, inflated.byteOffset, inflated.length);
    } catch (cause) {
      throw damaged(cause);
    }
    if (content.length !== size || crc32(content) !== view.getUint32(bytes.length - 8, true)) throw damaged();
    return content;
  }
}
