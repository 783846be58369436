// What xenctx does, in its order: -m, then -d, then -C, or else one vCPU. Yields lines; prints nothing.

import type { Target, TargetVcpu } from '../../core/target/target.ts';
import type { ClassicSymbols } from '../../symbols/classic-symbols.ts';
import type { MemoryFault } from '../../symbols/errors.ts';
import type { LearnKernel } from './kernel.ts';
import { codeLines, memoryLines } from './memory.ts';
import type { XenctxOptions } from './options.ts';
import { registerLines } from './registers.ts';
import { stackBlock, stackLines } from './trace.ts';
import { trueTraceLines } from './true-trace.ts';
import { type VcpuView, viewVcpu } from './view.ts';

/** Told about what could not be read, while lines are made. */
export interface DumpProblems {
  /** A vCPU has no registers: the words of xenctx, for stderr. */
  vcpu(message: string): void;
  memory(vcpu: number, fault: MemoryFault): void;
}

/** Why a vCPU has no view, in the words of libxenctrl. */
function whyNot(vcpu: TargetVcpu | undefined): string {
  if (!vcpu) return 'xc_vcpu_getcontext: Invalid argument';
  if (!vcpu.online) return 'xc_domain_hvm_getcontext_partial: No data available';
  return `xc_vcpu_getcontext: No data available${vcpu.missing ? ` (${vcpu.missing})` : ''}`;
}

function* vcpuLines(view: VcpuView, options: XenctxOptions, learn: LearnKernel): Generator<string> {
  yield* registerLines(view, options.all);
  yield* codeLines(view);
  if (options.unwind !== undefined && view.wordSize === 8) {
    const inKernelMode = (view.registers.cs.selector & 3) === 0;
    const kernel = inKernelMode ? learn(view.memory) : undefined;
    if (!kernel) return;
    yield* stackBlock(view, options);
    yield 'Call Trace:';
    yield* trueTraceLines(view, kernel, options.unwind);
    return;
  }
  const inKernel = view.symbols.classify(view.instruction) === 'text';
  if (!view.protectedMode || inKernel) yield* stackLines(view, { ...options, dumpAsStack: undefined });
}

/** All lines for stdout. */
export function* dumpTarget(
  target: Target,
  options: XenctxOptions,
  symbols: ClassicSymbols,
  problems: DumpProblems,
  learn: LearnKernel = () => undefined,
): Generator<string> {
  const view = (vcpu: TargetVcpu | undefined): VcpuView | undefined => {
    if (!vcpu?.online || !vcpu.registers) {
      problems.vcpu(whyNot(vcpu));
      return undefined;
    }
    return viewVcpu(target, vcpu.id, vcpu.registers, symbols, (fault) => problems.memory(vcpu.id, fault));
  };
  const chosen = (): VcpuView | undefined => view(target.vcpus.find(({ id }) => id === options.vcpu));
  const { memory, dumpAsStack, allVcpus } = options;

  if (memory !== undefined) {
    const one = chosen();
    if (one) yield* memoryLines(one, memory, options);
    if (dumpAsStack !== undefined || allVcpus) yield '';
  }
  if (dumpAsStack !== undefined) {
    const one = chosen();
    if (one) yield* stackLines(one, options);
    if (allVcpus) yield '';
  }
  if (allVcpus) {
    for (const vcpu of target.vcpus) {
      if (vcpu.online) {
        yield `vcpu${vcpu.id}:`;
        const one = view(vcpu);
        if (one) yield* vcpuLines(one, options, learn);
      } else yield `vcpu${vcpu.id} offline`;
      yield '';
    }
  }
  if (memory === undefined && dumpAsStack === undefined && !allVcpus) {
    const one = chosen();
    if (one) yield* vcpuLines(one, options, learn);
  }
}
