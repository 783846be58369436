// What differs between runs that should be alike, and so tells nothing when it differs between two others.
import type { Report } from '../report.ts';
import { compareInOrder, inOrder } from './compare.ts';
import { unsteadyLines } from './console.ts';
import { type Marks, mark, type Noise, recorder } from './sieve.ts';

/** @param others reports that should be like `report`, one after the other. */
export async function noiseOf(
  report: Report,
  others: Iterable<Report> | AsyncIterable<Report>,
): Promise<Noise> {
  const marks: Marks = new Map();
  const baselines: Noise['baselines'][number][] = [];
  for await (const other of others) {
    const [a, b] = inOrder(report, other);
    const { judgement } = compareInOrder(a, b, recorder(marks));
    baselines.push({ path: other.path, verdict: judgement.verdict });
    if (a.console !== undefined && b.console !== undefined)
      for (const [words, apart] of unsteadyLines(a.console, b.console)) mark(marks, 'console', words, apart);
  }
  return { marks, baselines };
}
