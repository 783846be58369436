// Lines to a file descriptor, written at once and in large pieces: nothing piles up in memory however much there is to say.
import { writeSync } from 'node:fs';

const FLUSH_AT = 1 << 16;
const RETRY_MS = 5;

/** Thrown when nobody reads any more (`| head`). */
export class OutputClosed extends Error {}

function errorCode(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : '';
}

export class LineOutput {
  readonly #descriptor: number;
  #pending = '';

  constructor(descriptor: number) {
    this.#descriptor = descriptor;
  }

  line(text: string): void {
    this.#pending += `${text}\n`;
    if (this.#pending.length >= FLUSH_AT) this.flush();
  }

  /** Text as it is, line ends included. */
  text(text: string): void {
    this.#pending += text;
  }

  /** @throws OutputClosed when the reader has gone. */
  flush(): void {
    const bytes = Buffer.from(this.#pending);
    this.#pending = '';
    for (let done = 0; done < bytes.length; ) {
      try {
        done += writeSync(this.#descriptor, bytes, done);
      } catch (error) {
        if (errorCode(error) === 'EPIPE') throw new OutputClosed();
        if (errorCode(error) !== 'EAGAIN') throw error;
        // A terminal or pipe that does not block: wait until it takes more.
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, RETRY_MS);
      }
    }
  }
}
