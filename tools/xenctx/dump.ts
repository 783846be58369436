// What xenctx does, in its order: -m, then -d, then the lists, then -C, or else one vCPU. Yields lines; prints nothing.

import { inKernelMode } from '../../core/machine/registers.ts';
import type { Target, TargetVcpu } from '../../core/target/target.ts';
import type { ClassicSymbols } from '../../symbols/classic-symbols.ts';
import type { MemoryFault } from '../../symbols/errors.ts';
import type { GuestKernel } from '../shared/guest-kernel.ts';
import { standsInKernel, vcpuThread } from '../shared/unwinding.ts';
import { type Disassemble, disassemblyLines } from './disassembly.ts';
import { frameRegisterLines } from './frame-registers.ts';
import { logLines, moduleLines } from './guest-lists.ts';
import { cpuLine, isolationLine, kernelLines, panickedVcpu } from './heading.ts';
import { codeLines, memoryLines } from './memory.ts';
import type { XenctxOptions } from './options.ts';
import { registerLines } from './registers.ts';
import { taskLines } from './tasks.ts';
import { stackBlock, stackLines } from './trace.ts';
import { trueTraceLines } from './true-trace.ts';
import { type VcpuView, viewVcpu } from './view.ts';

/** Told about what could not be read, while lines are made. */
export interface DumpProblems {
  /** A vCPU has no registers: the words of xenctx, for stderr. */
  vcpu(message: string): void;
  memory(vcpu: number, fault: MemoryFault): void;
}

/** What is known beside the target. */
export interface DumpKnowledge {
  readonly symbols: ClassicSymbols;
  /** Wanted unless the layout is xenctx's own. */
  readonly kernel?: GuestKernel | undefined;
  /** Wanted for --disassemble. */
  readonly disassemble?: Disassemble | undefined;
}

/** Why a vCPU is not shown, in the words of libxenctrl. */
function classicWhyNot(vcpu: TargetVcpu | undefined): string {
  if (!vcpu) return 'xc_vcpu_getcontext: Invalid argument';
  if (!vcpu.online) return 'xc_domain_hvm_getcontext_partial: No data available';
  return `xc_vcpu_getcontext: No data available${vcpu.missing ? ` (${vcpu.missing})` : ''}`;
}

/** The same in ours. @param id the vCPU that was asked for. */
function whyNot(id: number, { vcpus }: Target): string {
  const vcpu = vcpus.find((each) => each.id === id);
  const last = vcpus.at(-1)?.id;
  if (!vcpu) return `there is no vcpu ${id}${last === undefined ? '' : `: the last is ${last}`}`;
  if (!vcpu.registers)
    return `the registers of vcpu ${id} are not known: ${vcpu.missing ?? 'none are there'}`;
  return `vcpu ${id} is offline, and no CPU of the guest's kernel runs on it`;
}

/** The vCPU to show when the user named none: the one that panicked, else the first that is up. */
export function chosenVcpu(
  target: Target,
  { vcpu }: Pick<XenctxOptions, 'vcpu'>,
  kernel: GuestKernel | undefined,
): number {
  const panicked = kernel && vcpu === undefined ? panickedVcpu(kernel, target) : undefined;
  return vcpu ?? panicked ?? target.vcpus.find(({ online }) => online)?.id ?? 0;
}

function* trueLines(view: VcpuView, options: XenctxOptions, kernel: GuestKernel): Generator<string> {
  const { unwind = 'auto', registersOfFrame } = options;
  const { registers, wordSize, memory } = view;
  const inKernel = inKernelMode(registers);
  if (inKernel) yield* stackBlock(view, options);
  const isolated = isolationLine(memory.isolatedFrom);
  if (isolated !== undefined) yield isolated;
  const who = cpuLine(kernel, registers);
  if (who !== undefined) yield who;
  if (!inKernel) {
    yield '(in user mode)';
    return;
  }
  yield 'Call Trace:';
  const thread = vcpuThread(kernel, registers, memory, wordSize === 4 ? 4 : 8);
  yield* trueTraceLines(kernel, thread, { ...options, unwind });
  if (registersOfFrame === undefined) return;
  yield '';
  yield* frameRegisterLines(kernel, thread, unwind, registersOfFrame);
}

function* vcpuLines(
  view: VcpuView,
  options: XenctxOptions,
  { kernel, disassemble }: DumpKnowledge,
): Generator<string> {
  yield* registerLines(view, options.all);
  yield* codeLines(view);
  if (kernel && disassemble) yield* disassemblyLines(view, kernel, disassemble);
  if (kernel && options.unwind !== undefined && view.protectedMode) {
    yield* trueLines(view, options, kernel);
    return;
  }
  const inKernel = view.symbols.classify(view.instruction) === 'text';
  if (!view.protectedMode || inKernel) yield* stackLines(view, { ...options, dumpAsStack: undefined });
}

/** The vCPUs of a target, as far as they are shown. */
interface Vcpus {
  /** Of one that has registers. */
  look(vcpu: TargetVcpu): VcpuView | undefined;
  /** Whether it is up, or stands where the guest's kernel halted it. */
  stands(vcpu: TargetVcpu): boolean;
  /** Of one that stands; what is in the way of others is told. */
  view(id: number): VcpuView | undefined;
}

function vcpusOf(
  target: Target,
  { unwind }: XenctxOptions,
  { symbols, kernel }: DumpKnowledge,
  problems: DumpProblems,
): Vcpus {
  const ours = unwind !== undefined ? kernel : undefined;
  const look = ({ id, registers }: TargetVcpu): VcpuView | undefined =>
    registers && viewVcpu(target, id, registers, symbols, (fault) => problems.memory(id, fault));
  const stands = (vcpu: TargetVcpu): boolean =>
    vcpu.online || (ours !== undefined && standsInKernel(ours, vcpu));
  const view = (id: number): VcpuView | undefined => {
    const vcpu = target.vcpus.find((each) => each.id === id);
    const one = vcpu && stands(vcpu) ? look(vcpu) : undefined;
    if (!one) problems.vcpu(ours ? `xenctx: ${whyNot(id, target)}` : classicWhyNot(vcpu));
    return one;
  };
  return { look, stands, view };
}

/** -m and -d. */
function* memoryBlocks(vcpus: Vcpus, id: number, options: XenctxOptions): Generator<string> {
  const { memory, dumpAsStack, allVcpus } = options;
  if (memory !== undefined) {
    const one = vcpus.view(id);
    if (one) yield* memoryLines(one, memory, options);
    if (dumpAsStack !== undefined || allVcpus) yield '';
  }
  if (dumpAsStack !== undefined) {
    const one = vcpus.view(id);
    if (one) yield* stackLines(one, options);
    if (allVcpus) yield '';
  }
}

function* allVcpuLines(
  { vcpus }: Target,
  { stands, view }: Vcpus,
  options: XenctxOptions,
  knowledge: DumpKnowledge,
): Generator<string> {
  for (const vcpu of vcpus) {
    yield vcpu.online ? `vcpu${vcpu.id}:` : `vcpu${vcpu.id} offline`;
    const one = stands(vcpu) ? view(vcpu.id) : undefined;
    if (one) yield* vcpuLines(one, options, knowledge);
    yield '';
  }
}

/** All lines for stdout. */
export function* dumpTarget(
  target: Target,
  options: XenctxOptions,
  knowledge: DumpKnowledge,
  problems: DumpProblems,
): Generator<string> {
  const { kernel } = knowledge;
  const { memory, dumpAsStack, allVcpus, modules, dmesg, allTasks, unwind } = options;
  const vcpus = vcpusOf(target, options, knowledge, problems);
  const id = chosenVcpu(target, options, kernel);
  yield* memoryBlocks(vcpus, id, options);
  if (kernel && modules) yield* moduleLines(kernel, options.sourceLines);
  if (kernel && dmesg) yield* logLines(kernel);
  if (kernel && allTasks)
    yield* taskLines(kernel, target, vcpus.look, { ...options, unwind: unwind ?? 'auto' });
  const replaced = [memory !== undefined, dumpAsStack !== undefined, modules, dmesg, allTasks].includes(true);
  if (replaced && !allVcpus) return;
  if (kernel && unwind !== undefined) yield* kernelLines(kernel, target);
  if (allVcpus) {
    yield* allVcpuLines(target, vcpus, options, knowledge);
    return;
  }
  const one = vcpus.view(id);
  const isOffline = one !== undefined && target.vcpus.find((vcpu) => vcpu.id === id)?.online === false;
  if (isOffline) yield `vcpu${id} offline`;
  else if (options.vcpu === undefined && id !== 0) yield `vcpu${id}:`;
  if (one) yield* vcpuLines(one, options, knowledge);
}
