// Runs fuzz jobs in a worker thread: a hang is ended and its input named, memory is bounded, and the job goes on behind it.
//
// Time: an input that does not end within 10 s of CPU time is a hang; one that takes longer than a second of it is slow.
// Memory: the worker's heap is bounded by its limits (V8 ends the thread), typed arrays are counted (allocations.ts).
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { cpuTime, Progress } from './progress.ts';

const HANG_MS = 10_000;
const LOOK_MS = 200;
const HEAP_MIB = 256;
/** Failures at different places of our code that a job remembers; more of them are only counted. */
const MAX_PLACES = 20;

export interface FuzzJob {
  readonly target: string;
  readonly seed: number;
  /** Numbers of the inputs: from..to-1. */
  readonly from: number;
  readonly to: number;
}

export interface Failure {
  readonly number: number;
  readonly kind: 'error' | 'slow' | 'memory' | 'hang';
  readonly detail: string;
}

export interface FuzzResult {
  readonly progress: Progress;
  readonly seconds: number;
  /** The first of each place. */
  readonly failures: readonly Failure[];
  readonly failed: number;
}

/** Where in our code an error arose: its first two places; for others the kind will do. */
function placeOf({ kind, detail }: Failure): string {
  const lines = detail.split('\n').filter((line) => /^\s+at /.test(line) && !line.includes('/test/fuzz/'));
  return [kind, ...lines.slice(0, 2)].join('\n');
}

const typescript = fileURLToPath(new URL('../../tools/dev/typescript.mjs', import.meta.url));

export class Fuzzer implements AsyncDisposable {
  #worker: Worker | undefined;
  readonly #hangMs: number;

  constructor(hangMs: number = HANG_MS) {
    this.#hangMs = hangMs;
  }

  /** @param onFailure told of the first failure at each place, when it happens. */
  async run(job: FuzzJob, onFailure: (failure: Failure) => void = () => undefined): Promise<FuzzResult> {
    const progress = new Progress();
    const places = new Map<string, Failure>();
    const start = performance.now();
    let failed = 0;
    const fail = (failure: Failure): void => {
      failed++;
      const place = placeOf(failure);
      if (places.has(place) || places.size >= MAX_PLACES) return;
      places.set(place, failure);
      onFailure(failure);
    };
    for (let from = job.from; from < job.to; ) {
      const stopped = await this.#part({ ...job, from }, progress, fail);
      if (!stopped) break;
      fail(stopped);
      from = stopped.number + 1;
    }
    const seconds = (performance.now() - start) / 1000;
    return { progress, seconds, failures: [...places.values()], failed };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#worker?.terminate();
    this.#worker = undefined;
  }

  /** Runs a job to its end, or to the failure that ended its worker. */
  async #part(
    job: FuzzJob,
    progress: Progress,
    fail: (failure: Failure) => void,
  ): Promise<Failure | undefined> {
    progress.current = job.from - 1;
    this.#worker ??= new Worker(new URL('worker.ts', import.meta.url), {
      execArgv: ['--import', typescript],
      resourceLimits: { maxOldGenerationSizeMb: HEAP_MIB },
    });
    const worker = this.#worker;
    const listening = new AbortController();
    const stopped = await new Promise<Failure | undefined>((resolve, reject) => {
      const stop = (kind: Failure['kind'], detail: string): void => {
        this.#worker = undefined;
        resolve({ number: progress.current, kind, detail });
      };
      const onMessage = (message: { failure?: Failure; done?: boolean }): void => {
        if (message.failure) fail(message.failure);
        if (message.done) resolve(undefined);
      };
      const onError = (error: Error & { code?: string }): void => {
        if (error.code === 'ERR_WORKER_OUT_OF_MEMORY') stop('memory', `heap above ${HEAP_MIB} MiB`);
        else reject(error);
      };
      worker.on('message', onMessage).on('error', onError);
      let seen = progress.current;
      let since = cpuTime();
      const watch = setInterval(() => {
        // Before the first input the worker is still being loaded, or makes its seeds.
        if (progress.current !== seen || seen < job.from) {
          seen = progress.current;
          since = cpuTime();
        } else if (cpuTime() - since > this.#hangMs) {
          stop('hang', `no end after ${this.#hangMs / 1000} s`);
          void worker.terminate();
        }
      }, LOOK_MS);
      listening.signal.addEventListener('abort', () => {
        clearInterval(watch);
        worker.off('message', onMessage).off('error', onError);
      });
      worker.postMessage({ job, shared: progress.shared });
    }).finally(() => listening.abort());
    return stopped;
  }
}
