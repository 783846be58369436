// Address to name, offset and size, as the kernel itself prints them; never a name that the address does not belong to.
// (xenctx's own rules, which do that, are in classic-symbols.ts.)
import { PvhError } from './errors.ts';
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
  /** The kernel module that has the symbol; undefined for the kernel itself. */
  readonly module?: string | undefined;
  /** Set when the address is this CPU's copy of a per-CPU variable. */
  readonly cpu?: number | undefined;
}

/** Names of a loaded module, at the addresses where it runs. */
export interface ModuleNames {
  readonly name: string;
  readonly ranges: readonly { readonly base: bigint; readonly size: number }[];
  /** Asked at most once; throws a PvhError, or gives nothing, when there are none. */
  symbols(): SymbolTable | undefined;
}

/** What else has names beside the kernel's image. */
export interface MoreNames {
  readonly modules?: readonly ModuleNames[] | undefined;
  /** __per_cpu_offset: what each CPU adds to the address of a per-CPU symbol. */
  readonly perCpuOffsets?: readonly bigint[] | undefined;
}

/** How far back a symbol that contains the address is looked for when nearer ones do not (labels inside a function). */
const MAX_BACK = 64;

/** Symbols at one address that are considered; kernels have some ten. */
const MAX_ALIASES = 256;

/** A kernel image leaves no larger gap between symbols; beyond it an address belongs to none. */
const MAX_PADDING = 1n << 16n;

/** Beyond it the next symbol belongs to something else: a module behind the image, the image behind the per-CPU symbols. */
const MAX_DISTANCE = 1n << 26n;

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
  readonly module?: string | undefined;
}

type Range = readonly [start: bigint, end: bigint];

/** Addresses of the per-CPU symbols; undefined when the table does not tell (include/asm-generic/vmlinux.lds.h, PERCPU_SECTION). */
function perCpuRange(table: SymbolTable): Range | undefined {
  const [start, end] = [table.addressOf('__per_cpu_start'), table.addressOf('__per_cpu_end')];
  return start !== undefined && end !== undefined && start < end ? [start, end] : undefined;
}

const within = (address: bigint, range: Range | undefined): boolean =>
  range !== undefined && address >= range[0] && address < range[1];

/** A range of a module's memory, sorted by where it starts. */
interface Area {
  readonly start: bigint;
  readonly end: bigint;
  readonly module: number;
}

export class Symbolizer {
  readonly #table: SymbolTable;
  readonly #modules: readonly ModuleNames[];
  readonly #areas: readonly Area[];
  /** Made when first needed; null for a module without names. */
  readonly #named = new Map<number, Symbolizer | null>();
  readonly #perCpuOffsets: readonly bigint[];
  #perCpu: { readonly range: Range | undefined } | undefined;

  constructor(table: SymbolTable, { modules = [], perCpuOffsets = [] }: MoreNames = {}) {
    this.#table = table;
    this.#modules = modules;
    this.#perCpuOffsets = perCpuOffsets;
    this.#areas = modules
      .flatMap(({ ranges }, module) =>
        ranges.map(({ base, size }) => ({ start: base, end: base + BigInt(size), module })),
      )
      .sort((a, b) => (a.start < b.start ? -1 : 1));
  }

  /**
   * The symbol that holds an address. A label inside a function (assembly has them) is preferred to the function, as the
   * kernel does.
   */
  symbolize(address: bigint): SymbolHit | undefined {
    const module = this.#moduleAt(address);
    if (module !== undefined) return this.#symbolizeInModule(module, address);
    const perCpu = this.#perCpuRange();
    // Up to 6.14 per-CPU symbols count from 0: nothing is at such an address itself.
    if (perCpu?.[0] === 0n && within(address, perCpu)) return undefined;
    const cpu = perCpu ? this.#perCpuOffsets.findIndex((offset) => within(address - offset, perCpu)) : -1;
    if (cpu < 0) return this.#search(address, false);
    const hit = this.#search(address - (this.#perCpuOffsets[cpu] ?? 0n), true);
    return hit && { ...hit, cpu };
  }

  #perCpuRange(): Range | undefined {
    this.#perCpu ??= { range: perCpuRange(this.#table) };
    return this.#perCpu.range;
  }

  #moduleAt(address: bigint): number | undefined {
    let low = 0;
    let high = this.#areas.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#areas[middle]?.start ?? 0n) <= address) low = middle + 1;
      else high = middle;
    }
    const area = this.#areas[low - 1];
    return area && address < area.end ? area.module : undefined;
  }

  #symbolizeInModule(number: number, address: bigint): SymbolHit | undefined {
    const module = this.#modules[number];
    if (module && !this.#named.has(number)) this.#named.set(number, symbolizerOf(module));
    const hit = this.#named.get(number)?.symbolize(address);
    return hit && { ...hit, module: module?.name };
  }

  /** @param absolute take symbols without a section too: kallsyms shows those of per-CPU variables so. */
  #search(address: bigint, absolute: boolean): SymbolHit | undefined {
    const table = this.#table;
    let label: Candidate | undefined;
    let behind: SymbolHit | undefined;
    let steps = 0;
    for (let end = table.lowerBound(address + 1n); end > 0 && steps < MAX_BACK; steps++) {
      const start = table.lowerBound(table.address(end - 1));
      const candidate = this.#best(start, end, absolute);
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
  #best(start: number, end: number, absolute: boolean): Candidate | undefined {
    const table = this.#table;
    let best: Candidate | undefined;
    let bestRank = Number.POSITIVE_INFINITY;
    for (let index = start; index < Math.min(end, start + MAX_ALIASES); index++) {
      const letter = table.letter(index);
      if (isAbsolute(letter) && !absolute) continue;
      const size = this.#size(index, end);
      // Without sizes the table is kallsyms or a System.map: the kernel takes the first of aliases.
      const value = table.hasSizes ? rank(letter, size) : 0;
      if (value >= bestRank) continue;
      const name = table.name(index);
      if (ARTIFICIAL.test(name)) continue;
      bestRank = value;
      best = { name, letter, start: table.address(start), size, module: table.module(index) };
    }
    return best;
  }

  #size(index: number, end: number): bigint {
    const table = this.#table;
    if (table.hasSizes) return BigInt(table.size(index));
    const distance = end < table.length ? table.address(end) - table.address(index) : 0n;
    return distance < MAX_DISTANCE ? distance : 0n;
  }
}

const named = ({ name, letter, module }: Candidate): Pick<SymbolHit, 'name' | 'letter' | 'module'> => ({
  name,
  letter,
  ...(module !== undefined && { module }),
});

/** Names of a module; null when they cannot be read: then the address has none. */
function symbolizerOf(module: ModuleNames): Symbolizer | null {
  try {
    const table = module.symbols();
    return table ? new Symbolizer(table) : null;
  } catch (error) {
    if (error instanceof PvhError && error.code !== 'EINTERNAL') return null;
    throw error;
  }
}

function nearer(a: SymbolHit | undefined, b: SymbolHit): SymbolHit {
  return a && a.offset <= b.offset ? a : b;
}

/** `name+0x10/0x80`, `name+0x10/0x80 [module]`, `name+0x10/0x80 (cpu 1)`, `[padding after name+0x80]`. */
export function formatSymbol({ name, offset, size, padding, module, cpu }: SymbolHit): string {
  const hex = (value: bigint): string => `0x${value.toString(16)}`;
  const text = padding ? `[padding after ${name}+${hex(size)}]` : `${name}+${hex(offset)}/${hex(size)}`;
  return `${text}${module === undefined ? '' : ` [${module}]`}${cpu === undefined ? '' : ` (cpu ${cpu})`}`;
}
