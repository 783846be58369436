// Unpacks one zstd frame (RFC 8878 §3.1.1) of known size. fzstd does the work, into memory of that size; what it does not check is here.
import { decompress } from 'fzstd';
import { FormatError } from './errors.ts';
import { BlockSizes } from './zstd-block.ts';

const MAGIC = 0xfd2fb528;
/** Widths of Dictionary_ID and Frame_Content_Size by their flags. */
const DICTIONARY_WIDTHS = [0, 1, 2, 4] as const;
const SIZE_WIDTHS = [0, 2, 4, 8] as const;
const BLOCK_HEADER = 3;
const RLE = 1;
const COMPRESSED = 2;
/** Block_Maximum_Size. */
const MAX_BLOCK = 128 << 10;

const damaged = (why: string): FormatError => new FormatError(`zstd frame ${why}`);

interface FrameHeader {
  /** Offset of the first block. */
  readonly blocks: number;
  /** Bytes that a block unpacks to at most: fzstd drops what goes beyond. */
  readonly maxBlock: number;
  /** Bytes behind the last block. */
  readonly checksum: number;
}

const windowSize = (descriptor: number): number => 2 ** (10 + (descriptor >> 3)) * (1 + (descriptor & 7) / 8);

/** Frame_Content_Size, which is the window of a frame of a single segment. */
function contentSize(view: DataView, at: number, width: number): number {
  if (at + width > view.byteLength) throw damaged('ends early');
  if (width === 1) return view.getUint8(at);
  if (width === 2) return view.getUint16(at, true) + 256;
  return width === 4 ? view.getUint32(at, true) : Number(view.getBigUint64(at, true));
}

function readHeader(frame: Uint8Array): FrameHeader {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  if (frame.length < 6 || view.getUint32(0, true) !== MAGIC) throw damaged('without its magic');
  const descriptor = view.getUint8(4);
  const isSingle = (descriptor >> 5) & 1;
  const sizeFlag = descriptor >> 6;
  const sizeWidth = sizeFlag === 0 ? isSingle : (SIZE_WIDTHS[sizeFlag] ?? 0);
  const sizeAt = 6 - isSingle + (DICTIONARY_WIDTHS[descriptor & 3] ?? 0);
  const window = isSingle ? contentSize(view, sizeAt, sizeWidth) : windowSize(view.getUint8(5));
  return {
    blocks: sizeAt + sizeWidth,
    maxBlock: Math.min(MAX_BLOCK, window),
    checksum: (descriptor >> 2) & 1 ? 4 : 0,
  };
}

/** What all blocks unpack to. @throws FormatError when it is more than `limit`, or a block is damaged. */
function measure(frame: Uint8Array, limit: number): number {
  const { blocks, maxBlock, checksum } = readHeader(frame);
  const sizes = new BlockSizes(maxBlock);
  let total = 0;
  for (let at = blocks; at + BLOCK_HEADER <= frame.length; ) {
    const header = (frame[at] ?? 0) | ((frame[at + 1] ?? 0) << 8) | ((frame[at + 2] ?? 0) << 16);
    const [type, size] = [(header >> 1) & 3, header >> 3];
    if (size > maxBlock) throw damaged(`with a block of ${size} bytes`);
    const start = at + BLOCK_HEADER;
    const end = start + (type === RLE ? 1 : size);
    if (end > frame.length) break;
    total += type === COMPRESSED ? sizes.of(frame.subarray(start, end), total) : size;
    if (total > limit) throw damaged(`holds more than the ${limit} bytes expected`);
    if (header & 1) {
      if (frame.length !== end + checksum) throw damaged(`of ${end + checksum} bytes in ${frame.length}`);
      return total;
    }
    at = end;
  }
  throw damaged('ends early');
}

/**
 * @returns exactly `size` bytes.
 * @throws FormatError when the frame holds fewer or more, or its blocks are damaged; anything when its literals are.
 */
export function unpackZstd(frame: Uint8Array, size: number): Uint8Array {
  const total = measure(frame, size);
  if (total !== size) throw damaged(`holds ${total} bytes, ${size} expected`);
  return decompress(frame, new Uint8Array(size));
}
