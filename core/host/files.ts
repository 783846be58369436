// Files that appear whole or not at all, and files with holes. Knows nothing of domains.
import {
  closeSync,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  openSync,
  readSync,
  renameSync,
  rmSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import { dirname, join } from 'node:path';

let lastTemporary = 0; // only makes names unique within this process

/** A name beside `path` that no other process uses; it starts with a dot so that listings pass over it. */
export function temporaryBeside(path: string): string {
  const name = path.slice(dirname(path).length).replace(/^\/+/, '');
  return join(dirname(path), `.${name}.${process.pid}.${++lastTemporary}.tmp`);
}

function syncFolder(path: string): void {
  const folder = openSync(path, 'r');
  try {
    fsyncSync(folder);
  } finally {
    closeSync(folder);
  }
}

/** Writes all of `bytes` at `offset`. @throws the system's error, for example ENOSPC. */
function writeAll(file: number, bytes: Uint8Array, offset: number): void {
  for (let done = 0; done < bytes.length; )
    done += writeSync(file, bytes, done, bytes.length - done, offset + done);
}

/** True when every byte is zero. */
function isZero(bytes: Uint8Array): boolean {
  const wide = new BigUint64Array(bytes.buffer, bytes.byteOffset, bytes.length >> 3);
  for (const word of wide) if (word !== 0n) return false;
  return bytes.subarray(wide.length << 3).every((byte) => byte === 0);
}

/**
 * A file under construction: written at a temporary name in the same folder, then synced and renamed.
 * What is never written reads as zero and takes no room. `commit` or `abort` ends it.
 */
export class NewFile {
  readonly path: string;
  readonly #temporary: string;
  readonly #file: number;
  #size = 0;
  #open = true;

  constructor(path: string, mode = 0o600) {
    this.path = path;
    this.#temporary = temporaryBeside(path);
    this.#file = this.#named(() => openSync(this.#temporary, 'wx', mode));
  }

  write(offset: number, bytes: Uint8Array): void {
    writeAll(this.#file, bytes, offset);
    this.#size = Math.max(this.#size, offset + bytes.length);
  }

  /** Makes the file at least `size` bytes long. */
  extend(size: number): void {
    this.#size = Math.max(this.#size, size);
    ftruncateSync(this.#file, this.#size);
  }

  /** The file is at its name and on the disk when this returns. */
  commit(): void {
    try {
      fsyncSync(this.#file);
    } catch (error) {
      this.abort();
      throw error;
    }
    this.#close();
    try {
      this.#named(() => renameSync(this.#temporary, this.path));
    } catch (error) {
      unlinkSync(this.#temporary);
      throw error;
    }
    syncFolder(dirname(this.path));
  }

  /** Removes what was written; harmless after commit. */
  abort(): void {
    if (!this.#open) return;
    this.#close();
    unlinkSync(this.#temporary);
  }

  #close(): void {
    this.#open = false;
    closeSync(this.#file);
  }

  /** Errors of the system name the file that was asked for. */
  #named<T>(work: () => T): T {
    try {
      return work();
    } catch (error) {
      throw error instanceof Error && 'path' in error ? Object.assign(error, { path: this.path }) : error;
    }
  }
}

/** Runs `fill` on a new file and commits it; when `fill` throws, no file is left. */
export function createFile(path: string, fill: (file: NewFile) => void): void {
  const file = new NewFile(path);
  try {
    fill(file);
    file.commit();
  } finally {
    file.abort();
  }
}

/** Replaces a small file whole. */
export function replaceFile(path: string, content: string | Uint8Array): void {
  const bytes = typeof content === 'string' ? Buffer.from(content) : content;
  createFile(path, (file) => file.write(0, bytes));
}

/** Replaces a file whole by pieces that follow each other; when they end with an error, it stays as it was. */
export async function replaceFileBy(path: string, pieces: AsyncIterable<Uint8Array>): Promise<void> {
  const file = new NewFile(path);
  try {
    let size = 0;
    for await (const piece of pieces) {
      file.write(size, piece);
      size += piece.length;
    }
    file.commit();
  } finally {
    file.abort();
  }
}

const COPY_BYTES = 1 << 20;
const HOLE_BYTES = 4096;

/** Copies a file, leaving holes where the original has zero pages. */
export function copySparse(from: string, to: string): void {
  const source = openSync(from, 'r');
  try {
    const { size } = fstatSync(source);
    const buffer = new Uint8Array(COPY_BYTES);
    createFile(to, (file) => {
      for (let offset = 0; offset < size; ) {
        const length = readSync(source, buffer, 0, Math.min(COPY_BYTES, size - offset), offset);
        if (length === 0) break;
        for (let at = 0; at < length; at += HOLE_BYTES) {
          const block = buffer.subarray(at, Math.min(at + HOLE_BYTES, length));
          if (!isZero(block)) file.write(offset + at, block);
        }
        offset += length;
      }
      file.extend(size);
    });
  } finally {
    closeSync(source);
  }
}

/** Removes a file; one that is not there is no error. */
export function removeFile(path: string): void {
  rmSync(path, { force: true });
}

/** Removes a folder in one step as far as others can see, then its content. A folder that is not there is no error. */
export function removeFolder(path: string): void {
  const hidden = temporaryBeside(path);
  try {
    renameSync(path, hidden);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return; // errors of node:fs carry a code
    throw error;
  }
  rmSync(hidden, { recursive: true, force: true });
}
