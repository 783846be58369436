// Symbol files that are packed: modules as distributions install them (.ko.xz, .ko.zst, .ko.gz), System.map.gz. Unpacks into memory.
import { hostCodecs } from '../../core/host/codecs.ts';
import { type ByteSource, memorySource } from '../../symbols/bytes.ts';
import { FormatError } from '../../symbols/errors.ts';
import { compressionOf } from '../../symbols/kernel/decompress.ts';
import { unpackZstd } from '../../symbols/zstd.ts';

/** The largest modules have 30 MiB with debug information. A packed vmlinux is too large to keep in memory. */
const MAX_UNPACKED = 256 << 20;
const MAX_PACKED = 64 << 20;

const MAGIC_BYTES = 6;

type Packing = 'gzip' | 'xz' | 'zstd';
const PACKINGS: readonly unknown[] = ['gzip', 'xz', 'zstd'] satisfies Packing[];

/** How a file is packed; undefined when it is not. */
export function packingOf(file: ByteSource): Packing | undefined {
  if (file.size < MAGIC_BYTES) return undefined;
  const found = compressionOf(file.read(0, MAGIC_BYTES));
  return PACKINGS.includes(found) ? (found as Packing) : undefined; // just checked
}

/** Bytes in a zstd frame, as its header tells (RFC 8878 §3.1.1.1); undefined when it does not. */
function zstdSize(frame: Uint8Array): number | undefined {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  const descriptor = view.getUint8(4);
  const single = (descriptor >>> 5) & 1;
  const at = 6 - single + ([0, 1, 2, 4][descriptor & 3] ?? 0);
  if (at + 8 > frame.length) return undefined;
  switch (descriptor >>> 6) {
    case 0:
      return single ? view.getUint8(at) : undefined;
    case 1:
      return view.getUint16(at, true) + 256;
    case 2:
      return view.getUint32(at, true);
    default:
      return Number(view.getBigUint64(at, true));
  }
}

/** Bytes in a .xz file of one stream, as the index at its end tells (The .xz File Format 1.2.1, §2.1.2 and §4). */
function xzSize(stream: Uint8Array): number | undefined {
  const footer = stream.length - 12;
  const view = new DataView(stream.buffer, stream.byteOffset, stream.byteLength);
  if (footer < 12 || view.getUint16(footer + 10, true) !== 0x5a59) return undefined;
  let at = footer - (view.getUint32(footer + 4, true) + 1) * 4;
  if (at < 12 || stream[at++] !== 0) return undefined;
  const number = (): number => {
    let value = 0;
    for (let scale = 1; at < footer && scale < 2 ** 49; scale *= 128) {
      const byte = stream[at++] ?? 0;
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
    }
    return Number.POSITIVE_INFINITY;
  };
  let size = 0;
  for (let records = number(); records > 0 && size <= MAX_UNPACKED; records--) {
    number();
    size += number();
  }
  return size;
}

function unpack(packing: Packing, packed: Uint8Array): Uint8Array {
  if (packing === 'gzip') return hostCodecs.gzip(packed, MAX_UNPACKED);
  const size = packing === 'xz' ? xzSize(packed) : zstdSize(packed);
  if (size === undefined || size > MAX_UNPACKED) throw new RangeError('of no size, or too large');
  const unpacked = packing === 'xz' ? hostCodecs.xz(packed, size) : unpackZstd(packed, size);
  if (unpacked.length !== size)
    throw new RangeError(`unpacks to ${unpacked.length} bytes, ${size} announced`);
  return unpacked;
}

/** @throws FormatError when it is damaged, or too large to unpack in memory. */
export function unpackFile(file: ByteSource, packing: Packing): ByteSource {
  const advice = 'unpack it and give that';
  if (file.size > MAX_PACKED)
    throw new FormatError(`${packing} file of more than ${MAX_PACKED >> 20} MiB: ${advice}`, {
      source: file.name,
    });
  try {
    return memorySource(file.name, unpack(packing, file.read(0, file.size)));
  } catch (cause) {
    throw new FormatError(`${packing} file is damaged, or unpacks to more than 256 MiB: ${advice}`, {
      source: file.name,
      cause,
    });
  }
}
