// Takes what is private out of a report: finds values by rules, then puts stand-ins wherever the values are. Registers, words of stacks,
// code and names of functions are evidence and stay. Reads and writes no files.

import type { RuleCount } from '../redaction.ts';
import { type Document, type Edit, isMachineWord, latin1, openDocument } from './document.ts';
import { type Range, readWords, withoutEscapes } from './escapes.ts';
import { findByRules, type Piece } from './find.ts';
import { Finder } from './finder.ts';
import type { MapRow } from './key-file.ts';
import { isMarkup, isOwnFile, ownWordsOf, seenOf } from './own.ts';
import type { Rule } from './rule.ts';
import { RULES } from './rules.ts';
import { type Form, isWholeWord, lowerCase, type PrivateValue, type Vault } from './vault.ts';

/** A private value, or a part of one, at its place. */
interface Place extends Range {
  readonly standIn: string;
  /** The stand-in of which this is a part, where something stands within the value. */
  readonly whole?: string;
  readonly of: PrivateValue;
}

/** Lines of derived files are cut after 160, 200 and 400 characters. */
const CUT_AFTER = 150;

/** Whether one of `ranges` (by their starts) overlaps a place. They may overlap each other. */
function overlaps(ranges: readonly Range[], { start, end }: Range): boolean {
  let [low, high] = [0, ranges.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((ranges[middle]?.start ?? 0) < end) low = middle + 1;
    else high = middle;
  }
  // The last ones that begin before the end; a longer one that begins earlier is not far.
  for (let index = low - 1; index >= 0 && index >= low - 8; index--)
    if ((ranges[index]?.end ?? 0) > start) return true;
  return false;
}

/** Lines of registers, stacks and code, as xenctx, Linux and Xen print them. */
const MACHINE_LINE =
  /\[<[0-9a-f]{8,16}>\]|\b(?:r[a-ds][xip]|r[sb]p|r1?\d|e?flags|[c-g]s|cr\d|dr\d|cpu|code|stack|trace|error_code|efer|gs_base)\b ?:|^[\s0-9a-f]*$|[0-9a-f]{16} [0-9a-f]{16}/i;

/** Whether a place is part of a long hexadecimal number among registers and the like, or of the name of a function. */
function isEvidence(view: string, start: number, end: number): boolean {
  const text = view.slice(start, end);
  if (/^[0-9a-f]+$/i.test(text)) {
    const before = /[0-9a-f]{0,64}$/i.exec(view.slice(Math.max(0, start - 64), start))?.[0] ?? '';
    const after = /^[0-9a-f]{0,64}/i.exec(view.slice(end, end + 64))?.[0] ?? '';
    if (before.length + text.length + after.length >= 8) {
      const from = view.lastIndexOf('\n', start - 1) + 1;
      const to = view.indexOf('\n', end);
      const line = view.slice(Math.max(from, start - 400), Math.min(to < 0 ? view.length : to, end + 400));
      if (MACHINE_LINE.test(line)) return true;
    }
  }
  return /^[\w.]{0,100}\+0x[0-9a-f]/.test(view.slice(end, end + 110)) && /^[\w.]+$/.test(text);
}

/** `DB7` for `db7` where the stand-in is `h4q`. */
const inCaseOf = (text: string, standIn: string, { class: kind }: PrivateValue): string =>
  kind !== 'secret' && /[A-Z]/.test(text) && !/[a-z]/.test(text) ? standIn.toUpperCase() : standIn;

/** Finds forms of values; the same for what is replaced and for what must not be left. */
class FormFinder {
  readonly #forms: readonly Form[];
  readonly #finder: Finder;

  constructor(forms: readonly Form[]) {
    this.#forms = forms;
    this.#finder = new Finder(forms.map(({ text }) => text));
  }

  /** Places that are not evidence, as they come. */
  find(view: string, onPlace: (place: Place) => void): void {
    this.#finder.find(
      view,
      (start, length, index) => {
        const form = this.#forms[index];
        if (form === undefined) return;
        const end = start + length;
        const isCut = length < form.text.length;
        if ((form.whole || isCut) && !isWholeWord(view, start, isCut ? start : end)) return;
        if (isEvidence(view, start, end)) return;
        const text = view.slice(start, end);
        onPlace({
          start,
          end,
          standIn: inCaseOf(text, form.standIn.slice(0, isCut ? length : undefined), form.of),
          of: form.of,
        });
      },
      CUT_AFTER,
    );
  }
}

/** Something private that is still there: found by a rule, or a value that the rule had found before. */
export interface Leak {
  readonly file: string;
  readonly rule: string;
  /** Of the file, or of its strings when it is JSON. */
  readonly line: number;
}

const MAX_LEAKS = 20;

const lineOf = (text: string, start: number): number => text.slice(0, start).split('\n').length;

/** What goes where. Of places that overlap the first and longest counts; what it leaves of the other goes too. */
function withoutOverlap(places: readonly Place[]): Place[] {
  const sorted = places.toSorted((a, b) => a.start - b.start || b.end - a.end);
  const left: Place[] = [];
  let at = 0;
  for (const place of sorted) {
    const { start, end, standIn, of } = place;
    if (end <= at) continue;
    left.push(
      start >= at
        ? place
        : { start: at, end, standIn: standIn.slice(at - start) || 'x'.repeat(end - at), of },
    );
    at = end;
  }
  return left;
}

/** A place of a document's view as places of its text. */
function placesIn(document: Document, place: Place): Place[] {
  const ranges = document.rangesOf(place.start, place.end);
  if (ranges.length === 1) return ranges.map((range) => ({ ...place, ...range }));
  let at = 0;
  return ranges.map((range, index) => {
    const from = at;
    at += range.end - range.start;
    const part = place.standIn.slice(from, index === ranges.length - 1 ? undefined : at);
    return { ...range, standIn: part, whole: place.standIn, of: place.of };
  });
}

export class Redactor {
  readonly #rules: readonly Rule[];
  readonly #vault: Vault;
  readonly #replacements = new Map<string, number>();
  readonly #replaced = new Map<string, Set<string>>();
  readonly #places = new Map<Document, Place[]>();
  readonly #used = new Set<string>();
  #finder: FormFinder = new FormFinder([]);

  /** @param keep names of rules or classes that are left alone. */
  constructor(vault: Vault, keep: ReadonlySet<string>) {
    this.#vault = vault;
    this.#rules = RULES.filter((rule) => !keep.has(rule.name) && !keep.has(rule.class));
  }

  /**
   * Learns the values of all documents: of all before the first is replaced. @throws FormatError when they are too many.
   * @param earlier what was found before, elsewhere.
   */
  learn(documents: readonly Document[], earlier: readonly MapRow[] = []): void {
    for (const row of earlier) {
      const rule = this.#rules.find(({ name }) => name === row.rule);
      if (rule) this.#vault.add(rule, row.class, latin1(Buffer.from(row.value)));
    }
    // By rule, then by document: what class a value has does not depend on where it stands first.
    const known = new Map(documents.map((document) => [document, this.#vault.knownIn(document.view)]));
    for (const rule of this.#rules)
      for (const document of documents)
        for (const { piece, value } of findByRules(document, [rule]))
          if (!overlaps(known.get(document) ?? [], piece)) this.#learnPiece(rule, piece, value, document);
    this.#finder = new FormFinder(this.#vault.forms());
  }

  #learnPiece(rule: Rule, piece: Piece, value: string, document: Document): void {
    if (this.#vault.isStandIn(value) || value.trim() === '') return;
    if (rule.class !== 'secret' && isEvidence(document.view, piece.start, piece.end)) return;
    const of = this.#vault.add(rule, piece.class, value);
    // `password=abc,uid=0`: whether the comma is part of it is not known.
    const first =
      piece.class === 'secret' && !rule.pieces ? /^[^,;]{5,}(?=[,;])/.exec(value)?.[0] : undefined;
    if (first !== undefined && !this.#vault.isStandIn(first)) this.#vault.add(rule, 'secret', first);
    const between = /^(?:ipv4|mac)$/.test(piece.class) ? /-/.exec(value)?.[0] : undefined;
    const text = between === undefined ? of.standIn : of.standIn.replaceAll(/[.:]/g, between);
    const places = this.#places.get(document) ?? [];
    this.#places.set(document, places);
    places.push({ start: piece.start, end: piece.end, standIn: inCaseOf(value, text, of), of });
  }

  /** Values in what is not our own. */
  #findWords(document: Document, onPlace: (place: Place) => void): void {
    this.#finder.find(document.view, (place) => {
      const isOwn = document.rangesOf(place.start, place.end).some((range) => overlaps(document.own, range));
      if (!isOwn) onPlace(place);
    });
  }

  /** What is put where. */
  #edits(document: Document): Edit[] {
    const found = [...(this.#places.get(document) ?? [])];
    this.#findWords(document, (place) => found.push(place));
    let places = withoutOverlap(found);
    if (document.view.length < document.text.length) {
      const inText = places.flatMap((place) => placesIn(document, place));
      // Where words that were put together are two.
      this.#finder.find(withoutEscapes(document.text), (place) => inText.push(place));
      places = withoutOverlap(inText);
    }
    return places.map(({ start, end, standIn, whole = standIn, of }) => {
      this.#vault.note(whole);
      this.#used.add(lowerCase(whole));
      this.#replacements.set(of.rule, (this.#replacements.get(of.rule) ?? 0) + 1);
      const values = this.#replaced.get(of.rule) ?? new Set();
      this.#replaced.set(of.rule, values.add(of.standIn));
      return { start, end, text: standIn };
    });
  }

  redact(document: Document): { readonly bytes: Uint8Array; readonly leaks: readonly Leak[] } {
    const edits = this.#edits(document);
    const bytes = document.render(edits);
    return { bytes, leaks: this.#ruleLeaks(openDocument(document.name, bytes), edits) };
  }

  /** Where rules find in a result what is no stand-in, nor has one in it. */
  #ruleLeaks(document: Document, edits: readonly Edit[]): Leak[] {
    const { name, view } = document;
    const known = this.#vault.knownIn(view);
    const ranges: Range[] = [];
    let moved = 0;
    for (const { start, end, text } of edits) {
      ranges.push({ start: start + moved, end: start + moved + text.length });
      moved += text.length - (end - start);
    }
    const isStandIn = (piece: Piece): boolean =>
      overlaps(known, piece) ||
      document.rangesOf(piece.start, piece.end).some((each) => overlaps(ranges, each));
    const found: Leak[] = [];
    for (const { rule, piece, value } of findByRules(document, this.#rules)) {
      if (isStandIn(piece) || this.#vault.isStandIn(value) || value.trim() === '') continue;
      if (rule.class !== 'secret' && isEvidence(view, piece.start, piece.end)) continue;
      if (found.length < MAX_LEAKS)
        found.push({ file: name, rule: rule.name, line: lineOf(view, piece.start) });
    }
    return found;
  }

  /** The same for a text that was not learned of. */
  redactText(name: string, text: string): string {
    const { bytes } = this.redact(openDocument(name, Buffer.from(text, 'utf8')));
    return Buffer.from(bytes).toString('utf8');
  }

  /**
   * Where a value is on a page that was made of these files.
   * @param plain the same page without what texts hold: a word that is there, or in what is our own in a file, is ours.
   */
  leaksOnPage(
    name: string,
    page: Uint8Array,
    files: Iterable<readonly [string, Uint8Array]>,
    plain: () => string,
  ): Leak[] {
    const seen = readWords(seenOf(latin1(page))).view;
    const hits = new Map<PrivateValue, number>();
    this.#finder.find(seen, ({ start, of }) => {
      if (!hits.has(of) && !isMarkup(seen, start)) hits.set(of, start);
    });
    if (hits.size === 0) return [];
    const ours = new Set<PrivateValue>();
    const learn = (text: string): void => this.#finder.find(text, ({ of }) => ours.add(of));
    learn(seenOf(plain()));
    for (const [file, bytes] of files) {
      if (!isOwnFile(file) || file === name) continue;
      const { own, text } = openDocument(file, bytes);
      learn(ownWordsOf(file, own, text, latin1(bytes)));
    }
    return [...hits]
      .filter(([of]) => !ours.has(of))
      .slice(0, MAX_LEAKS)
      .map(([{ rule }, start]) => ({ file: name, rule, line: lineOf(seen, start) }));
  }

  /** Where a value that was found anywhere still is, in any form. */
  leaks(name: string, bytes: Uint8Array): Leak[] {
    // As JSON has it.
    const text = latin1(bytes).replaceAll('\\u001b', '\u001b');
    const readings = [withoutEscapes(text), readWords(text).view];
    const found: Leak[] = [];
    const add = (reading: string, start: number, { rule }: PrivateValue): void => {
      if (found.length < MAX_LEAKS) found.push({ file: name, rule, line: lineOf(reading, start) });
    };
    const document = openDocument(name, bytes);
    if (document.own.length > 0 && isOwnFile(name)) {
      this.#findWords(document, ({ start, of }) => add(document.view, start, of));
      return found;
    }
    for (const reading of new Set(readings))
      this.#finder.find(reading, ({ start, end, of }) => {
        if (name.endsWith('.json') && isMachineWord(reading, start, end)) return;
        add(reading, start, of);
      });
    return found;
  }

  /** Those for which a stand-in was put somewhere. */
  get values(): PrivateValue[] {
    const replaced = new Set([...this.#replaced.values()].flatMap((each) => [...each]));
    return this.#vault.values.filter(({ standIn }) => replaced.has(standIn));
  }

  /** Stand-ins that were put somewhere. */
  get used(): readonly string[] {
    return [...this.#used].sort();
  }

  /** Names of the rules that found first what stands in a text. */
  rulesIn(text: string): string[] {
    const rules = new Set<string>();
    this.#finder.find(latin1(Buffer.from(text)), ({ of }) => rules.add(of.rule));
    return [...rules];
  }

  /** By rule, in the order of the rules. */
  get counts(): RuleCount[] {
    return RULES.flatMap(({ name }) => {
      const replacements = this.#replacements.get(name);
      return replacements === undefined
        ? []
        : [{ rule: name, replacements, values: this.#replaced.get(name)?.size ?? 0 }];
    });
  }
}
