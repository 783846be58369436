// What in a report's own files are our words: a guest may be called like one of them, and they stay. Only where a rule says that it is a name,
// and in what comes from outside, a name is one.
import { COLLECTORS } from '../collectors.ts';
import type { Range } from './escapes.ts';

const OWN_FILES: ReadonlySet<string> = new Set([
  ...['README.txt', 'manifest.json', 'report.txt', 'signature.json'],
  ...COLLECTORS.map(({ file }) => file),
]);

/** Whether a report has a file of this name whatever its guest is called. */
export const isOwnFile = (name: string): boolean => OWN_FILES.has(name);

/** Of JSON that we write, by file: under which keys are our words. */
const OWN_VALUES: readonly (readonly [RegExp, RegExp])[] = [
  [
    /^manifest\.json$/,
    /^(?:tool|source|state|shutdownReason|taken|unknown|origin|privacy|cause|collectedAt|rule|kept|standIns|signature)$/,
  ],
  [/^crash\.json$/, /^(?!missing$)/],
  [/^signature\.json$/, /^(?:kind|ending|rule|frames)$/],
  [/^target\.json$/, /^(?:kind|taken|source)$/],
  [/^domain\.json$/, /^(?:state|source|shutdownReason|on_\w{1,20})$/],
  [/^xenctx\.json$/, /^(?:kind|source|mode|how|found|trace|flags|name|function|missing|type)$/],
  [/^xl-list\.json$/, /^(?:state|reason|shutdownReason|type)$/],
];

/** What redact and fit put in a ledger. */
const OWN_REASON =
  /holds (?:memory|console input) of the guest: left out by redact[ -z]{0,40}|\d{1,15} bytes left out to fit into [ -z]{1,60}/g;
const isOwnReason = (value: string): boolean => value.replace(OWN_REASON, '').trim() === '';

/** Whether keys of this JSON are ours. */
export const hasOwnKeys = (file: string): boolean => OWN_VALUES.some(([files]) => files.test(file));

/** @param parent key of the object or list around. */
export function isOwnValue(file: string, parent: string, key: string, value: string): boolean {
  if (!hasOwnKeys(file)) return false;
  if (key === 'name' && file === 'manifest.json') return parent === 'files' && isOwnFile(value);
  if (key === 'name' && file === 'xenctx.json') return parent !== 'target';
  if (key === 'item') return isOwnFile(value) || /^(?:vcpu\d+|symbols|memory or registers)$/.test(value);
  if (key === 'reason' && isOwnReason(value)) return true;
  return OWN_VALUES.some(([files, keys]) => files.test(file) && keys.test(key));
}

/** Of texts that we write. */
const OWN_TEXT: readonly (readonly [RegExp, RegExp])[] = [
  [/^README\.txt$/, /^.*$/gm],
  // All but paths of sources.
  [/^xenctx(?:-unwind)?\.txt$/, /(?<=^|\s)[^\s/]+(?=\s|$)/gm],
  [
    /^report\.txt$/,
    // First line, of which a rule knows the name; names of rows; whole rows; stack and registers; headings; the ledger.
    /^(?!\n)[^\n]{0,600}|(?<=\n)(?:where|symbols|xl list|machine|guest time|repeat it|kernel file|collected|redacted|vcpu\d+) {2,}[^\n]*|(?<=\n)[a-z][a-z -]{13} |\n(?:Stack|Registers) of vcpu(?:[^\n]*\n)(?: [^\n]*\n)*|\n(?:End of the [^\n]*|Missing| {2}nothing| {2}\(no console\))(?=\n)|\n {2}[\w.-]{1,60}(?: \(required\))?: /g,
  ],
];

/** What of a page of ours is seen, and tags. */
export const seenOf = (page: string): string => page.replace(/<(style|script)\b[\s\S]*?<\/\1>/g, '');

/** Whether a place of it is in a tag, or the name of a character. */
export function isMarkup(seen: string, start: number): boolean {
  const tag = seen.lastIndexOf('<', start);
  return seen[start - 1] === '&' || tag > seen.lastIndexOf('>', start);
}

/** Ranges of a text in which no word is looked for. */
export function ownRanges(file: string, text: string): Range[] {
  const own = OWN_TEXT.find(([files]) => files.test(file));
  const reasons = file === 'report.txt' ? [OWN_REASON] : [];
  return [...(own ? [own[1]] : []), ...reasons]
    .flatMap((pattern) => [...text.matchAll(pattern)])
    .map(({ 0: found, index }) => ({ start: index, end: index + found.length }))
    .sort((a, b) => a.start - b.start);
}

/** All that is our own in a file of a report. */
export function ownWordsOf(file: string, own: readonly Range[], text: string, content: string): string {
  const keys = hasOwnKeys(file)
    ? [...content.matchAll(/"([^"\\]{1,100})"\s{0,9}:/g)].map(([key]) => key)
    : [];
  return [...own.map(({ start, end }) => text.slice(start, end)), ...keys].join('\n');
}
