// Code addresses as plain numbers: "places" count from the lowest code address of the file. Knows no DWARF beyond address sizes.
//
// Kernel addresses do not fit a double and bigints are slow by the million; distances inside one file always fit.
import { SHF_ALLOC, SHF_EXECINSTR } from '../elf/constants.ts';
import type { ElfFile } from '../elf/elf-file.ts';
import type { Cursor } from './cursor.ts';

const CODE = SHF_ALLOC | SHF_EXECINSTR;
const FAR = 2 ** 32;
const TOP = 1n << 64n;

/** Where code lies, and the way between addresses and places. A place outside of code is never used to answer anything. */
export class Places {
  readonly #base: bigint;
  readonly #low: number;
  readonly #high: number;
  /** Code sections in ascending order; they do not overlap. */
  readonly #starts: number[] = [];
  readonly #ends: number[] = [];

  constructor(elf: ElfFile) {
    const sections = elf.sections
      .filter(
        ({ flags, size, address }) => (flags & CODE) === CODE && size > 0 && address + BigInt(size) < TOP,
      )
      .sort((a, b) => (a.address < b.address ? -1 : 1));
    this.#base = sections[0]?.address ?? 0n;
    this.#low = Number(this.#base & 0xffffffffn);
    this.#high = Number(this.#base >> 32n);
    for (const { address, size } of sections) {
      const start = Math.max(this.of(address), this.#ends.at(-1) ?? 0);
      const end = this.of(address) + size;
      if (end <= start) continue;
      this.#starts.push(start);
      this.#ends.push(end);
    }
  }

  of(address: bigint): number {
    return Number(BigInt.asUintN(64, address) - this.#base);
  }
  address(place: number): bigint {
    return BigInt.asUintN(64, this.#base + BigInt(place));
  }

  /** Reads an address of `size` bytes. */
  read(cursor: Cursor, size: number): number {
    const low = size === 8 ? cursor.u32() : cursor.uint(size);
    return ((size === 8 ? cursor.u32() : 0) - this.#high) * FAR + (low - this.#low);
  }

  /** True inside of the file's code sections. */
  isCode(place: number): boolean {
    const section = lastAtOrBelow(this.#starts, place);
    return section >= 0 && place < (this.#ends[section] ?? 0);
  }
}

/** Index of the last element of the ascending `values` that is at or below `wanted`; -1 when there is none. */
export function lastAtOrBelow(values: ArrayLike<number>, wanted: number): number {
  let low = 0;
  let high = values.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((values[middle] ?? 0) <= wanted) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}
