// Lines and inlined functions of an ELF file by address: out of its DWARF, a unit at a time, or out of an index made earlier.
import type { ByteSource } from '../bytes.ts';
import type { ElfFile } from '../elf/elf-file.ts';
import { readAranges, readUnitRanges, unitOffsetAt } from './aranges.ts';
import { type Cover, NOTHING } from './cover.ts';
import { IndexInfo } from './index-info.ts';
import { DebugSections } from './sections.ts';
import type { DebugInfo, SourceFrame } from './source-frame.ts';
import { UnitSet } from './unit-set.ts';

export type { DebugInfo, SourceFrame } from './source-frame.ts';

/**
 * Opens the debug information of a file; undefined when it has none.
 * @param index what writeDebugIndex made for this very file.
 * @throws FormatError when the index is damaged or of another file.
 */
export function openDebugInfo(elf: ElfFile, index?: ByteSource): DebugInfo | undefined {
  if (index) return new IndexInfo(elf, index);
  const sections = new DebugSections(elf);
  return sections.has('.debug_info') ? new DwarfInfo(sections) : undefined;
}

const NO_COVER: Cover = { starts: [], values: [] };

class DwarfInfo implements DebugInfo {
  readonly #units: UnitSet;
  #aranges: ReturnType<typeof readAranges> | undefined;
  #ranges: Cover | undefined;

  constructor(sections: DebugSections) {
    this.#units = new UnitSet(sections);
  }

  get warnings(): readonly string[] {
    return this.#units.warnings;
  }

  lookup(address: bigint): readonly SourceFrame[] {
    const { places } = this.#units.sections;
    const place = places.of(address);
    if (!places.isCode(place)) return [];
    const offset = this.#unitOffset(place);
    return offset === NOTHING ? [] : (this.#units.code(offset)?.frames(place) ?? []);
  }

  #unitOffset(place: number): number {
    const units = this.#units;
    this.#aranges ??= units.guard(() => readAranges(units.sections)) ?? { cover: NO_COVER, units: new Set() };
    const told = this.#aranges.units;
    const offset = unitOffsetAt(this.#aranges.cover, place);
    if (offset !== NOTHING) return offset;
    // A unit may have no .debug_aranges (clang writes none), so the others say themselves where their code is.
    this.#ranges ??=
      units.guard(() => {
        const untold = units.headers().filter((header) => !told.has(header.offset));
        return readUnitRanges(units.sections, untold);
      }) ?? NO_COVER;
    return unitOffsetAt(this.#ranges, place);
  }
}
