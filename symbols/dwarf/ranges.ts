// Where the code of an entry lies: DW_AT_low_pc and DW_AT_high_pc, or a list of .debug_rnglists or .debug_ranges (DWARF 5 §2.17, §7.25;
// DWARF 4 §7.23). Says nothing about what is there.
import * as dw from './constants.ts';
import { Cursor } from './cursor.ts';
import type { Unit, Value } from './unit.ts';

/** Start and end (exclusive) as places. */
export type Range = readonly [start: number, end: number];

const FIRST_READ = 256;
const MAX_LIST = 1 << 24;

/** @throws FormatError when the list is malformed. */
export function rangesOf(
  unit: Unit,
  low: Value | undefined,
  high: Value | undefined,
  ranges: Value | undefined,
): readonly Range[] {
  if (ranges) return readList(unit, ranges);
  const start = low && unit.place(low);
  if (start === undefined || !high) return [];
  // Class constant: the size; class address: the end.
  const end = unit.place(high) ?? start + high.value;
  return end > start ? [[start, end]] : [];
}

function readList(unit: Unit, { form, value }: Value): readonly Range[] {
  const isList5 = unit.header.version >= 5;
  const name = isList5 ? '.debug_rnglists' : '.debug_ranges';
  const section = unit.sections.get(name);
  const offset = form === dw.DW_FORM_rnglistx ? listOffset(unit, value) : value;
  // Lists do not tell their length.
  for (let size = FIRST_READ; ; size *= 8) {
    const available = Math.min(size, section.size - offset);
    const cursor = new Cursor(name, section.read(offset, available), 0, offset);
    try {
      return isList5 ? readRnglist(unit, cursor) : readOldList(unit, cursor);
    } catch (error) {
      if (available < size || size >= MAX_LIST) throw error;
    }
  }
}

/** Offset of a list by its number (DWARF 5 §7.28): the table lies behind the header that DW_AT_rnglists_base points behind. */
function listOffset(unit: Unit, index: number): number {
  const { offsetSize } = unit.header;
  const section = unit.sections.get('.debug_rnglists');
  const base = unit.constant(dw.DW_AT_rnglists_base) ?? (offsetSize === 4 ? 12 : 20);
  const entry = section.read(base + index * offsetSize, offsetSize);
  return base + new Cursor(section.name, entry).word(offsetSize);
}

/** A base far from all code is rounded as a place: it is 0 (units whose DW_AT_low_pc is 0), and the offsets are addresses. */
function add(unit: Unit, base: number, offset: bigint): number {
  return Number.isSafeInteger(base) ? base + Number(offset) : unit.sections.places.of(offset);
}

function unitBase(unit: Unit): number {
  const low = unit.root.get(dw.DW_AT_low_pc);
  return (low && unit.place(low)) ?? unit.sections.places.of(0n);
}

function readRnglist(unit: Unit, cursor: Cursor): readonly Range[] {
  const { addressSize } = unit.header;
  const { places } = unit.sections;
  const ranges: Range[] = [];
  let base = unitBase(unit);
  for (;;) {
    unit.countRangeEntry(cursor);
    const kind = cursor.u8();
    let start = 0;
    let end = 0;
    switch (kind) {
      case dw.DW_RLE_end_of_list:
        return ranges;
      case dw.DW_RLE_base_addressx:
        base = unit.indexedPlace(cursor.uleb());
        continue;
      case dw.DW_RLE_base_address:
        base = places.read(cursor, addressSize);
        continue;
      case dw.DW_RLE_startx_endx:
        start = unit.indexedPlace(cursor.uleb());
        end = unit.indexedPlace(cursor.uleb());
        break;
      case dw.DW_RLE_startx_length:
        start = unit.indexedPlace(cursor.uleb());
        end = start + cursor.uleb();
        break;
      case dw.DW_RLE_offset_pair:
        if (Number.isSafeInteger(base)) {
          start = base + cursor.uleb();
          end = base + cursor.uleb();
        } else {
          start = add(unit, base, cursor.uleb64());
          end = add(unit, base, cursor.uleb64());
        }
        break;
      case dw.DW_RLE_start_end:
        start = places.read(cursor, addressSize);
        end = places.read(cursor, addressSize);
        break;
      case dw.DW_RLE_start_length:
        start = places.read(cursor, addressSize);
        end = start + cursor.uleb();
        break;
      default:
        throw cursor.error(`range list entry of kind ${kind}`);
    }
    if (end > start) ranges.push([start, end]);
  }
}

/** .debug_ranges: pairs of addresses; two zeros end the list, a pair that starts with all ones sets the base. */
function readOldList(unit: Unit, cursor: Cursor): readonly Range[] {
  const { addressSize } = unit.header;
  const ranges: Range[] = [];
  const top = addressSize === 8 ? 0xffff_ffff_ffff_ffffn : 0xffff_ffffn;
  const word = (): bigint => {
    const low = BigInt(cursor.u32());
    return addressSize === 8 ? low | (BigInt(cursor.u32()) << 32n) : low;
  };
  let base = unitBase(unit);
  for (;;) {
    unit.countRangeEntry(cursor);
    const start = word();
    const end = word();
    if (start === 0n && end === 0n) return ranges;
    if (start === top) {
      base = unit.sections.places.of(end);
      continue;
    }
    if (end > start) ranges.push([add(unit, base, start), add(unit, base, end)]);
  }
}
