// A guest as gdb is shown it: its vCPUs with the names of their tasks, where its kernel lies, and the monitor commands.
import type { GdbFile, GdbGuest, VcpuNames } from '../../core/gdb/guest.ts';
import { inKernelMode } from '../../core/machine/registers.ts';
import type { Target, TargetVcpu } from '../../core/target/target.ts';
import { VirtualMemory } from '../../core/target/virtual-memory.ts';
import { hex16 } from '../../symbols/address.ts';
import { ClassicSymbols } from '../../symbols/classic-symbols.ts';
import { PvhError } from '../../symbols/errors.ts';
import { cleanText } from '../shared/clean-text.ts';
import type { GuestKernel } from '../shared/guest-kernel.ts';
import { runningCpu } from '../shared/unwinding.ts';
import { chosenVcpu, dumpTarget } from '../xenctx/dump.ts';
import { kernelLines, panickedVcpu } from '../xenctx/heading.ts';
import { parseOptions, XenctxExit } from '../xenctx/options.ts';
import { unwindLibrary } from './gdb-unwinding.ts';

const PT_LOAD = 1;
const BYTES_A_LINE = 16;
const MAX_PHYSICAL = 1 << 16;
const MAX_FAULTS = 16;

const hex = (value: bigint): string => `0x${value.toString(16)}`;

/** Where the first segment of the kernel's file lies in the guest. */
function textSegment({ file, slide, linux, table }: GuestKernel): bigint | undefined {
  const first = file?.elf?.segments.find(({ type }) => type === PT_LOAD);
  if (first && slide !== undefined) return BigInt.asUintN(64, first.virtualAddress + slide);
  // Without a file the guest itself tells: a vmlinux begins with _text (linux arch/x86/kernel/vmlinux.lds.S).
  return linux ? table.addressOf('_text') : undefined;
}

function namesOf(kernel: GuestKernel, panicked: number | undefined, vcpu: TargetVcpu): VcpuNames {
  const { id, online, registers, missing } = vcpu;
  if (!online) return { text: `vCPU ${id}, offline` };
  if (!registers) return { text: `vCPU ${id}, no registers${missing === undefined ? '' : `: ${missing}`}` };
  const { cpu, task } = runningCpu(kernel, registers);
  const words = [
    `vCPU ${id}`,
    ...(cpu.value === undefined || cpu.value === id ? [] : [`CPU ${cpu.value}`]),
    ...(task.value ? [task.value.isIdle ? 'idle task' : `pid ${task.value.pid}`] : []),
    ...(inKernelMode(registers) ? [] : ['in user mode']),
    ...(id === panicked ? ['panicked'] : []),
  ];
  return { name: task.value?.comm, text: words.join(', ') };
}

/** What a monitor command works on. */
interface Monitored {
  readonly target: Target;
  readonly kernel: GuestKernel;
  readonly vcpu: TargetVcpu;
  readonly panicked: number | undefined;
}

interface MonitorCommand {
  readonly usage: string;
  readonly help: string;
  /** @throws PvhError when it cannot. */
  readonly run: (from: Monitored, words: readonly string[]) => Iterable<string>;
}

/** @throws PvhError */
function parseAddress(word: string | undefined, what: string): bigint {
  if (word === undefined || !/^(?:0x)?[0-9a-f]{1,16}$/i.test(word))
    throw new PvhError('EUSAGE', `${what} is wanted, in hexadecimal`);
  return BigInt(`0x${word.replace(/^0x/i, '')}`);
}

/** What gdb does itself, or would have to wait for. */
const NOT_HERE = /^(?:-s|--symbol|--disas|--json|--force|--debug|--classic|-h|--help|--lines$|--source)/;

function* xenctxLines({ target, kernel, vcpu }: Monitored, words: readonly string[]): Generator<string> {
  const other = words.find((word) => NOT_HERE.test(word));
  if (other !== undefined) throw new PvhError('EUSAGE', `no ${other} here; xenctx itself has it`);
  const wantsAll = words.some((word) => /^(?:-\w*C|--all-v|--dm|--mod|--all-t)/.test(word));
  const options = parseOptions([...words, 'guest', ...(wantsAll ? [] : [String(vcpu.id)])]);
  const symbols = new ClassicSymbols({ table: kernel.table.length > 0 ? kernel.table : undefined });
  const remarks = new Set<string>();
  const remark = (text: string): void => {
    if (remarks.size < MAX_FAULTS) remarks.add(text);
  };
  yield* dumpTarget(
    target,
    options,
    { symbols, kernel },
    { vcpu: remark, memory: (id, { message }) => remark(`vcpu ${id}: ${message}`) },
  );
  yield* remarks;
}

function* aboutLines({ target, kernel }: Monitored): Generator<string> {
  yield target.description;
  for (const lack of target.lacks) yield `not there: ${lack}`;
  for (const warning of kernel.warnings) yield `warning: ${warning}`;
  yield* kernelLines(kernel, target);
}

function* physicalLines({ target }: Monitored, [at, count]: readonly string[]): Generator<string> {
  const start = parseAddress(at, 'a physical address');
  const length = Math.min(Number(parseAddress(count ?? '10', 'a length')), MAX_PHYSICAL);
  if (start + BigInt(length) > 1n << 52n) throw new PvhError('EUSAGE', 'physical addresses have 52 bits');
  const line = new Uint8Array(BYTES_A_LINE);
  for (let done = 0; done < length; done += BYTES_A_LINE) {
    const bytes = line.subarray(0, Math.min(BYTES_A_LINE, length - done));
    target.readPhysical(Number(start) + done, bytes);
    const digits = Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join(' ');
    const letters = Array.from(bytes, (byte) =>
      byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : '.',
    );
    yield `${hex16(start + BigInt(done))}: ${digits.padEnd(3 * BYTES_A_LINE)} ${letters.join('')}`;
  }
}

function* translationLines({ target, vcpu }: Monitored, [at]: readonly string[]): Generator<string> {
  const address = parseAddress(at, 'a virtual address');
  if (!vcpu.registers) throw new PvhError('EUSAGE', 'this vCPU has no registers, so no page tables');
  const memory = new VirtualMemory(target, vcpu.registers);
  yield `virtual ${hex16(address)} is physical ${hex(BigInt(memory.translate(address)))}`;
}

const COMMANDS: Readonly<Record<string, MonitorCommand>> = {
  help: { usage: 'help', help: 'this list', run: helpLines },
  about: {
    usage: 'about',
    help: 'what this guest is, how it ended, what its source does not have',
    run: aboutLines,
  },
  xenctx: {
    usage: 'xenctx [OPTIONS]',
    help: "xenctx of the chosen thread: its trace goes where gdb's ends; -C: of all vCPUs; --all-tasks; --modules",
    run: xenctxLines,
  },
  dmesg: { usage: 'dmesg', help: "the kernel's log", run: (from) => xenctxLines(from, ['--dmesg']) },
  phys: {
    usage: 'phys ADDRESS [LENGTH]',
    help: 'bytes at a physical address, both in hexadecimal',
    run: physicalLines,
  },
  vtop: {
    usage: 'vtop ADDRESS',
    help: 'the physical address of a virtual one, as the chosen thread sees it',
    run: translationLines,
  },
};

function* helpLines(): Generator<string> {
  for (const { usage, help } of Object.values(COMMANDS)) yield `monitor ${usage.padEnd(22)} ${help}`;
}

/** What a command prints; a failure is what it prints last. */
function runMonitor(from: Monitored, command: string): string {
  const [name = '', ...words] = command.split(/\s+/);
  const found = Object.hasOwn(COMMANDS, name || 'help') ? COMMANDS[name || 'help'] : undefined;
  if (!found) return `no command '${cleanText(name).slice(0, 64)}'; monitor help lists them\n`;
  const lines: string[] = [];
  try {
    for (const line of found.run(from, words)) lines.push(cleanText(line));
  } catch (error) {
    if (error instanceof XenctxExit) lines.push(...error.stderr.map(cleanText));
    else if (error instanceof PvhError) lines.push(cleanText(`${name}: ${error.message}`));
    else throw error;
  }
  return lines.map((line) => `${line}\n`).join('');
}

/** Made before anybody asks: a debugger waits some seconds for an answer, and no longer. */
function filesOf(kernel: GuestKernel): GdbFile[] {
  const bytes = unwindLibrary(kernel);
  return bytes ? [{ path: '/pvh-report/unwinding', isLibrary: true, bytes }] : [];
}

export function gdbGuest(target: Target, kernel: GuestKernel): GdbGuest {
  const panicked = panickedVcpu(kernel, target);
  return {
    target,
    firstVcpu: chosenVcpu(target, { vcpu: undefined }, kernel),
    textSegment: textSegment(kernel),
    files: filesOf(kernel),
    namesOf: (vcpu) => namesOf(kernel, panicked, vcpu),
    monitor: (command, vcpu) => runMonitor({ target, kernel, vcpu, panicked }, command),
  };
}
