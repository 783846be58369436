// Where a dump is written that is compressed at once, in pieces of 1 MiB that are zstd frames of their own. Opens nothing.
import type { DumpSink } from '../../../core/dump/sink.ts';
import { assert } from '../../../symbols/errors.ts';
import type { Compress } from './zstd.ts';

const PIECE = 1 << 20;

/**
 * Takes bytes in ascending order, and then those before all of them: a dump's header, which its writer knows last. What is in
 * between and never written is zeros, which are compressed once for all of them.
 */
export class CompressedDump implements DumpSink {
  readonly #compress: Compress;
  readonly #append: (frame: Uint8Array) => void;
  readonly #piece = Buffer.alloc(PIECE);
  #used = 0;
  #zeros: Uint8Array | undefined;
  #start: number | undefined;
  #end = 0;
  #head: readonly Uint8Array[] | undefined;

  /** @param append takes the frames of everything but the header. */
  constructor(compress: Compress, append: (frame: Uint8Array) => void) {
    this.#compress = compress;
    this.#append = append;
  }

  write(offset: number, bytes: Uint8Array): void {
    if (this.#start === undefined) this.#start = this.#end = offset;
    if (offset < this.#end) {
      this.#writeHead(offset, bytes);
      return;
    }
    this.#skip(offset - this.#end);
    this.#end = offset + bytes.length;
    if (bytes.length === PIECE) {
      // As most come: not copied first.
      this.#flush();
      this.#append(this.#compress(Buffer.from(bytes.buffer, bytes.byteOffset, PIECE)));
      return;
    }
    for (let done = 0; done < bytes.length; ) {
      const part = bytes.subarray(done, done + PIECE - this.#used);
      this.#piece.set(part, this.#used);
      this.#take(part.length);
      done += part.length;
    }
  }

  /** Ends the file. @returns the frames that come before those that were appended. */
  finish(): readonly Uint8Array[] {
    assert(this.#head !== undefined, 'a dump without its header');
    this.#flush();
    return this.#head;
  }

  #writeHead(offset: number, bytes: Uint8Array): void {
    const gap = (this.#start ?? 0) - bytes.length;
    assert(offset === 0 && gap >= 0 && this.#head === undefined, 'only the header of a dump is written late');
    const frames = [this.#compress(Buffer.concat([bytes, Buffer.alloc(gap % PIECE)]))];
    for (let left = Math.floor(gap / PIECE); left > 0; left--) frames.push(this.#zeroFrame());
    this.#head = frames;
  }

  #zeroFrame(): Uint8Array {
    this.#zeros ??= this.#compress(Buffer.alloc(PIECE));
    return this.#zeros;
  }

  #skip(count: number): void {
    for (let left = count; left > 0; ) {
      if (this.#used === 0 && left >= PIECE) {
        this.#append(this.#zeroFrame());
        left -= PIECE;
        continue;
      }
      const length = Math.min(left, PIECE - this.#used);
      this.#piece.fill(0, this.#used, this.#used + length);
      this.#take(length);
      left -= length;
    }
  }

  #take(length: number): void {
    this.#used += length;
    if (this.#used === PIECE) this.#flush();
  }

  #flush(): void {
    if (this.#used > 0) this.#append(this.#compress(this.#piece.subarray(0, this.#used)));
    this.#used = 0;
  }
}
