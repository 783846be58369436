// Where a task that does not run was switched away: struct inactive_task_frame of Linux (arch/x86/include/asm/switch_to.h).
import type { LinuxMemory } from '../kernel/linux-memory.ts';
import type { UnwindStart } from './unwinder.ts';

/** As it is since 4.9 (0100301bfdf5), where the layouts do not tell. */
const FRAME = { r15: 0, r14: 8, r13: 16, r12: 24, bx: 32, bp: 40, ret_addr: 48, size: 56 } as const;
const TYPE = 'inactive_task_frame';

/**
 * @param savedSp thread.sp of the task.
 * @throws MemoryFault when its stack cannot be read.
 */
export function startOfSleepingTask(linux: LinuxMemory, savedSp: bigint): UnwindStart {
  const word = (member: Exclude<keyof typeof FRAME, 'size'>): bigint => {
    const offset = linux.layouts?.offsetOf(TYPE, member) ?? FRAME[member];
    return linux.reader.u64(savedSp + BigInt(offset));
  };
  const rip = word('ret_addr');
  // A task that has never run starts at the beginning of a function; elsewhere a call was made.
  const exact = ['ret_from_fork_asm', 'ret_from_fork'].some((name) => linux.find(name) === rip);
  return {
    rip,
    exact,
    registers: {
      rsp: savedSp + BigInt(linux.layouts?.sizeOf(TYPE) ?? FRAME.size),
      rbp: word('bp'),
      rbx: word('bx'),
      r12: word('r12'),
      r13: word('r13'),
      r14: word('r14'),
      r15: word('r15'),
    },
  };
}
