// Holds a domain of a real Xen host paused. xenctx and pvh-report start it; people do not. Argument: domid. Standard input is a
// stream to whoever started it: when that one writes or ends, the domain is unpaused.
import { writeSync } from 'node:fs';
import { XenControl } from '../../core/target/xen-control.ts';
import { PAUSED } from '../../core/target/xen-pause.ts';

const STREAM = 0;
const domid = Number(process.argv[2]);

/** Whoever reads may have gone; that is told by the stream's end. */
function say(word: string): void {
  try {
    writeSync(STREAM, word);
  } catch {}
}

let paused: XenControl | undefined;
process.on('exit', () => {
  try {
    paused?.unpause(domid);
  } catch {
    // The domain has gone.
  }
  say('unpaused');
});
const end = (): void => process.exit();
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, end);

// Before all else: whoever ended while this one started wants no pause any more.
process.stdin.on('data', end).on('end', end).on('close', end).on('error', end);

try {
  const control = await XenControl.open();
  await new Promise((turn) => setImmediate(turn));
  control.pause(domid);
  paused = control;
  say(PAUSED);
} catch (error) {
  say(error instanceof Error ? error.message : String(error));
}
