// How many bytes a compressed block of zstd unpacks to (RFC 8878 §3.1.1.3): its literals, and the lengths of its matches. Makes none
// of them: zstd.ts lets fzstd do that, which believes whatever lengths and distances it is told.
import { FormatError } from './errors.ts';
import { constantTable, type FseTable, fseTable, readFseTable } from './zstd-fse.ts';

/** A code is a base and a number of bits that are read and added to it. */
interface Codes {
  readonly bases: readonly number[];
  readonly bits: readonly number[];
}

const codes = (first: number, bits: readonly number[]): Codes => {
  const bases = [first];
  for (const width of bits) bases.push((bases.at(-1) ?? 0) + 2 ** width);
  return { bases, bits };
};

const zeros = (count: number): number[] => new Array<number>(count).fill(0);

const SHORT = [1, 1, 1, 1, 2, 2, 3, 3];
const LONG = [7, 8, 9, 10, 11, 12, 13, 14, 15, 16];

/** Tables 15 and 16 of the RFC; an offset code is its number of bits. */
const LITERAL_LENGTHS = codes(0, [...zeros(16), ...SHORT, 4, 6, ...LONG]);
const MATCH_LENGTHS = codes(3, [...zeros(32), ...SHORT, 4, 4, 5, ...LONG]);

/** What is said of one of the three kinds of codes, in the order in which their tables stand in a block. */
interface Kind {
  readonly maxAccuracy: number;
  readonly symbols: number;
  readonly predefined: FseTable;
}

/** §3.1.1.3.2.2: distributions where a block brings none. */
const KINDS: readonly [lengths: Kind, offsets: Kind, matches: Kind] = [
  {
    maxAccuracy: 9,
    symbols: 36,
    predefined: fseTable(
      [
        4, 3, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 3, 2, 1, 1, 1, 1, 1, -1,
        -1, -1, -1,
      ],
      6,
    ),
  },
  {
    maxAccuracy: 8,
    symbols: 32,
    predefined: fseTable(
      [1, 1, 1, 1, 1, 1, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1],
      5,
    ),
  },
  {
    maxAccuracy: 9,
    symbols: 53,
    predefined: fseTable(
      [1, 4, 3, 2, 2, 2, 2, 2, 2, ...new Array<number>(37).fill(1), -1, -1, -1, -1, -1, -1, -1],
      6,
    ),
  },
];

const damaged = (why: string): FormatError => new FormatError(`zstd block ${why}`);

/** Bits from the end of a stream to its start, each number's highest first; the last byte has a one above them. */
class BackwardBits {
  readonly #bytes: Uint8Array;
  readonly #start: number;
  /** Bits that are left. */
  left: number;

  constructor(bytes: Uint8Array, start: number, end: number) {
    const last = bytes[end - 1] ?? 0;
    if (end <= start || last === 0) throw damaged('without an end of its sequences');
    this.#bytes = bytes;
    this.#start = start;
    this.left = (end - start) * 8 - 8 + (31 - Math.clz32(last));
  }

  /** @param count 31 at most. */
  read(count: number): number {
    this.left -= count;
    if (this.left < 0) throw damaged('whose sequences end early');
    const bytes = this.#bytes;
    const at = this.#start + (this.left >>> 3);
    const shift = this.left & 7;
    const low = (bytes[at] ?? 0) | ((bytes[at + 1] ?? 0) << 8) | ((bytes[at + 2] ?? 0) << 16);
    if (count <= 16) return (low >>> shift) & ((1 << count) - 1);
    const word = low + (bytes[at + 3] ?? 0) * 2 ** 24 + (bytes[at + 4] ?? 0) * 2 ** 32;
    return Math.floor(word / 2 ** shift) % 2 ** count;
  }
}

/** The literals: how many bytes they are, and where in the block they end. */
function literalsOf(block: Uint8Array): { readonly count: number; readonly end: number } {
  const byte = (at: number): number => block[at] ?? 0;
  const type = byte(0) & 3;
  const format = (byte(0) >>> 2) & 3;
  // Raw, or one byte repeated.
  if (type < 2) {
    const header = format === 1 ? 2 : format === 3 ? 3 : 1;
    const long = (byte(0) >>> 4) | (byte(1) << 4) | (format === 3 ? byte(2) << 12 : 0);
    const count = header === 1 ? byte(0) >>> 3 : long;
    return { count, end: header + (type === 0 ? count : 1) };
  }
  // Huffman codes: the number of literals, then of bytes that they take, in 10, 14 or 18 bits each.
  const width = format < 2 ? 10 : format === 2 ? 14 : 18;
  const number = byte(0) + byte(1) * 2 ** 8 + byte(2) * 2 ** 16 + byte(3) * 2 ** 24 + byte(4) * 2 ** 32;
  const sizes = Math.floor(number / 16);
  const packed = Math.floor(sizes / 2 ** width) % 2 ** width;
  return { count: sizes % 2 ** width, end: (4 + 2 * width) / 8 + packed };
}

/** Number of sequences at `at`, and where it ends. */
function sequenceCount(block: Uint8Array, at: number): { readonly count: number; readonly end: number } {
  const [first = 0, second = 0, third = 0] = block.subarray(at, at + 3);
  if (first < 0x80) return { count: first, end: at + 1 };
  if (first < 0xff) return { count: ((first - 0x80) << 8) + second, end: at + 2 };
  return { count: second + (third << 8) + 0x7f00, end: at + 3 };
}

/** The blocks of one frame, in their order: tables and distances of one are used by the next. */
export class BlockSizes {
  readonly #maxBlock: number;
  readonly #tables: (FseTable | undefined)[] = [];
  /** The last three distances, the newest first. */
  #first = 1;
  #second = 4;
  #third = 8;

  /** @param maxBlock bytes that a block unpacks to at most. */
  constructor(maxBlock: number) {
    this.#maxBlock = maxBlock;
  }

  /**
   * Bytes that a compressed block unpacks to.
   * @param before bytes of the blocks before it.
   * @throws FormatError when that is too much, a match begins before the frame, or the block is damaged otherwise.
   */
  of(block: Uint8Array, before: number): number {
    const literals = literalsOf(block);
    if (literals.end >= block.length) throw damaged('ends early');
    if (literals.count > this.#maxBlock) throw damaged(`with ${literals.count} literals`);
    const { count, end } = sequenceCount(block, literals.end);
    if (count === 0) return literals.count;
    const bits = new BackwardBits(block, this.#readTables(block, end), block.length);
    return this.#walk(bits, count, literals.count, before);
  }

  /** @returns where the tables end. */
  #readTables(block: Uint8Array, at: number): number {
    const modes = block[at] ?? 0;
    let end = at + 1;
    KINDS.forEach(({ maxAccuracy, symbols, predefined }, kind) => {
      const mode = (modes >>> (6 - 2 * kind)) & 3;
      if (mode === 0) this.#tables[kind] = predefined;
      if (mode === 1) {
        const symbol = block[end++] ?? 0;
        if (symbol >= symbols) throw damaged(`with code ${symbol}`);
        this.#tables[kind] = constantTable(symbol);
      }
      if (mode === 2) {
        const read = readFseTable(block, end, maxAccuracy, symbols);
        this.#tables[kind] = read.table;
        end = read.end;
      }
    });
    return end;
  }

  /** All sequences: some literals and a match each. @returns bytes that they and the literals behind them make. */
  #walk(bits: BackwardBits, count: number, literals: number, before: number): number {
    const [lengths, offsets, matches] = this.#tables;
    if (!lengths || !offsets || !matches) throw damaged('that repeats tables of none');
    let lengthState = bits.read(lengths.accuracy);
    let offsetState = bits.read(offsets.accuracy);
    let matchState = bits.read(matches.accuracy);
    let used = 0;
    let matched = 0;
    for (let left = count; left > 0; left--) {
      const offsetCode = offsets.symbols[offsetState] ?? 0;
      const matchCode = matches.symbols[matchState] ?? 0;
      const lengthCode = lengths.symbols[lengthState] ?? 0;
      const offset = 2 ** offsetCode + bits.read(offsetCode);
      const match = (MATCH_LENGTHS.bases[matchCode] ?? 0) + bits.read(MATCH_LENGTHS.bits[matchCode] ?? 0);
      const length =
        (LITERAL_LENGTHS.bases[lengthCode] ?? 0) + bits.read(LITERAL_LENGTHS.bits[lengthCode] ?? 0);
      used += length;
      const reached = before + used + matched;
      matched += match;
      if (used > literals || literals + matched > this.#maxBlock) throw damaged('of too many bytes');
      const distance = this.#distance(offset, length);
      if (distance <= 0 || distance > reached) throw damaged(`with a match ${distance} bytes back`);
      if (left === 1) break;
      lengthState = (lengths.bases[lengthState] ?? 0) + bits.read(lengths.bits[lengthState] ?? 0);
      matchState = (matches.bases[matchState] ?? 0) + bits.read(matches.bits[matchState] ?? 0);
      offsetState = (offsets.bases[offsetState] ?? 0) + bits.read(offsets.bits[offsetState] ?? 0);
    }
    if (bits.left !== 0) throw damaged('with more than its sequences');
    return literals + matched;
  }

  /** An offset of 1 to 3 is a recent distance (§3.1.1.5): another one where no literals stand before the match. */
  #distance(offset: number, literals: number): number {
    const first = this.#first;
    if (offset > 3) {
      this.#third = this.#second;
      this.#second = first;
      this.#first = offset - 3;
      return this.#first;
    }
    const choice = offset - (literals === 0 ? 0 : 1);
    if (choice === 0) return first;
    this.#first = choice === 1 ? this.#second : choice === 2 ? this.#third : first - 1;
    if (choice !== 1) this.#third = this.#second;
    this.#second = first;
    return this.#first;
  }
}
