// A file as random-access bytes. Read on demand, never whole.
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { type ByteSource, checkRange } from '../../symbols/bytes.ts';
import { FormatError, PvhError } from '../../symbols/errors.ts';

export interface FileSource extends ByteSource {
  close(): void;
}

/**
 * Opens a regular file.
 * @throws the system's error, or PvhError EFILE for a folder, a device or a pipe.
 */
export function openFileSource(path: string): FileSource {
  const file = openSync(path, 'r');
  const status = fstatSync(file);
  if (!status.isFile()) {
    closeSync(file);
    throw new PvhError('EFILE', `${path}: ${status.isDirectory() ? 'Is a directory' : 'Not a regular file'}`);
  }
  return {
    name: path,
    size: status.size,
    read(offset, length) {
      checkRange(path, status.size, offset, length);
      const bytes = new Uint8Array(length);
      for (let done = 0; done < length; ) {
        const count = readSync(file, bytes, done, length - done, offset + done);
        if (count === 0)
          throw new FormatError('file became shorter while it was read', { source: path, offset });
        done += count;
      }
      return bytes;
    },
    close: () => closeSync(file),
  };
}
