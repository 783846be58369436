// Is it the same crash? Rules in order, the first that has an answer decides and says so.
import type { Report } from '../report.ts';
import type { Signature } from '../signature.ts';
import type { Section } from './scope.ts';

export type Verdict = 'same' | 'different' | 'not comparable';

export interface Judgement {
  readonly verdict: Verdict;
  readonly confidence: 'high' | 'medium' | 'low';
  /** Which rule decided, in words; `a` and `b` are what it looked at. */
  readonly rule: string;
  /** Sections that show what it looked at; none has how a domain ended. */
  readonly restsOn: readonly Section[];
  readonly a?: string | undefined;
  readonly b?: string | undefined;
  /** Of the same crash in the same kernel: true when it was at another instruction of the same function. */
  readonly otherSite?: true;
}

type Rule = (a: Report, b: Report) => Judgement | undefined;

const hasEvidence = ({ signature, console }: Report): boolean =>
  signature.frames.length > 0 || signature.message !== undefined || Boolean(console);

function sameKernel(a: Report, b: Report): boolean {
  const [x, y] = [a.manifest.kernel, b.manifest.kernel];
  if (x.buildId !== undefined && y.buildId !== undefined) return x.buildId === y.buildId;
  return x.sha256 !== undefined && x.sha256 === y.sha256;
}

/** Places in the same function of the same kernel that are not the same. */
function isOtherSite(a: Report, b: Report): boolean {
  const [x, y] = [a.signature.frames[0]?.symbol, b.signature.frames[0]?.symbol];
  return sameKernel(a, b) && x !== undefined && y !== undefined && x !== y;
}

/** What a source says that cannot know how the domain ended: a dump file, a gdb stub, a host that was not asked. */
const UNTOLD: ReadonlySet<string> = new Set(['dump', 'live', 'unknown']);

const areEndingsTold = (a: Signature, b: Signature): boolean =>
  !UNTOLD.has(a.ending) && !UNTOLD.has(b.ending);

const wordsAgree = (a: Signature, b: Signature): string =>
  areEndingsTold(a, b) ? 'ending and message agree' : 'the messages agree';

const listed = (parts: readonly string[]): string =>
  [parts.slice(0, -1).join(', '), ...parts.slice(-1)].filter((part) => part !== '').join(' and ');

const agreeing = (count: number, [one, more]: readonly [string, string]): string =>
  count === 1 ? `first ${one} agrees` : `first ${count} ${more} agree`;

function compareStacks(a: Report, b: Report): Judgement | undefined {
  const [x, y] = [a.signature, b.signature];
  if (x.names.length === 0 || y.names.length === 0 || x.weak !== y.weak) return undefined;
  if (x.weak && !sameKernel(a, b)) return undefined;
  const of = x.weak ? 'address' : 'function';
  const count = Math.min(x.names.length, y.names.length);
  const differing = x.names.slice(0, count).findIndex((name, index) => name !== y.names[index]);
  // Without names the first addresses are those that stop a kernel: any difference is one.
  if (differing >= 0)
    return {
      verdict: 'different',
      confidence: differing === 0 && !x.weak ? 'high' : 'medium',
      rule:
        differing === 0
          ? `the ${of} at the top of the stack differs${x.weak ? ' (same kernel, no names)' : ''}`
          : `the ${of} at the top of the stack agrees, frame ${differing + 1} differs`,
      a: x.names[differing],
      b: y.names[differing],
      restsOn: ['stack'],
    };
  const isSaid = x.message !== undefined && y.message !== undefined;
  const beside = [...(areEndingsTold(x, y) ? ['ending'] : []), ...(isSaid ? ['message'] : [])];
  return {
    verdict: 'same',
    confidence: count >= 2 && beside.length > 0 ? 'high' : 'medium',
    rule: x.weak
      ? listed([...beside, 'kernel', `the ${agreeing(count, ['address', 'addresses'])}`])
      : listed([...beside, `the ${agreeing(count, ['frame', 'frames'])}`]),
    restsOn: isSaid ? ['stack', 'console'] : ['stack'],
    ...(!x.weak && isOtherSite(a, b) && { otherSite: true }),
  };
}

/** A stack that is all machinery, and a message that says it all. */
const isMessageOnly = ({ weak, names, message }: Signature): boolean =>
  !weak && names.length === 0 && message !== undefined;

const RULES: readonly Rule[] = [
  (a, b) =>
    a.digest === b.digest
      ? { verdict: 'same', confidence: 'high', rule: 'the reports are identical', restsOn: [] }
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
          restsOn: ['stack', 'console'],
        },
  ({ signature: a }, { signature: b }) =>
    a.ending === b.ending || !areEndingsTold(a, b)
      ? undefined
      : {
          verdict: 'different',
          confidence: 'high',
          rule: 'the domains ended in different ways',
          a: a.ending,
          b: b.ending,
          restsOn: [],
        },
  ({ signature: a }, { signature: b }) =>
    a.message === b.message || a.message === undefined || b.message === undefined
      ? undefined
      : {
          verdict: 'different',
          confidence: 'high',
          rule: 'the messages on the console differ',
          a: a.message,
          b: b.message,
          restsOn: ['console'],
        },
  ({ signature: a }, { signature: b }) =>
    isMessageOnly(a) && isMessageOnly(b)
      ? {
          verdict: 'same',
          confidence: 'high',
          rule: `${wordsAgree(a, b)}, and nothing lies below the panic`,
          restsOn: ['stack', 'console'],
        }
      : undefined,
  compareStacks,
  ({ signature: a }, { signature: b }) =>
    a.message !== undefined && a.message === b.message
      ? {
          verdict: 'same',
          confidence: 'low',
          rule: `${wordsAgree(a, b)}; there are no stacks that can be compared`,
          restsOn: ['console'],
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
    restsOn: ['stack', 'console'],
  };
}
