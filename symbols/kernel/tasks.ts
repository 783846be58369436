// Tasks of a guest: the process list with its threads, and the idle tasks that no list has (linux include/linux/sched.h).
import { hex16 } from '../address.ts';
import { attempt, type Known, type LinuxMemory, type ListDamage, walkList } from './linux-memory.ts';
import type { PerCpu } from './per-cpu.ts';

/** PID_MAX_LIMIT is 4 million; a guest with more tasks than these is taken for damaged. */
const MAX_TASKS = 1 << 18;
/** Tasks that cannot be read, after which no more are tried. */
const MAX_UNREADABLE = 4096;
const COMM = 16;
const PF_KTHREAD = 0x0020_0000;

export interface Task {
  /** Of its task_struct. */
  readonly address: bigint;
  readonly pid: number;
  readonly tgid: number;
  readonly comm: string;
  /** As ps shows it: R S D T t X Z P I. */
  readonly state: string;
  /** True while it runs on a CPU: its registers are those of the vCPU. */
  readonly onCpu: boolean;
  /** CPU on which it runs or ran last. */
  readonly cpu: number | undefined;
  /** Lowest address of its kernel stack. */
  readonly stack: bigint;
  /** Stack pointer at which it was switched away; means nothing while it runs. */
  readonly savedSp: bigint | undefined;
  /** Process id of its real parent. */
  readonly parent: number | undefined;
  readonly isKernelThread: boolean;
  /** One of the tasks that a CPU runs when there is nothing to run. */
  readonly isIdle: boolean;
}

/** Task state bits in the order of `TASK_STATE_TO_CHAR_STR`, as ps(1) shows them; 0 is R. Same since 4.14 (06eb61844d84). */
const STATE_LETTERS = 'RSDTtXZPI';
const TASK_REPORT = 0x7f;
/** TASK_UNINTERRUPTIBLE | TASK_NOLOAD: idle, and no load. */
const TASK_IDLE = 0x402;
/** Sleeps that are told as D: frozen, and waiting for a lock of PREEMPT_RT. */
const TOLD_AS_D = 0x8000 | 0x1000;

function stateLetter(state: number, exitState: number): string {
  if ((state & TASK_IDLE) === TASK_IDLE) return 'I';
  const bits = (state | exitState) & TASK_REPORT;
  if (bits === 0 && (state & TOLD_AS_D) !== 0) return 'D';
  return STATE_LETTERS[32 - Math.clz32(bits)] ?? '?';
}

/** Reads one task. @throws MemoryFault, FormatError */
export function readTask(linux: LinuxMemory, address: bigint, isIdle = false): Task {
  const type = 'task_struct';
  const optional = <T extends {}>(read: () => T): T | undefined => attempt(read).value;
  const flags = linux.u32(address, type, 'flags');
  // `state` until 5.13, a long; `__state` since (2f064a59a11f).
  const state = linux.number(address, type, linux.has(type, '__state') ? '__state' : 'state');
  const exitState = linux.number(address, type, 'exit_state');
  return {
    address,
    pid: linux.u32(address, type, 'pid') | 0,
    tgid: linux.u32(address, type, 'tgid') | 0,
    comm: linux.reader.text(address + linux.offset(type, 'comm'), COMM),
    state: stateLetter(Number(state & 0xffff_ffffn), Number(exitState)),
    // No such member in kernels for one processor.
    onCpu: (optional(() => linux.u32(address, type, 'on_cpu')) ?? 0) !== 0,
    // Moved into thread_info by bcf9033e5449 (5.16).
    cpu: optional(() =>
      linux.u32(address, type, linux.has(type, 'thread_info.cpu') ? 'thread_info.cpu' : 'cpu'),
    ),
    stack: linux.u64(address, type, 'stack'),
    savedSp: optional(() => linux.u64(address, type, 'thread.sp')),
    parent: optional(() => linux.u32(linux.u64(address, type, 'real_parent'), type, 'tgid')),
    isKernelThread: (flags & PF_KTHREAD) !== 0,
    isIdle,
  };
}

/** What a walk over all tasks ends with beside them. */
export interface TaskProblems {
  /** A list that could not be followed to its end. */
  readonly damaged: (list: string, damage: ListDamage) => void;
  /** A task of which not all could be read. */
  readonly unreadable: (address: bigint, reason: string) => void;
}

/** Addresses of the idle tasks by CPU; CPU 0's is init_task. */
export function idleTasks(linux: LinuxMemory, perCpu: PerCpu): Map<number, bigint> {
  const tasks = new Map<number, bigint>();
  for (const cpu of perCpu.offsets.keys()) {
    const idle = attempt(() => linux.u64(perCpu.address(cpu, 'runqueues'), 'rq', 'idle'));
    if (idle.value) tasks.set(cpu, idle.value);
  }
  return tasks;
}

/** Every task once: idle tasks first, then processes in the kernel's order, each with its threads. */
export function* allTasks(
  linux: LinuxMemory,
  perCpu: Known<PerCpu>,
  problems: TaskProblems,
): Generator<Task> {
  const init = linux.address('init_task');
  const seen = new Set<bigint>();
  let unreadable = 0;
  const isTooMuch = (): boolean => seen.size > MAX_TASKS || unreadable > MAX_UNREADABLE;
  function* told(address: bigint, isIdle = false): Generator<Task> {
    if (seen.has(address) || isTooMuch()) return;
    seen.add(address);
    const task = attempt(() => readTask(linux, address, isIdle));
    if (task.value) {
      yield task.value;
      // A parent that is nowhere costs as much as a task that is.
      if (task.value.parent === undefined && hasParents) unreadable++;
      return;
    }
    unreadable++;
    problems.unreadable(address, task.missing ?? '');
  }
  const hasParents = linux.has('task_struct', 'real_parent');
  yield* told(init, true);
  if (perCpu.value) for (const address of idleTasks(linux, perCpu.value).values()) yield* told(address, true);

  const toTasks = linux.offset('task_struct', 'tasks');
  const leaders = walkList(linux, init + toTasks, MAX_TASKS, (damage) => problems.damaged('tasks', damage));
  for (const link of leaders) {
    yield* told(link - toTasks);
    for (const thread of threadsOf(linux, link - toTasks, problems)) {
      if (thread === link - toTasks) continue;
      if (seen.has(thread)) {
        problems.damaged('threads', { address: thread, reason: 'a thread of two processes' });
        break;
      }
      yield* told(thread);
      if (isTooMuch()) break;
    }
    if (isTooMuch()) {
      const reason = `more than ${MAX_TASKS} tasks, or ${MAX_UNREADABLE} that cannot be read`;
      return problems.damaged('tasks', { address: link, reason });
    }
  }
}

/** Other threads of a process. A list whose head is no task: signal->thread_head (3.14, 0c740d0afc3b) to task->thread_node. */
function* threadsOf(linux: LinuxMemory, leader: bigint, problems: TaskProblems): Generator<bigint> {
  const head = attempt(
    () => linux.u64(leader, 'task_struct', 'signal') + linux.offset('signal_struct', 'thread_head'),
  );
  const toNode = linux.offset('task_struct', 'thread_node');
  // A zombie's signal is gone.
  if (head.value === undefined || head.value < 1n << 63n) return;
  const name = `threads of task ${hex16(leader)}`;
  for (const link of walkList(linux, head.value, MAX_TASKS, (damage) => problems.damaged(name, damage)))
    yield link - toNode;
}
