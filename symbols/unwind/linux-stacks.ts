// The stacks of Linux on x86-64 that one CPU can be on, from its per-CPU data, its TSS and its task (xen-tools notes: linux
// arch/x86/include/asm/cpu_entry_area.h, processor.h, arch/x86/kernel/irq_64.c).
import { attempt, type LinuxMemory } from '../kernel/linux-memory.ts';
import type { PerCpu } from '../kernel/per-cpu.ts';
import { PT_REGS_SIZE } from './pt-regs.ts';
import type { StackRange } from './stacks.ts';

const PAGE = 4096n;
/** 16 KiB since 3.15 (6538b8ea886e), 32 KiB with KASAN. */
const THREAD_SIZE = 16384n;
const MAX_THREAD_SIZE = 1n << 18n;
const MAX_EXCEPTION_STACK = 1n << 16n;

/** Symbols around the first task's stack, which is as large as all others: since 6.10, and before. */
const STACK_BORDERS = [
  ['__start_init_stack', '__end_init_stack'],
  ['__start_init_task', '__end_init_task'],
] as const;

/** Bytes of a task's stack, and of the hard IRQ stack. */
export function threadSize(linux: LinuxMemory): bigint {
  for (const [start, end] of STACK_BORDERS) {
    const [low, high] = [linux.find(start), linux.find(end)];
    const size = low === undefined || high === undefined ? 0n : high - low;
    if (size >= 2n * PAGE && size <= MAX_THREAD_SIZE && (size & (size - 1n)) === 0n) return size;
  }
  return THREAD_SIZE;
}

/** struct pt_regs at the stack's top; kernels with CONFIG_X86_FRED leave 16 bytes above it (6.9, 65c9cc9e2c14). */
function taskStack(base: bigint, size: bigint): StackRange {
  const high = base + size;
  const registers = high - BigInt(PT_REGS_SIZE);
  return { name: 'TASK', low: base, high, userRegisters: [registers, registers - 16n] };
}

/** hardirq_stack_ptr points to the top, since 5.12 to the word below it, where the old rsp is kept (951c2a51ae75). */
function irqStack(linux: LinuxMemory, perCpu: PerCpu, cpu: number, size: bigint): StackRange | undefined {
  const top = attempt(() => linux.reader.u64(irqStackPointer(linux, perCpu, cpu))).value;
  if (top === undefined || top === 0n) return undefined;
  const high = top % 16n === 8n ? top + 8n : top;
  if (high % PAGE !== 0n) return undefined;
  return { name: 'IRQ', low: high - size, high, link: high - 8n };
}

/** In pcpu_hot from 6.2 (d7b6d709a76a) to 6.14; a variable of its own before and after; irq_stack_ptr before 5.8. */
function irqStackPointer(linux: LinuxMemory, perCpu: PerCpu, cpu: number): bigint {
  const alone = ['hardirq_stack_ptr', 'irq_stack_ptr'].find((name) => linux.find(name) !== undefined);
  if (alone !== undefined) return perCpu.address(cpu, alone);
  return perCpu.address(cpu, 'pcpu_hot') + linux.offset('pcpu_hot', 'hardirq_stack_ptr');
}

/** Names of the interrupt stack table's entries in the order of the TSS (5.2, 3207426925d2); the fifth came with 5.10. */
const EXCEPTION_STACKS = ['#DF', 'NMI', '#DB', '#MC', '#VC'];
/** Hardware's TSS: SDM vol 3A figure 8-11. */
const TSS_SP0 = 4n;
const TSS_IST = 36n;

/** @param tss address of the TSS as the CPU has it. */
function exceptionStacks(linux: LinuxMemory, tss: bigint): StackRange[] {
  const tops = EXCEPTION_STACKS.map((_, index) => linux.reader.u64(tss + TSS_IST + 8n * BigInt(index)));
  const [first = 0n, second = 0n] = tops;
  // Each stack has a guard page below it; their size is 4 KiB, since 5.11 8 KiB, with KASAN more.
  const size = second - first - PAGE;
  if (size < PAGE || size > MAX_EXCEPTION_STACK || size % PAGE !== 0n) return [];
  const ranges = tops.flatMap((high, index) =>
    high === 0n ? [] : [{ name: EXCEPTION_STACKS[index] ?? '', low: high - size, high }],
  );
  // The stack that a second #VC moves to has no entry of its own.
  const last = ranges.at(-1);
  return last?.name === '#VC'
    ? [...ranges, { name: '#VC2', low: last.high + PAGE, high: last.high + PAGE + size }]
    : ranges;
}

/** The stack on which user mode enters the kernel with page-table isolation: a page of the cpu entry area, top in the TSS. */
function entryStack(linux: LinuxMemory, tss: bigint): StackRange[] {
  const high = linux.reader.u64(tss + TSS_SP0);
  return high === 0n ? [] : [{ name: 'ENTRY', low: (high - 1n) & ~(PAGE - 1n), high }];
}

export interface LinuxCpu {
  readonly linux: LinuxMemory;
  readonly perCpu: PerCpu | undefined;
  /** The guest's number of the CPU; undefined where it is not known which of them a vCPU is. */
  readonly cpu: number | undefined;
  /** Lowest address of the stack of the task that runs there. */
  readonly taskStack: bigint | undefined;
  /** Base of the task register; a dump-core file has none, then the kernel's own TSS is taken. */
  readonly taskRegister?: bigint | undefined;
}

/** The stacks of a CPU, as far as they can be found: what cannot be read is left out. */
export function linuxStacks({ linux, perCpu, cpu, taskStack: base, taskRegister }: LinuxCpu): StackRange[] {
  const size = threadSize(linux);
  const ranges = base === undefined || base === 0n ? [] : [taskStack(base, size)];
  const areas = cpu === undefined ? undefined : perCpu;
  const irq = areas && cpu !== undefined ? irqStack(linux, areas, cpu, size) : undefined;
  if (irq) ranges.push(irq);
  const ownTss = attempt(() => {
    if (!areas || cpu === undefined) return 0n;
    return areas.address(cpu, 'cpu_tss_rw', 'cpu_tss');
  }).value;
  for (const tss of [taskRegister, ownTss]) {
    if (tss === undefined || tss === 0n) continue;
    const found = attempt(() => [...exceptionStacks(linux, tss), ...entryStack(linux, tss)]).value ?? [];
    if (found.length === 0) continue;
    // A task's stack can be the top of the TSS too (Xen PV, no page-table isolation before 4.15).
    ranges.push(
      ...found.filter(({ low, high }) => !ranges.some((other) => low < other.high && other.low < high)),
    );
    break;
  }
  return ranges;
}
