// Lines and inlined functions of an ELF file by address: out of its DWARF, a unit at a time, or out of an index made earlier.
import type { ByteSource } from '../bytes.ts';
import type { ElfFile } from '../elf/elf-file.ts';
import { NOTHING } from './cover.ts';
import { IndexInfo } from './index-info.ts';
import { DebugSections } from './sections.ts';
import type { DebugInfo, SourceFrame } from './source-frame.ts';
import { supplementWarnings } from './supplement.ts';
import { UnitMap } from './unit-map.ts';
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

class DwarfInfo implements DebugInfo {
  readonly #units: UnitSet;
  readonly #map: UnitMap;
  readonly #supplement: readonly string[];

  constructor(sections: DebugSections) {
    this.#supplement = supplementWarnings(sections.elf);
    this.#units = new UnitSet(sections);
    this.#map = new UnitMap(this.#units);
  }

  get warnings(): readonly string[] {
    return [...this.#supplement, ...this.#units.warnings];
  }

  lookup(address: bigint): readonly SourceFrame[] {
    const { places } = this.#units.sections;
    const place = places.of(address);
    if (!places.isCode(place)) return [];
    const offset = this.#map.at(place);
    return offset === NOTHING ? [] : (this.#units.code(offset)?.frames(place) ?? []);
  }
}
