// --all-tasks: every task of a Linux guest with its stack, those that run on a vCPU from the vCPU's registers.
import type { Target } from '../../core/target/target.ts';
import type { Known } from '../../symbols/kernel/linux-memory.ts';
import type { Task } from '../../symbols/kernel/tasks.ts';
import type { GuestKernel } from '../shared/guest-kernel.ts';
import { NOT_LINUX, runningCpu, type Thread, taskThread, vcpuThread } from '../shared/unwinding.ts';
import { type TraceLayout, trueTraceLines } from './true-trace.ts';
import type { VcpuView } from './view.ts';

export interface TaskTrace {
  readonly task: Task;
  /** Where it stands, or why that is not known. */
  readonly thread: Known<Thread>;
}

/** Where it was switched away last is long past. */
const NO_REGISTERS = 'runs on a CPU whose registers are not known: its vCPU is offline, or the dump lacks it';

/** All tasks, idle ones first. @throws nothing: what cannot be read has its reason. */
export function taskTraces(
  kernel: GuestKernel,
  { vcpus }: Target,
  view: (vcpu: Target['vcpus'][number]) => VcpuView | undefined,
): Known<{ readonly traces: readonly TaskTrace[]; readonly problems: readonly string[] }> {
  const { linux } = kernel;
  if (!linux) return { missing: NOT_LINUX };
  const running = new Map<bigint, Thread | undefined>();
  for (const vcpu of vcpus) {
    const address = vcpu.online && vcpu.registers && runningCpu(kernel, vcpu.registers).task.value?.address;
    const one = address ? view(vcpu) : undefined;
    if (!address || !one) continue;
    const inKernel = (one.registers.cs.selector & 3) === 0 && one.wordSize === 8;
    running.set(address, inKernel ? vcpuThread(kernel, one.registers, one.memory, 8) : undefined);
  }
  const all = linux.tasks();
  if (all.missing !== undefined) return all;
  const threadOf = (task: Task): Known<Thread> => {
    if (!running.has(task.address)) return task.onCpu ? { missing: NO_REGISTERS } : taskThread(kernel, task);
    const thread = running.get(task.address);
    return thread ? { value: thread } : { missing: 'in user mode' };
  };
  return {
    value: {
      traces: all.value.tasks.map((task) => ({ task, thread: threadOf(task) })),
      problems: all.value.problems,
    },
  };
}

function heading({ comm, state, pid, tgid, parent, cpu, isIdle, onCpu }: Task): string {
  const parts = [
    `task:${comm.padEnd(15)} state:${state}`,
    `pid:${pid}`,
    `tgid:${tgid}`,
    `ppid:${parent ?? '?'}`,
    `cpu:${cpu ?? '?'}`,
    ...(isIdle ? ['(idle task)'] : []),
    ...(onCpu ? ['(running)'] : []),
  ];
  return parts.join(' ');
}

/** A heading and a trace for each task, an empty line behind each. */
export function* taskLines(
  kernel: GuestKernel,
  target: Target,
  view: (vcpu: Target['vcpus'][number]) => VcpuView | undefined,
  layout: TraceLayout,
): Generator<string> {
  const found = taskTraces(kernel, target, view);
  if (found.missing !== undefined) {
    yield `(no tasks: ${found.missing})`;
    return;
  }
  for (const { task, thread } of found.value.traces) {
    yield heading(task);
    if (thread.missing !== undefined) yield ` (${thread.missing})`;
    else yield* trueTraceLines(kernel, thread.value, layout);
    yield '';
  }
  for (const problem of found.value.problems) yield `(${problem})`;
}
