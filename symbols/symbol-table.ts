// Symbols of one kernel as columns sorted by address: no object per symbol (a vmlinux has 120,000). Looks up, judges nothing.
import { textUntilNul } from './bytes.ts';

/** One row a symbol, in any order. */
export interface SymbolColumns {
  /** Low and high halves of the addresses. */
  readonly low: Uint32Array;
  readonly high: Uint32Array;
  /** Bytes, 0 where the source does not know. */
  readonly sizes?: Uint32Array;
  /** Letters of nm(1) as character codes. */
  readonly letters: Uint8Array;
  /** Where each name starts in `names`; it ends at a NUL or at a line end. */
  readonly nameStarts: Uint32Array;
  readonly names: Uint8Array;
}

/**
 * Row numbers in ascending order of address; equal addresses keep their order.
 * A byte-wise radix sort: 10 ms for a vmlinux, where a comparing sort of bigints takes 200.
 */
export function orderByAddress(low: Uint32Array, high: Uint32Array): Uint32Array {
  let from = Uint32Array.from(low.keys());
  let to = new Uint32Array(low.length);
  for (let pass = 0; pass < 8; pass++) {
    const keys = pass < 4 ? low : high;
    const shift = (pass % 4) * 8;
    const starts = new Uint32Array(257);
    for (const key of keys) {
      const digit = ((key >>> shift) & 0xff) + 1;
      starts[digit] = (starts[digit] ?? 0) + 1;
    }
    if (starts.includes(keys.length)) continue; // all have the same digit
    for (let digit = 1; digit < 257; digit++) starts[digit] = (starts[digit] ?? 0) + (starts[digit - 1] ?? 0);
    for (const row of from) {
      const digit = ((keys[row] ?? 0) >>> shift) & 0xff;
      const place = starts[digit] ?? 0;
      to[place] = row;
      starts[digit] = place + 1;
    }
    [from, to] = [to, from];
  }
  return from;
}

const NEWLINE = 10;

/** Sorted symbols. Indices are positions in address order. */
export class SymbolTable {
  /** File that the symbols came from. */
  readonly source: string;
  readonly length: number;
  /** True when the source tells sizes (ELF), false for a System.map. */
  readonly hasSizes: boolean;
  readonly #columns: SymbolColumns;
  readonly #order: Uint32Array;
  readonly #addresses: BigUint64Array;

  /** `order` are row numbers in ascending order of address: orderByAddress, with ties as the source wants them. */
  constructor(source: string, columns: SymbolColumns, order: Uint32Array) {
    this.source = source;
    this.length = order.length;
    this.hasSizes = columns.sizes !== undefined;
    this.#columns = columns;
    this.#order = order;
    const halves = new Uint32Array(order.length * 2);
    order.forEach((row, index) => {
      halves[index * 2] = columns.low[row] ?? 0;
      halves[index * 2 + 1] = columns.high[row] ?? 0;
    });
    this.#addresses = new BigUint64Array(halves.buffer);
  }

  address(index: number): bigint {
    return this.#addresses[index] ?? 0n;
  }

  /** Size in bytes, 0 when unknown. */
  size(index: number): number {
    return this.#columns.sizes?.[this.#order[index] ?? 0] ?? 0;
  }

  /** Letter of nm(1): `T` global text, `t` local text, `D`, `d`, `B`, `R`, `A`, ... */
  letter(index: number): string {
    return String.fromCharCode(this.#columns.letters[this.#order[index] ?? 0] ?? 0x3f);
  }

  name(index: number): string {
    const { names, nameStarts } = this.#columns;
    const text = textUntilNul(names, nameStarts[this.#order[index] ?? 0] ?? 0, NEWLINE);
    return text;
  }

  /** Index of the first symbol at or above `address`; `length` when there is none. */
  lowerBound(address: bigint): number {
    let low = 0;
    let high = this.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#addresses[middle] ?? 0n) < address) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Index of the last symbol with exactly this name. */
  find(name: string): number | undefined {
    const { names, nameStarts } = this.#columns;
    const wanted = new TextEncoder().encode(name);
    for (let index = this.length - 1; index >= 0; index--) {
      const start = nameStarts[this.#order[index] ?? 0] ?? 0;
      let at = 0;
      while (at < wanted.length && names[start + at] === wanted[at]) at++;
      const end = names[start + at] ?? 0;
      if (at === wanted.length && (end === 0 || end === NEWLINE)) return index;
    }
    return undefined;
  }

  addressOf(name: string): bigint | undefined {
    const index = this.find(name);
    return index === undefined ? undefined : this.address(index);
  }
}
