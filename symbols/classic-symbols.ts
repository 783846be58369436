// Which addresses xenctx takes for code, and what it calls them: its rules exactly, weaknesses included (xenctx 4.4 to 4.22).
// The better rules are in symbolizer.ts.
import type { SymbolTable } from './symbol-table.ts';

export type AddressClass = 'none' | 'data' | 'text';

/** xenctx's default for -k: where the kernel half of x86-64 starts. */
export const DEFAULT_KERNEL_START = 0xffffffff80000000n;

export interface ClassicOptions {
  /** Undefined or empty: every address above the kernel start counts as code. */
  readonly table?: SymbolTable | undefined;
  /** Value of -k; giving it changes the rules as well. */
  readonly kernelStart?: bigint | undefined;
}

interface Borders {
  readonly text: Range;
  readonly initText: Range;
  readonly image: Range;
  readonly hypercallPage: bigint | undefined;
}

type Range = readonly [bigint, bigint];
const EMPTY: Range = [1n, 0n];

/**
 * Borders of the kernel image by its special symbols. To xenctx a missing one is 0, so that address 0 and all user space become
 * code; here a range without an end is empty, and one without a start begins with the image.
 */
function bordersOf(table: SymbolTable, kernelStart: bigint): Borders {
  const at = (name: string): bigint | undefined => table.addressOf(name);
  const start = at('_text') ?? at('_stext') ?? kernelStart;
  const range = (from: bigint | undefined, to: bigint | undefined): Range =>
    to === undefined ? EMPTY : [from ?? start, to];
  const [initStart, initEnd] = [at('_sinittext'), at('_einittext')];
  // xenctx: the later line of the two wins, and the lines ascend.
  const ends = [at('_end'), at('__bss_stop')].filter((end) => end !== undefined);
  return {
    text: range(at('_stext'), at('_etext')),
    initText: initStart === undefined ? EMPTY : range(initStart, initEnd),
    image: range(at('_text'), ends.sort((a, b) => (a < b ? -1 : 1)).at(-1)),
    hypercallPage: at('hypercall_page'),
  };
}

const within = (address: bigint, [low, high]: Range): boolean => address >= low && address <= high;

/** Absolute symbols are not in xenctx's list; special names among them count all the same. */
const isStored = (letter: string): boolean => letter !== 'A' && letter !== 'a';

export class ClassicSymbols {
  /** True when a table with at least one symbol was given: the gs line depends on it. */
  readonly loaded: boolean;
  readonly #table: SymbolTable | undefined;
  readonly #borders: Borders | undefined;
  readonly #kernelStart: bigint;
  readonly #kernelStartGiven: boolean;

  constructor(options: ClassicOptions) {
    this.#table = options.table && options.table.length > 0 ? options.table : undefined;
    this.loaded = this.#table !== undefined;
    this.#kernelStart = options.kernelStart ?? DEFAULT_KERNEL_START;
    this.#borders = this.#table && bordersOf(this.#table, this.#kernelStart);
    this.#kernelStartGiven = options.kernelStart !== undefined;
  }

  classify(address: bigint): AddressClass {
    const borders = this.#borders;
    const above = address > this.#kernelStart;
    if (!borders) return above ? 'text' : 'none';
    if (within(address, borders.text)) return 'text';
    const page = borders.hypercallPage;
    if (page !== undefined && within(address, [page, page + 4096n])) return 'text';
    if (within(address, borders.initText)) return 'text';
    if (this.#kernelStartGiven) return above ? 'text' : 'none';
    if (within(address, borders.image)) return 'data';
    return within(address, [this.#kernelStart, borders.image[1]]) ? 'text' : 'none';
  }

  /**
   * ` name` or ` name+0xoffset` with the blank before it, or nothing.
   * @param only `text`: nothing for data; `any`: data is named too.
   */
  label(address: bigint, only: 'text' | 'any'): string {
    const kind = this.classify(address);
    const table = this.#table;
    if (!table || kind === 'none' || (only === 'text' && kind !== 'text')) return '';
    const index = this.#lookUp(table, address);
    if (index < 0) return '';
    const symbol = table.address(index);
    if (symbol === address) return ` ${table.name(index)}`;
    const offset = BigInt.asUintN(32, address - symbol);
    return ` ${table.name(index)}+${offset === 0n ? '0' : `0x${offset.toString(16)}`}`;
  }

  /**
   * The first symbol at the address, else the last one below it, else the first of all; -1 when nothing is stored.
   * xenctx walks a list and never takes its head for an exact hit when a second symbol has the same address.
   */
  #lookUp(table: SymbolTable, address: bigint): number {
    const head = this.#next(table, 0);
    if (head === table.length) return -1;
    const exact = this.#next(table, Math.max(table.lowerBound(address), head + 1));
    if (exact < table.length && table.address(exact) === address) return exact;
    let below = Math.min(table.lowerBound(address), table.length) - 1;
    while (below > head && !isStored(table.letter(below))) below--;
    return Math.max(below, head);
  }

  /** First stored symbol from `index` on. */
  #next(table: SymbolTable, index: number): number {
    let at = index;
    while (at < table.length && !isStored(table.letter(at))) at++;
    return at;
  }
}
