// Abbreviation tables (DWARF 5 §7.5.3): what the entries of a unit look like. Reads no entry.
import type { ByteSource } from '../bytes.ts';
import { FormatError } from '../errors.ts';
import { DW_AT_sibling, DW_FORM_implicit_const } from './constants.ts';
import { Cursor } from './cursor.ts';
import { skipPlan, type UnitShape } from './form.ts';

/** One shape of an entry. The attribute columns have one element an attribute. */
export class Abbrev {
  readonly tag: number;
  readonly hasChildren: boolean;
  readonly names: readonly number[];
  readonly forms: readonly number[];
  /** Values for DW_FORM_implicit_const, 0 for other forms. */
  readonly implicit: readonly number[];
  /** Which attribute is DW_AT_sibling; -1 when none is. */
  readonly sibling: number;
  #skip: readonly number[] | undefined;
  #skipToSibling: readonly number[] | undefined;

  constructor(tag: number, hasChildren: boolean, names: number[], forms: number[], implicit: number[]) {
    this.tag = tag;
    this.hasChildren = hasChildren;
    this.names = names;
    this.forms = forms;
    this.implicit = implicit;
    this.sibling = names.indexOf(DW_AT_sibling);
  }

  /** Plan (form.ts) over all attributes. @throws FormatError when one has a form that is not known. */
  skip(shape: UnitShape): readonly number[] {
    this.#skip ??= this.#plan(this.forms, shape);
    return this.#skip;
  }
  /** Plan over the attributes before DW_AT_sibling. */
  skipToSibling(shape: UnitShape): readonly number[] {
    this.#skipToSibling ??= this.#plan(this.forms.slice(0, this.sibling), shape);
    return this.#skipToSibling;
  }

  #plan(forms: readonly number[], shape: UnitShape): readonly number[] {
    const plan = skipPlan(forms, shape);
    if (plan) return plan;
    const known = forms.findIndex((_, count) => !skipPlan(forms.slice(0, count + 1), shape));
    throw new FormatError(`form 0x${(forms[known] ?? 0).toString(16)} is not known`);
  }
}

/** By code. Compilers count codes from 1, so an array serves; codes of others are refused above MAX_CODE. */
export type AbbrevTable = readonly (Abbrev | undefined)[];

/** The largest kernel units use 300, link-time optimisation some thousand. */
const MAX_CODE = 1 << 20;
const MAX_TABLE = 16 << 20;
const MAX_ATTRIBUTES = 256;
const FIRST_READ = 8 << 10;
/** Of all tables together: many units can name large ones in turn. A pass over a kernel reads 300,000. */
const MAX_READ = 1 << 26;

function readAbbrev(cursor: Cursor): Abbrev {
  const tag = cursor.uleb();
  const hasChildren = cursor.u8() !== 0;
  const names: number[] = [];
  const forms: number[] = [];
  const implicit: number[] = [];
  for (;;) {
    const name = cursor.uleb();
    const form = cursor.uleb();
    const value = form === DW_FORM_implicit_const ? cursor.sleb() : 0;
    if (name === 0 && form === 0) return new Abbrev(tag, hasChildren, names, forms, implicit);
    if (names.length === MAX_ATTRIBUTES) throw cursor.error('too many attributes');
    names.push(name);
    forms.push(form);
    implicit.push(value);
  }
}

/** Reads tables and keeps the last one: units of one link-time optimisation share theirs. */
export class AbbrevTables {
  /** How many abbreviations were read so far, those of damaged tables too. */
  read = 0;
  #key = '';
  #table: AbbrevTable = [];

  /**
   * The table at `offset` of .debug_abbrev, for units of one shape.
   * @throws FormatError when it is malformed or unbelievably large, or too much was read already.
   */
  at(section: ByteSource, offset: number, { version, offsetSize, addressSize }: UnitShape): AbbrevTable {
    // Skip plans depend on the shape of the unit.
    const key = [offset, version, offsetSize, addressSize].join();
    if (key === this.#key) return this.#table;
    this.#table = this.#read(section, offset);
    this.#key = key;
    return this.#table;
  }

  #read(section: ByteSource, offset: number): AbbrevTable {
    // Tables do not tell their length.
    for (let size = FIRST_READ; ; size *= 8) {
      const available = Math.min(size, section.size - offset);
      const bytes = section.read(offset, available);
      try {
        return this.#parse(new Cursor(section.name, bytes, 0, offset));
      } catch (error) {
        if (available < size || size >= MAX_TABLE) throw error;
      }
    }
  }

  #parse(cursor: Cursor): AbbrevTable {
    const table: (Abbrev | undefined)[] = [];
    for (;;) {
      const code = cursor.uleb();
      if (code === 0) return table;
      if (code > MAX_CODE) throw cursor.error(`abbreviation code ${code}`);
      if (++this.read > MAX_READ) throw cursor.error('too many abbreviations');
      table[code] = readAbbrev(cursor);
    }
  }
}
