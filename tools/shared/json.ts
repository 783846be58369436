// Reading JSON that somebody else wrote: each step says what it wants, and where it did not get it.
import { FormatError } from '../../symbols/errors.ts';
import { cleanText } from './clean-text.ts';

const wrong = (what: string, place: string) => new FormatError(`not ${what}`, { source: place });

/** What a few bytes of a bomb become costs a hundred times as much as JSON. The largest file of ours has 16 MiB. */
const MAX_CHARACTERS = 17 << 20;
const MAX_DEPTH = 256;

/** Whether lists and objects lie in each other deeper than that. */
function isTooDeep(text: string): boolean {
  let depth = 0;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === 0x22) {
      for (at++; at < text.length && text.charCodeAt(at) !== 0x22; at++)
        if (text.charCodeAt(at) === 0x5c) at++;
    } else if (code === 0x5b || code === 0x7b) {
      if (++depth > MAX_DEPTH) return true;
    } else if (code === 0x5d || code === 0x7d) depth--;
  }
  return false;
}

/** @throws FormatError unless `text` is JSON of reasonable size. */
export function parseJson(text: string, source: string): unknown {
  if (text.length > MAX_CHARACTERS)
    throw new FormatError(`JSON of more than ${MAX_CHARACTERS} characters`, { source });
  if (isTooDeep(text)) throw new FormatError(`JSON nested more than ${MAX_DEPTH} deep`, { source });
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new FormatError('not JSON', { source, cause });
  }
}

export function asObject(value: unknown, place: string): Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw wrong('an object', place);
  return value as Readonly<Record<string, unknown>>; // just checked
}

/** @param limit entries it may have. */
export function asArray(value: unknown, place: string, limit: number = Infinity): readonly unknown[] {
  if (!Array.isArray(value)) throw wrong('a list', place);
  if (value.length > limit) throw new FormatError(`more than ${limit} entries`, { source: place });
  return value;
}

/** Texts end up in messages and tables: nothing that steers a terminal, and not without end. */
export function asString(value: unknown, place: string): string {
  if (typeof value !== 'string' || value.length > 4096) throw wrong('a text of reasonable length', place);
  return cleanText(value).replaceAll('\t', '?');
}

export function asNumber(value: unknown, place: string): number {
  if (typeof value !== 'number' || !Number.isSafeInteger(value)) throw wrong('an integer', place);
  return value;
}

export function asBoolean(value: unknown, place: string): boolean {
  if (typeof value !== 'boolean') throw wrong('true or false', place);
  return value;
}

export const asOptional = <T>(
  as: (value: unknown, place: string) => T,
  value: unknown,
  place: string,
): T | undefined => (value === undefined || value === null ? undefined : as(value, place));
