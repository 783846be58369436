// A gzip member of bytes as they are, for what is compressed already and too large for memory. Compresses nothing.
import { crc32 } from 'node:zlib';

const MAX_STORED = 0xffff;
const STORED_HEADER = 5;
/** RFC 1952 2.3.1: no name, no time, operating system unknown, so that it does not depend on ours. */
const GZIP_HEADER = Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255]);
const LAST_BLOCK = Buffer.from([1, 0, 0, 0xff, 0xff]);

/** RFC 1951 3.2.4: blocks as large as they may be, so that the file does not depend on how the bytes came; each is good until the next. */
async function* storedBlocks(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer> {
  const block = Buffer.alloc(STORED_HEADER + MAX_STORED);
  let used = 0;
  const whole = (): Buffer => {
    block.writeUInt16LE(used, 1);
    block.writeUInt16LE(used ^ MAX_STORED, 3);
    return block.subarray(0, STORED_HEADER + used);
  };
  for await (const chunk of chunks)
    for (let at = 0; at < chunk.length; ) {
      const part = chunk.subarray(at, at + MAX_STORED - used);
      block.set(part, STORED_HEADER + used);
      used += part.length;
      at += part.length;
      if (used < MAX_STORED) continue;
      yield whole();
      used = 0;
    }
  if (used > 0) yield whole();
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
      yield* storedBlocks(chunks());
      yield LAST_BLOCK;
      yield trailer;
    },
  };
}
