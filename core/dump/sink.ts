// Where the writers of dump files put their bytes. Opens nothing.

/** Takes bytes at a file offset. Gaps read as zero. */
export interface DumpSink {
  write(offset: number, bytes: Uint8Array): void;
}

const PIECE = 256 * 1024;

/** Collects what goes to neighbouring places and hands it on in large pieces. What is given at once has at most 256 KiB. */
export class Gatherer {
  readonly #sink: DumpSink;
  readonly #buffer = new Uint8Array(PIECE);
  #start = 0;
  #used = 0;

  constructor(sink: DumpSink) {
    this.#sink = sink;
  }

  write(offset: number, bytes: Uint8Array): void {
    if (offset !== this.#start + this.#used || this.#used + bytes.length > this.#buffer.length)
      this.flush(offset);
    this.#buffer.set(bytes, this.#used);
    this.#used += bytes.length;
  }

  flush(next = 0): void {
    if (this.#used > 0) this.#sink.write(this.#start, this.#buffer.subarray(0, this.#used));
    this.#start = next;
    this.#used = 0;
  }
}
