// Is it the same crash? Rules in order, the first that has an answer decides and says so.
import type { CrashFrame } from '../crash.ts';
import type { Report } from '../report.ts';
import { functionName } from '../signature.ts';

export type Verdict = 'same' | 'different' | 'not comparable';

export interface Judgement {
  readonly verdict: Verdict;
  readonly confidence: 'high' | 'medium' | 'low';
  /** Which rule decided, in words; `a` and `b` are what it looked at. */
  readonly rule: string;
  readonly a?: string | undefined;
  readonly b?: string | undefined;
}

type Rule = (a: Report, b: Report) => Judgement | undefined;

/** So many frames below the machinery must agree: further down, kernels differ in how they got there. */
const FRAMES = 3;

const names = (frames: readonly CrashFrame[]): string[] =>
  frames.slice(0, FRAMES).flatMap(({ symbol }) => (symbol === undefined ? [] : [functionName(symbol)]));

const addresses = (frames: readonly CrashFrame[]): string[] =>
  frames.slice(0, FRAMES).map(({ address }) => address);

const hasEvidence = ({ signature, console }: Report): boolean =>
  signature.frames.length > 0 || signature.title !== undefined || Boolean(console);

function sameKernel(a: Report, b: Report): boolean {
  const [x, y] = [a.manifest.kernel, b.manifest.kernel];
  if (x.buildId !== undefined && y.buildId !== undefined) return x.buildId === y.buildId;
  return x.sha256 !== undefined && x.sha256 === y.sha256;
}

function compareStacks(
  a: readonly string[],
  b: readonly string[],
  of: string,
  agreed: string,
): Judgement | undefined {
  if (a.length === 0 || b.length === 0) return undefined;
  const count = Math.min(a.length, b.length);
  const differing = a.slice(0, count).findIndex((entry, index) => entry !== b[index]);
  if (differing >= 0)
    return {
      verdict: 'different',
      confidence: differing === 0 ? 'high' : 'medium',
      rule: differing === 0 ? `the ${of} differs` : `the ${of} agrees, frame ${differing + 1} differs`,
      a: a[differing],
      b: b[differing],
    };
  return {
    verdict: 'same',
    confidence: count >= 2 ? 'high' : 'medium',
    rule: `${agreed} and the first ${count === 1 ? 'frame agrees' : `${count} frames agree`}`,
  };
}

const RULES: readonly Rule[] = [
  (a, b) =>
    a.digest === b.digest
      ? { verdict: 'same', confidence: 'high', rule: 'the reports are identical' }
      : undefined,
  (a, b) =>
    hasEvidence(a) && hasEvidence(b)
      ? undefined
      : {
          verdict: 'not comparable',
          confidence: 'high',
          rule: 'a report has neither stack nor console',
          a: hasEvidence(a) ? 'has evidence' : 'has none',
          b: hasEvidence(b) ? 'has evidence' : 'has none',
        },
  ({ signature: a }, { signature: b }) =>
    a.ending === b.ending
      ? undefined
      : {
          verdict: 'different',
          confidence: 'high',
          rule: 'the domains ended in different ways',
          a: a.ending,
          b: b.ending,
        },
  ({ signature: a }, { signature: b }) =>
    a.title === b.title || a.title === undefined || b.title === undefined
      ? undefined
      : {
          verdict: 'different',
          confidence: 'high',
          rule: 'the messages on the console differ',
          a: a.title,
          b: b.title,
        },
  ({ signature: a }, { signature: b }) =>
    compareStacks(
      names(a.frames),
      names(b.frames),
      'function at the top of the stack',
      a.title !== undefined && b.title !== undefined ? 'ending, message' : 'ending',
    ),
  (a, b) =>
    sameKernel(a, b)
      ? compareStacks(
          addresses(a.signature.frames),
          addresses(b.signature.frames),
          'address at the top of the stack (same kernel, no names)',
          'ending, kernel',
        )
      : undefined,
  ({ signature: a }, { signature: b }) =>
    a.title !== undefined && a.title === b.title
      ? {
          verdict: 'same',
          confidence: 'low',
          rule: 'ending and message agree; there are no stacks that can be compared',
        }
      : undefined,
];

export function judge(a: Report, b: Report): Judgement {
  for (const rule of RULES) {
    const judgement = rule(a, b);
    if (judgement !== undefined) return judgement;
  }
  return {
    verdict: 'not comparable',
    confidence: 'high',
    rule: 'no message on the console, and no stacks that can be compared: collect with -s and the kernel’s vmlinux',
  };
}
