// xenctx's two traces: every stack word that looks like code, and the chain of frame pointers. Its rules, without its endless loops.
// Neither is an unwinder: a scan finds stale return addresses too, and kernels with ORC keep no frame pointers.
import type { WordReader } from '../memory.ts';
import type { TraceStep } from './frame.ts';

/** Words from `start` up to `limit`; those for which `isText` holds are frames. Ends at memory that cannot be read. */
export function* scanStack(
  words: WordReader,
  start: bigint,
  limit: bigint,
  isText: (value: bigint) => boolean,
): Generator<TraceStep> {
  const step = BigInt(words.wordSize);
  for (let at = start; at < limit; at += step) {
    const value = words.word(at);
    if (value === undefined) {
      yield { kind: 'unreadable', at };
      return;
    }
    if (isText(value)) yield { kind: 'frame', frame: { address: value, stackAddress: at, how: 'scan' } };
    else yield { kind: 'word', at, value, role: 'data' };
  }
}

/**
 * Follows saved frame pointers from `frame`, with the words between as steps. xenctx's rule: a saved frame pointer of 0 ends
 * the chain before its return address. Ours beside it: a chain that does not go up ends too, and words stop at the limit.
 */
export function* followFramePointers(
  words: WordReader,
  start: bigint,
  frame: bigint,
  limit: bigint,
): Generator<TraceStep> {
  const step = BigInt(words.wordSize);
  let at = start;
  let next = frame;
  while (next !== 0n && at < limit && next >= at) {
    for (; at < next && at < limit; at += step) {
      const value = words.word(at);
      if (value === undefined) {
        yield { kind: 'unreadable', at };
        return;
      }
      yield { kind: 'word', at, value, role: 'in frame' };
    }
    at = next;
    const saved = words.word(at);
    if (saved === undefined) {
      yield { kind: 'unreadable', at };
      return;
    }
    yield { kind: 'word', at, value: saved, role: 'saved frame pointer' };
    at += step;
    next = saved;
    if (saved === 0n) return;
    const address = words.word(at);
    if (address === undefined) {
      yield { kind: 'unreadable', at };
      return;
    }
    yield { kind: 'frame', frame: { address, stackAddress: at, how: 'fp' } };
    at += step;
  }
}
