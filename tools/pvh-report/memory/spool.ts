// A file without a name: what is put aside in it is gone when the process is, whatever ends it. Knows nothing of what it holds.
import { closeSync, constants, openSync, readSync, unlinkSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { temporaryBeside } from '../../../core/host/files.ts';

const PIECE = 1 << 20;

/** Written to its end, then read from its start. */
export class Spool implements Disposable {
  readonly #folder: string;
  #file: number | undefined;
  #size = 0;

  /** @param folder where there is room; nothing is opened before the first byte is written. */
  constructor(folder: string) {
    this.#folder = folder;
  }

  get size(): number {
    return this.#size;
  }

  /** @throws the system's error, for example ENOSPC. */
  append(bytes: Uint8Array): void {
    this.#file ??= openUnnamed(this.#folder);
    for (let done = 0; done < bytes.length; )
      done += writeSync(this.#file, bytes, done, bytes.length - done, this.#size + done);
    this.#size += bytes.length;
  }

  /** Each piece is good until the next one is asked for. */
  *chunks(): Generator<Uint8Array> {
    if (this.#file === undefined) return;
    const piece = new Uint8Array(PIECE);
    for (let at = 0; at < this.#size; ) {
      const count = readSync(this.#file, piece, 0, Math.min(PIECE, this.#size - at), at);
      if (count === 0) return;
      yield piece.subarray(0, count);
      at += count;
    }
  }

  [Symbol.dispose](): void {
    if (this.#file !== undefined) closeSync(this.#file);
    this.#file = undefined;
  }
}

/** include/uapi/asm-generic/fcntl.h: a file that never has a name, so that nothing is left by whom it is killed before unlink(2). */
const O_TMPFILE = 0o20000000 | constants.O_DIRECTORY;

function openUnnamed(folder: string): number {
  try {
    return openSync(folder, O_TMPFILE | constants.O_RDWR, 0o600);
  } catch {
    // A file system that has no such files, or no Linux; what else is wrong shows below.
  }
  const path = temporaryBeside(join(folder, 'memory-image'));
  const file = openSync(path, 'wx+', 0o600);
  unlinkSync(path);
  return file;
}
