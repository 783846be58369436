// Where two console logs part company. What differs between any two runs (times, addresses, numbers of processes and CPUs)
// counts as equal; lines are paired by their words, and numbers in paired lines that differ are told apart from other lines.
import { withoutPrefix } from '../signature/title.ts';
import { pairUp } from './sequence.ts';

/** Lines without a partner between two pairs of lines. Numbers count from 1, and are those of the place where they would be. */
export interface ConsoleHunk {
  readonly at: { readonly a: number; readonly b: number };
  readonly lines: { readonly a: number; readonly b: number };
}

/** Lines that only one side has, whatever the numbers in them. */
export interface Template {
  readonly text: string;
  readonly count: number;
}

export interface ConsoleDifference {
  readonly lines: { readonly a: number; readonly b: number };
  /** Lines that have no partner, anywhere. */
  readonly surplus: { readonly a: number; readonly b: number };
  /** Paired lines whose numbers differ. */
  readonly numbers: number;
  /** Absent when the logs agree. All lines before it have partners. */
  readonly divergence?: {
    /** Counts from 1, in both logs, only lines that are looked at. */
    readonly line: number;
    /** Seconds since the guest's start, as its kernel printed them. */
    readonly seconds: { readonly a?: number; readonly b?: number };
    /** Up to five common lines before. */
    readonly before: readonly string[];
    readonly a: readonly string[];
    readonly b: readonly string[];
    /** Up to two common lines behind. */
    readonly after: readonly string[];
  };
  /** Where lines have no partner, in order; the first `MAX_LISTED`. */
  readonly hunks: readonly ConsoleHunk[];
  /** Lines of which the other side has none, in order; the first `MAX_LISTED`. */
  readonly only: { readonly a: readonly Template[]; readonly b: readonly Template[] };
}

/** Which lines are looked at. */
export interface LineSieve {
  /** @param line without what differs in any two runs. */
  keeps(line: string): boolean;
  /**
   * Whether lines of these words tell nothing.
   * @param apart so much more often one side has them. @param lines of both sides together.
   */
  isNoise(words: string, apart: number, lines: number): boolean;
}

/** The number of the first line without a partner; two where lines that are left out shift one side against the other. */
export function firstPlace({ hunks: [first] }: ConsoleDifference): string {
  const { a, b } = first?.at ?? {};
  return a === b ? `${a}` : `${a} / ${b}`;
}

const CONTEXT = 5;
const AFTER = 2;
const MAX_LISTED = 10_000;
/** Lines of each console that are compared; the rest is left out. */
const MAX_LINES = 1_000_000;
/** A longer line is no line of a kernel. */
const MAX_LINE = 2000;

const ADDRESS = /\b(0x)?[0-9a-f]{8,16}\b/gi;
const RUNNER = /\b(CPU|PID|UID|cpu|pid)([:#]? ?)\d{1,10}\b|\[([\w/.:-]{1,32}):\d{1,10}\]/g;
/** Whole numbers and times, but not the -2 of an error. */
const NUMBER = /(?<![\w.-])(0x[0-9a-f]{1,7}|\d[\d.]{0,20})(?![\w.])/g;

/** Linux's `[    1.234567] `, Xen's `[2026-11-22 10:59:00] `, and numbers that are addresses or name who ran. */
export const normaliseLine = (line: string): string =>
  withoutPrefix(line)
    .slice(0, MAX_LINE)
    .replace(/\r/g, '')
    .replace(/\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)?\] ?/, '')
    .replace(ADDRESS, '<hex>')
    .replace(RUNNER, (_, word?: string, between?: string, task?: string) =>
      word === undefined ? `[${task}:<n>]` : `${word}${between}<n>`,
    )
    .trimEnd();

/** A log as numbers (equal numbers, equal words) and as lines without what differs in any two runs. */
interface Words {
  readonly ids: Int32Array;
  readonly lines: readonly string[];
  readonly printed: readonly string[];
  /** Where a line is in the log, from 0; of the end, the number of lines. */
  placeOf(line: number): number;
}

/** Two logs; the words and a line for each number. */
interface Interned {
  readonly a: Words;
  readonly b: Words;
  readonly words: readonly string[];
  readonly texts: readonly string[];
}

function intern(a: readonly string[], b: readonly string[]): Interned {
  const ids = new Map<string, number>();
  const texts: string[] = [];
  const idOf = (line: string): number => {
    const template = line.replace(NUMBER, '<n>');
    const known = ids.get(template);
    if (known !== undefined) return known;
    ids.set(template, texts.length);
    return texts.push(line) - 1;
  };
  const wordsOf = (printed: readonly string[]): Words => {
    const lines = printed.map(normaliseLine);
    return { lines, printed, ids: Int32Array.from(lines, idOf), placeOf: (line) => line };
  };
  return { a: wordsOf(a), b: wordsOf(b), texts, words: [...ids.keys()] };
}

function select(
  { ids, lines, printed, placeOf }: Words,
  keeps: (line: string, id: number) => boolean,
): Words {
  const kept = Int32Array.from(lines.keys()).filter((at) => keeps(lines[at] ?? '', ids[at] ?? 0));
  return {
    ids: kept.map((at) => ids[at] ?? 0),
    lines: Array.from(kept, (at) => lines[at] ?? ''),
    printed: Array.from(kept, (at) => printed[at] ?? ''),
    placeOf: (line) => placeOf(kept[line] ?? lines.length),
  };
}

/** Leaves those lines that are to be looked at. */
function sift({ a, b, texts, words }: Interned, sieve: LineSieve): Interned {
  const [keptA, keptB] = [select(a, sieve.keeps), select(b, sieve.keeps)];
  const [countA, countB] = [counts(keptA.ids, texts.length), counts(keptB.ids, texts.length)];
  const noise = words.map((template, id) => {
    const [inA, inB] = [countA[id] ?? 0, countB[id] ?? 0];
    return inA + inB > 0 && sieve.isNoise(template, Math.abs(inA - inB), inA + inB);
  });
  const tells = (_: string, id: number): boolean => !noise[id];
  return { a: select(keptA, tells), b: select(keptB, tells), texts, words };
}

/** At most MAX_LINES. */
function linesOf(text: string): string[] {
  const lines: string[] = [];
  for (let from = 0; from < text.length && lines.length < MAX_LINES; ) {
    const end = text.indexOf('\n', from);
    lines.push(end < 0 ? text.slice(from) : text.slice(from, end));
    if (end < 0) break;
    from = end + 1;
  }
  return lines;
}

/** `[    1.234567]` at the start of a line: 1.234567. */
export function printedSeconds(line: string | undefined): number | undefined {
  const found = /^(?:<\d{1,3}>|\(d\d{1,5}\) )?\[ {0,12}(\d{1,12}\.\d{1,9})\]/.exec(line ?? '')?.[1];
  return found === undefined ? undefined : Number(found);
}

const secondsNear = (lines: readonly string[], at: number): number | undefined => {
  for (let line = at; line >= 0 && line > at - CONTEXT; line--) {
    const seconds = printedSeconds(lines[line]);
    if (seconds !== undefined) return seconds;
  }
  return undefined;
};

function* hunksOf(partner: Int32Array, lengthB: number): Generator<ConsoleHunk> {
  let [fromA, fromB] = [0, 0];
  const hunk = (toA: number, toB: number): ConsoleHunk => ({
    at: { a: fromA + 1, b: fromB + 1 },
    lines: { a: toA - fromA, b: toB - fromB },
  });
  for (const [a, b] of partner.entries()) {
    if (b < 0) continue;
    if (a > fromA || b > fromB) yield hunk(a, b);
    [fromA, fromB] = [a + 1, b + 1];
  }
  if (fromA < partner.length || fromB < lengthB) yield hunk(partner.length, lengthB);
}

function counts(ids: Int32Array, size: number): Uint32Array {
  const count = new Uint32Array(size);
  for (const id of ids) count[id] = (count[id] ?? 0) + 1;
  return count;
}

function onlyIn(these: Uint32Array, those: Uint32Array, texts: readonly string[]): Template[] {
  return texts
    .flatMap((text, id) => (these[id] && !those[id] ? [{ text, count: these[id] }] : []))
    .slice(0, MAX_LISTED);
}

const surplusOf = (these: Uint32Array, those: Uint32Array): number =>
  these.reduce((sum, count, id) => sum + Math.max(0, count - (those[id] ?? 0)), 0);

/** Words of lines without a partner, and how much more often one log has them. */
export function unsteadyLines(a: string, b: string): ReadonlyMap<string, number> {
  const { a: left, b: right, words } = intern(linesOf(a), linesOf(b));
  const [countA, countB] = [counts(left.ids, words.length), counts(right.ids, words.length)];
  const alone = new Set<number>();
  for (const { at, lines } of hunksOf(pairUp(left.ids, right.ids), right.ids.length)) {
    for (const id of left.ids.subarray(at.a - 1, at.a - 1 + lines.a)) alone.add(id);
    for (const id of right.ids.subarray(at.b - 1, at.b - 1 + lines.b)) alone.add(id);
  }
  return new Map([...alone].map((id) => [words[id] ?? '', Math.abs((countA[id] ?? 0) - (countB[id] ?? 0))]));
}

export function compareConsoles(a: string, b: string, sieve?: LineSieve): ConsoleDifference {
  const [left, right] = [linesOf(a), linesOf(b)];
  const all = intern(left, right);
  const { a: wordsA, b: wordsB, texts } = sieve === undefined ? all : sift(all, sieve);
  const partner = pairUp(wordsA.ids, wordsB.ids);
  const [countA, countB] = [counts(wordsA.ids, texts.length), counts(wordsB.ids, texts.length)];
  const hunks: ConsoleHunk[] = [];
  for (const hunk of hunksOf(partner, wordsB.ids.length)) if (hunks.push(hunk) >= MAX_LISTED) break;
  const difference: ConsoleDifference = {
    lines: { a: left.length, b: right.length },
    surplus: { a: surplusOf(countA, countB), b: surplusOf(countB, countA) },
    numbers: partner.filter((at, index) => at >= 0 && wordsA.lines[index] !== wordsB.lines[at]).length,
    hunks: hunks.map(({ at, lines }) => ({
      at: { a: wordsA.placeOf(at.a - 1) + 1, b: wordsB.placeOf(at.b - 1) + 1 },
      lines,
    })),
    only: { a: onlyIn(countA, countB, texts), b: onlyIn(countB, countA, texts) },
  };
  const [first] = hunks;
  if (first === undefined) return difference;
  const shown = (lines: readonly string[], from: number, count: number) =>
    lines.slice(Math.max(0, from), from + count);
  const [fromA, fromB] = [first.at.a - 1, first.at.b - 1];
  const [secondsA, secondsB] = [secondsNear(wordsA.printed, fromA), secondsNear(wordsB.printed, fromB)];
  return {
    ...difference,
    divergence: {
      line: first.at.a,
      seconds: {
        ...(secondsA !== undefined && { a: secondsA }),
        ...(secondsB !== undefined && { b: secondsB }),
      },
      before: shown(wordsA.lines, fromA - Math.min(CONTEXT, fromA), Math.min(CONTEXT, fromA)),
      a: shown(wordsA.lines, fromA, Math.min(CONTEXT, first.lines.a)),
      b: shown(wordsB.lines, fromB, Math.min(CONTEXT, first.lines.b)),
      after: shown(wordsA.lines, fromA + first.lines.a, AFTER),
    },
  };
}
