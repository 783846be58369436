// The facts of xenctx's text as JSON. Addresses and words are strings of 16 hex digits; what is not known is null.
import type { VcpuRegisters } from '../../core/machine/registers.ts';
import type { Target, TargetVcpu } from '../../core/target/target.ts';
import { hex16 } from '../../symbols/address.ts';
import type { ClassicSymbols } from '../../symbols/classic-symbols.ts';
import type { MemoryFault } from '../../symbols/errors.ts';
import type { SavedContext } from '../../symbols/unwind/pt-regs.ts';
import { endText } from '../../symbols/unwind/reason.ts';
import type { GuestKernel, LearnKernel } from './kernel.ts';
import { CODE_BEFORE, codeBytes } from './memory.ts';
import type { UnwindWay, XenctxOptions } from './options.ts';
import { decodeFlags } from './registers.ts';
import { traceSteps } from './trace.ts';
import { frameName, unwindSteps } from './true-trace.ts';
import { stackLimit, type VcpuView, viewVcpu } from './view.ts';

/** Version of the shape; a field added does not change it. */
const SCHEMA = 1;

type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

function registersJson(registers: VcpuRegisters): Json {
  const scalar = (value: bigint | number): Json => (typeof value === 'bigint' ? hex16(value) : value);
  const entries = Object.entries(registers).flatMap(([name, value]): [string, Json][] => {
    if (value === undefined || value instanceof Uint8Array) return [];
    if (typeof value === 'bigint') return [[name, scalar(value)]];
    // A Segment or a DescriptorTable: all their fields are numbers.
    const parts = Object.entries<bigint | number | undefined>(value).flatMap(
      ([part, content]): [string, Json][] => (content === undefined ? [] : [[part, scalar(content)]]),
    );
    return [[name, Object.fromEntries(parts)]];
  });
  return Object.fromEntries(entries);
}

function stackJson(view: VcpuView, options: XenctxOptions): Json {
  const words: Json[] = [];
  const limit = stackLimit(view, options.stackPages);
  const count = Math.floor((options.lines * options.bytesPerLine) / view.wordSize);
  for (let at = view.stack; at < limit && words.length < count; at += BigInt(view.wordSize)) {
    const value = view.words.word(at);
    words.push({ address: hex16(at), value: value === undefined ? null : hex16(value) });
  }
  return words;
}

function traceJson(view: VcpuView, options: XenctxOptions): Json {
  const symbol = (address: bigint): string | null => view.symbols.label(address, 'any').trim() || null;
  const frames: Json[] = [
    { address: hex16(view.instruction), symbol: symbol(view.instruction), how: 'registers' },
  ];
  for (const step of traceSteps(view, view.stack, options)) {
    if (step.kind !== 'frame') continue;
    const { address, stackAddress, how } = step.frame;
    frames.push({ address: hex16(address), symbol: symbol(address), how, at: hex16(stackAddress ?? 0n) });
  }
  return frames;
}

/** Frames as unwinding finds them, exception frames among them, and why they end. */
function unwindJson(view: VcpuView, kernel: GuestKernel, way: UnwindWay): Json {
  const frames: Json[] = [];
  let exact = true;
  for (const step of unwindSteps(view, kernel, way)) {
    if (step.kind === 'end') return { frames, end: step.end.why, detail: endText(step.end) ?? null };
    if (step.kind === 'exception') {
      frames.push({ how: 'exception', at: hex16(step.at), registers: contextJson(step.context) });
      exact = true;
      continue;
    }
    if (step.kind !== 'frame') continue;
    const { address, stackAddress, how } = step.frame;
    const at = stackAddress === undefined ? null : hex16(stackAddress);
    frames.push({ how, address: hex16(address), symbol: frameName(kernel, step.frame, exact) ?? null, at });
    exact = false;
  }
  return { frames, end: 'end of stack', detail: null };
}

function contextJson({ rip, cs, rflags, ss, registers }: SavedContext): Json {
  const general = Object.entries(registers).map(([name, value]) => [name, hex16(value)] as const);
  return { rip: hex16(rip), cs, rflags: hex16(rflags), ss, ...Object.fromEntries(general) };
}

function vcpuJson(
  target: Target,
  vcpu: TargetVcpu,
  options: XenctxOptions,
  symbols: ClassicSymbols,
  learn: LearnKernel,
): Json {
  const { id, online, registers } = vcpu;
  if (!registers) return { id, online, registers: null, missing: vcpu.missing ?? null };
  const unreadable: Json[] = [];
  const note = (fault: MemoryFault): void => {
    if (unreadable.length < 16) unreadable.push({ address: hex16(fault.address), reason: fault.message });
  };
  const view = viewVcpu(target, id, registers, symbols, note);
  const kernelMode = (registers.cs.selector & 3) === 0 && view.wordSize === 8;
  const kernel = options.unwind && kernelMode ? learn(view.memory) : undefined;
  const inKernel = symbols.classify(view.instruction) === 'text';
  return {
    id,
    online,
    mode: view.wordSize === 8 ? 'long' : view.protectedMode ? 'protected' : 'real',
    inKernel,
    symbol: symbols.label(view.instruction, 'any').trim() || null,
    registers: registersJson(registers),
    flags: decodeFlags(registers.rflags),
    code: { start: hex16(view.instruction - BigInt(CODE_BEFORE)), bytes: codeBytes(view).join(' ') },
    stack: online && inKernel ? stackJson(view, options) : null,
    trace: online && inKernel ? traceJson(view, options) : null,
    unwind: kernel && options.unwind ? unwindJson(view, kernel, options.unwind) : null,
    unreadable,
  };
}

export interface SymbolFacts {
  readonly file: string | null;
  readonly buildId: string | null;
  readonly guestBuildId: string | null;
}

/**
 * The document of --json: one vCPU, or all with -C. Ends in a line end.
 * @param learn asked when the options want unwinding.
 */
export function describeTarget(
  target: Target,
  options: XenctxOptions,
  symbols: ClassicSymbols,
  facts: SymbolFacts,
  learn: LearnKernel = () => undefined,
): string {
  const wanted = target.vcpus.filter(({ id }) => options.allVcpus || id === options.vcpu);
  const { domid, name, uuid, xenVersion } = target.identity;
  const document: Json = {
    schema: SCHEMA,
    target: {
      kind: target.kind,
      domid: domid ?? null,
      name: name ?? null,
      uuid: uuid ?? null,
      xenVersion: xenVersion ?? null,
      lacks: target.lacks,
    },
    symbols: { ...facts },
    vcpus: wanted.map((vcpu) => vcpuJson(target, vcpu, options, symbols, learn)),
  };
  return `${JSON.stringify(document, undefined, 2)}\n`;
}
