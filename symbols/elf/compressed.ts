// Unpacks compressed sections (gABI: SHF_COMPRESSED). Knows neither what they hold nor zlib itself: the caller has it.
import { ByteReader } from '../bytes.ts';
import { FormatError } from '../errors.ts';
import { unpackZstd } from '../zstd.ts';

/** A codec that only the caller has (node:zlib). It gets the stream and the size that it must not exceed, and may throw anything. */
export interface ElfCodecs {
  readonly zlib?: (stream: Uint8Array, maxBytes: number) => Uint8Array;
}

const ELFCOMPRESS_ZLIB = 1;
const ELFCOMPRESS_ZSTD = 2;

/** Deflate cannot do better than 1032 to 1, and no debug data does. */
const MAX_RATIO = 1100;
const MAX_SIZE = 1 << 30;

/**
 * Content of a compressed section; `bytes` begin with its Elf64_Chdr or Elf32_Chdr.
 * @throws FormatError when it is damaged, unbelievably large, or nobody can unpack it.
 */
export function unpackSection(name: string, bytes: Uint8Array, bits: 32 | 64, codecs: ElfCodecs): Uint8Array {
  const reader = new ByteReader(name, bytes);
  const type = reader.u32();
  if (bits === 64) reader.skip(4);
  const size = bits === 64 ? reader.size64() : reader.u32();
  reader.skip(bits === 64 ? 8 : 4);
  if (size > MAX_SIZE || size > bytes.length * MAX_RATIO)
    throw new FormatError(`section unpacks to 0x${size.toString(16)} bytes`, { source: name });
  const unpacked = unpack(type, reader.take(reader.remaining), size, name, codecs);
  if (unpacked.length !== size)
    throw new FormatError(`section unpacks to ${unpacked.length} bytes, ${size} expected`, { source: name });
  return unpacked;
}

function unpack(type: number, stream: Uint8Array, size: number, name: string, codecs: ElfCodecs): Uint8Array {
  if (type !== ELFCOMPRESS_ZLIB && type !== ELFCOMPRESS_ZSTD)
    throw new FormatError(`section compression ${type} is not known`, { source: name });
  if (type === ELFCOMPRESS_ZLIB && codecs.zlib === undefined)
    throw new FormatError('no zlib codec here for a compressed section', { source: name });
  try {
    if (type === ELFCOMPRESS_ZSTD) return unpackZstd(stream, size);
    return codecs.zlib?.(stream, size) ?? new Uint8Array(0);
  } catch (cause) {
    if (cause instanceof FormatError) throw new FormatError(cause.message, { source: name });
    throw new FormatError('compressed section is damaged', { source: name, cause });
  }
}
