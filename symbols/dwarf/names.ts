// Names of functions: from an entry through DW_AT_abstract_origin and DW_AT_specification to the one that has it. Demangles nothing.
import { FormatError } from '../errors.ts';
import * as dw from './constants.ts';
import { ELSEWHERE, referenceOf } from './inline.ts';
import type { Unit } from './unit.ts';

/** inlined copy -> abstract instance -> declaration is what compilers write. */
const MAX_HOPS = 8;
/** As symbol tables have it before as the source has it: linkers and other tools name a function so. */
const NAMES = [dw.DW_AT_linkage_name, dw.DW_AT_MIPS_linkage_name, dw.DW_AT_name];
const REFERENCES = [dw.DW_AT_abstract_origin, dw.DW_AT_specification];

/**
 * Name by the place of an entry in .debug_info; undefined when it has none or it is in another file.
 * @param unitAt the unit that a place of .debug_info lies in.
 * @throws FormatError when an entry on the way is malformed.
 */
export function nameAt(place: number, unitAt: (place: number) => Unit | undefined): string | undefined {
  let plain: string | undefined;
  for (let hop = 0; hop < MAX_HOPS && place !== ELSEWHERE; hop++) {
    const unit = unitAt(place);
    if (!unit) throw new FormatError('reference to no unit', { source: '.debug_info', offset: place });
    const entry = unit.readEntry(unit.cursor(place - unit.header.offset));
    for (const attribute of NAMES) {
      const value = entry.get(attribute);
      if (!value) continue;
      const text = unit.text(value);
      if (attribute !== dw.DW_AT_name && text !== undefined) return text;
      plain ??= text;
    }
    const reference = REFERENCES.map((attribute) => entry.get(attribute)).find(
      (value) => value !== undefined,
    );
    if (!reference) return plain;
    place = referenceOf(unit, reference);
  }
  return plain;
}
