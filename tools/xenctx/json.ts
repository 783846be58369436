// The facts of xenctx's text as JSON. Addresses and words are strings of 16 hex digits; what is not known is null.
import { inKernelMode, type VcpuRegisters } from '../../core/machine/registers.ts';
import type { Target, TargetVcpu } from '../../core/target/target.ts';
import { hex16 } from '../../symbols/address.ts';
import type { MemoryFault } from '../../symbols/errors.ts';
import { cleanJson } from '../shared/clean-text.ts';
import type { GuestKernel } from '../shared/guest-kernel.ts';
import { vcpuThread } from '../shared/unwinding.ts';
import { instructionsAround } from './disassembly.ts';
import { chosenVcpu, type DumpKnowledge } from './dump.ts';
import { currentJson, kernelJson, logJson, modulesJson, tasksJson } from './json-guest.ts';
import { frameRegistersJson, unwindJson } from './json-trace.ts';
import type { Json } from './json-value.ts';
import { CODE_BEFORE, codeBytes, MAX_BLIND_BYTES } from './memory.ts';
import type { XenctxOptions } from './options.ts';
import { decodeFlags } from './registers.ts';
import { traceSteps } from './trace.ts';
import { stackLimit, type VcpuView, viewVcpu } from './view.ts';

/** Version of the shape; a field added does not change it. */
const SCHEMA = 2;

const MAX_UNREADABLE = 16;

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
  let blind = 0;
  for (let at = view.stack; at < limit && words.length < count; at += BigInt(view.wordSize)) {
    const value = view.words.word(at);
    blind = value === undefined ? blind + view.wordSize : 0;
    if (blind > MAX_BLIND_BYTES) break;
    words.push({ address: hex16(at), value: value === undefined ? null : hex16(value) });
  }
  return words;
}

/** xenctx's own trace. */
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

/** What the guest's kernel adds to a vCPU. */
function kernelParts(view: VcpuView, options: XenctxOptions, kernel: GuestKernel): { [key: string]: Json } {
  const { registers, memory, wordSize, protectedMode } = view;
  const { unwind, registersOfFrame } = options;
  const unwinds = unwind !== undefined && protectedMode && inKernelMode(registers);
  const thread = unwinds ? vcpuThread(kernel, registers, memory, wordSize === 4 ? 4 : 8) : undefined;
  return {
    current: currentJson(kernel, registers),
    unwind: thread && unwind ? unwindJson(kernel, thread, { ...options, unwind }) : null,
    ...(thread && unwind && registersOfFrame !== undefined
      ? { frameRegisters: frameRegistersJson(kernel, thread, unwind, registersOfFrame) }
      : {}),
  };
}

function disassemblyJson(view: VcpuView, { kernel, disassemble }: DumpKnowledge): { [key: string]: Json } {
  if (!kernel || !disassemble) return {};
  const instructions = instructionsAround(view, kernel, disassemble)?.map(({ address, text, target }) => ({
    address: hex16(address),
    text,
    target: target === undefined ? null : hex16(target),
  }));
  return { disassembly: instructions ?? null };
}

function vcpuJson(
  target: Target,
  { id, online, registers, missing }: TargetVcpu,
  options: XenctxOptions,
  knowledge: DumpKnowledge,
): Json {
  if (!registers) return { id, online, registers: null, missing: missing ?? null };
  const { symbols, kernel } = knowledge;
  const unreadable: Json[] = [];
  const note = (fault: MemoryFault): void => {
    if (unreadable.length < MAX_UNREADABLE)
      unreadable.push({ address: hex16(fault.address), reason: fault.message });
  };
  const view = viewVcpu(target, id, registers, symbols, note);
  const { memory, instruction, wordSize, protectedMode } = view;
  const inKernel = symbols.classify(instruction) === 'text';
  const classic = options.unwind === undefined && inKernel;
  return {
    id,
    online,
    mode: wordSize === 8 ? 'long' : protectedMode ? 'protected' : 'real',
    inKernel,
    symbol: symbols.label(instruction, 'any').trim() || null,
    isolatedFrom: memory.isolatedFrom === undefined ? null : hex16(BigInt(memory.isolatedFrom)),
    registers: registersJson(registers),
    flags: decodeFlags(registers.rflags),
    code: { start: hex16(instruction - BigInt(CODE_BEFORE)), bytes: codeBytes(view).join(' ') },
    ...disassemblyJson(view, knowledge),
    stack: inKernel ? stackJson(view, options) : null,
    trace: classic ? traceJson(view, options) : null,
    ...(kernel ? kernelParts(view, options, kernel) : { current: null, unwind: null }),
    unreadable,
  };
}

/**
 * The document of --json: one vCPU, or all with -C. Ends in a line end.
 * @returns `complete` is false when a vCPU that was asked for could not be read.
 */
export function describeTarget(
  target: Target,
  options: XenctxOptions,
  knowledge: DumpKnowledge,
): { readonly text: string; readonly complete: boolean } {
  const { kernel } = knowledge;
  const chosen = chosenVcpu(target, options, kernel);
  const wanted = target.vcpus.filter(({ id }) => options.allVcpus || id === chosen);
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
    kernel: kernel ? kernelJson(kernel, target) : null,
    vcpus: wanted.map((vcpu) => vcpuJson(target, vcpu, options, knowledge)),
    ...(kernel && options.modules ? { modules: modulesJson(kernel, options) } : {}),
    ...(kernel && options.dmesg ? { dmesg: logJson(kernel) } : {}),
    ...(kernel && options.allTasks ? { tasks: tasksJson(kernel, target, knowledge, options) } : {}),
  };
  const complete =
    wanted.length > 0 && wanted.every(({ online, registers }) => registers || (options.allVcpus && !online));
  return { text: `${cleanJson(JSON.stringify(document, undefined, 2))}\n`, complete };
}
