// How long a guest took for each part of its life, by the times that its kernel printed.
import { crashTitle } from '../signature/title.ts';
import { printedSeconds } from './console.ts';

export interface PhaseDifference {
  readonly phase: string;
  /** Seconds; absent on a side that did not get there. */
  readonly a?: number | undefined;
  readonly b?: number | undefined;
  /** Beyond what two runs of one guest differ in. */
  readonly differs: boolean;
}

/** Less than this (seconds, share of the longer) is chance. */
const TOLERANCE = { seconds: 0.1, share: 0.2 };

/** Where phases end; each begins where the one before it ended. */
const MARKS: readonly { readonly phase: string; readonly line: RegExp }[] = [
  { phase: 'kernel', line: /\] Run \S{1,200} as init process/ },
];

function phasesOf(console: string): ReadonlyMap<string, number> {
  const lines = console.split('\n');
  const phases = new Map<string, number>();
  const add = (phase: string, from: number, to: number | undefined): number => {
    if (to === undefined || to < from) return from;
    phases.set(phase, Math.round((to - from) * 1e6) / 1e6);
    return to;
  };
  let since = 0;
  for (const { phase, line } of MARKS)
    since = add(phase, since, printedSeconds(lines.find((each) => line.test(each))));
  const title = crashTitle(console);
  add('until the crash', since, title && printedSeconds(lines[title.line]));
  return phases;
}

export function comparePhases(a: string, b: string): PhaseDifference[] {
  const [left, right] = [phasesOf(a), phasesOf(b)];
  const phases = [...MARKS.map(({ phase }) => phase), 'until the crash'];
  return phases.flatMap((phase) => {
    const [x, y] = [left.get(phase), right.get(phase)];
    if (x === undefined && y === undefined) return [];
    const apart = Math.abs((x ?? 0) - (y ?? 0));
    const longer = Math.max(x ?? 0, y ?? 0);
    const differs =
      x === undefined || y === undefined || (apart > TOLERANCE.seconds && apart > TOLERANCE.share * longer);
    return [{ phase, a: x, b: y, differs }];
  });
}
