// Everything that two reports differ in, as data. Symmetric: comparing (b, a) gives the mirror image of (a, b).
import type { CrashFrame, CrashVcpu } from '../crash.ts';
import type { Report } from '../report.ts';
import { isIdle, tellingFrames } from '../signature/frames.ts';
import { crashTitle } from '../signature/title.ts';
import { functionName } from '../signature.ts';
import { isRepeated } from '../xen-log.ts';
import { type AlignedRow, align, surplus } from './align.ts';
import { compareSettings, type SettingDifference } from './config.ts';
import { type ConsoleDifference, compareConsoles, normaliseLine } from './console.ts';
import type { Pair } from './pair.ts';
import { compareRegisters, type RegisterDifference } from './registers.ts';
import { EVERYTHING, type Scope, type Section } from './scope.ts';
import { CountingSieve, type LeftOut, type Noise, type Sieve } from './sieve.ts';
import { comparePhases, type PhaseDifference } from './timing.ts';
import { type Judgement, judge } from './verdict.ts';

export interface Side {
  readonly path: string;
  readonly domain: string;
  readonly kernel: string;
  readonly signature: { readonly text: string; readonly sha8: string; readonly weak: boolean };
}

export interface Comparison {
  readonly schema: 'pvh-report-diff/1';
  readonly judgement: Judgement;
  readonly sides: { readonly a: Side; readonly b: Side };
  /** What else changed between the runs: the more of it, the less a verdict says. */
  readonly conditions: readonly Pair[];
  /** How many of them, and of the settings, may have to do with a crash. */
  readonly changed: number;
  /** Of the vCPUs that the crashes are about, machinery included. */
  readonly stack: {
    readonly vcpu: { readonly a: number | undefined; readonly b: number | undefined };
    readonly rows: readonly AlignedRow[];
  };
  /** Where the other vCPUs were, those that were in different functions. */
  readonly vcpus: readonly Pair[];
  readonly registers: readonly RegisterDifference[];
  readonly config: readonly SettingDifference[];
  /** Absent when a side has no console. */
  readonly console?: ConsoleDifference;
  readonly timing: readonly PhaseDifference[];
  readonly xenLog: { readonly a: readonly string[]; readonly b: readonly string[] };
  readonly missing: readonly Pair[];
  /** Absent when that is everything. */
  readonly leftOut?: LeftOut;
}

const STACK_LIMIT = 256;

const differing = (rows: readonly Pair[]): Pair[] => rows.filter(({ a, b }) => a !== b);

const side = ({ path, signature: { text, sha8, weak }, manifest: { domain, kernel } }: Report): Side => ({
  path,
  signature: { text, sha8, weak },
  domain: domain.domid === undefined ? domain.name : `${domain.name} (${domain.domid})`,
  kernel:
    kernel.banner?.replace(/^(Linux version \S+) .*?(#\d+ .*)$/, '$1 $2') ??
    `kernel ${kernel.buildId ?? kernel.sha256?.slice(0, 12) ?? 'unknown'}`,
});

const frameName = ({ symbol, address }: CrashFrame): string =>
  symbol === undefined ? address : functionName(symbol);

const stackNames = ({ signature: { vcpu } }: Report): string[] => (vcpu?.frames ?? []).map(frameName);

/** In one or two words. */
function whereabouts(vcpu: CrashVcpu | undefined): string | undefined {
  if (vcpu === undefined) return undefined;
  if (!vcpu.online) return 'offline';
  const [first] = vcpu.frames.slice(0, 1);
  if (first?.symbol === undefined) return vcpu.missing ?? 'no names';
  return isIdle(vcpu) ? 'idle' : (tellingFrames(vcpu.frames)[0]?.name ?? functionName(first.symbol));
}

function compareOthers(a: Report, b: Report): Pair[] {
  const others = ({ vcpus, signature }: Report) =>
    new Map(vcpus.filter(({ id }) => id !== signature.vcpu?.id).map((vcpu) => [vcpu.id, whereabouts(vcpu)]));
  const [left, right] = [others(a), others(b)];
  const ids = [...left.keys()].filter((id) => right.has(id)).sort((x, y) => x - y);
  return differing(ids.map((id) => ({ what: `vcpu${id}`, a: left.get(id), b: right.get(id) })));
}

const MAX_XEN_LOG = 8 << 20;

/** Lines of the runtime's log with the domain's number taken out. */
const xenLines = (log: string): string[] =>
  log
    .slice(0, MAX_XEN_LOG)
    .split('\n')
    .filter((line) => line !== '' && !isRepeated(line))
    .map((line) => normaliseLine(line).replace(/\b(d|Dom)\d+(?=\b|v\d)/g, '$1N'));

/** What some sources never have: then it is on no ledger. */
const NOT_EVERYWHERE: readonly (readonly [string, (report: Report) => unknown])[] = [
  ['configuration', ({ config, hostConfig }) => config ?? hostConfig],
  ['xl-dmesg.txt', ({ xenLog }) => xenLog],
];

/** Items that a report has not, with reasons. */
function absentFrom(report: Report): ReadonlyMap<string, string> {
  const absent = NOT_EVERYWHERE.filter(([, of]) => of(report) === undefined);
  return new Map([
    ...absent.map(([item]) => [item, 'not in this report'] as const),
    ...report.manifest.missing.map(({ item, reason }) => [item, reason] as const),
  ]);
}

function compareMissing(a: Report, b: Report): Pair[] {
  const [left, right] = [absentFrom(a), absentFrom(b)];
  const items = [...new Set([...left.keys(), ...right.keys()])].sort();
  return items
    .filter((item) => left.has(item) !== right.has(item))
    .map((what) => ({ what, a: left.get(what), b: right.get(what) }));
}

function compareConditions(a: Report, b: Report): Pair[] {
  const [left, right] = [a.manifest, b.manifest];
  const buildIds = left.kernel.buildId !== undefined && right.kernel.buildId !== undefined;
  // Symbols that are each kernel's own are no change beside the kernels.
  const ownSymbols = [left, right].every(({ symbolsBuildId, kernel }) => symbolsBuildId === kernel.buildId);
  return differing([
    buildIds
      ? { what: 'kernel', a: left.kernel.buildId, b: right.kernel.buildId }
      : { what: 'kernel file', a: left.kernel.sha256?.slice(0, 12), b: right.kernel.sha256?.slice(0, 12) },
    ...(ownSymbols ? [] : [{ what: 'symbols', a: left.symbolsBuildId, b: right.symbolsBuildId }]),
    { what: 'Xen', a: left.xen, b: right.xen },
    { what: 'tool', a: left.tool, b: right.tool },
    { what: 'vCPUs', a: String(a.vcpus.length), b: String(b.vcpus.length) },
  ]);
}

/** Settings that the conditions have already. */
const IN_CONDITIONS: ReadonlySet<string> = new Set(['vcpus', 'kernel']);

/** What the verdict rests on, by the names of a section's rows and lines. */
const evidenceOf =
  (reports: readonly Report[]) =>
  (section: Section): readonly string[] =>
    section === 'stack'
      ? reports.flatMap(({ signature: { frames, names } }) => frames.slice(0, names.length).map(frameName))
      : reports.flatMap(({ console }) => {
          const said = crashTitle(console ?? '')?.raw;
          return said === undefined ? [] : [normaliseLine(said)];
        });

export function compareInOrder(a: Report, b: Report, sieve: Sieve): Comparison {
  const conditions = sieve.rows('conditions', compareConditions(a, b));
  const config = sieve.rows('config', compareSettings(a, b));
  const isNew = ({ what, harmless }: SettingDifference) => !harmless && !IN_CONDITIONS.has(what);
  const changed = conditions.length + config.filter(isNew).length;
  const [left, right] = [a.console ?? '', b.console ?? ''];
  const both = a.console !== undefined && b.console !== undefined;
  const bothLogged = a.xenLog !== undefined && b.xenLog !== undefined;
  const xenLog = bothLogged ? surplus(xenLines(a.xenLog), xenLines(b.xenLog)) : { a: [], b: [] };
  return {
    schema: 'pvh-report-diff/1',
    judgement: judge(a, b),
    sides: { a: side(a), b: side(b) },
    conditions,
    changed,
    stack: {
      vcpu: { a: a.signature.vcpu?.id, b: b.signature.vcpu?.id },
      rows: sieve.rows('stack', align(stackNames(a), stackNames(b), STACK_LIMIT)),
    },
    vcpus: sieve.rows('vcpus', compareOthers(a, b)),
    registers: sieve.rows(
      'registers',
      compareRegisters(a.signature.vcpu?.registers ?? [], b.signature.vcpu?.registers ?? []),
    ),
    config,
    ...(both && sieve.takes('console') && { console: compareConsoles(left, right, sieve.lines) }),
    timing: sieve.rows('timing', both ? comparePhases(left, right) : []),
    xenLog: { a: sieve.rows('xenLog', xenLog.a), b: sieve.rows('xenLog', xenLog.b) },
    missing: sieve.rows('missing', compareMissing(a, b)),
  };
}

/** Exchanges every `a` with its `b`. */
export function mirror<T>(value: T): T {
  const swap = (node: unknown): unknown => {
    if (Array.isArray(node)) return node.map(swap);
    if (typeof node !== 'object' || node === null) return node;
    const entries = Object.entries(node).map(([key, each]): [string, unknown] => {
      if (key === 'in' && (each === 'a' || each === 'b')) return [key, each === 'a' ? 'b' : 'a'];
      return [key === 'a' ? 'b' : key === 'b' ? 'a' : key, swap(each)];
    });
    // `a` first in every object, as in the original.
    return Object.fromEntries(
      entries.sort(([x], [y]) => (x === 'b' && y === 'a' ? 1 : x === 'a' && y === 'b' ? -1 : 0)),
    );
  };
  return swap(value) as T; // the same shape with two keys exchanged
}

/** The same order whatever the caller's: alignments break ties, and must break them the same way both times. */
export const inOrder = (a: Report, b: Report): readonly [Report, Report] =>
  b.digest < a.digest ? [b, a] : [a, b];

/** What is asked for: everything, unless it says less. */
export interface Wanted {
  readonly scope?: Scope;
  /** What runs like `a` differ in. */
  readonly noise?: Noise | undefined;
}

export function compareReports(a: Report, b: Report, { scope = EVERYTHING, noise }: Wanted = {}): Comparison {
  const sieve = new CountingSieve(scope, noise);
  const [first, second] = inOrder(a, b);
  const compared = compareInOrder(first, second, sieve);
  const comparison = first === a ? compared : mirror(compared);
  const leftOut = sieve.leftOut(comparison.judgement, evidenceOf([a, b]));
  return leftOut === undefined ? comparison : { ...comparison, leftOut };
}
