// From a Target to the texts and facts of a report: through the same functions that xenctx prints with.
import { basename } from 'node:path';
import type { VcpuRegisters } from '../../core/machine/registers.ts';
import type { Target, TargetVcpu } from '../../core/target/target.ts';
import { hex16 } from '../../symbols/address.ts';
import { ClassicSymbols } from '../../symbols/classic-symbols.ts';
import { followFramePointers, scanStack } from '../../symbols/unwind/classic.ts';
import type { TraceStep } from '../../symbols/unwind/frame.ts';
import { endText } from '../../symbols/unwind/reason.ts';
import type { SymbolFile } from '../shared/symbol-file.ts';
import { dumpTarget } from '../xenctx/dump.ts';
import { describeTarget } from '../xenctx/json.ts';
import { type GuestKernel, type LearnKernel, learnKernel } from '../xenctx/kernel.ts';
import { identify } from '../xenctx/main.ts';
import { parseOptions } from '../xenctx/options.ts';
import { frameName, unwindSteps } from '../xenctx/true-trace.ts';
import { stackLimit, type VcpuView, viewVcpu } from '../xenctx/view.ts';
import type { CrashFrame, CrashRegister, CrashVcpu } from './crash.ts';
import type { Inspection } from './evidence.ts';

/** Kernel stacks have 16 KiB; xenctx itself looks at one page. */
const STACK_PAGES = 4;
const MAX_FRAMES = 256;
const MAX_GAPS = 32;

/** Fewer frames than this is not a stack: the kernel keeps no frame pointers. */
const ENOUGH_FRAMES = 3;

const SCALARS: readonly (keyof VcpuRegisters)[] = [
  ...(['rip', 'rsp', 'rflags', 'rax', 'rbx', 'rcx', 'rdx', 'rsi', 'rdi', 'rbp'] as const),
  ...(['r8', 'r9', 'r10', 'r11', 'r12', 'r13', 'r14', 'r15'] as const),
  ...(['cr0', 'cr2', 'cr3', 'cr4', 'efer'] as const),
];

type Trace = Pick<CrashVcpu, 'trace' | 'frames'>;

function registersOf(
  registers: VcpuRegisters,
  label: (value: bigint) => string | undefined,
): CrashRegister[] {
  const rows: (readonly [string, unknown])[] = [
    ...SCALARS.map((name) => [name, registers[name]] as const),
    ['fs_base', registers.fs.base],
    ['gs_base', registers.gs.base],
  ];
  return rows.flatMap(([name, value]) => {
    if (typeof value !== 'bigint') return [];
    const symbol = label(value);
    return [{ name, value: hex16(value), ...(symbol !== undefined && { symbol }) }];
  });
}

/** The true trace: by the kernel's unwind tables, or by frame pointers where it has none. */
function unwound(view: VcpuView, kernel: GuestKernel, gap: (text: string) => void): Trace {
  const frames: CrashFrame[] = [];
  let exact = true;
  for (const step of unwindSteps(view, kernel, 'auto')) {
    if (step.kind === 'end') {
      const text = endText(step.end);
      if (text !== undefined) gap(`vcpu${view.id}: the stack ends early: ${text}`);
    } else if (step.kind === 'exception') exact = true;
    else if (step.kind === 'frame' && frames.length < MAX_FRAMES) {
      const symbol = frameName(kernel, step.frame, exact);
      frames.push({ address: hex16(step.frame.address), ...(symbol !== undefined && { symbol }) });
      exact = false;
    }
  }
  return { trace: kernel.rows.length > 0 ? 'orc' : 'fp', frames };
}

function addressesOf(steps: Iterable<TraceStep>): bigint[] {
  const addresses: bigint[] = [];
  for (const step of steps) {
    if (step.kind === 'frame') addresses.push(step.frame.address);
    if (addresses.length >= MAX_FRAMES) break;
  }
  return addresses;
}

/** Without names there are no tables either: xenctx's own two ways, whichever gives more. */
function guessed(
  { words, stack, frame, symbols, instruction, protectedMode }: VcpuView,
  limit: bigint,
): Trace {
  const unnamed = (addresses: readonly bigint[]) =>
    [instruction, ...addresses].map((address) => ({ address: hex16(address) }));
  const isText = (value: bigint) => symbols.classify(value) === 'text';
  if (!protectedMode || !isText(instruction)) return { trace: 'none', frames: unnamed([]) };
  const chain = addressesOf(followFramePointers(words, stack, frame, limit));
  return chain.filter(isText).length >= ENOUGH_FRAMES
    ? { trace: 'fp', frames: unnamed(chain) }
    : { trace: 'scan', frames: unnamed(addressesOf(scanStack(words, stack, limit, isText))) };
}

function vcpuOf(
  target: Target,
  vcpu: TargetVcpu,
  symbols: ClassicSymbols,
  learn: LearnKernel,
  gap: (text: string) => void,
): CrashVcpu {
  const { id, online, registers } = vcpu;
  if (registers === undefined)
    return { id, online, missing: vcpu.missing ?? 'no registers', registers: [], trace: 'none', frames: [] };
  // Looking for frames goes on to the end of the stack; that there is nothing beyond is no gap.
  const view = viewVcpu(target, id, registers, symbols, () => undefined);
  const inKernel = (registers.cs.selector & 3) === 0 && view.wordSize === 8;
  const kernel = online && inKernel ? learn(view.memory) : undefined;
  return {
    id,
    online,
    registers: registersOf(registers, (value) => symbols.label(value, 'any').trim() || undefined),
    ...(kernel ? unwound(view, kernel, gap) : guessed(view, stackLimit(view, STACK_PAGES))),
  };
}

/** Asks the guest's memory at most once. */
function learnOnce(file: SymbolFile | undefined): LearnKernel {
  let known: { readonly kernel: GuestKernel | undefined } | undefined;
  return (memory) => {
    known ??= { kernel: learnKernel(file, memory) };
    return known.kernel;
  };
}

export function inspectTarget(target: Target, domid: number, file: SymbolFile | undefined): Inspection {
  const gaps = new Set<string>(target.lacks);
  const gap = (text: string) => {
    if (gaps.size < MAX_GAPS) gaps.add(text);
  };
  const learn = learnOnce(file);
  const symbols = new ClassicSymbols({ table: file?.table });
  const facts = identify(target, file);
  const problems = { vcpu: gap, memory: (id: number, { message }: Error) => gap(`vcpu${id}: ${message}`) };
  const lines = (...options: string[]) =>
    [...dumpTarget(target, parseOptions([...options, String(domid)]), symbols, problems, learn)]
      .map((line) => `${line}\n`)
      .join('');
  const vcpus = target.vcpus.map((vcpu) => vcpuOf(target, vcpu, symbols, learn, gap));
  return {
    xenctxText: lines('-f', '-a', '-C'),
    unwindText: lines('--unwind=auto', '-l', '0', '-C'),
    xenctxJson: describeTarget(
      target,
      parseOptions(['-f', '-a', '-C', '--unwind=auto', String(domid)]),
      symbols,
      { ...facts, file: facts.file === null ? null : basename(facts.file) },
      learn,
    ),
    vcpus,
    guestBuildId: facts.guestBuildId ?? undefined,
    namesFromGuest:
      file === undefined && vcpus.some(({ frames }) => frames.some(({ symbol }) => symbol !== undefined)),
    gaps: [...gaps],
  };
}
