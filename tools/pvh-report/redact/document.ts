// A file of a report as text that rules can read, and back. A text is itself; of JSON the strings are shown, one line each, as
// `parent:key="value"`, and go back into their places. Characters are bytes (latin1), so that nothing is lost of a file in any encoding.
import { parseJson } from '../../shared/json.ts';
import { type Range, type Reading, readWords } from './escapes.ts';
import { hasOwnKeys, isOwnValue, ownRanges } from './own.ts';

/** Puts `text` where `start` to `end` of the document's text was. */
export interface Edit {
  readonly start: number;
  readonly end: number;
  readonly text: string;
}

/** Rules look at its view. */
export interface Document extends Reading {
  readonly name: string;
  /** The file, or the strings of it. */
  readonly text: string;
  /** Where in the text are our own words: only rules look there. */
  readonly own: readonly Range[];
  /** The file with these edits of the text: in order, and none in another. */
  render(edits: readonly Edit[]): Uint8Array;
}

export const latin1 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('latin1');

/** What `text` (bytes as characters) looks like to a person. */
export const readable = (text: string): string => Buffer.from(text, 'latin1').toString('utf8');

function applyEdits(text: string, edits: readonly Edit[]): string {
  const parts: string[] = [];
  let at = 0;
  for (const edit of edits) {
    parts.push(text.slice(at, edit.start), edit.text);
    at = edit.end;
  }
  parts.push(text.slice(at));
  return parts.join('');
}

const textDocument = (name: string, bytes: Uint8Array): Document => {
  const text = latin1(bytes);
  return {
    name,
    text,
    own: ownRanges(name, text),
    ...readWords(text),
    render: (edits) => (edits.length === 0 ? bytes : Buffer.from(applyEdits(text, edits), 'latin1')),
  };
};

/** A string of the JSON text, quotes included, and where its value is in the text that is shown. */
interface JsonString {
  readonly from: number;
  readonly to: number;
  readonly start: number;
  readonly end: number;
}

/** Values under these keys are evidence or of our own making, never a person's. */
const EVIDENCE_KEYS = /^(?:sha256|digest|buildId|symbolsBuildId|sha8|symbol|address|schema)$/;
/** Values that may be of hexadecimal digits only, and are no numbers. */
const MAYBE_PRIVATE = /pass|secret|token|key|name$/i;
/** Registers, words of stacks, addresses: not longer than one. */
const MACHINE_WORD = /^(?:0x)?[0-9a-f]{8,16}$/i;

/** Whether a place in JSON is all of a string that stays, whatever stands elsewhere. */
export const isMachineWord = (json: string, start: number, end: number): boolean =>
  json[start - 1] === '"' && json[end] === '"' && MACHINE_WORD.test(json.slice(start, end));

/** Where the string that begins at `from` ends: behind its closing quote. */
function endOfString(text: string, from: number): number {
  for (let at = from + 1; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === 0x5c) at++;
    else if (code === 0x22) return at + 1;
  }
  return text.length;
}

function jsonDocument(name: string, bytes: Uint8Array): Document {
  const text = latin1(bytes);
  const strings: JsonString[] = [];
  const own: Range[] = [];
  const isOurs = hasOwnKeys(name);
  const lines: string[] = [];
  let length = 0;
  const show = (part: string): number => {
    lines.push(part);
    length += part.length;
    return length;
  };
  let key = '';
  /** Keys of the objects and lists around, outermost first. */
  const around: string[] = [];
  const enterAndLeave = (between: string): void => {
    for (const character of between)
      if (character === '{' || character === '[') {
        around.push(key);
        if (character === '{') key = '';
      } else if (character === '}' || character === ']') key = around.pop() ?? '';
  };
  let behind = 0;
  for (let from = text.indexOf('"'); from >= 0; ) {
    const to = endOfString(text, from);
    enterAndLeave(text.slice(behind, from));
    behind = to;
    const raw = text.slice(from, to);
    const decoded: unknown = raw.includes('\\') ? JSON.parse(readable(raw)) : readable(raw.slice(1, -1));
    const value = Buffer.from(String(decoded), 'utf8').toString('latin1');
    const isKey = /^\s{0,9}:/.test(text.slice(to, to + 10));
    if (isKey) {
      key = value;
      const start = length;
      if (!isOurs) {
        strings.push({ from, to, start, end: show(value) });
        show('\n');
      }
    } else if (!EVIDENCE_KEYS.test(key) && (MAYBE_PRIVATE.test(key) || !MACHINE_WORD.test(value))) {
      const parent = around.slice(-4).findLast((each) => each !== '' && each !== key) ?? '';
      const before = length;
      const start = show(`${parent === '' ? '' : `${parent.slice(0, 200)}:`}${key.slice(0, 200)}="`);
      const end = show(value);
      strings.push({ from, to, start, end });
      own.push({ start: before, end: isOwnValue(name, parent, key, value) ? end : start });
      show('"\n');
    }
    from = text.indexOf('"', to);
  }
  const shown = lines.join('');
  return {
    name,
    text: shown,
    own,
    ...readWords(shown),
    render(edits) {
      const changed: Edit[] = [];
      let next = 0;
      for (const { from, to, start, end } of strings) {
        while ((edits[next]?.end ?? end) <= start && next < edits.length) next++;
        const own: Edit[] = [];
        for (let index = next; ; index++) {
          const edit = edits[index];
          if (edit === undefined || edit.start >= end) break;
          if (edit.start < start || edit.end > end) continue;
          own.push({ start: edit.start - start, end: edit.end - start, text: edit.text });
        }
        if (own.length > 0) {
          const value = readable(applyEdits(shown.slice(start, end), own));
          changed.push({ start: from, end: to, text: latin1(Buffer.from(JSON.stringify(value), 'utf8')) });
        }
      }
      return changed.length === 0 ? bytes : Buffer.from(applyEdits(text, changed), 'latin1');
    },
  };
}

const isJson = (name: string, bytes: Uint8Array): boolean => {
  if (!name.endsWith('.json')) return false;
  try {
    parseJson(Buffer.from(bytes).toString('utf8'), name);
    return true;
  } catch {
    return false;
  }
};

/** JSON that is none is a text. */
export const openDocument = (name: string, bytes: Uint8Array): Document =>
  isJson(name, bytes) ? jsonDocument(name, bytes) : textDocument(name, bytes);
