// Which unit describes the code at a place: .debug_aranges (DWARF 5 §6.1.2), and for units that it misses their own ranges.
import { FormatError } from '../errors.ts';
import * as dw from './constants.ts';
import { type Cover, coverOf, NOTHING, type Spans } from './cover.ts';
import { Cursor } from './cursor.ts';
import { lastAtOrBelow } from './places.ts';
import { rangesOf } from './ranges.ts';
import type { DebugSections } from './sections.ts';
import { Unit, type UnitHeader } from './unit.ts';

const MAX_TABLE = 64 << 20;
/** Abbreviations that may be read to see where units have their code: many can name one table. A kernel has 300,000. */
const MAX_ABBREVS = 1 << 21;
/** The same for entries of range lists. */
const MAX_RANGES = 1 << 22;

/** Spans of code by the offset of their unit in .debug_info; NOTHING between them. */
export const unitOffsetAt = ({ starts, values }: Cover, place: number): number =>
  values[lastAtOrBelow(starts, place)] ?? NOTHING;

const noSpans = (): Spans => ({ starts: [], ends: [], values: [] });

function addSpan(sections: DebugSections, spans: Spans, start: number, end: number, unit: number): void {
  if (!(end > start) || !sections.places.isCode(start)) return;
  spans.starts.push(start);
  spans.ends.push(end);
  spans.values.push(unit);
}

/** The table, as far as it can be read, and the units that it tells of. */
export function readAranges(sections: DebugSections): {
  readonly cover: Cover;
  readonly units: ReadonlySet<number>;
} {
  const spans = noSpans();
  const units = new Set<number>();
  const section = sections.find('.debug_aranges');
  if (section && section.size <= MAX_TABLE) {
    const cursor = new Cursor(section.name, section.read(0, section.size));
    try {
      while (cursor.remaining > 0) readSet(cursor, sections, spans, units);
    } catch (error) {
      // What was read until the damage serves; the other units are asked themselves.
      if (!(error instanceof FormatError)) throw error;
    }
  }
  return { cover: coverOf(spans), units };
}

function readSet(cursor: Cursor, sections: DebugSections, spans: Spans, units: Set<number>): void {
  const start = cursor.offset;
  let length = cursor.u32();
  const offsetSize = length === 0xffffffff ? 8 : 4;
  if (offsetSize === 8) length = cursor.u64();
  const end = cursor.offset + length;
  cursor.u16(); // version 2, since DWARF 2
  const unit = cursor.word(offsetSize);
  const addressSize = cursor.u8();
  cursor.skip(1); // segment selector size
  if (addressSize !== 4 && addressSize !== 8) throw cursor.error(`addresses of ${addressSize} bytes`);
  // Entries are aligned to their size, counted from the set's start.
  const entry = addressSize * 2;
  cursor.skip((entry - ((cursor.offset - start) % entry)) % entry);
  while (cursor.offset + entry <= end) {
    const place = sections.places.read(cursor, addressSize);
    addSpan(sections, spans, place, place + cursor.uint(addressSize), unit);
  }
  units.add(unit);
  cursor.seek(end);
}

/** Ranges that the units say themselves that they have. Units that cannot be read say nothing, nor do those behind the first millions. */
export function readUnitRanges(sections: DebugSections, headers: Iterable<UnitHeader>): Cover {
  const spans = noSpans();
  const before = sections.abbrevs.read;
  const rangesBefore = sections.rangeEntries;
  for (const header of headers) {
    if (sections.abbrevs.read - before > MAX_ABBREVS) break;
    if (sections.rangeEntries - rangesBefore > MAX_RANGES) break;
    try {
      const unit = new Unit(sections, header);
      const { root } = unit;
      const ranges = rangesOf(
        unit,
        root.get(dw.DW_AT_low_pc),
        root.get(dw.DW_AT_high_pc),
        root.get(dw.DW_AT_ranges),
      );
      for (const [start, end] of ranges) addSpan(sections, spans, start, end, header.offset);
    } catch (error) {
      if (!(error instanceof FormatError)) throw error;
    }
  }
  return coverOf(spans);
}
