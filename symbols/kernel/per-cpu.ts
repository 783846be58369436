// Per-CPU variables (linux arch/x86/include/asm/percpu.h) and which CPU of the guest a vCPU is.
import { FormatError } from '../errors.ts';
import { attempt, type LinuxMemory } from './linux-memory.ts';

/** Bound of NR_CPUS on x86-64 (CONFIG_MAXSMP). */
const MAX_CPUS = 8192;

/** CPUs of a mask such as `__cpu_online_mask`, ascending. */
export function cpusOfMask(linux: LinuxMemory, symbol: string): number[] {
  const address = linux.address(symbol);
  const limit = cpuLimit(linux);
  const cpus: number[] = [];
  for (let first = 0; first < limit; first += 64) {
    const word = linux.reader.u64(address + BigInt(first / 8));
    for (let bit = 0; bit < 64 && first + bit < limit; bit++)
      if ((word >> BigInt(bit)) & 1n) cpus.push(first + bit);
  }
  return cpus;
}

/** One more than the highest CPU that the kernel made room for. */
function cpuLimit(linux: LinuxMemory): number {
  const count = linux.find('nr_cpu_ids');
  // A kernel for one processor, or with CONFIG_FORCE_NR_CPUS, has no such variable.
  const limit = count === undefined ? 64 : linux.reader.u32(count);
  if (limit === 0 || limit > MAX_CPUS) throw new FormatError(`nr_cpu_ids of ${limit}`);
  return limit;
}

export class PerCpu {
  readonly #linux: LinuxMemory;
  /** CPU number to what is added to a per-CPU symbol's address. */
  readonly offsets: ReadonlyMap<number, bigint>;

  /** @throws FormatError or MemoryFault when the kernel's offsets cannot be read. */
  constructor(linux: LinuxMemory) {
    this.#linux = linux;
    this.offsets = perCpuOffsets(linux);
  }

  /** The CPU whose per-CPU area a kernel gs base points to. */
  cpuOfGsBase(gsBase: bigint): number | undefined {
    for (const [cpu, offset] of this.offsets) if (offset === gsBase) return cpu;
    return undefined;
  }

  /** Address of one CPU's copy. @throws FormatError when there is no such CPU or symbol. */
  address(cpu: number, ...symbols: readonly string[]): bigint {
    const offset = this.offsets.get(cpu);
    if (offset === undefined) throw new FormatError(`no CPU ${cpu}`);
    return BigInt.asUintN(64, this.#linux.address(...symbols) + offset);
  }

  /** Address of the task_struct that runs on a CPU. */
  currentTask(cpu: number): bigint {
    // pcpu_hot.current_task from 6.2 (e57ef2ed97c1) to 6.14; a variable of its own before and after.
    return this.#linux.reader.u64(
      this.address(cpu, 'current_task', 'pcpu_hot', 'const_current_task', 'const_pcpu_hot'),
    );
  }
}

function perCpuOffsets(linux: LinuxMemory): Map<number, bigint> {
  const table = linux.find('__per_cpu_offset');
  // Kernels for one processor have no per-CPU areas: a symbol is where it is.
  if (table === undefined) {
    linux.address('init_task');
    return new Map([[0, 0n]]);
  }
  const possible = attempt(() => cpusOfMask(linux, '__cpu_possible_mask')).value ?? [];
  // Before the mask is set up there is the boot CPU.
  const cpus = possible.length > 0 ? possible : [0];
  return new Map(cpus.map((cpu) => [cpu, linux.reader.u64(table + BigInt(cpu * 8))]));
}
