// What can be unwound in a guest: its vCPUs, and the tasks that sleep. Each with the stacks that it can be on.
import type { VcpuRegisters } from '../../core/machine/registers.ts';
import type { TargetVcpu } from '../../core/target/target.ts';
import { attempt, type Known } from '../../symbols/kernel/linux-memory.ts';
import type { Task } from '../../symbols/kernel/tasks.ts';
import type { MemorySource } from '../../symbols/memory.ts';
import type { Frame } from '../../symbols/unwind/frame.ts';
import { linuxContext } from '../../symbols/unwind/linux-context.ts';
import { startOfSleepingTask } from '../../symbols/unwind/sleeping-task.ts';
import {
  type UnwindContext,
  type UnwindStart,
  type UnwindStep,
  type UnwindWay,
  unwind,
} from '../../symbols/unwind/unwinder.ts';
import type { GuestKernel } from './guest-kernel.ts';
import type { TraceOwner } from './kept-traces.ts';

/** Why nothing is known of tasks, modules and the log. */
export const NOT_LINUX = 'not a Linux kernel, or its symbols are not known';

/** Something that runs or waits, where it stands. */
export interface Thread {
  readonly owner: TraceOwner;
  readonly start: UnwindStart;
  readonly context: Omit<UnwindContext, 'rows' | 'registerRows' | 'isCode' | 'way'>;
}

/** A vCPU as the guest's kernel knows it. */
export interface RunningCpu {
  /** The guest's number of it. */
  readonly cpu: Known<number>;
  readonly task: Known<Task>;
}

export function runningCpu({ linux }: GuestKernel, { gs, kernel_gs_base }: VcpuRegisters): RunningCpu {
  const unknown = (missing: string): RunningCpu => ({ cpu: { missing }, task: { missing } });
  if (!linux) return unknown(NOT_LINUX);
  const { value: areas, missing } = linux.perCpu;
  if (!areas) return unknown(missing);
  const only = areas.offsets.size === 1 ? [...areas.offsets.keys()][0] : undefined;
  const cpu = linux.cpuOfVcpu(gs.base, kernel_gs_base) ?? only;
  if (cpu === undefined) return unknown('its gs base is that of no CPU');
  return { cpu: { value: cpu }, task: linux.currentTask(cpu) };
}

/** Whether a vCPU that is offline has been up: halted by a panic, say, it stands where its CPU stood. */
export const standsInKernel = ({ linux }: GuestKernel, { registers }: TargetVcpu): boolean =>
  linux?.cpuOfVcpu(registers?.gs.base, registers?.kernel_gs_base) !== undefined;

/** @param memory through the vCPU's own page tables. */
export function vcpuThread(
  kernel: GuestKernel,
  registers: VcpuRegisters,
  memory: MemorySource,
  wordSize: 8 | 4,
): Thread {
  const { linux } = kernel;
  const { cpu, task } = runningCpu(kernel, registers);
  const known = { cpu: cpu.value, task: task.value, taskRegister: registers.tr?.base };
  const narrow = (value: bigint): bigint => (wordSize === 4 ? BigInt.asUintN(32, value) : value);
  const { rip, rsp } = registers;
  return {
    owner: registers,
    start: { rip: narrow(rip), registers: { ...registers, rsp: narrow(rsp) } },
    context: { ...(linux && linuxContext(linux.linux, linux.perCpu.value, known)), memory, wordSize },
  };
}

/** A task that does not run on a CPU. */
export function taskThread({ linux, memory }: GuestKernel, task: Task): Known<Thread> {
  const { savedSp } = task;
  if (!linux || !memory) return { missing: NOT_LINUX };
  if (savedSp === undefined) return { missing: 'nothing tells where it was switched away' };
  return attempt(() => ({
    owner: task.address,
    start: startOfSleepingTask(linux.linux, savedSp),
    context: { ...linuxContext(linux.linux, linux.perCpu.value, { task }), memory },
  }));
}

/**
 * Without names and tables nothing tells whether a kernel keeps frame pointers. A chain of them that leaves out callers would look
 * like the truth: what a scan finds is more, and marked.
 */
const bestWay = ({ table, rows, isCode }: GuestKernel, { rip }: UnwindStart, way: UnwindWay): UnwindWay =>
  way === 'auto' && table.length === 0 && rows.length === 0 && isCode(rip) ? 'scan' : way;

/** @param allRegisters also find out registers that the trace itself does not need. */
export function unwindThread(
  kernel: GuestKernel,
  { owner, start, context }: Thread,
  way: UnwindWay,
  allRegisters = false,
): Iterable<UnwindStep> {
  const { rows, isCode, traces } = kernel;
  const registerRows = allRegisters ? kernel.registerRows : [];
  const make = () =>
    unwind({ ...context, rows, isCode, way: bestWay(kernel, start, way), registerRows }, start);
  return traces && !allRegisters ? traces.steps(owner, make) : make();
}

/** Where the instruction of a frame is: a return address lies behind its call. */
export const instructionOf = ({ address, exact }: Frame): bigint => (exact ? address : address - 1n);
