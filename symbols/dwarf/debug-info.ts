// Lines and inlined functions of an ELF file by address: out of its DWARF, a unit at a time, or out of an index made earlier.
import type { ByteSource } from '../bytes.ts';
import type { ElfFile } from '../elf/elf-file.ts';
import { FormatError } from '../errors.ts';
import { readAranges, readUnitRanges, unitOffsetAt } from './aranges.ts';
import { type Cover, NOTHING } from './cover.ts';
import { lastAtOrBelow } from './places.ts';
import { DebugSections } from './sections.ts';
import { readUnitHeader, Unit, type UnitHeader, unitHeaders } from './unit.ts';
import { type SourceFrame, UnitCode } from './unit-code.ts';

export type { SourceFrame } from './unit-code.ts';

/** Addresses are those that the file was linked for: the caller takes off a KASLR slide or a module's base. */
export interface DebugInfo {
  /** Innermost frame first, the last one is the function that stands alone; none when the address is not known. */
  lookup(address: bigint): readonly SourceFrame[];
  /** What could not be read so far, for the user: answers lack it. */
  readonly warnings: readonly string[];
}

/** Decoded units are kept: a stack comes back to the same ones. 64 of a kernel are 30 MB. */
const MAX_UNITS = 64;
const MAX_WARNINGS = 16;

/**
 * Opens the debug information of a file; undefined when it has none.
 * @param index what writeDebugIndex made for this very file.
 * @throws FormatError when the index is damaged or of another file.
 */
export function openDebugInfo(elf: ElfFile, index?: ByteSource): DebugInfo | undefined {
  const sections = new DebugSections(elf);
  if (index) throw new FormatError('later');
  return sections.has('.debug_info') ? new DwarfInfo(sections) : undefined;
}

class DwarfInfo implements DebugInfo {
  readonly warnings: string[] = [];
  readonly #sections: DebugSections;
  readonly #units = new Map<number, UnitCode | undefined>();
  #aranges: ReturnType<typeof readAranges> | undefined;
  #ranges: Cover | undefined;
  #headers: { readonly offsets: number[]; readonly headers: UnitHeader[] } | undefined;

  constructor(sections: DebugSections) {
    this.#sections = sections;
  }

  lookup(address: bigint): readonly SourceFrame[] {
    const place = this.#sections.places.of(address);
    if (!this.#sections.places.isCode(place)) return [];
    const offset = this.#unitOffset(place);
    return offset === NOTHING ? [] : (this.#code(offset)?.frames(place) ?? []);
  }

  #unitOffset(place: number): number {
    this.#aranges ??= this.#guard(() => readAranges(this.#sections)) ?? { cover: NO_COVER, units: new Set() };
    const { cover, units } = this.#aranges;
    const offset = unitOffsetAt(cover, place);
    if (offset !== NOTHING) return offset;
    // A unit may have no .debug_aranges (clang writes none), so the others say themselves where their code is.
    this.#ranges ??=
      this.#guard(() =>
        readUnitRanges(
          this.#sections,
          this.#allHeaders().headers.filter((header) => !units.has(header.offset)),
        ),
      ) ?? NO_COVER;
    return unitOffsetAt(this.#ranges, place);
  }

  #code(offset: number): UnitCode | undefined {
    const known = this.#units.get(offset);
    if (known || this.#units.has(offset)) {
      this.#units.delete(offset);
      this.#units.set(offset, known);
      return known;
    }
    const code = this.#guard(() => {
      const header = readUnitHeader(this.#sections.get('.debug_info'), offset);
      return new UnitCode(new Unit(this.#sections, header), (place) => this.#unitAt(place));
    });
    for (const { message } of code?.damage ?? []) this.#warn(message);
    const [oldest] = this.#units.keys();
    if (this.#units.size === MAX_UNITS && oldest !== undefined) this.#units.delete(oldest);
    this.#units.set(offset, code);
    return code;
  }

  /** The unit around a place of .debug_info; it is not kept: few units refer to others. */
  #unitAt(place: number): Unit | undefined {
    const { offsets, headers } = this.#allHeaders();
    const header = headers[lastAtOrBelow(offsets, place)];
    return header && place < header.offset + header.size ? new Unit(this.#sections, header) : undefined;
  }

  #allHeaders(): { readonly offsets: number[]; readonly headers: UnitHeader[] } {
    if (!this.#headers) {
      const headers = [...unitHeaders(this.#sections.get('.debug_info'))];
      this.#headers = { headers, offsets: headers.map(({ offset }) => offset) };
    }
    return this.#headers;
  }

  #guard<T>(read: () => T): T | undefined {
    try {
      return read();
    } catch (error) {
      if (!(error instanceof FormatError)) throw error;
      this.#warn(error.message);
      return undefined;
    }
  }

  #warn(message: string): void {
    if (this.warnings.length < MAX_WARNINGS && !this.warnings.includes(message)) this.warnings.push(message);
  }
}

const NO_COVER: Cover = { starts: [], values: [] };
