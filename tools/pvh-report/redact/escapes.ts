// What steers a terminal, taken out of a text so that words can be read, and the way back to where they stand.

export interface Range {
  readonly start: number;
  readonly end: number;
}

const ESC = '\u001b';
/** ECMA-48 5.4: a control sequence; ECMA-35 14: a set of characters. */
const SEQUENCE = `${ESC}(?:\\[[0-9;?]{0,20}[A-Za-z]|[()][A-Za-z0-9])`;
/** ECMA-48 8.3.117: colours and the like move nothing. */
const STYLE = `${ESC}(?:\\[[0-9;]{0,20}m|[()][A-Za-z0-9])`;
const ANY = new RegExp(SEQUENCE, 'g');
const WITHIN_WORD = new RegExp(`(?<=[^\\s${ESC}])(?:${STYLE}){1,9}(?=[^\\s${ESC}])`, 'g');

/** Blank where there was a sequence: `ESC[1mname` holds no word `mname`. As long as it was. */
export const withoutEscapes = (text: string): string =>
  text.includes(ESC) ? text.replaceAll(ANY, (sequence) => ' '.repeat(sequence.length)) : text;

/** A text as it is read on a screen. */
export interface Reading {
  readonly view: string;
  /** What of the text makes up a part of the view: more than one range where a sequence stood within a word. */
  readonly rangesOf: (start: number, end: number) => Range[];
}

/** With words put together that have another colour in the middle; other sequences are blanks. */
export function readWords(text: string): Reading {
  const blank = withoutEscapes(text);
  const cuts = text.includes(ESC) ? [...text.matchAll(WITHIN_WORD)] : [];
  if (cuts.length === 0) return { view: blank, rangesOf: (start, end) => [{ start, end }] };
  const parts: { readonly at: number; readonly from: number; readonly to: number }[] = [];
  let at = 0;
  let from = 0;
  for (const to of [...cuts.map(({ index }) => index), text.length]) {
    parts.push({ at, from, to });
    at += to - from;
    from = to + (cuts[parts.length - 1]?.[0].length ?? 0);
  }
  const partAt = (position: number): number => {
    let [low, high] = [0, parts.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((parts[middle]?.at ?? 0) <= position) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  };
  return {
    view: parts.map((part) => blank.slice(part.from, part.to)).join(''),
    rangesOf(start, end) {
      const ranges: Range[] = [];
      for (let index = partAt(start); index < parts.length; index++) {
        const part = parts[index];
        if (part === undefined || part.at >= end) break;
        const first = part.from + Math.max(0, start - part.at);
        ranges.push({ start: first, end: Math.min(part.to, part.from + end - part.at) });
      }
      return ranges;
    },
  };
}
