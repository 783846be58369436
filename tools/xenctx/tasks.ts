// --all-tasks: every task of a Linux guest with its stack, those that run on a vCPU from the vCPU's registers.
import { inKernelMode } from '../../core/machine/registers.ts';
import type { Target, TargetVcpu } from '../../core/target/target.ts';
import type { Known } from '../../symbols/kernel/linux-memory.ts';
import type { Task } from '../../symbols/kernel/tasks.ts';
import type { GuestKernel } from '../shared/guest-kernel.ts';
import {
  NOT_LINUX,
  runningCpu,
  standsInKernel,
  type Thread,
  taskThread,
  vcpuThread,
} from '../shared/unwinding.ts';
import { type TraceLayout, trueTraceLines } from './true-trace.ts';
import type { VcpuView } from './view.ts';

export interface TaskTrace {
  readonly task: Task;
  /** Where it stands, or why that is not known. */
  readonly thread: Known<Thread>;
}

/** Where it was switched away last is long past. */
const NO_REGISTERS = 'runs on a CPU whose registers are not known: the dump lacks them';

/** By address, the tasks that run on a vCPU, with where each stands; undefined: in user mode. */
function runningTasks(
  kernel: GuestKernel,
  { vcpus }: Target,
  view: (vcpu: TargetVcpu) => VcpuView | undefined,
): Map<bigint, Thread | undefined> {
  const running = new Map<bigint, Thread | undefined>();
  // Offline is also a vCPU that a panic has halted, or that was taken out: it still stands in its task.
  for (const vcpu of [...vcpus].sort((a, b) => Number(b.online) - Number(a.online))) {
    const address = vcpu.registers && runningCpu(kernel, vcpu.registers).task.value?.address;
    if (address === undefined || running.has(address)) continue;
    const one = vcpu.online || standsInKernel(kernel, vcpu) ? view(vcpu) : undefined;
    if (!one) continue;
    const inKernel = inKernelMode(one.registers) && one.wordSize === 8;
    running.set(address, inKernel ? vcpuThread(kernel, one.registers, one.memory, 8) : undefined);
  }
  return running;
}

/**
 * All tasks, idle ones first. @throws nothing: what cannot be read has its reason.
 * @param view of any vCPU that has registers.
 */
export function taskTraces(
  kernel: GuestKernel,
  target: Target,
  view: (vcpu: TargetVcpu) => VcpuView | undefined,
): Known<{ readonly traces: readonly TaskTrace[]; readonly problems: readonly string[] }> {
  const { linux } = kernel;
  if (!linux) return { missing: NOT_LINUX };
  const running = runningTasks(kernel, target, view);
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
  view: (vcpu: TargetVcpu) => VcpuView | undefined,
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
