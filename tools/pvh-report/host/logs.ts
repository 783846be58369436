// Log files of a host, bounded, rotated ones before the present one. Follows no links, waits for nothing, writes nothing.
import { closeSync, constants, fstatSync, openSync, readdirSync, readSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { type Bounded, BoundedOutput } from './bounded-output.ts';

/** Of one file no more is read than this, from its end. */
const MAX_READ = 8 << 20;
/** xl keeps ten old ones (libxl, libxl_create_logfile). */
const MAX_FILES = 11;
const CHUNK = 1 << 16;

/** `name`, `name.1`, ... that the folder has, oldest first. @throws the system's error. */
function rotated(folder: string, name: string): string[] {
  const age = (entry: string): number => (entry === name ? 0 : Number(entry.slice(name.length + 1)));
  return readdirSync(folder)
    .filter(
      (entry) =>
        entry === name || (entry.startsWith(`${name}.`) && /^\d{1,3}$/.test(entry.slice(name.length + 1))),
    )
    .sort((a, b) => age(b) - age(a))
    .slice(-MAX_FILES);
}

function readInto(output: BoundedOutput, path: string): void {
  // A pipe of that name must not hold us up, a link not lead elsewhere.
  const file = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOFOLLOW);
  try {
    const found = fstatSync(file);
    if (!found.isFile()) return;
    // A log that grows while it is read has no end: what it had when it was opened is enough.
    for (let at = Math.max(0, found.size - MAX_READ); at < found.size; ) {
      const chunk = Buffer.alloc(Math.min(CHUNK, found.size - at));
      const count = readSync(file, chunk, 0, chunk.length, at);
      if (count === 0) return;
      output.push(chunk.subarray(0, count));
      at += count;
    }
  } finally {
    closeSync(file);
  }
}

/**
 * A log and its rotated ones; when there are several, each has its name before it.
 * @returns undefined when there is none. @throws the system's error, for example EACCES.
 */
export function readLogs(path: string, bound: number): Bounded | undefined {
  const folder = dirname(path);
  const files = rotated(folder, basename(path));
  if (files.length === 0) return undefined;
  const output = new BoundedOutput(bound);
  for (const file of files) {
    if (files.length > 1) output.push(new TextEncoder().encode(`==> ${file} <==\n`));
    readInto(output, join(folder, file));
  }
  return output.end();
}
