// Everything that two reports differ in, as data. Symmetric: comparing (b, a) gives the mirror image of (a, b).
import { parseConfigFile } from '../../../core/domain/config-file.ts';
import { PvhError } from '../../../symbols/errors.ts';
import { parseHostConfig } from '../host-config.ts';
import type { Report } from '../report.ts';
import { functionName } from '../signature.ts';
import { isRepeated } from '../xen-log.ts';
import { type AlignedRow, align, surplus } from './align.ts';
import { type ConsoleDifference, compareConsoles, normaliseLine } from './console.ts';
import { compareRegisters, type RegisterDifference } from './registers.ts';
import { type Judgement, judge } from './verdict.ts';

/** A value that the two sides have differently; absent on a side that has none. */
export interface Pair {
  readonly what: string;
  readonly a?: string | undefined;
  readonly b?: string | undefined;
}

export interface Side {
  readonly path: string;
  readonly domain: string;
  readonly kernel: string;
}

export interface Comparison {
  readonly schema: 'pvh-report-diff/1';
  readonly judgement: Judgement;
  readonly sides: { readonly a: Side; readonly b: Side };
  /** What else changed between the runs: the more of it, the less a verdict says. */
  readonly conditions: readonly Pair[];
  readonly stack: {
    readonly vcpu: { readonly a: number | undefined; readonly b: number | undefined };
    readonly rows: readonly AlignedRow[];
  };
  readonly registers: readonly RegisterDifference[];
  readonly config: readonly Pair[];
  /** Absent when a side has no console. */
  readonly console?: ConsoleDifference;
  readonly xenLog: { readonly a: readonly string[]; readonly b: readonly string[] };
  readonly missing: readonly Pair[];
}

const STACK_LIMIT = 256;

const differing = (rows: readonly Pair[]): Pair[] => rows.filter(({ a, b }) => a !== b);

const side = ({ path, manifest: { domain, kernel } }: Report): Side => ({
  path,
  domain: domain.domid === undefined ? domain.name : `${domain.name} (${domain.domid})`,
  kernel:
    kernel.banner?.replace(/^(Linux version \S+) .*?(#\d+ .*)$/, '$1 $2') ??
    `kernel ${kernel.buildId ?? kernel.sha256?.slice(0, 12) ?? 'unknown'}`,
});

const stackNames = ({ signature }: Report): string[] =>
  signature.frames.map(({ symbol, address }) => (symbol === undefined ? address : functionName(symbol)));

/** Keys and values of a configuration; one that does not parse is a single value. */
function settings({ config, hostConfig }: Report): ReadonlyMap<string, string> {
  if (config === undefined) return (hostConfig && parseHostConfig(hostConfig)?.settings) || new Map();
  try {
    const file = parseConfigFile(config, 'guest.cfg');
    return new Map(file.names.map((name) => [name, JSON.stringify(file.value(name))]));
  } catch (error) {
    if (!(error instanceof PvhError)) throw error;
    return new Map([['guest.cfg', `not readable: ${error.message.split('\n')[0]}`]]);
  }
}

function compareSettings(a: Report, b: Report): Pair[] {
  const [left, right] = [settings(a), settings(b)];
  // xl.cfg says what was asked for, a host's list what it is: they have in common what both name.
  const alike = (a.config === undefined) === (b.config === undefined);
  const isCommon = (key: string): boolean => alike || (left.has(key) && right.has(key));
  const keys = [...new Set([...left.keys(), ...right.keys()])].filter(isCommon).sort();
  return differing(keys.map((what) => ({ what, a: left.get(what), b: right.get(what) })));
}

/** Lines of the runtime's log with the domain's number taken out. */
const xenLines = (log: string | undefined): string[] =>
  (log ?? '')
    .split('\n')
    .filter((line) => line !== '' && !isRepeated(line))
    .map((line) => normaliseLine(line).replace(/\b(d|Dom)\d+(?=\b|v\d)/g, '$1N'));

function compareMissing(a: Report, b: Report): Pair[] {
  const reasons = ({ manifest }: Report) =>
    new Map(manifest.missing.map(({ item, reason }) => [item, reason]));
  const [left, right] = [reasons(a), reasons(b)];
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

function compareInOrder(a: Report, b: Report): Comparison {
  return {
    schema: 'pvh-report-diff/1',
    judgement: judge(a, b),
    sides: { a: side(a), b: side(b) },
    conditions: compareConditions(a, b),
    stack: {
      vcpu: { a: a.signature.vcpu?.id, b: b.signature.vcpu?.id },
      rows: align(stackNames(a), stackNames(b), STACK_LIMIT),
    },
    registers: compareRegisters(a.signature.vcpu?.registers ?? [], b.signature.vcpu?.registers ?? []),
    config: compareSettings(a, b),
    ...(a.console !== undefined &&
      b.console !== undefined && { console: compareConsoles(a.console, b.console) }),
    xenLog: surplus(xenLines(a.xenLog), xenLines(b.xenLog)),
    missing: compareMissing(a, b),
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

export function compareReports(a: Report, b: Report): Comparison {
  // One order whatever the caller's: alignments break ties, and must break them the same way both times.
  return b.digest < a.digest ? mirror(compareInOrder(b, a)) : compareInOrder(a, b);
}
