// Work that Ctrl-C and its like end in order.
import { Interrupted } from './limits.ts';

/** Exit status of a program that a signal ended, as shells count. */
export const SIGNAL_STATUS: Readonly<Partial<Record<NodeJS.Signals, number>>> = {
  SIGHUP: 129,
  SIGINT: 130,
  SIGTERM: 143,
};

/** Turns signals into an abort while `work` runs; a second one ends the process as it always does. */
export async function interruptible<T>(work: (interrupt: AbortSignal) => Promise<T>): Promise<T> {
  const interrupt = new AbortController();
  const onSignal = (signal: NodeJS.Signals): void => interrupt.abort(new Interrupted(signal));
  const signals = Object.keys(SIGNAL_STATUS) as NodeJS.Signals[]; // the keys above
  for (const signal of signals) process.once(signal, onSignal);
  try {
    return await work(interrupt.signal);
  } finally {
    for (const signal of signals) process.off(signal, onSignal);
  }
}
