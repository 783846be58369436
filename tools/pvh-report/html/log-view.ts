// A log as numbered lines that a browser can hold: in pieces, of which it lays out only those that are seen.
import { escapeText, html, Markup } from './markup.ts';
import { type Severity, severityOf } from './severity.ts';

/** Of a text; beyond, its beginning and its end are shown. */
const MAX_TEXT = 16 << 20;
const MAX_LINES = 400_000;
const MAX_LINE = 4000;
/** Lines in a piece. */
const PIECE = 250;

export interface Line {
  /** From 1, as in the file. */
  readonly number: number;
  readonly text: string;
  readonly severity: Severity | undefined;
}

export interface Log {
  readonly lines: readonly Line[];
  /** What is not shown, in words. */
  readonly leftOut?: string;
}

const withoutEnd = (line: string): string => (line.endsWith('\r') ? line.slice(0, -1) : line);

function cut(line: string): string {
  const text = withoutEnd(line);
  return text.length <= MAX_LINE
    ? text
    : `${text.slice(0, MAX_LINE)} [${text.length - MAX_LINE} more characters in this line]`;
}

function linesOf(text: string, from: number): Line[] {
  return text.split('\n').map((line, index) => {
    const shown = cut(line);
    return { number: from + index, text: shown, severity: severityOf(shown) };
  });
}

/** Where line `count` + 1 begins, or the end. */
function endOfLines(text: string, count: number): number {
  let at = 0;
  for (let lines = 0; lines < count; lines++) {
    at = text.indexOf('\n', at) + 1;
    if (at === 0) return text.length;
  }
  return at;
}

/** Where the last `count` lines begin. */
function startOfLast(text: string, count: number): number {
  let at = text.length;
  for (let lines = 0; lines < count && at > 0; lines++) at = text.lastIndexOf('\n', at - 1);
  return at + 1;
}

function countLineEnds(text: string, from: number, to: number): number {
  let count = 0;
  for (let at = text.indexOf('\n', from); at >= 0 && at < to; at = text.indexOf('\n', at + 1)) count++;
  return count;
}

/** Reads a log; of one without end, the first quarter and the end. */
export function readLog(whole: string): Log {
  const text = whole.endsWith('\n') ? whole.slice(0, -1) : whole;
  const ends = countLineEnds(text, 0, text.length);
  if (text.length <= MAX_TEXT && ends < MAX_LINES) return { lines: linesOf(text, 1) };
  const head = Math.min(endOfLines(text, MAX_LINES / 4), MAX_TEXT / 4);
  const tail = Math.max(startOfLast(text, (MAX_LINES / 4) * 3), text.length - (MAX_TEXT / 4) * 3, head);
  const first = linesOf(text.slice(0, head).replace(/\n$/, ''), 1);
  const last = linesOf(text.slice(tail), countLineEnds(text, 0, tail) + 1);
  return {
    lines: [...first, ...last],
    leftOut: `${tail - head} characters between the lines ${first.at(-1)?.number} and ${last[0]?.number} are not shown here`,
  };
}

const CLASS = { fatal: ' class=fatal', warning: ' class=warning' };

/** @param prefix of the ids of lines: `L` gives `L1`; must be a plain word. */
export function renderLog({ lines }: Log, prefix: string): Markup {
  const pieces: string[] = [];
  for (let at = 0; at < lines.length; ) {
    const first = lines[at]?.number ?? 1;
    const piece: string[] = [];
    // A piece ends where numbers jump.
    for (; at < lines.length && piece.length < PIECE; at++) {
      const line = lines[at];
      if (line === undefined || line.number !== first + piece.length) break;
      const { number, text, severity } = line;
      piece.push(`<li id=${prefix}${number}${severity ? CLASS[severity] : ''}>${escapeText(text)}</li>`);
    }
    pieces.push(`<div class=piece><ol start=${first}>${piece.join('\n')}</ol></div>`);
  }
  return new Markup(pieces.join('\n'));
}

/** A text that is read as a whole. */
export const renderText = (text: string): Markup => {
  const { lines, leftOut } = readLog(text);
  return html`<pre>${new Markup(lines.map((line) => escapeText(line.text)).join('\n'))}</pre>${
    leftOut && html`<p class=note>${leftOut}.</p>`
  }`;
};
