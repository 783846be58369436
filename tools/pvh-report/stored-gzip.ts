// A gzip member of bytes as they are, for what is compressed already and too large for memory. Compresses nothing.
import { crc32 } from 'node:zlib';

const MAX_STORED = 0xffff;
const STORED_HEADER = 5;
const STORED_TOGETHER = 16 * MAX_STORED;
/** RFC 1952 2.3.1: no name, no time, operating system unknown, so that it does not depend on ours. */
const GZIP_HEADER = Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255]);
const LAST_BLOCK = Buffer.from([1, 0, 0, 0xff, 0xff]);

/** RFC 1951 3.2.4. */
function stored(bytes: Uint8Array): Buffer {
  const parts: Uint8Array[] = [];
  for (let at = 0; at < bytes.length; at += MAX_STORED) {
    const block = bytes.subarray(at, at + MAX_STORED);
    const header = Buffer.alloc(STORED_HEADER);
    header.writeUInt16LE(block.length, 1);
    header.writeUInt16LE(block.length ^ MAX_STORED, 3);
    parts.push(header, block);
  }
  return Buffer.concat(parts);
}

/** The same bytes in pieces of one size, so that the file does not depend on how they came; each is good until the next. */
async function* evenly(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer> {
  const piece = Buffer.alloc(STORED_TOGETHER);
  let used = 0;
  for await (const chunk of chunks)
    for (let at = 0; at < chunk.length; ) {
      const part = chunk.subarray(at, at + piece.length - used);
      piece.set(part, used);
      used += part.length;
      at += part.length;
      if (used < piece.length) continue;
      yield piece;
      used = 0;
    }
  yield piece.subarray(0, used);
}

export interface StoredGzip {
  readonly size: number;
  pieces(): AsyncIterable<Uint8Array>;
}

/** @param chunks the bytes, each time the same. @param onBytes is given them, once, before this returns. */
export async function storedGzip(
  chunks: () => AsyncIterable<Uint8Array>,
  onBytes: (bytes: Uint8Array) => void,
): Promise<StoredGzip> {
  let [crc, size] = [0, 0];
  for await (const bytes of chunks()) {
    onBytes(bytes);
    crc = crc32(bytes, crc);
    size += bytes.length;
  }
  const trailer = Buffer.alloc(8);
  trailer.writeUInt32LE(crc, 0);
  trailer.writeUInt32LE(size % 2 ** 32, 4);
  const headers = STORED_HEADER * Math.ceil(size / MAX_STORED);
  return {
    size: GZIP_HEADER.length + size + headers + LAST_BLOCK.length + trailer.length,
    async *pieces() {
      yield GZIP_HEADER;
      for await (const bytes of evenly(chunks())) yield stored(bytes);
      yield LAST_BLOCK;
      yield trailer;
    },
  };
}
