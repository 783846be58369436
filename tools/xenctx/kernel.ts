// What is known of the guest's kernel for unwinding and naming: from the symbol file, else from the guest's own memory.
import type { VirtualMemory } from '../../core/target/virtual-memory.ts';
import { findKallsyms } from '../../symbols/kernel/kallsyms.ts';
import type { SymbolTable } from '../../symbols/symbol-table.ts';
import { Symbolizer } from '../../symbols/symbolizer.ts';
import { cfiFromElf } from '../../symbols/unwind/dwarf-cfi.ts';
import { orcFromElf, orcFromMemory } from '../../symbols/unwind/orc.ts';
import type { RowSource } from '../../symbols/unwind/row.ts';
import type { SymbolFile } from '../shared/symbol-file.ts';

export interface GuestKernel {
  /** Where the names come from, for messages. */
  readonly source: string;
  readonly table: SymbolTable;
  readonly symbolizer: Symbolizer;
  readonly rows: readonly RowSource[];
  readonly isCode: (address: bigint) => boolean;
}

/** Module code and BPF: arch/x86/include/asm/pgtable_64_types.h, MODULES_VADDR to the end of the module area. */
const MODULES: readonly [bigint, bigint] = [0xffffffffa0000000n, 0xffffffffff000000n];

/** Code of the kernel's image by its border symbols; for kernels that are not Linux by the letters of the symbols. */
function codeTest(table: SymbolTable, symbolizer: Symbolizer): (address: bigint) => boolean {
  const ranges = [
    ['_stext', '_etext'],
    ['_sinittext', '_einittext'],
  ].map(([start = '', end = '']) => [table.addressOf(start), table.addressOf(end)] as const);
  if (ranges[0]?.[0] === undefined)
    return (address) => 'tTwWi'.includes(symbolizer.symbolize(address)?.letter ?? '-');
  const known = [...ranges, MODULES];
  return (address) =>
    known.some(
      ([start, end]) => start !== undefined && end !== undefined && address >= start && address < end,
    );
}

/** Undefined when neither a file nor the guest's memory has names. */
export function learnKernel(file: SymbolFile | undefined, memory: VirtualMemory): GuestKernel | undefined {
  const named = file && file.table.length > 0 ? file.table : undefined;
  const table = named ?? findKallsyms(memory);
  if (!table) return undefined;
  const symbolizer = new Symbolizer(table);
  const orc = (file?.elf && orcFromElf(file.elf)) ?? orcFromMemory(memory, (name) => table.addressOf(name));
  const cfi = !orc && file?.elf ? cfiFromElf(file.elf) : [];
  return {
    source: table.source,
    table,
    symbolizer,
    rows: orc ? [orc] : cfi,
    isCode: codeTest(table, symbolizer),
  };
}

/** Finds out about the guest's kernel, once however many vCPUs ask. */
export type LearnKernel = (memory: VirtualMemory) => GuestKernel | undefined;
