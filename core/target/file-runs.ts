// Guest-physical memory that lies in runs of a file: which byte of the file is which of the guest. Knows no file format.
import { type ByteSource, readInto } from '../../symbols/bytes.ts';
import { FormatError, MemoryFault } from '../../symbols/errors.ts';

const PAGE = 4096;

/** Guest-physical bytes start..start+length-1 are those of the file from `offset` on. */
export interface Run {
  readonly start: number;
  readonly length: number;
  readonly offset: number;
}

/** Index of the run that holds `at` in ascending ones, or -1. */
function runIndex(runs: readonly Run[], at: number): number {
  let low = 0;
  let high = runs.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((runs[middle]?.start ?? 0) <= at) low = middle + 1;
    else high = middle;
  }
  const run = runs[low - 1];
  return run && at < run.start + run.length ? low - 1 : -1;
}

/** Cuts runs so that they ascend and do not overlap: of two that hold a byte the one that starts lower keeps it. */
export function disjointRuns(runs: readonly Run[]): Run[] {
  const sorted = runs.filter(({ length }) => length > 0).sort((a, b) => a.start - b.start);
  const result: Run[] = [];
  let end = 0;
  for (const { start, length, offset } of sorted) {
    const cut = Math.max(0, end - start);
    if (cut >= length) continue;
    result.push({ start: start + cut, length: length - cut, offset: offset + cut });
    end = start + length;
  }
  return result;
}

/** Whole frames in runs that ascend, neighbours joined: Target.frames. */
export function framesOf(runs: readonly Run[]): (readonly [number, number])[] {
  const frames: [number, number][] = [];
  let last: [number, number] | undefined;
  for (const { start, length } of runs) {
    const first = Math.ceil(start / PAGE);
    const count = Math.floor((start + length) / PAGE) - first;
    if (count <= 0) continue;
    if (last && last[0] + last[1] === first) last[1] += count;
    else {
      last = [first, count];
      frames.push(last);
    }
  }
  return frames;
}

/**
 * Fills `into` from guest-physical `address` on.
 * @param runs ascending, not overlapping.
 * @throws MemoryFault at the first byte that no run holds, or that the file does not give.
 */
export function readRuns(source: ByteSource, runs: readonly Run[], address: number, into: Uint8Array): void {
  for (let done = 0; done < into.length; ) {
    const at = address + done;
    const run = runs[runIndex(runs, at)];
    if (!run) throw new MemoryFault('physical', BigInt(at), 'not in dump');
    const within = at - run.start;
    const length = Math.min(into.length - done, run.length - within);
    fillFrom(source, run.offset + within, into.subarray(done, done + length), at);
    done += length;
  }
}

/** Reads file bytes that stand for guest memory at `at`: what the file does not have is a MemoryFault. */
export function fillFrom(source: ByteSource, offset: number, into: Uint8Array, at: number): void {
  try {
    readInto(source, offset, into);
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    throw new MemoryFault('physical', BigInt(at), 'read error', error.message);
  }
}
