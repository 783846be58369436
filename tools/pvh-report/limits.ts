// How long things may take, and how they are told to stop: one deadline for all, a time for each.
import type { Collector } from './collector.ts';

/** Why something was ended before it was done. */
export class OutOfTime extends Error {}

/** The user (or the system) asked us to end. */
export class Interrupted extends Error {
  readonly signal: NodeJS.Signals;
  constructor(signal: NodeJS.Signals) {
    super(`interrupted by ${signal}`);
    this.signal = signal;
  }
}

export interface TimeLimits {
  /** Seconds for each collector, in place of what the table says. */
  readonly timeout?: number | undefined;
  /** Seconds for everything together. */
  readonly deadline: number;
}

/** For everything together, unless the user says something else. */
export const DEFAULT_DEADLINE_SECONDS = 600;

/** A signal that stops after `seconds`, and when `whole` does. Call `clear` when the work is done. */
function limit(
  whole: AbortSignal,
  seconds: number,
  why: string,
): { readonly signal: AbortSignal; clear(): void } {
  const own = new AbortController();
  const timer = setTimeout(() => own.abort(new OutOfTime(why)), seconds * 1000);
  return { signal: AbortSignal.any([whole, own.signal]), clear: () => clearTimeout(timer) };
}

/** Work that cannot be stopped: left alone once the signal says so. @throws the signal's reason. */
export function orStopped<T>(signal: AbortSignal, work: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(signal.reason);
    if (signal.aborted) onAbort();
    signal.addEventListener('abort', onAbort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}

/** The limits of one collection; they begin to count when this is made. */
export class Limits implements Disposable {
  readonly #timeout: number | undefined;
  readonly #whole: { readonly signal: AbortSignal; clear(): void };

  /** @param interrupt stops everything at once. */
  constructor({ timeout, deadline }: TimeLimits, interrupt: AbortSignal) {
    this.#timeout = timeout;
    this.#whole = limit(interrupt, deadline, `the deadline of ${deadline} s for everything had passed`);
  }

  /** @throws Interrupted */
  throwIfInterrupted(): void {
    const { reason } = this.#whole.signal;
    if (reason instanceof Interrupted) throw reason;
  }

  secondsFor({ seconds }: Collector): number {
    return this.#timeout ?? seconds;
  }

  /**
   * Does work that ends early when its signal says so.
   * @throws OutOfTime, Interrupted, and what the work throws.
   */
  async within<T>(collector: Collector, work: (signal: AbortSignal) => T | Promise<T>): Promise<T> {
    const seconds = this.secondsFor(collector);
    const { signal, clear } = limit(this.#whole.signal, seconds, `it was not done within ${seconds} s`);
    try {
      signal.throwIfAborted();
      return await work(signal);
    } finally {
      clear();
    }
  }

  [Symbol.dispose](): void {
    this.#whole.clear();
  }
}
