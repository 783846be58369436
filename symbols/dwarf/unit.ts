// Units of .debug_info (DWARF 5 §7.5.1): header, root entry, and what forms of their entries point at. Walks no entries.
import type { ByteSource } from '../bytes.ts';
import { FormatError } from '../errors.ts';
import type { AbbrevTable } from './abbrev.ts';
import * as dw from './constants.ts';
import { Cursor } from './cursor.ts';
import { directForm, readValue, type UnitShape } from './form.ts';
import type { DebugSections } from './sections.ts';

/** The largest unit of a kernel has 1 MB; link-time optimisation makes some of 100 MB. */
const MAX_UNIT = 256 << 20;
/** Header and root entry, as a rule. */
const HEAD = 512;
/** Entries of range lists that one unit may have read: lists can be named by many entries. The largest kernel unit has 20,000. */
const MAX_RANGE_ENTRIES = 1 << 20;
/** A kernel has 5,000 units. */
const MAX_UNITS = 1 << 20;
const TYPE_UNITS: ReadonlySet<number> = new Set([dw.DW_UT_type, dw.DW_UT_split_type]);

/** An attribute's value as readValue gives it, with its form. */
export interface Value {
  readonly form: number;
  readonly value: number;
}

export interface UnitHeader extends UnitShape {
  /** Where in .debug_info the unit starts, and its size with the header. */
  readonly offset: number;
  readonly size: number;
  readonly type: number;
  readonly abbrevOffset: number;
  /** Where its root entry starts, from the unit's start. */
  readonly entries: number;
}

/** @throws FormatError when there is no unit at `offset`. */
export function readUnitHeader(section: ByteSource, offset: number): UnitHeader {
  const bytes = section.read(offset, Math.max(0, Math.min(64, section.size - offset)));
  const cursor = new Cursor(section.name, bytes, 0, offset);
  let length = cursor.u32();
  const offsetSize = length === 0xffffffff ? 8 : 4;
  if (offsetSize === 8) length = cursor.u64();
  const size = cursor.offset + length;
  if (!(size <= section.size - offset) || size > MAX_UNIT)
    throw cursor.error(`unit of 0x${size.toString(16)} bytes`);
  const version = cursor.u16();
  if (version < 2 || version > 5) throw cursor.error(`unit of DWARF version ${version}`);
  const type = version >= 5 ? cursor.u8() : 0;
  let addressSize = version >= 5 ? cursor.u8() : 0;
  const abbrevOffset = cursor.word(offsetSize);
  if (version < 5) addressSize = cursor.u8();
  if (addressSize !== 4 && addressSize !== 8) throw cursor.error(`addresses of ${addressSize} bytes`);
  if (type === dw.DW_UT_skeleton || type === dw.DW_UT_split_compile) cursor.skip(8);
  else if (TYPE_UNITS.has(type)) cursor.skip(8 + offsetSize);
  return { offset, size, version, type, offsetSize, addressSize, abbrevOffset, entries: cursor.offset };
}

/** Headers one behind the other until the section's end, the first that makes no sense, or more than any file has. */
export function* unitHeaders(section: ByteSource): Generator<UnitHeader> {
  for (let offset = 0, count = 0; offset < section.size && count < MAX_UNITS; count++) {
    let header: UnitHeader;
    try {
      header = readUnitHeader(section, offset);
    } catch (error) {
      if (error instanceof FormatError) return;
      throw error;
    }
    yield header;
    offset += header.size;
  }
}

export class Unit {
  readonly header: UnitHeader;
  readonly sections: DebugSections;
  readonly abbrevs: AbbrevTable;
  /** Attributes of the root entry by their number. */
  readonly root: ReadonlyMap<number, Value>;
  #bytes: Uint8Array;
  #rangeEntries = 0;

  /** @throws FormatError when header, abbreviations or root entry are malformed. */
  constructor(sections: DebugSections, header: UnitHeader) {
    this.sections = sections;
    this.header = header;
    this.abbrevs = sections.abbrevs.at(sections.get('.debug_abbrev'), header.abbrevOffset, header);
    this.#bytes = sections.get('.debug_info').read(header.offset, Math.min(HEAD, header.size));
    this.root = this.#readRoot();
  }

  /** All bytes of the unit, header included. */
  get bytes(): Uint8Array {
    if (this.#bytes.length < this.header.size)
      this.#bytes = this.sections.get('.debug_info').read(this.header.offset, this.header.size);
    return this.#bytes;
  }

  /** A cursor at `offset` from the unit's start. */
  cursor(offset: number): Cursor {
    return new Cursor('.debug_info', this.bytes, offset, this.header.offset);
  }

  /** Called for each entry of a range list. @throws FormatError when there are too many. */
  countRangeEntry(cursor: Cursor): void {
    this.sections.rangeEntries++;
    if (++this.#rangeEntries > MAX_RANGE_ENTRIES) throw cursor.error('too many ranges');
  }

  constant(name: number): number | undefined {
    return this.root.get(name)?.value;
  }

  /** Text that an attribute of the unit names; undefined when it is in another file (dwz, split DWARF). */
  text({ form, value }: Value): string | undefined {
    const { sections, header } = this;
    switch (form) {
      case dw.DW_FORM_string:
        return this.cursor(value).text();
      case dw.DW_FORM_strp:
        return sections.text('.debug_str', value);
      case dw.DW_FORM_line_strp:
        return sections.text('.debug_line_str', value);
      case dw.DW_FORM_strx:
      case dw.DW_FORM_strx1:
      case dw.DW_FORM_strx2:
      case dw.DW_FORM_strx3:
      case dw.DW_FORM_strx4: {
        const base = this.constant(dw.DW_AT_str_offsets_base);
        if (base === undefined) return undefined;
        const { offsetSize } = header;
        const entry = this.#indexed('.debug_str_offsets', base + value * offsetSize, offsetSize);
        return sections.text('.debug_str', entry.word(offsetSize));
      }
      default:
        return undefined;
    }
  }

  /** The place that an attribute of class address holds; undefined for other classes. */
  place({ form, value }: Value): number | undefined {
    switch (form) {
      case dw.DW_FORM_addr:
        return value;
      case dw.DW_FORM_addrx:
      case dw.DW_FORM_addrx1:
      case dw.DW_FORM_addrx2:
      case dw.DW_FORM_addrx3:
      case dw.DW_FORM_addrx4:
        return this.indexedPlace(value);
      default:
        return undefined;
    }
  }

  /** Entry of .debug_addr. @throws FormatError when the unit has no such entry. */
  indexedPlace(index: number): number {
    const { addressSize } = this.header;
    const base = this.constant(dw.DW_AT_addr_base);
    if (base === undefined) throw new FormatError('unit without .debug_addr', { source: '.debug_info' });
    return this.sections.places.read(
      this.#indexed('.debug_addr', base + index * addressSize, addressSize),
      addressSize,
    );
  }

  #indexed(section: string, offset: number, size: number): Cursor {
    return new Cursor(section, this.sections.get(section).read(offset, size), 0, offset);
  }

  #readRoot(): ReadonlyMap<number, Value> {
    try {
      return this.readEntry(new Cursor('.debug_info', this.#bytes, this.header.entries, this.header.offset));
    } catch (error) {
      if (this.#bytes.length === this.header.size) throw error;
      return this.readEntry(this.cursor(this.header.entries));
    }
  }

  /** All attributes of the entry at the cursor; none for the end of a list. @throws FormatError when it is malformed. */
  readEntry(cursor: Cursor): ReadonlyMap<number, Value> {
    const attributes = new Map<number, Value>();
    const code = cursor.uleb();
    if (code === 0) return attributes;
    const abbrev = this.abbrevs[code];
    if (!abbrev) throw cursor.error(`abbreviation ${code} does not exist`);
    const { names, forms, implicit } = abbrev;
    for (let i = 0; i < names.length; i++) {
      let form = forms[i] ?? 0;
      if (form === dw.DW_FORM_indirect) form = directForm(cursor);
      const value = readValue(cursor, form, implicit[i] ?? 0, this.header, this.sections.places);
      attributes.set(names[i] ?? 0, { form, value });
    }
    return attributes;
  }
}
