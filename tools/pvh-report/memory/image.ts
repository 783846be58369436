// The image of a guest's memory that goes into a report when it is asked for: a dump-core file, compressed as it is read. Decides
// which frames are in it; what everything else in a report is made from is not this but the record.
import { createHash } from 'node:crypto';
import { dumpCoreSteps } from '../../../core/dump/dump-core.ts';
import { chunksOf, isZeros } from '../../../core/dump/vmcore-image.ts';
import type { Target } from '../../../core/target/target.ts';
import { FormatError } from '../../../symbols/errors.ts';
import type { LinuxGuest } from '../../../symbols/kernel/linux-guest.ts';
import { attempt, type Known } from '../../../symbols/kernel/linux-memory.ts';
import { PageKinds } from '../../../symbols/kernel/page-kinds.ts';
import { systemError } from '../../shared/failure.ts';
import { NOT_LINUX } from '../../shared/unwinding.ts';
import { IMAGE, type LargeFile } from '../archive.ts';
import type { Problem } from '../evidence.ts';
import { OutOfTime } from '../limits.ts';
import { CompressedDump } from './compressed-dump.ts';
import type { Image, ImageOrder } from './image-order.ts';
import { dumpHeader } from './record.ts';
import type { Spool } from './spool.ts';
import type { ImageMemory } from './target-file.ts';
import { NO_COMPRESSOR, openCompressor } from './zstd.ts';

/** 64 GiB, compressed. */
export const MAX_IMAGE: number = 64 * 2 ** 30;

/** What looking at the guest has given already. */
interface KnownGuest {
  readonly linux: LinuxGuest | undefined;
  /** Frames that are in the image whatever they are used for. */
  readonly kept: ReadonlySet<number>;
}

type Counts = { -readonly [Key in keyof ImageMemory['leftOut']]: number } & {
  frames: number;
  unknown: number;
};

/** Runs of the frames that are wanted; what is not is counted. */
function* chosenRuns(
  { frames }: Target,
  kinds: PageKinds,
  kept: ReadonlySet<number>,
  counts: Counts,
): Generator<readonly [number, number]> {
  for (const [first, length] of frames) {
    let start = first;
    let gfn = first;
    for (const [kind, count] of kinds.kinds(first, length)) {
      const end = gfn + count;
      if (kind === 'unknown') counts.unknown += count;
      else if (kind !== 'kernel')
        for (; gfn < end; gfn++) {
          if (kept.has(gfn)) continue;
          if (gfn > start) yield [start, gfn - start];
          start = gfn + 1;
          counts[kind]++;
        }
      gfn = end;
    }
    if (gfn > start) yield [start, gfn - start];
  }
}

/** Frames that can be read. */
function* readable(
  target: Target,
  runs: Iterable<readonly [number, number]>,
  counts: Counts,
  end: number,
): Generator<readonly [number, Uint8Array | undefined, number]> {
  const memory = {
    frames: runs,
    readPhysical: (address: number, into: Uint8Array) => {
      if (performance.now() > end) throw new OutOfTime('it was not done in time (--timeout gives it more)');
      target.readPhysical(address, into);
    },
  };
  // Many at once: one by one they cost half as much again as compressing them.
  for (const { gfn, count, bytes } of chunksOf(memory)) {
    if (!bytes) {
      counts.unreadable++;
      continue;
    }
    counts.frames += count;
    yield [gfn, isZeros(bytes) ? undefined : bytes, count];
  }
}

function pageKinds(linux: LinuxGuest | undefined): Known<PageKinds> {
  return linux ? attempt(() => new PageKinds(linux.linux, linux.vmcoreinfo)) : { missing: NOT_LINUX };
}

const untold = (why: string): string =>
  `what its pages are used for cannot be told: ${why} (--memory=all takes them all)`;

function fileOf(head: readonly Uint8Array[], spool: Spool): LargeFile {
  function* chunks(): Generator<Uint8Array> {
    yield* head;
    yield* spool.chunks();
  }
  const hash = createHash('sha256');
  for (const chunk of chunks()) hash.update(chunk);
  const size = head.reduce((sum, { length }) => sum + length, spool.size);
  return { name: IMAGE, size, sha256: hash.digest('hex'), chunks };
}

async function makeImage(
  target: Target,
  { kind, spool, seconds }: ImageOrder,
  { linux, kept }: KnownGuest,
  signal: AbortSignal,
): Promise<Image | Problem> {
  const end = performance.now() + seconds * 1000;
  const compress = openCompressor();
  if (!compress) return { problem: NO_COMPRESSOR, cause: 'program' };
  const kinds = kind === 'kernel' ? pageKinds(linux) : undefined;
  if (kinds?.missing !== undefined) return { problem: untold(kinds.missing), cause: 'failed' };
  const counts: Counts = { frames: 0, free: 0, user: 0, cache: 0, unreadable: 0, unknown: 0 };
  const runs = kinds ? chosenRuns(target, kinds.value, kept, counts) : target.frames;
  const dump = new CompressedDump(compress, (frame) => {
    if (spool.size > MAX_IMAGE) throw new FormatError(`larger than ${MAX_IMAGE} bytes, compressed`);
    spool.append(frame);
  });
  const frames = readable(target, runs, counts, end);
  for (const _ of dumpCoreSteps(dump, { ...dumpHeader(target), frames })) {
    // Signals have their turn.
    await new Promise((wake) => setImmediate(wake));
    signal.throwIfAborted();
  }
  const { frames: taken, unknown, ...leftOut } = counts;
  if (kinds && unknown >= taken) return { problem: untold('no struct page can be read') };
  return { file: fileOf(dump.finish(), spool), memory: { taken: kind, frames: taken, unknown, leftOut } };
}

/** @throws the signal's reason when it is told to stop. */
export async function takeImage(
  target: Target,
  order: ImageOrder,
  known: KnownGuest,
  signal: AbortSignal,
): Promise<Image | Problem> {
  try {
    return await makeImage(target, order, known, signal);
  } catch (error) {
    if (signal.aborted) throw error;
    const problem = systemError(error) ?? (error instanceof Error ? error.message : String(error));
    return { problem, cause: error instanceof OutOfTime ? 'time' : 'failed' };
  }
}
