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

/** A real guest has some ten runs of frames, a saved one a thousand; this bounds what a hostile file can make us hold. */
export const MAX_RUNS: number = 1 << 20;

/** Joins pieces that are neighbours in memory and in the file. */
export class RunBuilder {
  readonly runs: Run[] = [];
  #start = 0;
  #length = 0;
  #offset = 0;

  /** @returns false when there are too many runs. */
  add(start: number, length: number, offset: number): boolean {
    if (this.#length > 0) {
      if (start === this.#start + this.#length && offset === this.#offset + this.#length) {
        this.#length += length;
        return true;
      }
      this.end();
    }
    this.#start = start;
    this.#length = length;
    this.#offset = offset;
    return this.runs.length < MAX_RUNS;
  }

  /** Ends the run that the last piece belongs to: `runs` then has them all. */
  end(): Run[] {
    if (this.#length > 0) this.runs.push({ start: this.#start, length: this.#length, offset: this.#offset });
    this.#length = 0;
    return this.runs;
  }
}

const ascending = (runs: readonly Run[]): boolean =>
  runs.every(({ start, length }, index) => start + length <= (runs[index + 1]?.start ?? Infinity));

/** Index of the first of ascending numbers that is not below `value`. */
function lowerBound(sorted: Float64Array, value: number): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((sorted[middle] ?? 0) < value) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Ascending numbers, each once. */
function distinct(values: Float64Array): Float64Array {
  values.sort();
  let count = 0;
  for (const value of values) if (count === 0 || values[count - 1] !== value) values[count++] = value;
  return values.subarray(0, count);
}

/** Cuts runs so that they ascend and do not overlap: of those that hold a byte the last in the list keeps it. */
export function latestRuns(given: readonly Run[]): readonly Run[] {
  const runs = given.filter(({ length }) => length > 0);
  if (ascending(runs)) return runs;
  const borders = distinct(Float64Array.from(runs.flatMap(({ start, length }) => [start, start + length])));
  /** Of the stretch from each border on: 1 + index of the run that has it. */
  const owners = new Uint32Array(borders.length);
  /** The next stretch that nobody owns, as far as is known. */
  const next = Uint32Array.from(borders, (_, index) => index);
  const free = (from: number): number => {
    let index = from;
    while (index < next.length && next[index] !== index) index = next[index] ?? index;
    for (let at = from; at !== index; ) {
      const then = next[at] ?? index;
      next[at] = index;
      at = then;
    }
    return index;
  };
  for (let order = runs.length - 1; order >= 0; order--) {
    const { start, length } = runs[order] ?? { start: 0, length: 0 };
    const end = lowerBound(borders, start + length);
    for (let index = free(lowerBound(borders, start)); index < end; index = free(index)) {
      owners[index] = order + 1;
      next[index] = index + 1;
    }
  }
  const builder = new RunBuilder();
  owners.forEach((owner, index) => {
    const run = runs[owner - 1];
    const start = borders[index] ?? 0;
    if (run) builder.add(start, (borders[index + 1] ?? start) - start, run.offset + start - run.start);
  });
  return builder.end();
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
