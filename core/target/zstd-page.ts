// Unpacks a page that is one zstd frame (RFC 8878 §3.1.1). fzstd does the work; what it may allocate and what it does not check is here.
import { Decompress } from 'fzstd';
import { FormatError } from '../../symbols/errors.ts';

const MAGIC = 0xfd2fb528;
const SINGLE_SEGMENT = 1 << 5;
/** Width of Frame_Content_Size by the two high bits of the descriptor, of a single-segment frame. */
const SIZE_WIDTHS = [1, 2, 4, 8] as const;

/** Frame_Content_Size, which is the window too: zstd writes whole pages so. */
function contentSize(frame: Uint8Array): number | undefined {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  if (frame.length < 9 || view.getUint32(0, true) !== MAGIC) return undefined;
  const descriptor = view.getUint8(4);
  const [width = 8, dictionary] = [SIZE_WIDTHS[descriptor >>> 6], descriptor & 3];
  if ((descriptor & SINGLE_SEGMENT) === 0 || dictionary !== 0 || width === 8) return undefined;
  if (width === 1) return view.getUint8(5);
  return width === 2 ? view.getUint16(5, true) + 256 : view.getUint32(5, true);
}

/** Stops fzstd, which would go on to a frame behind this one, of any size. */
const ENOUGH = Symbol('the page is full');

/** @returns what the frame holds, `size` bytes at most. @throws anything when it is damaged. */
export function unpackZstdPage(frame: Uint8Array, size: number): Uint8Array {
  if (contentSize(frame) !== size) throw new FormatError('zstd frame of another size');
  const page = new Uint8Array(size);
  let filled = 0;
  const stream = new Decompress((piece) => {
    page.set(piece, filled);
    filled += piece.length;
    if (filled === size) throw ENOUGH;
  });
  try {
    stream.push(frame, true);
  } catch (error) {
    if (error !== ENOUGH) throw error;
  }
  return page.subarray(0, filled);
}
