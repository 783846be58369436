// Functions of a unit and what was inlined into them (DWARF 5 §3.3): which scope is at a place, and how it is called. Reads no lines.
import type { Abbrev } from './abbrev.ts';
import * as dw from './constants.ts';
import { type Cover, coverOf, NOTHING, type Spans } from './cover.ts';
import type { Cursor } from './cursor.ts';
import { directForm, readValue, skipValues } from './form.ts';
import { lastAtOrBelow } from './places.ts';
import { rangesOf } from './ranges.ts';
import type { Unit, Value } from './unit.ts';

/** Entries nest 20 deep in kernels. */
export const MAX_DEPTH: number = 1024;
/** A unit of the kernel has some thousand scopes. */
const MAX_SCOPES = 1 << 21;

const SCOPES: ReadonlySet<number> = new Set([dw.DW_TAG_subprogram, dw.DW_TAG_inlined_subroutine]);
/** What functions or inlined functions may lie in besides each other. */
const BLOCKS: ReadonlySet<number> = new Set([
  dw.DW_TAG_compile_unit,
  dw.DW_TAG_lexical_block,
  dw.DW_TAG_try_block,
  dw.DW_TAG_catch_block,
  dw.DW_TAG_namespace,
  dw.DW_TAG_module,
]);
const TYPES: ReadonlySet<number> = new Set([
  dw.DW_TAG_class_type,
  dw.DW_TAG_structure_type,
  dw.DW_TAG_union_type,
]);

/** Functions and inlined functions of a unit, as columns, parents before children. A cover's values are indices here. */
export interface Scopes {
  /** Scope into which this one was inlined; NOTHING for a function that stands alone. */
  readonly parents: number[];
  /** Where in .debug_info the entry is that has the name or leads to it. */
  readonly names: number[];
  /** Of the call that was replaced: number of the file in the line table, line, column; 0 when not known. */
  readonly callFiles: number[];
  readonly callLines: number[];
  readonly callColumns: number[];
  /** The innermost scope by place: of two that overlap the one that comes later. */
  readonly cover: Cover;
}

export const scopeAt = ({ cover }: Scopes, place: number): number =>
  cover.values[lastAtOrBelow(cover.starts, place)] ?? NOTHING;

/** The attributes of functions and inlined functions that matter here; by their place in this list they are kept. */
const WANTED = [
  dw.DW_AT_low_pc,
  dw.DW_AT_high_pc,
  dw.DW_AT_ranges,
  dw.DW_AT_abstract_origin,
  dw.DW_AT_sibling,
  dw.DW_AT_call_file,
  dw.DW_AT_call_line,
  dw.DW_AT_call_column,
];
const [LOW, HIGH, RANGES, ORIGIN, SIBLING, CALL_FILE, CALL_LINE, CALL_COLUMN] = [
  0, 1, 2, 3, 4, 5, 6, 7,
] as const;

/** @throws FormatError when an entry is malformed. */
export function readScopes(unit: Unit): Scopes {
  return new ScopeReader(unit).read();
}

class ScopeReader {
  readonly #unit: Unit;
  readonly #spans: Spans = { starts: [], ends: [], values: [] };
  readonly #scopes: Omit<Scopes, 'cover'> = {
    parents: [],
    names: [],
    callFiles: [],
    callLines: [],
    callColumns: [],
  };
  /** Attributes of the entry that was read last, by their place in WANTED; form 0 when it has none. */
  readonly #forms = WANTED.map(() => 0);
  readonly #values = WANTED.map(() => 0);

  constructor(unit: Unit) {
    this.#unit = unit;
  }

  read(): Scopes {
    const unit = this.#unit;
    const { header, abbrevs } = unit;
    const plain = dw.PLAIN_LANGUAGES.has(unit.constant(dw.DW_AT_language) ?? 0);
    const cursor = unit.cursor(header.entries);
    /** Scope that each open list of children belongs to. */
    const open: number[] = [];
    while (cursor.remaining > 0) {
      const start = cursor.offset;
      const code = cursor.uleb();
      if (code === 0) {
        open.pop();
        if (open.length === 0) break;
        continue;
      }
      const abbrev = abbrevs[code];
      if (!abbrev) throw cursor.error(`abbreviation ${code} does not exist`);
      const around = open.at(-1) ?? NOTHING;
      let inside: number | undefined = around;
      if (SCOPES.has(abbrev.tag)) inside = this.#readScope(cursor, abbrev, start, around);
      else if (abbrev.hasChildren && isLeaf(abbrev, plain)) {
        skipValues(cursor, abbrev.skipToSibling(header), header);
        this.#read(cursor, abbrev, abbrev.sibling, SIBLING);
        this.#jump(cursor);
        inside = undefined;
      } else skipValues(cursor, abbrev.skip(header), header);
      if (!abbrev.hasChildren || inside === undefined) continue;
      if (open.length === MAX_DEPTH) throw cursor.error('entries nested too deep');
      open.push(inside);
    }
    return { ...this.#scopes, cover: coverOf(this.#spans) };
  }

  /** The scope that children of the entry lie in; undefined when they were skipped. */
  #readScope(cursor: Cursor, abbrev: Abbrev, start: number, around: number): number | undefined {
    const unit = this.#unit;
    this.#readEntry(cursor, abbrev);
    const ranges = rangesOf(unit, this.#attribute(LOW), this.#attribute(HIGH), this.#attribute(RANGES));
    if (ranges.length === 0) {
      if (this.#forms[SIBLING] === 0 || !abbrev.hasChildren) return around;
      this.#jump(cursor);
      return undefined;
    }
    const { parents, names, callFiles, callLines, callColumns } = this.#scopes;
    const scope = parents.length;
    if (scope === MAX_SCOPES) throw cursor.error('too many functions');
    const origin = this.#attribute(ORIGIN);
    parents.push(abbrev.tag === dw.DW_TAG_inlined_subroutine ? around : NOTHING);
    names.push(origin ? referenceOf(unit, origin) : unit.header.offset + start);
    callFiles.push(this.#values[CALL_FILE] ?? 0);
    callLines.push(this.#values[CALL_LINE] ?? 0);
    callColumns.push(this.#values[CALL_COLUMN] ?? 0);
    for (const [from, to] of ranges) {
      if (!unit.sections.places.isCode(from)) continue;
      this.#spans.starts.push(from);
      this.#spans.ends.push(to);
      this.#spans.values.push(scope);
    }
    return scope;
  }

  #readEntry(cursor: Cursor, abbrev: Abbrev): void {
    this.#forms.fill(0);
    this.#values.fill(0);
    const { names } = abbrev;
    for (let i = 0; i < names.length; i++) this.#read(cursor, abbrev, i, WANTED.indexOf(names[i] ?? 0));
  }

  /** Reads an attribute and keeps it at a place of WANTED, or nowhere. */
  #read(cursor: Cursor, { forms, implicit }: Abbrev, index: number, keep: number): void {
    const { header, sections } = this.#unit;
    let form = forms[index] ?? 0;
    if (form === dw.DW_FORM_indirect) form = directForm(cursor);
    const value = readValue(cursor, form, implicit[index] ?? 0, header, sections.places);
    if (keep < 0) return;
    this.#forms[keep] = form;
    this.#values[keep] = value;
  }

  #attribute(at: number): Value | undefined {
    const form = this.#forms[at] ?? 0;
    return form === 0 ? undefined : { form, value: this.#values[at] ?? 0 };
  }

  /** Goes on at the sibling: only forwards, so that every walk ends. */
  #jump(cursor: Cursor): void {
    const sibling = this.#attribute(SIBLING);
    if (!sibling) return;
    const offset = referenceOf(this.#unit, sibling) - this.#unit.header.offset;
    if (offset < cursor.offset) throw cursor.error('sibling lies behind');
    cursor.seek(offset);
  }
}

/** True when nothing below such an entry can be code, and it says where it ends. */
function isLeaf({ tag, sibling }: Abbrev, plain: boolean): boolean {
  return sibling >= 0 && !BLOCKS.has(tag) && (plain || !TYPES.has(tag));
}

const ALTERNATE: ReadonlySet<number> = new Set([
  dw.DW_FORM_GNU_ref_alt,
  dw.DW_FORM_ref_sup4,
  dw.DW_FORM_ref_sup8,
  dw.DW_FORM_ref_sig8,
]);

/** Not a place of .debug_info: the entry is in another file. */
export const ELSEWHERE = -1;

/** Where in .debug_info a reference leads. */
export function referenceOf(unit: Unit, { form, value }: Value): number {
  if (ALTERNATE.has(form)) return ELSEWHERE;
  return form === dw.DW_FORM_ref_addr ? value : unit.header.offset + value;
}
