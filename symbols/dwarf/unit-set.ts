// The units of a file, decoded when they are asked for and kept for a while. Finds none by address: debug-info.ts does.
import { FormatError } from '../errors.ts';
import { lastAtOrBelow } from './places.ts';
import type { DebugSections } from './sections.ts';
import { readUnitHeader, Unit, type UnitHeader, unitHeaders } from './unit.ts';
import { UnitCode } from './unit-code.ts';

/** A stack comes back to the same units. 64 of a kernel are 20 MB. */
const MAX_UNITS = 64;
const MAX_WARNINGS = 16;

export class UnitSet {
  readonly sections: DebugSections;
  /** What could not be read so far. */
  readonly warnings: string[] = [];
  /** By offset in .debug_info, oldest use first. */
  readonly #codes = new Map<number, UnitCode | undefined>();
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
    const [oldest] = this.#codes.keys();
    if (this.#codes.size === MAX_UNITS && oldest !== undefined) this.#codes.delete(oldest);
    this.#codes.set(offset, code);
    return code;
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

  /** The unit around a place of .debug_info; it is not kept: few units refer to others. */
  #unitAt(place: number): Unit | undefined {
    const { offsets, headers } = this.#allHeaders();
    const header = headers[lastAtOrBelow(offsets, place)];
    return header && place < header.offset + header.size ? new Unit(this.sections, header) : undefined;
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
