// Keeps a domain of a real Xen host paused while it is read. Another process does it, which unpauses when this one lets go or
// dies, by whatever signal: Xen counts pauses, and one that nobody takes back stays.
import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { PvhError } from '../../symbols/errors.ts';
import { startCompanion } from '../host/companion.ts';
import { Channel } from './xen-channel.ts';
import type { Native } from './xen-native.ts';

/** What the guard says once the domain stands still. */
export const PAUSED = 'paused';

/** Starting a Node takes some 40 ms; on an emulated machine that is busy, seconds. */
const START_MS = 60_000;
const END_MS = 20_000;
const LONGEST_WORD = 4096;

/** A pause in force. */
export interface Pause {
  /** Waits until the domain runs again. Harmless when repeated. */
  readonly release: () => void;
}

const GUARD = `../../tools/bin/xen-guard${extname(import.meta.url)}`;

/** Pauses a domain. @throws PvhError when Xen refuses, or the guard does not come up. */
export function holdPaused(native: Native, domid: number): Pause {
  const [mine, its] = Channel.pair(native);
  try {
    startCompanion(fileURLToPath(new URL(GUARD, import.meta.url)), [String(domid)], its.descriptor);
  } finally {
    its.close();
  }
  try {
    const word = Buffer.from(mine.receive(LONGEST_WORD, START_MS)).toString();
    if (word !== PAUSED)
      throw new PvhError(
        'EPAUSE',
        `domain ${domid} could not be paused: ${word || 'the guard process did not start'}`,
      );
  } catch (error) {
    mine.close();
    throw error;
  }
  let held = true;
  return {
    release() {
      if (!held) return;
      held = false;
      try {
        mine.send(Buffer.from('unpause'));
        mine.receive(1, END_MS);
      } catch (error) {
        // Without this process it unpauses too, only later.
        if (!(error instanceof PvhError)) throw error;
      } finally {
        mine.close();
      }
    },
  };
}
