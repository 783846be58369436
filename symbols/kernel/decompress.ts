// Unpacks what a Linux bzImage carries, whatever the kernel was compressed with. Finds no payload: bzimage.ts does.
import { FormatError } from '../errors.ts';
import { unpackZstd } from '../zstd.ts';

export type Compression = 'gzip' | 'xz' | 'lzma' | 'zstd' | 'lz4' | 'bzip2' | 'lzo';

/**
 * Codecs that only the caller has (node:zlib, liblzma): a pure room imports neither. Each gets the stream and the
 * number of bytes that it must not exceed, and may throw anything.
 */
export interface Codecs {
  readonly gzip?: (stream: Uint8Array, maxBytes: number) => Uint8Array;
  readonly xz?: (stream: Uint8Array, maxBytes: number) => Uint8Array;
  readonly lzma?: (stream: Uint8Array, maxBytes: number) => Uint8Array;
}

/** Source: linux v6.1 Documentation/x86/boot.rst (payload_offset). LZ4 is the legacy frame. */
const MAGICS: readonly (readonly [Compression, readonly number[]])[] = [
  ['gzip', [0x1f, 0x8b]],
  ['xz', [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00]],
  ['zstd', [0x28, 0xb5, 0x2f, 0xfd]],
  ['lz4', [0x02, 0x21, 0x4c, 0x18]],
  ['lzma', [0x5d, 0x00, 0x00]],
  ['bzip2', [0x42, 0x5a, 0x68]],
  ['lzo', [0x89, 0x4c, 0x5a, 0x4f]],
];

/** What the first bytes say, or undefined when it is no compression that Linux uses. */
export function compressionOf(start: Uint8Array): Compression | undefined {
  return MAGICS.find(([, magic]) => magic.every((byte, i) => start[i] === byte))?.[0];
}

/**
 * Unpacks `stream` to exactly `size` bytes.
 * @throws FormatError when the stream is damaged, ends early, has another size, or its codec is not at hand.
 */
export function decompress(stream: Uint8Array, size: number, name: string, codecs: Codecs): Uint8Array {
  const format = compressionOf(stream);
  if (format === undefined)
    throw new FormatError('compression of the kernel payload is not known', { source: name });
  let unpacked: Uint8Array;
  try {
    unpacked = unpack(format, stream, size, name, codecs);
  } catch (cause) {
    if (cause instanceof FormatError) throw cause;
    throw new FormatError(`${format} stream is damaged or truncated`, { source: name, cause });
  }
  if (unpacked.length !== size)
    throw new FormatError(`${format} stream unpacks to ${unpacked.length} bytes, ${size} expected`, {
      source: name,
    });
  return unpacked;
}

function unpack(
  format: Compression,
  stream: Uint8Array,
  size: number,
  name: string,
  codecs: Codecs,
): Uint8Array {
  if (format === 'lz4') return unpackLz4Legacy(stream, size, name);
  if (format === 'zstd') return unpackZstd(stream, size);
  const codec = format === 'gzip' || format === 'xz' || format === 'lzma' ? codecs[format] : undefined;
  if (codec === undefined)
    throw new FormatError(
      `no ${format} codec here; give the vmlinux ELF instead (linux: scripts/extract-vmlinux)`,
      { source: name },
    );
  return codec(stream, size);
}

/** LZ4 legacy frame: magic, then blocks, each led by its u32 compressed size. */
function unpackLz4Legacy(stream: Uint8Array, size: number, name: string): Uint8Array {
  const view = new DataView(stream.buffer, stream.byteOffset, stream.byteLength);
  const out = new Uint8Array(size);
  let from = 4;
  let to = 0;
  while (to < size) {
    if (from + 4 > stream.length) throw new FormatError('LZ4 stream ends early', { source: name });
    const length = view.getUint32(from, true);
    from += 4;
    // A second frame may follow the first: its magic stands where a block size would.
    if (length === 0x184c2102) continue;
    if (length === 0 || length > stream.length - from)
      throw new FormatError(`LZ4 block of ${length} bytes in ${stream.length - from}`, { source: name });
    to = unpackLz4Block(stream.subarray(from, from + length), out, to, name);
    from += length;
  }
  return out;
}

/** One LZ4 block into `out` from `to` on; returns the new end. */
function unpackLz4Block(block: Uint8Array, out: Uint8Array, to: number, name: string): number {
  const damaged = (): FormatError => new FormatError('LZ4 block is damaged', { source: name });
  let from = 0;
  const length = (nibble: number): number => {
    let total = nibble;
    if (nibble === 15) {
      let byte: number;
      do {
        byte = block[from++] ?? -1;
        if (byte < 0) throw damaged();
        total += byte;
      } while (byte === 255);
    }
    return total;
  };
  while (from < block.length) {
    const token = block[from++] ?? 0;
    const literals = length(token >> 4);
    if (literals > block.length - from || literals > out.length - to) throw damaged();
    copyLiterals(block, from, out, to, literals);
    from += literals;
    to += literals;
    if (from === block.length) break; // the last sequence has no match
    const distance = (block[from] ?? 0) | ((block[from + 1] ?? 0) << 8);
    from += 2;
    const match = length(token & 15) + 4;
    if (from > block.length || distance === 0 || distance > to || match > out.length - to) throw damaged();
    copyMatch(out, to, distance, match);
    to += match;
  }
  return to;
}

/** Below this many bytes a loop is faster than the engine's own copies. */
const SHORT = 48;

function copyLiterals(block: Uint8Array, from: number, out: Uint8Array, to: number, length: number): void {
  if (length >= SHORT) out.set(block.subarray(from, from + length), to);
  else for (let i = 0; i < length; i++) out[to + i] = block[from + i] ?? 0;
}

/** Source and target may overlap: then the pattern repeats. */
function copyMatch(out: Uint8Array, to: number, distance: number, length: number): void {
  if (length >= SHORT && distance >= length) out.copyWithin(to, to - distance, to - distance + length);
  else for (let i = 0; i < length; i++) out[to + i] = out[to + i - distance] ?? 0;
}
