// A lock between processes: a file that only one can create. A lock whose owner has died is taken away from it.
import { closeSync, openSync, readFileSync, statSync, unlinkSync, writeSync } from 'node:fs';
import { PvhError } from '../../symbols/errors.ts';
import type { ProcessIdentity } from '../domain/record.ts';
import { identifyProcess, isAlive } from './process-identity.ts';

const WAIT_MS = 10_000;
/** Between creating the file and writing its owner into it passes less than this, unless the machine stands still. */
const ANONYMOUS_MS = 5_000;

/** Code of a node:fs error. */
const codeOf = (error: unknown): string | undefined => (error as NodeJS.ErrnoException).code;

function ownerOf(path: string): ProcessIdentity | undefined {
  try {
    const owner: unknown = JSON.parse(readFileSync(path, 'utf8'));
    if (typeof owner !== 'object' || owner === null) return undefined;
    const { pid, startTime } = owner as Partial<ProcessIdentity>; // checked on the next line
    return typeof pid === 'number' && typeof startTime === 'string' ? { pid, startTime } : undefined;
  } catch {
    return undefined;
  }
}

function tryLock(path: string): boolean {
  let file: number;
  try {
    file = openSync(path, 'wx', 0o600);
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return false;
    throw error;
  }
  try {
    writeSync(file, JSON.stringify(identifyProcess()));
  } catch (error) {
    unlinkSync(path);
    throw error;
  } finally {
    closeSync(file);
  }
  return true;
}

function isStale(path: string): boolean {
  const owner = ownerOf(path);
  if (owner !== undefined) return !isAlive(owner);
  try {
    return Date.now() - statSync(path).mtimeMs > ANONYMOUS_MS;
  } catch {
    return false; // it has gone
  }
}

/** Removes a dead owner's lock. Only the holder of a second file may, so that nobody removes its successor's. */
function breakStale(path: string): void {
  const guard = `${path}.break`;
  if (!tryLock(guard)) {
    if (isStale(guard)) unlinkSync(guard);
    return;
  }
  try {
    if (isStale(path)) unlinkSync(path);
  } finally {
    unlinkSync(guard);
  }
}

/**
 * Runs `work` while this process holds the lock file `path`; waits for it up to ten seconds.
 * @throws PvhError ELOCKED, naming the owner.
 */
export async function withLock<T>(path: string, work: () => T | Promise<T>): Promise<T> {
  for (const start = Date.now(); !tryLock(path); ) {
    if (isStale(path)) breakStale(path);
    if (Date.now() - start > WAIT_MS)
      throw new PvhError(
        'ELOCKED',
        `${path} is held by process ${ownerOf(path)?.pid ?? '?'}; it should not take so long`,
      );
    await new Promise((resolve) => setTimeout(resolve, 5 + Math.random() * 20));
  }
  try {
    return await work();
  } finally {
    unlinkSync(path);
  }
}
