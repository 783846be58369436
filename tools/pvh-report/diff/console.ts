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
  /** Absent when the logs agree. Line numbers count from 1 and are the same in both: all lines before have partners. */
  readonly divergence?: {
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

const CONTEXT = 5;
const AFTER = 2;
const MAX_LISTED = 10_000;
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
}

/** @returns the logs, and a line for each number. */
function intern(logs: readonly (readonly string[])[]): { words: Words[]; texts: readonly string[] } {
  const ids = new Map<string, number>();
  const texts: string[] = [];
  const idOf = (line: string): number => {
    const template = line.replace(NUMBER, '<n>');
    const known = ids.get(template);
    if (known !== undefined) return known;
    ids.set(template, texts.length);
    return texts.push(line) - 1;
  };
  const words = logs.map((log) => {
    const lines = log.map(normaliseLine);
    return { lines, ids: Int32Array.from(lines, idOf) };
  });
  return { words, texts };
}

const linesOf = (text: string): string[] => (text === '' ? [] : text.replace(/\n$/, '').split('\n'));

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

export function compareConsoles(a: string, b: string): ConsoleDifference {
  const [left, right] = [linesOf(a), linesOf(b)];
  const { words, texts } = intern([left, right]);
  const none: Words = { ids: new Int32Array(), lines: [] };
  const [wordsA = none, wordsB = none] = words;
  const partner = pairUp(wordsA.ids, wordsB.ids);
  const [countA, countB] = [counts(wordsA.ids, texts.length), counts(wordsB.ids, texts.length)];
  const hunks: ConsoleHunk[] = [];
  for (const hunk of hunksOf(partner, right.length)) if (hunks.push(hunk) >= MAX_LISTED) break;
  const difference: ConsoleDifference = {
    lines: { a: left.length, b: right.length },
    surplus: { a: surplusOf(countA, countB), b: surplusOf(countB, countA) },
    numbers: partner.filter((at, index) => at >= 0 && wordsA.lines[index] !== wordsB.lines[at]).length,
    hunks,
    only: { a: onlyIn(countA, countB, texts), b: onlyIn(countB, countA, texts) },
  };
  const [first] = hunks;
  if (first === undefined) return difference;
  const shown = (lines: readonly string[], from: number, count: number) =>
    lines.slice(Math.max(0, from), from + count);
  const [fromA, fromB] = [first.at.a - 1, first.at.b - 1];
  const [secondsA, secondsB] = [secondsNear(left, fromA), secondsNear(right, fromB)];
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
