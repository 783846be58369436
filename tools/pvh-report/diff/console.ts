// Where two console logs part company. Times and addresses differ between any two runs and count as equal.
import { surplus } from './align.ts';

export interface ConsoleDifference {
  readonly lines: { readonly a: number; readonly b: number };
  /** Lines that have no partner, anywhere. */
  readonly surplus: { readonly a: number; readonly b: number };
  /** Absent when the logs agree. Line numbers count from 1; a log that ended has no line there. */
  readonly divergence?: {
    readonly line: number;
    /** Up to three common lines before. */
    readonly before: readonly string[];
    readonly a: readonly string[];
    readonly b: readonly string[];
  };
}

/** Linux's `[    1.234567] `, Xen's `[2026-11-22 10:59:00] `, and numbers that are addresses. */
export const normaliseLine = (line: string): string =>
  line
    .replace(/\r/g, '')
    .replace(/^(<\d>)?\[ *\d+\.\d+\](\[ *[TC]\d+\])? ?/, '')
    .replace(/\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)?\] ?/, '')
    .replace(/\b(0x)?[0-9a-f]{8,16}\b/gi, '<hex>')
    .trimEnd();

const CONTEXT = 3;

export function compareConsoles(a: string, b: string): ConsoleDifference {
  const split = (text: string) => text.replace(/\n$/, '').split('\n').map(normaliseLine);
  const left = split(a);
  const right = split(b);
  const longest = Math.max(left.length, right.length);
  let same = 0;
  while (same < longest && left[same] === right[same]) same++;
  const rest = surplus(left, right);
  const counts = {
    lines: { a: left.length, b: right.length },
    surplus: { a: rest.a.length, b: rest.b.length },
  };
  if (same === longest) return counts;
  return {
    ...counts,
    divergence: {
      line: same + 1,
      before: left.slice(Math.max(0, same - CONTEXT), same),
      a: left.slice(same, same + CONTEXT),
      b: right.slice(same, same + CONTEXT),
    },
  };
}
