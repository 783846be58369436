// Address to name, offset and size, as the kernel itself prints them; never a name that the address does not belong to.
// (xenctx's own rules, which do that, are in classic-symbols.ts.)
import type { SymbolTable } from './symbol-table.ts';

export interface SymbolHit {
  readonly name: string;
  /** Distance from the symbol's start; from its end when `padding` is set. */
  readonly offset: bigint;
  /** Bytes; for a table without sizes the distance to the next symbol. */
  readonly size: bigint;
  /** True when the address lies behind the end of the symbol, in what the linker or assembler filled in. */
  readonly padding: boolean;
}

/** How far back a symbol that contains the address is looked for when nearer ones do not (labels inside a function). */
const MAX_BACK = 64;

/** A kernel image leaves no larger gap between symbols; beyond it an address belongs to none. */
const MAX_PADDING = 1n << 16n;

/** Preference among symbols at one address: functions and data before labels, global before weak before local. */
function rank(name: string, letter: string, size: bigint): number {
  const global = letter === letter.toUpperCase() ? 0 : 1;
  const weak = letter === 'W' || letter === 'V' ? 1 : 0;
  const artificial = /^(?:\.L|__pfx_|__UNIQUE_ID|\$)/.test(name) ? 8 : 0;
  return artificial + (size === 0n ? 4 : 0) + global * 2 + weak;
}

export class Symbolizer {
  readonly #table: SymbolTable;

  constructor(table: SymbolTable) {
    this.#table = table;
  }

  symbolize(address: bigint): SymbolHit | undefined {
    const table = this.#table;
    let behind: SymbolHit | undefined;
    let steps = 0;
    for (let end = table.lowerBound(address + 1n); end > 0 && steps < MAX_BACK; steps++) {
      const start = table.lowerBound(table.address(end - 1));
      const hit = this.#best(start, end, address);
      if (hit && !hit.padding) return hit;
      // The nearest end wins, so that padding is told of the symbol before it.
      if (hit && (behind === undefined || hit.offset < behind.offset)) behind = hit;
      end = start;
    }
    return behind && behind.offset < MAX_PADDING ? behind : undefined;
  }

  /** Best of the symbols start..end-1, which share one address. */
  #best(start: number, end: number, address: bigint): SymbolHit | undefined {
    const table = this.#table;
    const at = table.address(start);
    let best: SymbolHit | undefined;
    let bestRank = Number.POSITIVE_INFINITY;
    for (let index = start; index < end; index++) {
      const letter = table.letter(index);
      if (letter === 'A' || letter === 'a') continue;
      const size = this.#size(index, end);
      const name = table.name(index);
      const padding = address !== at && address >= at + size;
      const value = rank(name, letter, size) + (padding ? 16 : 0);
      if (value >= bestRank) continue;
      bestRank = value;
      best = { name, offset: padding ? address - at - size : address - at, size, padding };
    }
    return best;
  }

  #size(index: number, end: number): bigint {
    const table = this.#table;
    if (table.hasSizes) return BigInt(table.size(index));
    return end < table.length ? table.address(end) - table.address(index) : 0n;
  }
}

/** `name+0x10/0x80`, `[padding after name+0x80]`. */
export function formatSymbol({ name, offset, size, padding }: SymbolHit): string {
  const hex = (value: bigint): string => `0x${value.toString(16)}`;
  return padding ? `[padding after ${name}+${hex(size)}]` : `${name}+${hex(offset)}/${hex(size)}`;
}
