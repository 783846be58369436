// Address to name, offset and size, as the kernel itself prints them; never a name that the address does not belong to.
// (xenctx's own rules, which do that, are in classic-symbols.ts.)
import type { SymbolTable } from './symbol-table.ts';

export interface SymbolHit {
  readonly name: string;
  /** Distance from the symbol's start; from its end when `padding` is set. */
  readonly offset: bigint;
  /** Bytes; for a table without sizes the distance to the next symbol. */
  readonly size: bigint;
  /** Letter of nm(1). */
  readonly letter: string;
  /** True when the address lies behind the end of the symbol, in what the linker or assembler filled in. */
  readonly padding: boolean;
}

/** How far back a symbol that contains the address is looked for when nearer ones do not (labels inside a function). */
const MAX_BACK = 64;

/** Symbols at one address that are considered; kernels have some ten. */
const MAX_ALIASES = 256;

/** A kernel image leaves no larger gap between symbols; beyond it an address belongs to none. */
const MAX_PADDING = 1n << 16n;

/** Assemblers' and compilers' own names, which mean nothing to a reader. */
const ARTIFICIAL = /^(?:\.L|__pfx_|__UNIQUE_ID|\$)/;

/** Preference among symbols at one address: functions and data before labels, global before weak before local. */
function rank(letter: string, size: bigint): number {
  const local = letter === letter.toUpperCase() ? 0 : 2;
  const weak = letter === 'W' || letter === 'V' ? 1 : 0;
  return (size === 0n ? 4 : 0) + local + weak;
}

const isAbsolute = (letter: string): boolean => letter === 'A' || letter === 'a';

interface Candidate {
  readonly name: string;
  readonly letter: string;
  readonly start: bigint;
  readonly size: bigint;
}

export class Symbolizer {
  readonly #table: SymbolTable;

  constructor(table: SymbolTable) {
    this.#table = table;
  }

  /**
   * The symbol that holds an address. A label inside a function (assembly has them) is preferred to the function, as the
   * kernel does.
   */
  symbolize(address: bigint): SymbolHit | undefined {
    const table = this.#table;
    let label: Candidate | undefined;
    let behind: SymbolHit | undefined;
    let steps = 0;
    for (let end = table.lowerBound(address + 1n); end > 0 && steps < MAX_BACK; steps++) {
      const start = table.lowerBound(table.address(end - 1));
      const candidate = this.#best(start, end);
      end = start;
      if (!candidate) continue;
      const offset = address - candidate.start;
      const stop = candidate.start + candidate.size;
      if (address < stop) {
        if (label && label.start < stop) return this.#labelHit(label, address, stop);
        return { ...named(candidate), offset, size: candidate.size, padding: false };
      }
      // Exactly at a symbol of no size that no function holds: a mark such as _text.
      if (offset === 0n) label = candidate;
      else if (candidate.size === 0n) label ??= candidate;
      else
        behind = nearer(behind, {
          ...named(candidate),
          size: candidate.size,
          offset: address - stop,
          padding: true,
        });
    }
    if (label?.start === address) return { ...named(label), offset: 0n, size: 0n, padding: false };
    return behind && behind.offset < MAX_PADDING ? behind : undefined;
  }

  /**
   * The symbol that holds the call before a return address: behind a call that does not return there may be another function.
   */
  symbolizeReturn(address: bigint): SymbolHit | undefined {
    const hit = this.symbolize(address - 1n);
    return hit && { ...hit, offset: hit.offset + 1n };
  }

  /** A label reaches to the next symbol, at most to the end of its function. */
  #labelHit(label: Candidate, address: bigint, stop: bigint): SymbolHit {
    const table = this.#table;
    let next = table.lowerBound(label.start + 1n);
    while (next < table.length && isAbsolute(table.letter(next))) next++;
    const end = next < table.length && table.address(next) < stop ? table.address(next) : stop;
    return { ...named(label), offset: address - label.start, size: end - label.start, padding: false };
  }

  /** Best of the symbols start..end-1, which share one address. */
  #best(start: number, end: number): Candidate | undefined {
    const table = this.#table;
    let best: Candidate | undefined;
    let bestRank = Number.POSITIVE_INFINITY;
    for (let index = start; index < Math.min(end, start + MAX_ALIASES); index++) {
      const letter = table.letter(index);
      if (isAbsolute(letter)) continue;
      const size = this.#size(index, end);
      // Without sizes the table is kallsyms or a System.map: the kernel takes the first of aliases.
      const value = table.hasSizes ? rank(letter, size) : 0;
      if (value >= bestRank) continue;
      const name = table.name(index);
      if (ARTIFICIAL.test(name)) continue;
      bestRank = value;
      best = { name, letter, start: table.address(start), size };
    }
    return best;
  }

  #size(index: number, end: number): bigint {
    const table = this.#table;
    if (table.hasSizes) return BigInt(table.size(index));
    return end < table.length ? table.address(end) - table.address(index) : 0n;
  }
}

const named = ({ name, letter }: Candidate): { name: string; letter: string } => ({ name, letter });

function nearer(a: SymbolHit | undefined, b: SymbolHit): SymbolHit {
  return a && a.offset <= b.offset ? a : b;
}

/** `name+0x10/0x80`, `[padding after name+0x80]`. */
export function formatSymbol({ name, offset, size, padding }: SymbolHit): string {
  const hex = (value: bigint): string => `0x${value.toString(16)}`;
  return padding ? `[padding after ${name}+${hex(size)}]` : `${name}+${hex(offset)}/${hex(size)}`;
}
