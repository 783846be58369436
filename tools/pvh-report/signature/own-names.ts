// Names, addresses and secrets in the message of a crash: every machine has its own, so they are no part of a signature. Known are those that
// stand where a rule of redact says what they are: in the message, or in another line of the console that has the same word. A stand-in stands
// in the same places, so that a report and the redacted one have the same signature.
import { findByRules } from '../redact/find.ts';
import type { ValueClass } from '../redact/rule.ts';
import { RULES } from '../redact/rules.ts';
import { isWholeWord, lowerCase, standsAlone } from '../redact/vault.ts';

/** Files have names of their own; TITLE_RULES know numbers. */
const rules = RULES.filter(({ files, class: kind }) => files === undefined && kind !== 'uuid');

const WORD = /[A-Za-z0-9][A-Za-z0-9_-]{1,62}[A-Za-z0-9]/g;
/** Lines looked at for a word of the message, and characters around it: a name is told early and often. */
const LINES = { most: 32, around: 500 };
const MAX_WORDS = 40;

/** Lines of the console that have one of these words. */
function linesWith(words: readonly string[], console: string): string[] {
  if (words.length === 0) return [];
  const seen = new Map<string, number>();
  const lines = new Set<string>();
  for (const { 0: word, index } of console.matchAll(new RegExp(`\\b(?:${words.join('|')})\\b`, 'gi'))) {
    const count = (seen.get(lowerCase(word)) ?? 0) + 1;
    seen.set(lowerCase(word), count);
    if (count > LINES.most) continue;
    const from = Math.max(console.lastIndexOf('\n', index) + 1, index - LINES.around);
    const end = console.indexOf('\n', index);
    lines.add(console.slice(from, Math.min(end < 0 ? console.length : end, index + LINES.around)));
  }
  return [...lines];
}

/** What rules find in a text, with its class, in lower case. */
const valuesIn = (view: string): (readonly [ValueClass, string])[] =>
  [...findByRules({ name: '', view }, rules)].map(({ piece, value }) => [piece.class, lowerCase(value)]);

function replaceWords(text: string, word: string): string {
  let made = '';
  let from = 0;
  const lower = lowerCase(text);
  for (let at = lower.indexOf(word); at >= 0; at = lower.indexOf(word, from)) {
    const end = at + word.length;
    made += text.slice(from, at) + (isWholeWord(text, at, end) ? '<name>' : text.slice(at, end));
    from = end;
  }
  return made + text.slice(from);
}

export interface Telling {
  /** The line of the message, as it was printed. */
  readonly raw: string;
  readonly console: string;
  /** The name of the domain, if it is known. */
  readonly domain: string | undefined;
  /** Functions on stacks. */
  readonly functions: readonly string[];
}

/** The message with `<name>` for each. */
export function withoutOwnNames(message: string, { raw, console, domain, functions }: Telling): string {
  const words = [...new Set(message.match(WORD))].slice(0, MAX_WORDS);
  const machinery = new Set(
    [...functions, ...words.filter((word) => console.includes(`${word}+0x`))].map(lowerCase),
  );
  const standsForItself = ([kind, value]: readonly [ValueClass, string]): boolean =>
    standsAlone(kind, value, machinery);
  const candidates = words.filter((word) => standsForItself(['host', lowerCase(word)]));
  const elsewhere = valuesIn(linesWith(candidates, console).join('\n'));
  if (domain !== undefined) elsewhere.push(['domain', lowerCase(domain)]);
  const found = [...valuesIn(raw.slice(0, LINES.around)), ...elsewhere.filter(standsForItself)];
  const values = new Set(found.map(([, value]) => value).filter((value) => value.trim() !== ''));
  return [...values].sort((a, b) => b.length - a.length).reduce(replaceWords, message);
}
