// From a Target to the texts and facts of a report: through the same functions that xenctx prints with.
import { inKernelMode, type VcpuRegisters } from '../../core/machine/registers.ts';
import type { Target, TargetVcpu } from '../../core/target/target.ts';
import { hex16 } from '../../symbols/address.ts';
import { ClassicSymbols } from '../../symbols/classic-symbols.ts';
import type { LinuxGuest } from '../../symbols/kernel/linux-guest.ts';
import { followFramePointers, scanStack } from '../../symbols/unwind/classic.ts';
import type { TraceStep } from '../../symbols/unwind/frame.ts';
import { endText } from '../../symbols/unwind/reason.ts';
import { explainFailure } from '../shared/failure.ts';
import { type GuestKernel, learnKernel } from '../shared/guest-kernel.ts';
import type { SymbolFile } from '../shared/symbol-file.ts';
import { NOT_LINUX, unwindThread, vcpuThread } from '../shared/unwinding.ts';
import { dumpTarget } from '../xenctx/dump.ts';
import { logLines } from '../xenctx/guest-lists.ts';
import { describeTarget } from '../xenctx/json.ts';
import { parseOptions } from '../xenctx/options.ts';
import { frameName } from '../xenctx/true-trace.ts';
import { stackLimit, type VcpuView, viewVcpu } from '../xenctx/view.ts';
import type { CrashFrame, CrashRegister, CrashVcpu } from './crash.ts';
import type { Inspection, Problem } from './evidence.ts';
import { takeImage } from './memory/image.ts';
import type { ImageOrder } from './memory/image-order.ts';
import { notRecordable, openRecord, recordTarget, type TargetRecord } from './memory/record.ts';
import { renderTarget } from './memory/target-file.ts';

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

/** Least certain first. */
const WAYS = ['scan', 'fp', 'cfi', 'orc'] as const;

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

/** The true trace, and by which of the ways most of it was found. */
function unwound(view: VcpuView, kernel: GuestKernel, gap: (text: string) => void): Trace {
  const frames: CrashFrame[] = [];
  const ways = new Set<string>();
  const thread = vcpuThread(kernel, view.registers, view.memory, 8);
  for (const step of unwindThread(kernel, thread, 'auto')) {
    if (step.kind === 'end') {
      const text = endText(step.end);
      if (text !== undefined) gap(`vcpu${view.id}: the stack ends early: ${text}`);
    } else if (step.kind === 'frame' && frames.length < MAX_FRAMES) {
      const { address, how } = step.frame;
      const symbol = frameName(kernel, step.frame);
      frames.push({ address: hex16(address), how, ...(symbol !== undefined && { symbol }) });
      ways.add(how);
    }
  }
  // The least certain of them is what the whole is good for.
  return { trace: WAYS.find((way) => ways.has(way)) ?? 'none', frames };
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
  // Where the stack is part of the kernel's image, saved frame pointers look like code.
  const isCode = (value: bigint) => isText(value) && (value < stack || value >= limit);
  if (!protectedMode || !isText(instruction)) return { trace: 'none', frames: unnamed([]) };
  const chain = addressesOf(followFramePointers(words, stack, frame, limit));
  return chain.filter(isText).length >= ENOUGH_FRAMES
    ? { trace: 'fp', frames: unnamed(chain) }
    : { trace: 'scan', frames: unnamed(addressesOf(scanStack(words, stack, limit, isCode))) };
}

function vcpuOf(
  target: Target,
  vcpu: TargetVcpu,
  symbols: ClassicSymbols,
  kernel: GuestKernel,
  gap: (text: string) => void,
): CrashVcpu {
  const { id, online, registers } = vcpu;
  if (registers === undefined)
    return { id, online, missing: vcpu.missing ?? 'no registers', registers: [], trace: 'none', frames: [] };
  // Looking for frames goes on to the end of the stack; that there is nothing beyond is no gap.
  const view = viewVcpu(target, id, registers, symbols, () => undefined);
  const inKernel = inKernelMode(registers) && view.wordSize === 8;
  return {
    id,
    online,
    registers: registersOf(registers, (value) => symbols.label(value, 'any').trim() || undefined),
    ...(online && inKernel && kernel.source !== undefined
      ? unwound(view, kernel, gap)
      : guessed(view, stackLimit(view, STACK_PAGES))),
  };
}

/** The kernel without the name of the file: who adds symbols later may call it something else. */
function withoutPaths(kernel: GuestKernel): GuestKernel {
  const { file, source, warnings } = kernel;
  if (!file) return kernel;
  const name = file.elf ? 'vmlinux' : 'System.map';
  return {
    ...kernel,
    source: source && name,
    file: { ...file, path: name },
    warnings: warnings.map((warning) => warning.replaceAll(file.path, name)),
  };
}

function kernelLog(kernel: GuestKernel): string | Problem {
  const log = kernel.linux?.log() ?? { missing: NOT_LINUX };
  if (log.missing !== undefined) return { problem: log.missing };
  return [...logLines(kernel)].map((line) => `${line}\n`).join('');
}

/** Lets timers and signals have their turn. @throws why it is to stop, when it is. */
async function breathe(signal: AbortSignal): Promise<void> {
  await new Promise((wake) => setImmediate(wake));
  signal.throwIfAborted();
}

export interface InspectOptions {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Given with -s, or found. */
  readonly file: SymbolFile | undefined;
  /** Without a file: whether to look for one, which may take as long as a download. */
  readonly search: boolean;
  /** Asks to give up. */
  readonly signal: AbortSignal;
  /** Also an image of the memory. */
  readonly image?: ImageOrder | undefined;
  /** Is told what the target's own memory says of its kernel. */
  readonly onLinux?: ((linux: LinuxGuest | undefined) => void) | undefined;
}

/** What is made of a target: the same of a record of it as of itself. */
type Derived = Omit<Inspection, 'targetJson' | 'memory' | 'image' | 'console'>;

/** @throws the signal's reason when it is told to stop. */
async function derive(
  target: Target,
  { file, search, env, signal, onLinux }: InspectOptions,
): Promise<Derived> {
  const gaps = new Set<string>(target.lacks);
  const gap = (text: string) => {
    if (gaps.size < MAX_GAPS) gaps.add(text);
  };
  // A report is made in any case: that the file is another kernel's stands in it.
  const learned = await learnKernel(target, file, { env, force: true, search });
  onLinux?.(learned.linux);
  try {
    const kernel = withoutPaths(learned);
    const { table, file: used } = learned;
    const symbols = new ClassicSymbols({ table: table.length > 0 ? table : used?.table });
    const problems = { vcpu: gap, memory: (id: number, { message }: Error) => gap(`vcpu${id}: ${message}`) };
    const optionsOf = (...options: string[]) =>
      parseOptions([...options, String(target.identity.domid ?? target.kind)]);
    const lines = async (...options: string[]) => {
      await breathe(signal);
      return [...dumpTarget(target, optionsOf(...options), { symbols, kernel }, problems)]
        .map((line) => `${line}\n`)
        .join('');
    };
    const vcpus: CrashVcpu[] = [];
    for (const vcpu of target.vcpus) {
      await breathe(signal);
      vcpus.push(vcpuOf(target, vcpu, symbols, kernel, gap));
    }
    return {
      xenctxText: await lines('-f', '-a', '-C'),
      unwindText: await lines('-l', '0', '-C'),
      xenctxJson: describeTarget(target, optionsOf('-a', '-C', '--source-lines'), { symbols, kernel }).text,
      kernelLog: kernelLog(kernel),
      vcpus,
      guestBuildId: kernel.buildId,
      symbolsBuildId: kernel.file?.buildId,
      symbolsUsed: kernel.file !== undefined,
      namesFromGuest:
        kernel.file === undefined &&
        vcpus.some(({ frames }) => frames.some(({ symbol }) => symbol !== undefined)),
      gaps: [...gaps],
    };
  } finally {
    if (learned.file !== file) learned.file?.close();
  }
}

/** Makes everything that is made of a record. @throws FormatError, the signal's reason when it is told to stop. */
export async function deriveFromRecord(
  record: TargetRecord,
  source: string,
  options: InspectOptions,
): Promise<Derived> {
  const target = openRecord(record, source);
  try {
    return await derive(target, options);
  } finally {
    target.close();
  }
}

/**
 * Reads what a report needs, and makes of that what is derived: whoever has the report comes to the same.
 * @param release is called as soon as the target is not needed any more.
 * @throws the signal's reason when it is told to stop.
 */
export async function inspectTarget(
  target: Target,
  options: InspectOptions,
  release: () => void = () => undefined,
): Promise<Inspection> {
  const { console } = target;
  const problem = notRecordable(target);
  if (problem !== undefined) {
    const targetJson = renderTarget(target, { taken: 'none', frames: 0, leftOut: 0 });
    return { ...(await derive(target, options)), targetJson, memory: { problem }, console };
  }
  const { image, signal } = options;
  let linux: LinuxGuest | undefined;
  const onLinux = (learned: LinuxGuest | undefined): void => {
    linux = learned;
  };
  const withoutFile = { env: {}, file: undefined, search: false, signal, onLinux };
  const record = await recordTarget(
    target,
    async (snapshot) => {
      await derive(snapshot, withoutFile);
    },
    image && ((kept) => takeImage(target, image, { linux, kept }, signal)),
  );
  release();
  return { ...(await deriveFromRecord(record, 'the report', options)), ...record, console };
}

/** Opens the target, reads it, closes it at once: a domain of a host may stand still until then. */
export async function lookAt(open: () => Promise<Target>, options: InspectOptions): Promise<Inspection> {
  const target = await open();
  let isOpen = true;
  const close = () => {
    if (isOpen) target.close();
    isOpen = false;
  };
  try {
    return await inspectTarget(target, options, close);
  } finally {
    close();
  }
}

/** Why it could not be looked at. */
export const inWords = (error: unknown): string =>
  explainFailure('pvh-report', error, false)
    .lines.join('; ')
    .replace(/^pvh-report: /, '');
