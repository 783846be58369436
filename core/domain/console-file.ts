// console.log of one domain: appended to while it runs, begun anew when it has become too long.
import { closeSync, fsyncSync, openSync, renameSync, writeSync } from 'node:fs';

/** console.log becomes console.log.1 at this size: a guest that writes for ever cannot fill the disk. */
export const CONSOLE_BYTES: number = 64 << 20;

export class ConsoleFile {
  readonly #path: string;
  #file: number;
  #size = 0;

  constructor(path: string) {
    this.#path = path;
    this.#file = openSync(path, 'a', 0o600);
  }

  write(bytes: Uint8Array): void {
    if (this.#size > CONSOLE_BYTES) {
      closeSync(this.#file);
      renameSync(this.#path, `${this.#path}.1`);
      this.#file = openSync(this.#path, 'a', 0o600);
      this.#size = 0;
    }
    for (let done = 0; done < bytes.length; ) done += writeSync(this.#file, bytes, done);
    this.#size += bytes.length;
  }

  close(): void {
    try {
      fsyncSync(this.#file);
    } finally {
      closeSync(this.#file);
    }
  }
}
