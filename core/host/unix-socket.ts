// Unix sockets at paths of any length. The kernel takes 107 bytes; a longer path goes through the open folder.
import { closeSync, existsSync, openSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';

const MAX_PATH = 100;

/** A path for bind or connect that means the same socket; `release` when the call has been made. */
export function shortSocketPath(path: string): { path: string; release: () => void } {
  if (Buffer.byteLength(path) <= MAX_PATH || !existsSync('/proc/self/fd')) return { path, release: () => {} };
  const folder = openSync(dirname(path), 'r');
  return { path: join('/proc/self/fd', String(folder), basename(path)), release: () => closeSync(folder) };
}
