// Whether an address of the guest can be code: by the borders of the kernel's image and by what its page tables let be executed.
import type { VirtualMemory } from '../../core/target/virtual-memory.ts';
import type { SymbolTable } from '../../symbols/symbol-table.ts';
import type { Symbolizer } from '../../symbols/symbolizer.ts';

export interface CodeSources {
  readonly table: SymbolTable;
  readonly symbolizer: Symbolizer;
  readonly memory: VirtualMemory | undefined;
}

type Range = readonly [start: bigint, end: bigint];

/** Where modules, BPF programs and trampolines lie: linux Documentation/arch/x86/x86_64/mm.rst. */
const MODULES: Range = [0xffffffffa0000000n, 0xffffffffff000000n];

const KERNEL_HALF = 1n << 63n;

/** In order of preference: the image's borders, the letters of the symbols, and the page tables alone. */
export function codeTest({ table, symbolizer, memory }: CodeSources): (address: bigint) => boolean {
  const executable = (address: bigint): boolean => memory?.isExecutable(address) === true;
  const text = range(table, '_stext', '_etext');
  if (text) {
    // The code that ran at the start is freed, but the boot CPU's idle task was called by it.
    const init = range(table, '_sinittext', '_einittext');
    return (address) =>
      within(address, text) || within(address, init) || (within(address, MODULES) && executable(address));
  }
  if (table.length > 0) return (address) => 'tTwWi'.includes(symbolizer.symbolize(address)?.letter ?? '-');
  return (address) => address >= KERNEL_HALF && executable(address);
}

function range(table: SymbolTable, from: string, to: string): Range | undefined {
  const [start, end] = [table.addressOf(from), table.addressOf(to)];
  return start !== undefined && end !== undefined && start < end ? [start, end] : undefined;
}

const within = (address: bigint, bounds: Range | undefined): boolean =>
  bounds !== undefined && address >= bounds[0] && address < bounds[1];
