// One vCPU as xenctx looks at it: word size, instruction and stack pointers, memory through its page tables, names. Prints nothing.
import type { VcpuRegisters } from '../../core/machine/registers.ts';
import type { Target } from '../../core/target/target.ts';
import { inLongMode, VirtualMemory } from '../../core/target/virtual-memory.ts';
import type { ClassicSymbols } from '../../symbols/classic-symbols.ts';
import type { MemoryFault } from '../../symbols/errors.ts';
import { WordReader, type WordSize } from '../../symbols/memory.ts';

const CR0_PE = 1n;
const PAGE = 4096n;

export interface VcpuView {
  readonly id: number;
  readonly registers: VcpuRegisters;
  readonly wordSize: WordSize;
  readonly protectedMode: boolean;
  /** Linear addresses, segments applied in real mode. */
  readonly instruction: bigint;
  readonly stack: bigint;
  readonly frame: bigint;
  readonly memory: VirtualMemory;
  readonly words: WordReader;
  readonly symbols: ClassicSymbols;
}

/** @param onFault told once for each page that could not be read. */
export function viewVcpu(
  target: Target,
  id: number,
  registers: VcpuRegisters,
  symbols: ClassicSymbols,
  onFault: (fault: MemoryFault) => void,
): VcpuView {
  // Linux, which dumps itself without control registers, runs in protected mode only.
  const protectedMode = ((registers.cr0 ?? CR0_PE) & CR0_PE) !== 0n;
  const wordSize: WordSize = inLongMode(registers) ? 8 : protectedMode ? 4 : 2;
  const linear = (selector: number, offset: bigint): bigint => {
    if (wordSize === 8) return offset;
    if (wordSize === 4) return BigInt.asUintN(32, offset);
    return BigInt(selector * 16) + BigInt.asUintN(16, offset);
  };
  const memory = new VirtualMemory(target, registers);
  return {
    id,
    registers,
    wordSize,
    protectedMode,
    instruction: linear(registers.cs.selector, registers.rip),
    stack: linear(registers.ss.selector, registers.rsp),
    frame: linear(registers.ss.selector, registers.rbp),
    memory,
    words: new WordReader(memory, wordSize, onFault),
    symbols,
  };
}

/** Where the stack is taken to end: the end of the page of the stack pointer, and `pages` - 1 pages more. */
export function stackLimit(view: VcpuView, pages: number): bigint {
  return ((view.stack + PAGE) & ~(PAGE - 1n)) + (BigInt(pages) - 1n) * PAGE;
}

/** An address or word in the guest's width. */
export const hexWord = (value: bigint, size: WordSize): string =>
  BigInt.asUintN(size * 8, value)
    .toString(16)
    .padStart(size * 2, '0');

/** Stands where a word could not be read. */
export const unreadableWord = (size: WordSize): string => '?'.repeat(size * 2);
