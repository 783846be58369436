// The units of a file, decoded when they are asked for and kept for a while. Finds none by address: debug-info.ts does.
import { FormatError } from '../errors.ts';
import { lastAtOrBelow } from './places.ts';
import type { DebugSections } from './sections.ts';
import { readUnitHeader, Unit, type UnitHeader, unitHeaders } from './unit.ts';
import { UnitCode } from './unit-code.ts';

/** A stack comes back to the same units. 64 of a kernel are 20 MB: some million rows and scopes. */
const MAX_CODES = 64;
/** Rows and scopes that are kept, but for the last unit's: hostile units are all as large as can be. */
const MAX_KEPT = 1 << 23;
/** Units that names were looked up in: those of link-time optimisation refer to each other. */
const MAX_UNITS = 16;
const MAX_WARNINGS = 16;

export class UnitSet {
  readonly sections: DebugSections;
  /** What could not be read so far. */
  readonly warnings: string[] = [];
  /** By offset in .debug_info, oldest use first. */
  readonly #codes = new Map<number, UnitCode | undefined>();
  /** Work of those. */
  #kept = 0;
  readonly #units = new Map<number, Unit>();
  #headers: { readonly offsets: number[]; readonly headers: UnitHeader[] } | undefined;

  constructor(sections: DebugSections) {
    this.sections = sections;
  }

  /** The unit at an offset of .debug_info; undefined when it cannot be read. */
  code(offset: number): UnitCode | undefined {
    const known = this.#codes.get(offset);
    if (known || this.#codes.has(offset)) {
      this.#codes.delete(offset);
      this.#codes.set(offset, known);
      return known;
    }
    const code = this.guard(() => {
      const header = readUnitHeader(this.sections.get('.debug_info'), offset);
      return new UnitCode(new Unit(this.sections, header), (place) => this.#unitAt(place));
    });
    for (const { message } of code?.damage ?? []) this.#warn(message);
    this.#makeRoom(code?.work ?? 0);
    this.#codes.set(offset, code);
    return code;
  }

  #makeRoom(work: number): void {
    this.#kept += work;
    for (const [oldest, code] of this.#codes) {
      if (this.#codes.size < MAX_CODES && this.#kept <= MAX_KEPT) return;
      this.#codes.delete(oldest);
      this.#kept -= code?.work ?? 0;
    }
  }

  headers(): readonly UnitHeader[] {
    return this.#allHeaders().headers;
  }

  /** What `read` gives, or a warning. */
  guard<T>(read: () => T): T | undefined {
    try {
      return read();
    } catch (error) {
      if (!(error instanceof FormatError)) throw error;
      this.#warn(error.message);
      return undefined;
    }
  }

  /** The unit around a place of .debug_info. */
  #unitAt(place: number): Unit | undefined {
    const { offsets, headers } = this.#allHeaders();
    const header = headers[lastAtOrBelow(offsets, place)];
    if (!header || place >= header.offset + header.size) return undefined;
    const known = this.#units.get(header.offset);
    if (known) return known;
    const [oldest] = this.#units.keys();
    if (this.#units.size === MAX_UNITS && oldest !== undefined) this.#units.delete(oldest);
    const unit = new Unit(this.sections, header);
    this.#units.set(header.offset, unit);
    return unit;
  }

  #allHeaders(): { readonly offsets: number[]; readonly headers: UnitHeader[] } {
    if (!this.#headers) {
      const section = this.sections.find('.debug_info');
      const headers = section ? [...unitHeaders(section)] : [];
      this.#headers = { headers, offsets: headers.map(({ offset }) => offset) };
    }
    return this.#headers;
  }

  #warn(message: string): void {
    if (this.warnings.length < MAX_WARNINGS && !this.warnings.includes(message)) this.warnings.push(message);
  }
}
