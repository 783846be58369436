// Which unit describes the code at a place, for all units of a file. Decodes none: unit-set.ts does.
import { readAranges, readUnitRanges, unitOffsetAt } from './aranges.ts';
import { type Cover, NOTHING } from './cover.ts';
import type { UnitSet } from './unit-set.ts';

const noCover = (): Cover => ({ starts: [], values: [] });

/** .debug_aranges as far as it goes; the units that it does not tell of (clang writes none) say themselves where their code is. */
export class UnitMap {
  readonly #units: UnitSet;
  #told: ReturnType<typeof readAranges> | undefined;
  #untold: Cover | undefined;

  constructor(units: UnitSet) {
    this.#units = units;
  }

  /** Offset in .debug_info of the unit at a place; NOTHING when there is none. */
  at(place: number): number {
    const offset = unitOffsetAt(this.#aranges().cover, place);
    return offset === NOTHING ? unitOffsetAt(this.#otherRanges(), place) : offset;
  }

  /** Where the code of each unit lies: by its offset a cover whose values are that offset, or NOTHING. */
  byUnit(): Map<number, Cover> {
    const covers = new Map<number, Cover>();
    for (const { starts, values } of [this.#aranges().cover, this.#otherRanges()]) {
      values.forEach((unit, index) => {
        if (unit === NOTHING) return;
        const cover = covers.get(unit) ?? noCover();
        covers.set(unit, cover);
        cover.starts.push(starts[index] ?? 0, starts[index + 1] ?? 0);
        cover.values.push(unit, NOTHING);
      });
    }
    return covers;
  }

  #aranges(): ReturnType<typeof readAranges> {
    this.#told ??= this.#units.guard(() => readAranges(this.#units.sections)) ?? {
      cover: noCover(),
      units: new Set(),
    };
    return this.#told;
  }

  /** Only read when it is needed: it takes a look at every unit. */
  #otherRanges(): Cover {
    this.#untold ??=
      this.#units.guard(() => {
        const { units: told } = this.#aranges();
        const untold = this.#units.headers().filter((header) => !told.has(header.offset));
        return readUnitRanges(this.#units.sections, untold);
      }) ?? noCover();
    return this.#untold;
  }
}
