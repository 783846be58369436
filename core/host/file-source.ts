// A file as a ByteSource: random-access reads, small ones out of a block cache. Writes nothing.
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { type ByteSource, checkRange } from '../../symbols/bytes.ts';
import { FormatError, PvhError } from '../../symbols/errors.ts';

const BLOCK = 64 * 1024;
const CACHED_BLOCKS = 64;

/** An open file; `read` throws FormatError outside of it and PvhError (EIO) when the system cannot read it. */
export class FileSource implements ByteSource {
  readonly name: string;
  readonly size: number;
  #descriptor: number | undefined;
  /** Block number to its bytes, oldest use first. */
  readonly #blocks = new Map<number, Uint8Array>();

  /** @throws PvhError with the system's code (ENOENT, EACCES, EISDIR, ...) when it cannot be opened. */
  constructor(path: string) {
    this.name = path;
    try {
      this.#descriptor = openSync(path, 'r');
    } catch (cause) {
      throw systemError(path, cause);
    }
    const status = fstatSync(this.#descriptor);
    if (!status.isFile()) {
      this.close();
      if (status.isDirectory()) throw new PvhError('EISDIR', `${path}: Is a directory`);
      throw new PvhError('EFILE', `${path}: Not a regular file`);
    }
    this.size = status.size;
  }

  read(offset: number, length: number): Uint8Array {
    checkRange(this.name, this.size, offset, length);
    if (length === 0) return new Uint8Array(0);
    const first = Math.floor(offset / BLOCK);
    const last = Math.floor((offset + length - 1) / BLOCK);
    if (first !== last) return this.#fill(offset, new Uint8Array(length));
    const start = offset - first * BLOCK;
    return this.#block(first).subarray(start, start + length);
  }

  readInto(offset: number, into: Uint8Array): void {
    if (into.length < BLOCK) {
      into.set(this.read(offset, into.length));
      return;
    }
    checkRange(this.name, this.size, offset, into.length);
    this.#fill(offset, into);
  }

  close(): void {
    if (this.#descriptor === undefined) return;
    closeSync(this.#descriptor);
    this.#descriptor = undefined;
    this.#blocks.clear();
  }

  #block(number: number): Uint8Array {
    const cached = this.#blocks.get(number);
    if (cached) {
      this.#blocks.delete(number);
      this.#blocks.set(number, cached);
      return cached;
    }
    const start = number * BLOCK;
    const block = this.#fill(start, new Uint8Array(Math.min(BLOCK, this.size - start)));
    if (this.#blocks.size >= CACHED_BLOCKS) {
      const [oldest] = this.#blocks.keys();
      if (oldest !== undefined) this.#blocks.delete(oldest);
    }
    this.#blocks.set(number, block);
    return block;
  }

  #fill(offset: number, into: Uint8Array): Uint8Array {
    if (this.#descriptor === undefined) throw new PvhError('EBADF', `${this.name}: read after close`);
    let done = 0;
    while (done < into.length) {
      let count: number;
      try {
        count = readSync(this.#descriptor, into, done, into.length - done, offset + done);
      } catch (cause) {
        throw systemError(this.name, cause);
      }
      if (count === 0)
        throw new FormatError('file became shorter while it was read', {
          source: this.name,
          offset: offset + done,
        });
      done += count;
    }
    return into;
  }
}

function systemError(path: string, cause: unknown): PvhError {
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : 'EIO';
  // Node says `ENOENT: no such file or directory, open 'x'`.
  const message = cause instanceof Error ? cause.message.replace(/^E\w+: (.*), \w+(?: '.*')?$/s, '$1') : code;
  return new PvhError(code, `${path}: ${message}`, { cause });
}
