// What unwinding can use of a Linux guest beside tables: the stacks of the CPU, code that is still there, replaced return addresses.

import { MemoryFault } from '../errors.ts';
import type { LinuxMemory } from '../kernel/linux-memory.ts';
import type { PerCpu } from '../kernel/per-cpu.ts';
import type { MemorySource } from '../memory.ts';
import { linuxStacks } from './linux-stacks.ts';
import { tracedReturns } from './traced-returns.ts';
import type { UnwindContext } from './unwinder.ts';

/** What is run, or was: a vCPU with its task, or a task that sleeps (without a CPU). */
export interface LinuxThread {
  /** The guest's number of the CPU; undefined for a sleeping task, or where it is not known which a vCPU is. */
  readonly cpu?: number | undefined;
  /** Of its task_struct. */
  readonly task?: { readonly address: bigint; readonly stack: bigint } | undefined;
  /** Base of the task register, where the source knows it. */
  readonly taskRegister?: bigint | undefined;
}

/** Memory without the code that Linux frees once it is up: what lies there now is anything. */
function codeOf(linux: LinuxMemory): MemorySource {
  const [start, end] = [linux.find('_sinittext'), linux.find('_einittext')];
  return {
    read(address, into) {
      if (start !== undefined && end !== undefined && address >= start && address < end)
        throw new MemoryFault('virtual', address, 'not present', 'init text is freed');
      linux.reader.read(address, into);
    },
  };
}

export function linuxContext(
  linux: LinuxMemory,
  perCpu: PerCpu | undefined,
  { cpu, task, taskRegister }: LinuxThread,
): Pick<UnwindContext, 'stacks' | 'code' | 'tracedReturn'> {
  return {
    stacks: linuxStacks({ linux, perCpu, cpu, taskStack: task?.stack, taskRegister }),
    code: codeOf(linux),
    ...(task && { tracedReturn: tracedReturns(linux, task.address) }),
  };
}
