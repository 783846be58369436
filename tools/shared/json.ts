// Reading JSON that somebody else wrote: each step says what it wants, and where it did not get it.
import { FormatError } from '../../symbols/errors.ts';

const wrong = (what: string, place: string) => new FormatError(`not ${what}`, { source: place });

/** @throws FormatError unless `text` is JSON. */
export function parseJson(text: string, source: string): unknown {
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

export function asArray(value: unknown, place: string): readonly unknown[] {
  if (!Array.isArray(value)) throw wrong('a list', place);
  return value;
}

/** Texts end up in messages and tables: nothing that steers a terminal, and not without end. */
export function asString(value: unknown, place: string): string {
  if (typeof value !== 'string' || value.length > 4096) throw wrong('a text of reasonable length', place);
  return value.replace(/\p{Cc}/gu, '?');
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
