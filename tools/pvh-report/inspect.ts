// From a Target to the texts and facts of a report: through the same functions that xenctx prints with.
import { basename } from 'node:path';
import type { VcpuRegisters } from '../../core/machine/registers.ts';
import type { Target, TargetVcpu } from '../../core/target/target.ts';
import { hex16 } from '../../symbols/address.ts';
import { ClassicSymbols } from '../../symbols/classic-symbols.ts';
import { followFramePointers, scanStack } from '../../symbols/unwind/classic.ts';
import type { TraceStep } from '../../symbols/unwind/frame.ts';
import type { SymbolFile } from '../shared/symbol-file.ts';
import { dumpTarget } from '../xenctx/dump.ts';
import { describeTarget } from '../xenctx/json.ts';
import { identify } from '../xenctx/main.ts';
import { parseOptions } from '../xenctx/options.ts';
import { stackLimit, type VcpuView, viewVcpu } from '../xenctx/view.ts';
import type { CrashFrame, CrashRegister, CrashVcpu } from './crash.ts';
import type { Inspection } from './evidence.ts';

/** Kernel stacks have 16 KiB; xenctx itself looks at one page. */
const STACK_PAGES = 4;
const MAX_FRAMES = 256;
const MAX_GAPS = 32;

/** Fewer frames than this is not a stack: the kernel keeps no frame pointers. */
const ENOUGH_FRAMES = 3;

const SEGMENT_BASES = ['fs', 'gs'] as const;
const SCALARS = [
  ...['rip', 'rsp', 'rflags', 'rax', 'rbx', 'rcx', 'rdx', 'rsi', 'rdi', 'rbp', 'r8', 'r9', 'r10', 'r11'],
  ...['r12', 'r13', 'r14', 'r15', 'cr0', 'cr2', 'cr3', 'cr4', 'efer'],
] as const satisfies readonly string[];

function registersOf(
  registers: VcpuRegisters,
  label: (value: bigint) => string | undefined,
): CrashRegister[] {
  const rows: [string, bigint | undefined][] = [
    ...Object.entries(registers).flatMap(([name, value]): [string, bigint][] =>
      typeof value === 'bigint' && (SCALARS as readonly string[]).includes(name) ? [[name, value]] : [],
    ),
    ...SEGMENT_BASES.map((name): [string, bigint | undefined] => [`${name}_base`, registers[name].base]),
  ];
  const place = (name: string) =>
    (SCALARS as readonly string[]).indexOf(name) + (name.endsWith('_base') ? 100 : 0);
  return rows
    .flatMap(([name, value]) => {
      if (value === undefined) return [];
      const symbol = label(value);
      return [{ name, value: hex16(value), ...(symbol !== undefined && { symbol }) }];
    })
    .sort((a, b) => place(a.name) - place(b.name));
}

function framesOf(steps: Iterable<TraceStep>, name: (address: bigint) => CrashFrame): CrashFrame[] {
  const frames: CrashFrame[] = [];
  for (const step of steps) {
    if (step.kind === 'frame') frames.push(name(step.frame.address));
    if (frames.length >= MAX_FRAMES) break;
  }
  return frames;
}

function traceOf(view: VcpuView, name: (address: bigint) => CrashFrame): Pick<CrashVcpu, 'trace' | 'frames'> {
  const { words, stack, frame, symbols, instruction } = view;
  if (!view.protectedMode || symbols.classify(instruction) !== 'text')
    return { trace: 'none', frames: [name(instruction)] };
  const limit = stackLimit(view, STACK_PAGES);
  const isText = (value: bigint) => symbols.classify(value) === 'text';
  const byFramePointer = framesOf(followFramePointers(words, stack, frame, limit), name);
  const credible =
    byFramePointer.filter(({ address }) => isText(BigInt(`0x${address}`))).length >= ENOUGH_FRAMES;
  return credible
    ? { trace: 'fp', frames: [name(instruction), ...byFramePointer] }
    : {
        trace: 'scan',
        frames: [name(instruction), ...framesOf(scanStack(words, stack, limit, isText), name)],
      };
}

function vcpuOf(target: Target, vcpu: TargetVcpu, symbols: ClassicSymbols): CrashVcpu {
  const { id, online, registers } = vcpu;
  if (registers === undefined)
    return { id, online, missing: vcpu.missing ?? 'no registers', registers: [], trace: 'none', frames: [] };
  const label = (value: bigint) => symbols.label(value, 'any').trim() || undefined;
  const name = (address: bigint): CrashFrame => {
    const symbol = label(address);
    return { address: hex16(address), ...(symbol !== undefined && { symbol }) };
  };
  // Looking for frames goes on to the end of the stack; that there is nothing beyond is no gap.
  const view = viewVcpu(target, id, registers, symbols, () => undefined);
  return { id, online, registers: registersOf(registers, label), ...traceOf(view, name) };
}

export function inspectTarget(target: Target, domid: number, file: SymbolFile | undefined): Inspection {
  const gaps = new Set<string>(target.lacks);
  const gap = (text: string) => {
    if (gaps.size < MAX_GAPS) gaps.add(text);
  };
  const symbols = new ClassicSymbols({ table: file?.table });
  const options = parseOptions(['-f', '-a', '-C', String(domid)]);
  const facts = identify(target, file);
  const lines = dumpTarget(target, options, symbols, {
    vcpu: gap,
    memory: (id, fault) => gap(`vcpu${id}: ${fault.message}`),
  });
  return {
    xenctxText: [...lines].map((line) => `${line}\n`).join(''),
    xenctxJson: describeTarget(target, options, symbols, {
      ...facts,
      file: facts.file === null ? null : basename(facts.file),
    }),
    vcpus: target.vcpus.map((vcpu) => vcpuOf(target, vcpu, symbols)),
    guestBuildId: facts.guestBuildId ?? undefined,
    gaps: [...gaps],
  };
}
