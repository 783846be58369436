// What the guest's memory knows beside vCPUs, as JSON. A fact that is not known is null; `unknown` has the reasons by name.
import type { VcpuRegisters } from '../../core/machine/registers.ts';
import type { Target } from '../../core/target/target.ts';
import { hex16 } from '../../symbols/address.ts';
import type { Known } from '../../symbols/kernel/linux-memory.ts';
import type { Task } from '../../symbols/kernel/tasks.ts';
import type { GuestKernel } from '../shared/guest-kernel.ts';
import { NOT_LINUX, runningCpu } from '../shared/unwinding.ts';
import type { DumpKnowledge } from './dump.ts';
import { moduleSize } from './guest-lists.ts';
import { panickedVcpu } from './heading.ts';
import { unwindJson } from './json-trace.ts';
import type { Json } from './json-value.ts';
import type { XenctxOptions } from './options.ts';
import { taskTraces } from './tasks.ts';
import { viewVcpu } from './view.ts';

/** Facts by name with null for the unknown, and the reasons beside them. */
function factsJson(facts: Readonly<Record<string, Known<Json>>>): { [key: string]: Json } {
  const entries = Object.entries(facts);
  return {
    ...Object.fromEntries(entries.map(([name, { value }]) => [name, value ?? null])),
    unknown: Object.fromEntries(
      entries.flatMap(([name, { missing }]) => (missing === undefined ? [] : [[name, missing]])),
    ),
  };
}

const shown = <T>(fact: Known<T>, show: (value: T) => Json): Known<Json> =>
  fact.missing === undefined ? { value: show(fact.value) } : fact;

function linuxJson({ linux }: GuestKernel): Json {
  if (!linux) return null;
  const facts = linux.facts();
  return factsJson({
    banner: facts.banner,
    release: facts.release,
    hostname: facts.hostname,
    commandLine: facts.commandLine,
    taints: shown(facts.taints, ({ mask, letters }) => ({ mask: hex16(mask), letters })),
    panicCpu: shown(facts.panicCpu, (cpu) => (cpu === 'none' ? null : cpu)),
    panicMessage: facts.panicMessage,
    cause: shown(facts.cause, ({ text }) => text),
    uptimeNs: shown(facts.uptime, ({ ns }) => String(ns)),
    uptimeFrom: shown(facts.uptime, ({ from }) => from),
    wallClock: facts.wallClock,
    cpusOnline: shown(facts.cpusOnline, (cpus) => [...cpus]),
  });
}

export function kernelJson(kernel: GuestKernel, target: Target): Json {
  const { source, file, buildId, slide, physicalBase, warnings } = kernel;
  return {
    symbols: {
      source: source ?? null,
      file: file?.path ?? null,
      buildId: file?.buildId ?? null,
      guestBuildId: buildId ?? null,
      slide: slide === undefined ? null : hex16(slide),
      physicalBase: physicalBase === undefined ? null : hex16(physicalBase),
      warnings,
    },
    panickedVcpu: panickedVcpu(kernel, target) ?? null,
    linux: linuxJson(kernel),
  };
}

const taskJson = ({
  address,
  pid,
  tgid,
  comm,
  state,
  cpu,
  parent,
  isIdle,
  isKernelThread,
}: Task): { [key: string]: Json } => ({
  address: hex16(address),
  pid,
  tgid,
  ppid: parent ?? null,
  comm,
  state,
  cpu: cpu ?? null,
  idle: isIdle,
  kernelThread: isKernelThread,
});

/** Who ran on a vCPU. */
export function currentJson(kernel: GuestKernel, registers: VcpuRegisters): Json {
  const { cpu, task } = runningCpu(kernel, registers);
  return factsJson({ cpu, task: shown(task, taskJson) });
}

/** A list, or why there is none. */
const listJson = <T>(
  list: Known<readonly T[]>,
  show: (item: T) => Json,
  problems: readonly string[],
): Json => ({
  list: list.missing === undefined ? list.value.map(show) : null,
  problems: list.missing === undefined ? problems : [list.missing],
});

export function modulesJson({ linux, moduleFiles }: GuestKernel, { sourceLines }: XenctxOptions): Json {
  const problem = linux?.moduleProblem;
  return listJson(
    linux?.modules() ?? { missing: NOT_LINUX },
    (module) => ({
      name: module.name,
      state: module.state,
      taints: module.taints,
      size: moduleSize(module),
      ...(sourceLines ? { debugFile: moduleFiles.get(module.name)?.file?.path ?? null } : {}),
      ranges: module.ranges.map(({ kind, base, size }) => ({ kind, base: hex16(base), size })),
    }),
    problem === undefined ? [] : [problem],
  );
}

export function logJson({ linux }: GuestKernel): Json {
  const problem = linux?.logProblem;
  return listJson(
    linux?.log() ?? { missing: NOT_LINUX },
    ({ seq, timestampNs, level, facility, caller, text }) => ({
      seq: String(seq),
      timestampNs: String(timestampNs),
      level,
      facility,
      caller: caller ?? null,
      text,
    }),
    problem === undefined ? [] : [problem],
  );
}

export function tasksJson(
  kernel: GuestKernel,
  target: Target,
  { symbols }: DumpKnowledge,
  { unwind = 'auto', sourceLines }: XenctxOptions,
): Json {
  const found = taskTraces(
    kernel,
    target,
    ({ id, registers }) => registers && viewVcpu(target, id, registers, symbols, () => undefined),
  );
  return listJson(
    found.missing === undefined ? { value: found.value.traces } : found,
    ({ task, thread }) => ({
      ...taskJson(task),
      missing: thread.missing ?? null,
      unwind: thread.value ? unwindJson(kernel, thread.value, { unwind, sourceLines }) : null,
    }),
    found.value?.problems ?? [],
  );
}
