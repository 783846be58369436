// Files that a debugger reads through its connection (gdb manual, "Host I/O Packets"). Only those that it is offered; none is written.
import type { GdbFile } from './guest.ts';
import { bytesToText, escapeBinary, hexToBytes } from './packet.ts';

/** Errors of the protocol, by their numbers there. */
const [ENOENT, EBADF, EINVAL, EMFILE, EROFS, ENOSYS] = [2, 9, 22, 24, 30, 88] as const;
/** O_WRONLY, O_RDWR, O_APPEND, O_CREAT, O_TRUNC and O_EXCL of the protocol. */
const WRITING = 0x1 | 0x2 | 0x8 | 0x200 | 0x400 | 0x800;
const MAX_OPEN = 16;
const STAT_SIZE = 64;
/** A plain file that all may read. */
const MODE = 0o100444;

const failure = (code: number): string => `F-1,${code.toString(16)}`;

export class FileTransfer {
  readonly #files: readonly GdbFile[];
  readonly #open = new Map<number, GdbFile>();
  readonly #maxBytes: number;

  /** @param maxBytes of one answer, escapes not counted. */
  constructor(files: readonly GdbFile[], maxBytes: number) {
    this.#files = files;
    this.#maxBytes = maxBytes;
  }

  /** @param request what stands behind `vFile:`. */
  answer(request: string): string {
    const [, operation = '', rest = ''] = /^(\w+):(.*)$/s.exec(request) ?? [];
    const words = rest.split(',');
    switch (operation) {
      case 'setfs':
        return 'F0';
      case 'open':
        return this.#opened(words);
      case 'close':
        return this.#open.delete(Number.parseInt(words[0] ?? '', 16)) ? 'F0' : failure(EBADF);
      case 'fstat':
        return this.#status(words);
      case 'pread':
        return this.#read(words);
      default:
        return failure(ENOSYS);
    }
  }

  #opened([name = '', flags = '']: readonly string[]): string {
    const path = hexToBytes(name);
    const file = path && this.#files.find((each) => each.path === bytesToText(path));
    if (!file) return failure(ENOENT);
    if ((Number.parseInt(flags, 16) & WRITING) !== 0) return failure(EROFS);
    for (let descriptor = 1; descriptor <= MAX_OPEN; descriptor++) {
      if (this.#open.has(descriptor)) continue;
      this.#open.set(descriptor, file);
      return `F${descriptor.toString(16)}`;
    }
    return failure(EMFILE);
  }

  #bytesOf(descriptor: string | undefined): Uint8Array | undefined {
    return this.#open.get(Number.parseInt(descriptor ?? '', 16))?.bytes;
  }

  /** struct stat of the protocol: big endian. */
  #status([descriptor]: readonly string[]): string {
    const bytes = this.#bytesOf(descriptor);
    if (!bytes) return failure(EBADF);
    const status = new Uint8Array(STAT_SIZE);
    const view = new DataView(status.buffer);
    view.setUint32(8, MODE);
    view.setUint32(12, 1);
    view.setBigUint64(28, BigInt(bytes.length));
    view.setBigUint64(36, 4096n);
    view.setBigUint64(44, BigInt(Math.ceil(bytes.length / 512)));
    return `F${STAT_SIZE.toString(16)};${escapeBinary(status)}`;
  }

  #read([descriptor, count = '', offset = '']: readonly string[]): string {
    const bytes = this.#bytesOf(descriptor);
    if (!bytes) return failure(EBADF);
    const [length, start] = [Number.parseInt(count, 16), Number.parseInt(offset, 16)];
    if (!(length >= 0 && start >= 0)) return failure(EINVAL);
    const part = bytes.subarray(start, start + Math.min(length, this.#maxBytes));
    return `F${part.length.toString(16)};${escapeBinary(part)}`;
  }
}
