// The private values of one report and what stands for each. Stays outside of every report.
import { FormatError } from '../../../symbols/errors.ts';
import type { Range } from './escapes.ts';
import { Finder } from './finder.ts';
import type { Rule, ValueClass } from './rule.ts';
import { standIn } from './stand-in.ts';
import { isCommon } from './words.ts';

/** More than a report of 10 MB has lines with one each. */
const MAX_VALUES = 1 << 17;

export interface PrivateValue {
  readonly class: ValueClass;
  /** The rule that found it first. */
  readonly rule: string;
  /** As it was first seen. */
  readonly value: string;
  readonly standIn: string;
  /** Replaced wherever it stands; else only where a rule says what it is, since the word has other meanings. */
  readonly everywhere: boolean;
}

/** What one form of a value looks like, and what is put there. */
export interface Form {
  readonly text: string;
  readonly standIn: string;
  readonly of: PrivateValue;
  /** Letters and digits beside it make it another word. */
  readonly whole: boolean;
}

const isWordCharacter = (code: number): boolean =>
  (code >= 48 && code <= 57) || (code >= 65 && code <= 90) || (code >= 97 && code <= 122) || code > 127;

const isInside = (text: string, at: number): boolean =>
  at > 0 &&
  at < text.length &&
  isWordCharacter(text.charCodeAt(at - 1)) &&
  isWordCharacter(text.charCodeAt(at));

/** Whether no word goes on at either end. */
export const isWholeWord = (text: string, start: number, end: number): boolean =>
  !isInside(text, start) && !isInside(text, end);

/** Shorter stand-ins are in many words. */
const MIN_TELLING = 4;

const NAMES: readonly ValueClass[] = ['host', 'user', 'domain', 'dns'];

/** Letters beyond ASCII are bytes of UTF-8 here, and have no case. */
export const lowerCase = (text: string): string => text.replace(/[A-Z]/g, (letter) => letter.toLowerCase());

/** How a value is looked up: spellings of the same are one. */
function canonical(kind: ValueClass, value: string): string {
  const lower = lowerCase(value);
  if (kind === 'mac') return lower.replaceAll('-', ':');
  return kind === 'ipv4' ? lower.replaceAll(/[-_]/g, '.') : lower;
}

/** Whether a value is one wherever it stands. @param value in lower case. @param machinery words that functions of the guest have in their names. */
export function standsAlone(kind: ValueClass, value: string, machinery: ReadonlySet<string>): boolean {
  if (kind === 'secret') {
    if (value.length < 5 || (value.length < 12 && /^\d+$/.test(value))) return false;
  } else if (!NAMES.includes(kind)) return true;
  else if (value.length < 3 || /^[\d.-]+$/.test(value)) return false;
  return !isCommon(value) && !machinery.has(value);
}

const base64 = (text: string): string => Buffer.from(text, 'latin1').toString('base64').replace(/=+$/, '');

/** The value within something that was encoded as base64: three ways, by where it begins. */
const inBase64 = (value: string): string[] =>
  [0, 1, 2].map((offset) => {
    const whole = Math.floor(((offset + value.length) * 8) / 6);
    return base64('\0'.repeat(offset) + value).slice([0, 2, 3][offset], whole);
  });

/** As options of a URL have it. */
const inUrl = (value: string): string =>
  value.replace(
    /[^A-Za-z0-9._~-]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`,
  );

const inJson = (value: string): string => value.replace(/[\\"]/g, '\\$&').replaceAll('/', '\\/');

const inHtml = (value: string): string =>
  value
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
    .replaceAll("'", '&#39;');

export class Vault {
  readonly #key: Uint8Array;
  readonly #machinery: ReadonlySet<string>;
  readonly #values = new Map<string, PrivateValue>();
  /** Stand-ins in use, of this run and of runs before. */
  readonly #taken: Set<string>;
  readonly #pinned: ReadonlyMap<string, string>;
  readonly #known: Finder;

  /**
   * @param machinery words that functions of the guest have in their names.
   * @param known stand-ins that are in the report already.
   * @param pinned stand-ins by class and value, from an earlier map: `class value`.
   */
  constructor(
    key: Uint8Array,
    machinery: ReadonlySet<string>,
    known: Iterable<string>,
    pinned: ReadonlyMap<string, string>,
  ) {
    this.#key = key;
    this.#machinery = machinery;
    this.#taken = new Set(known);
    this.#pinned = pinned;
    this.#known = new Finder([...this.#taken]);
    for (const each of pinned.values()) this.#taken.add(each);
  }

  get values(): readonly PrivateValue[] {
    return [...this.#values.values()];
  }

  /** A part of a stand-in that was put somewhere counts as one. */
  note(text: string): void {
    this.#taken.add(lowerCase(text));
  }

  /** Where stand-ins of earlier runs are: what stands around them was looked at then. Short ones count as whole words only. */
  knownIn(view: string): Range[] {
    const ranges: Range[] = [];
    this.#known.find(view, (start, length) => {
      const end = start + length;
      if (length >= MIN_TELLING || isWholeWord(view, start, end)) ranges.push({ start, end });
    });
    return ranges.sort((x, y) => x.start - y.start || y.end - x.end);
  }

  isStandIn(text: string): boolean {
    return this.#taken.has(lowerCase(text));
  }

  #newStandIn(kind: ValueClass, value: string): string {
    const pinned = this.#pinned.get(`${kind} ${value}`);
    if (pinned !== undefined) return pinned;
    for (let attempt = 0; ; attempt++) {
      const made = standIn(this.#key, kind, value, attempt);
      const clashes = made === value || this.#taken.has(made) || this.#values.has(made) || isCommon(made);
      // Short values have few stand-ins: two may have the same.
      if (!clashes || attempt === 50) return made;
    }
  }

  /** The value's entry, made when it is new. @throws FormatError when they are too many. */
  add(rule: Rule, kind: ValueClass, value: string): PrivateValue {
    const name = canonical(kind, value);
    const everywhere = rule.local !== true && standsAlone(kind, name, this.#machinery);
    const known = this.#values.get(name);
    if (known !== undefined) {
      if (known.everywhere || !everywhere) return known;
      const wider = { ...known, everywhere };
      this.#values.set(name, wider);
      return wider;
    }
    if (this.#values.size >= MAX_VALUES) throw new FormatError(`more than ${MAX_VALUES} private values`);
    const made: PrivateValue = {
      class: kind,
      rule: rule.name,
      value,
      standIn: this.#newStandIn(kind, name),
      everywhere,
    };
    this.#taken.add(made.standIn);
    this.#values.set(name, made);
    return made;
  }

  /** Every way in which the values may be written, those that are replaced wherever they stand. */
  forms(): Form[] {
    const forms: Form[] = [];
    for (const of of this.#values.values()) {
      if (!of.everywhere) continue;
      const value = canonical(of.class, of.value);
      const put = (text: string, standIn_: string, whole: boolean): void => {
        forms.push({ text, standIn: standIn_, of, whole });
        this.#taken.add(standIn_);
      };
      const isName = NAMES.includes(of.class);
      // A short one may be the end of a longer; rules find them all.
      if (of.class === 'ipv6' && value.length < 6) continue;
      put(
        value,
        of.standIn,
        value.length < 8 || (isName && value.length < 12) || !(isName || of.class === 'secret'),
      );
      if (of.class === 'ipv4' || of.class === 'mac') {
        for (const between of ['-', '_', ...(of.class === 'mac' ? [''] : [])])
          put(value.replaceAll(/[.:]/g, between), of.standIn.replaceAll(/[.:]/g, between), true);
      } else if (of.class === 'uuid') {
        // Without dashes; as in names of variables; as device mapper doubles them.
        for (const between of ['', '_', '--'])
          put(value.replaceAll('-', between), of.standIn.replaceAll('-', between), true);
      } else if (isName || of.class === 'secret') {
        const other = new Set([inUrl(of.value), inJson(of.value), inHtml(of.value)]);
        if (value.length >= 6) for (const text of inBase64(of.value)) other.add(text);
        other.delete(of.value);
        for (const text of other)
          if (text.length >= 7) put(text, standIn(this.#key, 'secret', lowerCase(text), 0), false);
      }
    }
    return forms;
  }
}
