// Symbols of one kernel as columns sorted by address: no object per symbol (a vmlinux has 120,000). Looks up, judges nothing.
import { KERNEL_IMAGE_END, KERNEL_IMAGE_START } from './address.ts';
import { textUntilNul } from './bytes.ts';

/** One row a symbol, in any order. */
export interface SymbolColumns {
  /** Low and high halves of the addresses. */
  readonly low: Uint32Array;
  readonly high: Uint32Array;
  /** Bytes, 0 where the source does not know. */
  readonly sizes?: Uint32Array | undefined;
  /** Letters of nm(1) as character codes. */
  readonly letters: Uint8Array;
  /** Where each name starts in `names`; it ends at a NUL or at a line end. */
  readonly nameStarts: Uint32Array;
  readonly names: Uint8Array;
  /** Number of the kernel module that each belongs to, 0 for none; `moduleNames[n - 1]` is its name. */
  readonly modules?: Uint16Array | undefined;
  readonly moduleNames?: readonly string[] | undefined;
}

/** Columns whose rows ascend by address: what a table holds, and what can be kept in a file. */
export interface SortedColumns extends Omit<SymbolColumns, 'low' | 'high'> {
  readonly addresses: BigUint64Array;
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

/** The columns in the order of `rows`. */
function inOrder(columns: SymbolColumns, rows: Uint32Array): SortedColumns {
  const { low, high, sizes, letters, nameStarts, names, modules, moduleNames } = columns;
  const halves = new Uint32Array(rows.length * 2);
  const sorted = {
    sizes: sizes && new Uint32Array(rows.length),
    letters: new Uint8Array(rows.length),
    nameStarts: new Uint32Array(rows.length),
    modules: modules && new Uint16Array(rows.length),
  };
  for (let index = 0; index < rows.length; index++) {
    const row = rows[index] ?? 0;
    halves[index * 2] = low[row] ?? 0;
    halves[index * 2 + 1] = high[row] ?? 0;
    sorted.letters[index] = letters[row] ?? 0;
    sorted.nameStarts[index] = nameStarts[row] ?? 0;
    if (sizes && sorted.sizes) sorted.sizes[index] = sizes[row] ?? 0;
    if (modules && sorted.modules) sorted.modules[index] = modules[row] ?? 0;
  }
  return { ...sorted, addresses: new BigUint64Array(halves.buffer), names, moduleNames };
}

/** Chains of the symbols whose names have the same hash, the last symbol first. */
interface NameIndex {
  readonly heads: Int32Array;
  readonly next: Int32Array;
}

/** Making the index of a vmlinux takes as long as some ten searches. */
const FINDS_WITHOUT_INDEX = 8;
/** Longer names than any kernel has (KSYM_NAME_LEN) hash by their beginning. */
const MAX_HASHED = 1024;

/** FNV-1a of the bytes up to a NUL, a line end or the end. */
function hashOf(bytes: Uint8Array, start: number): number {
  let hash = 0x811c9dc5;
  for (let at = start; at < Math.min(bytes.length, start + MAX_HASHED); at++) {
    const byte = bytes[at] ?? 0;
    if (byte === 0 || byte === NEWLINE) break;
    hash = Math.imul(hash ^ byte, 0x01000193);
  }
  return hash >>> 0;
}

function indexNames({ names, nameStarts }: SortedColumns): NameIndex {
  const count = nameStarts.length;
  const heads = new Int32Array(2 ** Math.ceil(Math.log2(count + 1))).fill(-1);
  const next = new Int32Array(count);
  for (let index = 0; index < count; index++) {
    const slot = hashOf(names, nameStarts[index] ?? 0) & (heads.length - 1);
    next[index] = heads[slot] ?? -1;
    heads[slot] = index;
  }
  return { heads, next };
}

/** Sorted symbols. Indices are positions in address order. */
export class SymbolTable {
  /** File that the symbols came from. */
  readonly source: string;
  readonly length: number;
  /** True when the source tells sizes (ELF), false for a System.map. */
  readonly hasSizes: boolean;
  readonly columns: SortedColumns;
  #byName: NameIndex | undefined;
  #finds = 0;

  /** `order` are row numbers in ascending order of address: orderByAddress, with ties as the source wants them. */
  constructor(source: string, columns: SymbolColumns, order: Uint32Array);
  constructor(source: string, columns: SortedColumns);
  constructor(source: string, columns: SymbolColumns | SortedColumns, order?: Uint32Array) {
    this.source = source;
    this.columns = 'addresses' in columns ? columns : inOrder(columns, order ?? new Uint32Array(0));
    this.length = this.columns.addresses.length;
    this.hasSizes = columns.sizes !== undefined;
  }

  address(index: number): bigint {
    return this.columns.addresses[index] ?? 0n;
  }

  /** Size in bytes, 0 when unknown. */
  size(index: number): number {
    return this.columns.sizes?.[index] ?? 0;
  }

  /** Letter of nm(1): `T` global text, `t` local text, `D`, `d`, `B`, `R`, `A`, ... */
  letter(index: number): string {
    return String.fromCharCode(this.columns.letters[index] ?? 0x3f);
  }

  name(index: number): string {
    const { names, nameStarts } = this.columns;
    return textUntilNul(names, nameStarts[index] ?? 0, NEWLINE);
  }

  /** Name of the module that a symbol belongs to, where the source tells (/proc/kallsyms). */
  module(index: number): string | undefined {
    const { modules, moduleNames } = this.columns;
    return moduleNames?.[(modules?.[index] ?? 0) - 1];
  }

  /** Index of the first symbol at or above `address`; `length` when there is none. */
  lowerBound(address: bigint): number {
    const { addresses } = this.columns;
    let low = 0;
    let high = this.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((addresses[middle] ?? 0n) < address) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Index of the last symbol with exactly this name. */
  find(name: string): number | undefined {
    for (const index of this.findAll(name)) return index;
    return undefined;
  }

  /** Indices of all symbols with exactly this name, the last one first: static functions share names. */
  *findAll(name: string): Generator<number> {
    const { names, nameStarts } = this.columns;
    const wanted = new TextEncoder().encode(name);
    const isIt = (index: number): boolean => {
      const start = nameStarts[index] ?? 0;
      let at = 0;
      while (at < wanted.length && names[start + at] === wanted[at]) at++;
      const end = names[start + at] ?? 0;
      return at === wanted.length && (end === 0 || end === NEWLINE);
    };
    if (!this.#byName && this.#finds++ < FINDS_WITHOUT_INDEX) {
      for (let index = this.length - 1; index >= 0; index--) if (isIt(index)) yield index;
      return;
    }
    this.#byName ??= indexNames(this.columns);
    const { heads, next } = this.#byName;
    let index = heads[hashOf(wanted, 0) & (heads.length - 1)] ?? -1;
    for (; index >= 0; index = next[index] ?? -1) if (isIt(index)) yield index;
  }

  addressOf(name: string): bigint | undefined {
    const index = this.find(name);
    return index === undefined ? undefined : this.address(index);
  }
}

/**
 * The table of a kernel that runs `slide` bytes above where it was linked (KASLR). What lies in the image moves; per-CPU symbols (from
 * 0, up to 6.14) and constants do not.
 */
export function shifted(table: SymbolTable, slide: bigint): SymbolTable {
  if (slide === 0n) return table;
  const moves = (address: bigint): boolean => address >= KERNEL_IMAGE_START && address < KERNEL_IMAGE_END;
  const addresses = table.columns.addresses.map((address) => (moves(address) ? address + slide : address));
  return new SymbolTable(table.source, { ...table.columns, addresses });
}
