// The thread in which inputs are read. It tells after each where it is, so that the harness sees a hang and knows its input.
import { setImmediate } from 'node:timers/promises';
import { parentPort } from 'node:worker_threads';
import { FormatError, MemoryFault } from '../../symbols/errors.ts';
import { Allocations, TooMuchMemory } from './allocations.ts';
import type { Failure, FuzzJob } from './harness.ts';
import { makeInput } from './mutate.ts';
import { cpuTime, Progress } from './progress.ts';
import type { FuzzTarget } from './target.ts';
import { findTarget } from './targets.ts';

const DEFAULT_MAX_BYTES = 64 << 20;
/** An input that takes longer, and more CPU time than this when it is read again, is a failure. */
const SLOW_MS = 1000;
/**
 * Inputs between two turns of the event loop: what node's zlib has failed on is kept until then (10 KiB for each damaged
 * compressed section).
 */
const TURN = 256;

// Making stacks is most of the work of an input that is refused.
Error.stackTraceLimit = 6;
const allocations = new Allocations();
allocations.watch();

/** What is thrown by an input that is refused in the right way is dropped; the rest is a failure. */
function attempt(target: FuzzTarget, bytes: Uint8Array, progress: Progress): unknown {
  allocations.start(target.maxBytes ?? DEFAULT_MAX_BYTES);
  try {
    progress.read += target.run(bytes);
    return undefined;
  } catch (error) {
    if (!(error instanceof FormatError || error instanceof MemoryFault)) return error ?? 'undefined thrown';
    progress.refused++;
    // A parser may put what was thrown at it into an error of its own.
    return error.cause instanceof TooMuchMemory ? error.cause : undefined;
  } finally {
    allocations.stop();
  }
}

function describe(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}

async function runJob({ target: name, seed, from, to }: FuzzJob, progress: Progress): Promise<void> {
  const target = findTarget(name);
  const seeds = target.seeds();
  const fail = (failure: Failure): void => parentPort?.postMessage({ failure });
  for (let number = from; number < to; number++) {
    if (number % TURN === 0) await setImmediate();
    const bytes = makeInput(name, seeds, seed, number);
    progress.current = number;
    const start = performance.now();
    const thrown = attempt(target, bytes.slice(), progress);
    let time = performance.now() - start;
    const asked = allocations.bytes;
    if (time > SLOW_MS) {
      // On a busy machine it may only have waited.
      const before = cpuTime();
      attempt(target, bytes.slice(), progress);
      time = cpuTime() - before;
    }
    progress.add(number, time, asked);
    if (thrown instanceof TooMuchMemory) fail({ number, kind: 'memory', detail: describe(thrown) });
    else if (thrown !== undefined) fail({ number, kind: 'error', detail: describe(thrown) });
    else if (time > SLOW_MS) fail({ number, kind: 'slow', detail: `${Math.round(time)} ms` });
  }
}

parentPort?.on('message', ({ job, shared }: { job: FuzzJob; shared: SharedArrayBuffer }) => {
  const progress = new Progress(shared);
  void runJob(job, progress).then(() => parentPort?.postMessage({ done: true }));
});
