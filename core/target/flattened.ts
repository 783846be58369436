// makedumpfile's flattened form (makedumpfile 1.7.2 makedumpfile.h): a file in pieces, each with its place, as it goes through a pipe.
// Puts nothing together: it is read where it lies.
import { type ByteSource, checkRange } from '../../symbols/bytes.ts';
import { FormatError } from '../../symbols/errors.ts';
import { latestRuns, MAX_RUNS, type Run } from './file-runs.ts';

const SIGNATURE = 'makedumpfile\0\0\0\0';
const HEADER_SIZE = 4096;
const PIECE_HEADER = 16;

export function isFlattened(source: ByteSource): boolean {
  if (source.size < HEADER_SIZE) return false;
  return source.read(0, SIGNATURE.length).every((byte, index) => byte === SIGNATURE.charCodeAt(index));
}

/** Big-endian, as nothing else in these files. */
function bigEndian(source: ByteSource, offset: number): bigint {
  const bytes = source.read(offset, 8);
  return new DataView(bytes.buffer, bytes.byteOffset, 8).getBigInt64(0);
}

/** Pieces in the order of the file, and whether its end mark was reached. */
function readPieces(source: ByteSource): { pieces: Run[]; complete: boolean } {
  const pieces: Run[] = [];
  for (let at = HEADER_SIZE; at + PIECE_HEADER <= source.size; ) {
    const [start, length] = [bigEndian(source, at), bigEndian(source, at + 8)];
    if (start === -1n && length === -1n) return { pieces, complete: true };
    const place = { source: source.name, offset: at };
    if (start < 0n || length <= 0n || start + length > BigInt(Number.MAX_SAFE_INTEGER))
      throw new FormatError('flattened file: a piece at no possible place', place);
    if (pieces.length === MAX_RUNS) throw new FormatError('flattened file: too many pieces', place);
    const offset = at + PIECE_HEADER;
    const there = Math.min(Number(length), source.size - offset);
    pieces.push({ start: Number(start), length: there, offset });
    at = offset + Number(length);
  }
  return { pieces, complete: false };
}

/** The file that a flattened one describes. What no piece holds reads as zeros, as in any file, unless the end mark is missing. */
class FlattenedSource implements ByteSource {
  readonly name: string;
  readonly size: number;
  readonly #source: ByteSource;
  /** False when the end mark is missing. */
  readonly complete: boolean;
  readonly #parts: readonly Run[];

  constructor(source: ByteSource) {
    const { pieces, complete } = readPieces(source);
    this.name = source.name;
    this.#source = source;
    this.complete = complete;
    // What is written later covers what was written before: makedumpfile writes its header twice.
    this.#parts = latestRuns(pieces);
    const last = this.#parts.at(-1);
    this.size = last ? last.start + last.length : 0;
  }

  read(offset: number, length: number): Uint8Array {
    checkRange(this.name, this.size, offset, length);
    const into = new Uint8Array(length);
    let at = offset;
    for (let index = this.#find(offset); at < offset + length; index++) {
      const part = this.#parts[index];
      const start = Math.min(part?.start ?? Number.POSITIVE_INFINITY, offset + length);
      if (start > at && !this.complete)
        throw new FormatError('flattened file is cut off: these bytes are missing', {
          source: this.name,
          offset: at,
        });
      at = Math.max(at, start);
      if (!part || at >= offset + length) break;
      const end = Math.min(part.start + part.length, offset + length);
      into.set(this.#source.read(part.offset + at - part.start, end - at), at - offset);
      at = end;
    }
    return into;
  }

  /** First part that ends behind `offset`. */
  #find(offset: number): number {
    let low = 0;
    let high = this.#parts.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const part = this.#parts[middle];
      if (part && part.start + part.length <= offset) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/** @throws FormatError when a piece of it lies nowhere. */
export const openFlattened = (source: ByteSource): ByteSource & { readonly complete: boolean } =>
  new FlattenedSource(source);
