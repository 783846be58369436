// Unpacks one zstd frame (RFC 8878 §3.1.1) of known size. fzstd does the work, into memory of that size; what it does not check is here.
import { decompress } from 'fzstd';
import { FormatError } from './errors.ts';

const MAGIC = 0xfd2fb528;
/** Widths of Dictionary_ID and Frame_Content_Size by their flags. */
const DICTIONARY_WIDTHS = [0, 1, 2, 4] as const;
const SIZE_WIDTHS = [0, 2, 4, 8] as const;
const BLOCK_HEADER = 3;
const RLE = 1;
/** Block_Maximum_Size. */
const MAX_BLOCK = 128 << 10;
/** Raw, empty, and the last. */
const EMPTY_BLOCK = [1, 0, 0] as const;

const damaged = (why: string): FormatError => new FormatError(`zstd frame ${why}`);

/** Offset of the first block. */
function firstBlock(frame: Uint8Array): number {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  if (frame.length < 6 || view.getUint32(0, true) !== MAGIC) throw damaged('without its magic');
  const descriptor = view.getUint8(4);
  const isSingle = (descriptor >> 5) & 1;
  const sizeFlag = descriptor >> 6;
  const sizeWidth = sizeFlag === 0 ? isSingle : (SIZE_WIDTHS[sizeFlag] ?? 0);
  return 6 - isSingle + (DICTIONARY_WIDTHS[descriptor & 3] ?? 0) + sizeWidth;
}

/** The last block's header and the end of its content. */
function lastBlock(frame: Uint8Array): { header: number; end: number } {
  for (let at = firstBlock(frame); at + BLOCK_HEADER <= frame.length; ) {
    const header = (frame[at] ?? 0) | ((frame[at + 1] ?? 0) << 8) | ((frame[at + 2] ?? 0) << 16);
    const [type, size] = [(header >> 1) & 3, header >> 3];
    if (size > MAX_BLOCK) throw damaged(`with a block of ${size} bytes`);
    const end = at + BLOCK_HEADER + (type === RLE ? 1 : size);
    if (end > frame.length) break;
    if (header & 1) return { header: at, end };
    at = end;
  }
  throw damaged('ends early');
}

/**
 * @returns exactly `size` bytes.
 * @throws FormatError when the frame holds fewer or more; anything when it is damaged otherwise.
 */
export function unpackZstd(frame: Uint8Array, size: number): Uint8Array {
  const { header, end } = lastBlock(frame);
  const checksum = ((frame[4] ?? 0) >> 2) & 1 ? 4 : 0;
  if (frame.length !== end + checksum) throw damaged(`of ${end + checksum} bytes in ${frame.length}`);
  // fzstd does not tell how much it wrote: an empty block behind the last one is written where that ended.
  const longer = new Uint8Array(frame.length + BLOCK_HEADER);
  longer.set(frame.subarray(0, end));
  longer[header] = (longer[header] ?? 0) & ~1;
  longer.set(EMPTY_BLOCK, end);
  let written: number | undefined;
  const unpacked = new Uint8Array(size);
  const write = unpacked.set.bind(unpacked);
  unpacked.set = (bytes, at = 0) => {
    written = at + bytes.length;
    if (written <= size) write(bytes, at);
  };
  decompress(longer, unpacked);
  if (written !== size) throw damaged(`holds ${written} bytes, ${size} expected`);
  // Without the watch.
  return unpacked.subarray();
}
