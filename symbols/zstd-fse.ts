// Decoding tables of zstd's finite state entropy (RFC 8878 §4.1): out of a distribution, and distributions out of a block. Decodes
// nothing with them.
import { FormatError } from './errors.ts';

/** Cells by state. Bits are read and added to the base to get the next state. */
export interface FseTable {
  /** Bits of the first state. */
  readonly accuracy: number;
  readonly symbols: Uint8Array;
  readonly bits: Uint8Array;
  readonly bases: Uint16Array;
}

/** Probability "less than one": a cell of its own, at the table's end. */
const LESS_THAN_ONE = -1;

const log2 = (value: number): number => 31 - Math.clz32(value);

/** @param counts cells of each symbol; they sum up to 2^accuracy. */
export function fseTable(counts: readonly number[], accuracy: number): FseTable {
  const size = 1 << accuracy;
  const symbols = new Uint8Array(size);
  const next = counts.map((count) => Math.abs(count));
  let high = size;
  counts.forEach((count, symbol) => {
    if (count === LESS_THAN_ONE) symbols[--high] = symbol;
  });
  const step = (size >> 1) + (size >> 3) + 3;
  let place = 0;
  counts.forEach((count, symbol) => {
    for (let cell = 0; cell < count; cell++) {
      symbols[place] = symbol;
      do place = (place + step) & (size - 1);
      while (place >= high);
    }
  });
  const bits = new Uint8Array(size);
  const bases = new Uint16Array(size);
  for (let state = 0; state < size; state++) {
    const symbol = symbols[state] ?? 0;
    const number = next[symbol] ?? 0;
    next[symbol] = number + 1;
    const width = accuracy - log2(number);
    bits[state] = width;
    bases[state] = (number << width) - size;
  }
  return { accuracy, symbols, bits, bases };
}

/** The table with one symbol, which takes no bits. */
export const constantTable = (symbol: number): FseTable => ({
  accuracy: 0,
  symbols: Uint8Array.of(symbol),
  bits: new Uint8Array(1),
  bases: new Uint16Array(1),
});

/**
 * The table whose distribution stands at `at`, and where that ends.
 * @throws FormatError when it is none, or has a larger accuracy or more symbols than these.
 */
export function readFseTable(
  bytes: Uint8Array,
  at: number,
  maxAccuracy: number,
  maxSymbols: number,
): { readonly table: FseTable; readonly end: number } {
  let position = at * 8;
  const peek = (count: number): number => {
    const byte = position >>> 3;
    const word = (bytes[byte] ?? 0) | ((bytes[byte + 1] ?? 0) << 8) | ((bytes[byte + 2] ?? 0) << 16);
    return (word >>> (position & 7)) & ((1 << count) - 1);
  };
  const accuracy = peek(4) + 5;
  position += 4;
  if (accuracy > maxAccuracy) throw new FormatError('zstd table of too high accuracy');
  const counts: number[] = [];
  let left = 1 << accuracy;
  while (left > 0 && counts.length < maxSymbols) {
    // Values below `short` take one bit less: there are not enough for all numbers of that width.
    const width = log2(left + 1) + 1;
    const half = 1 << (width - 1);
    const short = 2 * half - 2 - left;
    let value = peek(width);
    const isShort = (value & (half - 1)) < short;
    position += isShort ? width - 1 : width;
    if (isShort) value &= half - 1;
    else if (value >= half) value -= short;
    counts.push(value - 1);
    left -= Math.abs(value - 1);
    if (value !== 1) continue;
    // Zeros that follow a zero are counted, by threes.
    for (let zeros = 3; zeros === 3 && counts.length <= maxSymbols; ) {
      zeros = peek(2);
      position += 2;
      for (let count = 0; count < zeros; count++) counts.push(0);
    }
  }
  const end = (position + 7) >>> 3;
  if (left !== 0 || counts.length > maxSymbols || end > bytes.length)
    throw new FormatError('zstd table is damaged');
  return { table: fseTable(counts, accuracy), end };
}
