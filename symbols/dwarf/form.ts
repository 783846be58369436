// Attribute values (DWARF 5 §7.5.5 and §7.5.6): how long each form is and how it is read. Follows no reference.
import * as dw from './constants.ts';
import type { Cursor } from './cursor.ts';
import type { Places } from './places.ts';

/** What the length of a form depends on. */
export interface UnitShape {
  readonly version: number;
  /** 4 in the 32-bit DWARF format, 8 in the 64-bit one. */
  readonly offsetSize: 4 | 8;
  readonly addressSize: number;
}

/** Lengths that are no fixed number of bytes: steps of a skip plan. */
const LEB = -1;
const TEXT = -2;
const BLOCK1 = -3;
const BLOCK2 = -4;
const BLOCK4 = -5;
const BLOCK = -6;
const INDIRECT = -7;
/** In the table only: the size of an offset, of an address. */
const OFFSET = -8;
const ADDRESS = -9;

const LENGTHS: ReadonlyMap<number, number> = new Map([
  [dw.DW_FORM_addr, ADDRESS],
  [dw.DW_FORM_block2, BLOCK2],
  [dw.DW_FORM_block4, BLOCK4],
  [dw.DW_FORM_data2, 2],
  [dw.DW_FORM_data4, 4],
  [dw.DW_FORM_data8, 8],
  [dw.DW_FORM_string, TEXT],
  [dw.DW_FORM_block, BLOCK],
  [dw.DW_FORM_block1, BLOCK1],
  [dw.DW_FORM_data1, 1],
  [dw.DW_FORM_flag, 1],
  [dw.DW_FORM_sdata, LEB],
  [dw.DW_FORM_strp, OFFSET],
  [dw.DW_FORM_udata, LEB],
  [dw.DW_FORM_ref_addr, OFFSET],
  [dw.DW_FORM_ref1, 1],
  [dw.DW_FORM_ref2, 2],
  [dw.DW_FORM_ref4, 4],
  [dw.DW_FORM_ref8, 8],
  [dw.DW_FORM_ref_udata, LEB],
  [dw.DW_FORM_indirect, INDIRECT],
  [dw.DW_FORM_sec_offset, OFFSET],
  [dw.DW_FORM_exprloc, BLOCK],
  [dw.DW_FORM_flag_present, 0],
  [dw.DW_FORM_strx, LEB],
  [dw.DW_FORM_addrx, LEB],
  [dw.DW_FORM_ref_sup4, 4],
  [dw.DW_FORM_strp_sup, OFFSET],
  [dw.DW_FORM_data16, 16],
  [dw.DW_FORM_line_strp, OFFSET],
  [dw.DW_FORM_ref_sig8, 8],
  [dw.DW_FORM_implicit_const, 0],
  [dw.DW_FORM_loclistx, LEB],
  [dw.DW_FORM_rnglistx, LEB],
  [dw.DW_FORM_ref_sup8, 8],
  [dw.DW_FORM_strx1, 1],
  [dw.DW_FORM_strx2, 2],
  [dw.DW_FORM_strx3, 3],
  [dw.DW_FORM_strx4, 4],
  [dw.DW_FORM_addrx1, 1],
  [dw.DW_FORM_addrx2, 2],
  [dw.DW_FORM_addrx3, 3],
  [dw.DW_FORM_addrx4, 4],
  [dw.DW_FORM_GNU_ref_alt, OFFSET],
  [dw.DW_FORM_GNU_strp_alt, OFFSET],
]);

/** Bytes of a form when at least 0, else one of the steps above; undefined for a form that nobody knows. */
function lengthOf(form: number, shape: UnitShape): number | undefined {
  // DWARF 2 §7.5.4: there DW_FORM_ref_addr is as long as an address.
  if (form === dw.DW_FORM_ref_addr && shape.version < 3) return shape.addressSize;
  const length = LENGTHS.get(form);
  if (length === OFFSET) return shape.offsetSize;
  return length === ADDRESS ? shape.addressSize : length;
}

/** Steps that skip values of these forms one after the other; neighbours of fixed length are one step. */
export function skipPlan(forms: readonly number[], shape: UnitShape): number[] | undefined {
  const plan: number[] = [];
  for (const form of forms) {
    const length = lengthOf(form, shape);
    if (length === undefined) return undefined;
    const last = plan.at(-1) ?? LEB;
    if (length >= 0 && last >= 0) plan[plan.length - 1] = last + length;
    else plan.push(length);
  }
  return plan;
}

export function skipValues(cursor: Cursor, plan: readonly number[], shape: UnitShape): void {
  for (const step of plan) {
    if (step >= 0) cursor.skip(step);
    else if (step === LEB) cursor.skipLeb();
    else skipLong(cursor, step, shape);
  }
}

function skipLong(cursor: Cursor, step: number, shape: UnitShape): void {
  if (step === TEXT) cursor.skipText();
  else if (step === BLOCK1) cursor.skip(cursor.u8());
  else if (step === BLOCK2) cursor.skip(cursor.u16());
  else if (step === BLOCK4) cursor.skip(cursor.u32());
  else if (step === BLOCK) cursor.skip(cursor.uleb());
  else skipValues(cursor, skipPlan([directForm(cursor)], shape) ?? unknown(cursor, 0), shape);
}

/** The form behind DW_FORM_indirect: never another DW_FORM_indirect, nor one whose value is in the abbreviation. */
export function directForm(cursor: Cursor): number {
  const form = cursor.uleb();
  if (form === dw.DW_FORM_indirect || form === dw.DW_FORM_implicit_const) unknown(cursor, form);
  return form;
}

function unknown(cursor: Cursor, form: number): never {
  throw cursor.error(`form 0x${form.toString(16)} is not known`);
}

/**
 * One value as a number: constants and flags themselves (signed ones as such), addresses as places, indices and section offsets,
 * references as they are written (from the unit's start, or for DW_FORM_ref_addr from the section's), for inline text and blocks where
 * they start. DW_FORM_indirect is the caller's (directForm).
 * @param implicit what the abbreviation says for DW_FORM_implicit_const.
 */
export function readValue(
  cursor: Cursor,
  form: number,
  implicit: number,
  shape: UnitShape,
  places: Places,
): number {
  switch (form) {
    case dw.DW_FORM_addr:
      return places.read(cursor, shape.addressSize);
    case dw.DW_FORM_data1:
    case dw.DW_FORM_flag:
    case dw.DW_FORM_ref1:
    case dw.DW_FORM_strx1:
    case dw.DW_FORM_addrx1:
      return cursor.u8();
    case dw.DW_FORM_data2:
    case dw.DW_FORM_ref2:
    case dw.DW_FORM_strx2:
    case dw.DW_FORM_addrx2:
      return cursor.u16();
    case dw.DW_FORM_strx3:
    case dw.DW_FORM_addrx3:
      return cursor.u24();
    case dw.DW_FORM_data4:
    case dw.DW_FORM_ref4:
    case dw.DW_FORM_ref_sup4:
    case dw.DW_FORM_strx4:
    case dw.DW_FORM_addrx4:
      return cursor.u32();
    case dw.DW_FORM_data8:
    case dw.DW_FORM_ref8:
    case dw.DW_FORM_ref_sig8:
    case dw.DW_FORM_ref_sup8:
      return cursor.u64();
    case dw.DW_FORM_udata:
    case dw.DW_FORM_ref_udata:
    case dw.DW_FORM_strx:
    case dw.DW_FORM_addrx:
    case dw.DW_FORM_loclistx:
    case dw.DW_FORM_rnglistx:
      return cursor.uleb();
    case dw.DW_FORM_sdata:
      return cursor.sleb();
    case dw.DW_FORM_sec_offset:
    case dw.DW_FORM_strp:
    case dw.DW_FORM_line_strp:
    case dw.DW_FORM_strp_sup:
    case dw.DW_FORM_GNU_ref_alt:
    case dw.DW_FORM_GNU_strp_alt:
      return cursor.word(shape.offsetSize);
    case dw.DW_FORM_ref_addr:
      return shape.version < 3 ? cursor.uint(shape.addressSize) : cursor.word(shape.offsetSize);
    case dw.DW_FORM_flag_present:
      return 1;
    case dw.DW_FORM_implicit_const:
      return implicit;
    default: {
      const start = cursor.offset;
      skipValues(cursor, skipPlan([form], shape) ?? unknown(cursor, form), shape);
      return start;
    }
  }
}
