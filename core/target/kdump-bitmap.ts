// A bitmap of page frames in a file, with ranks: how many bits are set below one. Holds counts, not the bitmap.
import type { ByteSource } from '../../symbols/bytes.ts';

/** Bytes of bitmap between two counts. */
const STEP = 4096;
/** Bytes read at once while counting. */
const PIECE = 256 * STEP;

function bitsIn(word: number): number {
  let value = word - ((word >>> 1) & 0x55555555);
  value = (value & 0x33333333) + ((value >>> 2) & 0x33333333);
  value = (value + (value >>> 4)) & 0x0f0f0f0f;
  return Math.imul(value, 0x01010101) >>> 24;
}

/** Bits set in the first `count` bits of bytes. */
function bitsBelow(bytes: Uint8Array, count: number): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let total = 0;
  let bit = 0;
  for (; bit + 32 <= count; bit += 32) total += bitsIn(view.getUint32(bit >>> 3, true));
  for (; bit < count; bit++) total += ((bytes[bit >>> 3] ?? 0) >>> (bit & 7)) & 1;
  return total;
}

/** Runs of frames that are kept in memory at most; a filtered dump of a large machine is as scattered. */
const MAX_RUNS = 1 << 20;

export class FrameBitmap {
  readonly #source: ByteSource;
  readonly #offset: number;
  readonly #frames: number;
  /** Bits set below each STEP of bytes. */
  #ranks: Float64Array | undefined;

  /** @param frames bits in use, from `offset` of the source on, least significant first. */
  constructor(source: ByteSource, offset: number, frames: number) {
    this.#source = source;
    this.#offset = offset;
    this.#frames = frames;
  }

  has(frame: number): boolean {
    if (frame < 0 || frame >= this.#frames) return false;
    const [byte = 0] = this.#source.read(this.#offset + Math.floor(frame / 8), 1);
    return ((byte >>> (frame % 8)) & 1) === 1;
  }

  /** Bits set below `frame`. */
  rank(frame: number): number {
    this.#ranks ??= this.#count();
    const step = Math.floor(frame / (STEP * 8));
    const bits = frame - step * STEP * 8;
    const bytes = this.#source.read(this.#offset + step * STEP, Math.ceil(bits / 8));
    return (this.#ranks[step] ?? 0) + bitsBelow(bytes, bits);
  }

  /** Ascending [first frame, count] of what is set in start..end-1, MAX_RUNS of them at most. */
  runs(start: number, end: number): (readonly [number, number])[] {
    const runs: [number, number][] = [];
    let last: [number, number] | undefined;
    for (const { first, bytes } of this.#pieces()) {
      for (let index = 0; index < bytes.length; index++) {
        const byte = bytes[index] ?? 0;
        const frame = first + index * 8;
        if (byte === 0 || frame + 8 <= start || frame >= end) continue;
        for (let bit = 0; bit < 8; bit++) {
          const at = frame + bit;
          if (((byte >>> bit) & 1) === 0 || at < start || at >= end) continue;
          if (last && last[0] + last[1] === at) last[1]++;
          else if (runs.length === MAX_RUNS) return runs;
          else {
            last = [at, 1];
            runs.push(last);
          }
        }
      }
    }
    return runs;
  }

  *#pieces(): Generator<{ first: number; bytes: Uint8Array }> {
    const size = Math.ceil(this.#frames / 8);
    for (let at = 0; at < size; at += PIECE)
      yield { first: at * 8, bytes: this.#source.read(this.#offset + at, Math.min(PIECE, size - at)) };
  }

  #count(): Float64Array {
    const ranks = new Float64Array(Math.ceil(this.#frames / (STEP * 8)) + 1);
    let total = 0;
    let step = 0;
    for (const { bytes } of this.#pieces())
      for (let at = 0; at < bytes.length; at += STEP) {
        ranks[step++] = total;
        const part = bytes.subarray(at, at + STEP);
        total += bitsBelow(part, part.length * 8);
      }
    ranks[step] = total;
    return ranks;
  }
}
