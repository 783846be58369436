// What stands above the traces: once the kernel, its end and its symbols; above each trace who ran there, in the kernel's own words.
import type { VcpuRegisters } from '../../core/machine/registers.ts';
import type { Target } from '../../core/target/target.ts';
import { hex16 } from '../../symbols/address.ts';
import type { Uptime } from '../../symbols/kernel/facts.ts';
import type { Known } from '../../symbols/kernel/linux-memory.ts';
import type { Task } from '../../symbols/kernel/tasks.ts';
import type { GuestKernel } from '../shared/guest-kernel.ts';
import { runningCpu, standsInKernel } from '../shared/unwinding.ts';

const known = <T>(fact: Known<T>, show: (value: T) => string): string =>
  fact.missing === undefined ? show(fact.value) : `not known (${fact.missing})`;

const same = (text: string): string => text;

const seconds = ({ ns, from }: Uptime): string => {
  const text = `${ns / 1_000_000_000n}.${`${(ns / 1000n) % 1_000_000n}`.padStart(6, '0')} s`;
  return from === 'timekeeper' ? text : `${text} (the last line of its log)`;
};

/** The vCPU whose CPU called panic(); undefined when none did or it is not known. */
export function panickedVcpu(kernel: GuestKernel, { vcpus }: Target): number | undefined {
  const cpu = kernel.linux?.facts().panicCpu.value;
  if (cpu === undefined || cpu === 'none') return undefined;
  return vcpus.find(
    (vcpu) =>
      vcpu.registers &&
      (vcpu.online || standsInKernel(kernel, vcpu)) &&
      runningCpu(kernel, vcpu.registers).cpu.value === cpu,
  )?.id;
}

function panicText(kernel: GuestKernel, target: Target): string | undefined {
  const facts = kernel.linux?.facts();
  const cpu = facts?.panicCpu.value;
  if (!facts || cpu === undefined || cpu === 'none') return undefined;
  const vcpu = panickedVcpu(kernel, target);
  return `${known(facts.panicMessage, same)} (CPU ${cpu}${vcpu === undefined ? '' : `, vcpu${vcpu}`})`;
}

/** Where the names come from, and how far they were moved. */
function symbolsText({ source, file, buildId, slide, physicalBase }: GuestKernel): string {
  if (source === undefined) return 'none';
  const hex = (value: bigint): string =>
    value < 0n ? `-0x${(-value).toString(16)}` : `0x${value.toString(16)}`;
  return [
    source,
    ...(file?.buildId !== undefined || buildId !== undefined ? [`build-id ${file?.buildId ?? buildId}`] : []),
    ...(slide === undefined ? [] : [`slide ${hex(slide)}`]),
    ...(physicalBase === undefined ? [] : [`physical base ${hex(physicalBase)}`]),
  ].join(', ');
}

/** One line a fact, `name: value`, and an empty line. */
export function* kernelLines(kernel: GuestKernel, target: Target): Generator<string> {
  const facts = kernel.linux?.facts();
  if (facts) {
    yield known(facts.banner, same).replace(/^not known/, 'Kernel: $&');
    yield `Command line: ${known(facts.commandLine, same)}`;
    const panic = panicText(kernel, target);
    if (panic !== undefined) yield `Panic: ${panic}`;
    const cause = facts.cause.value;
    if (cause && !cause.text.startsWith('Kernel panic')) yield `Cause: ${cause.text.split('\n')[0]}`;
    yield `Uptime: ${known(facts.uptime, seconds)}`;
  }
  yield `Symbols: ${symbolsText(kernel)}`;
  yield '';
}

/** Linux kernel/panic.c, print_tainted: a blank for each letter that is not there is left out. */
const taintText = (letters: string): string => (letters === '' ? 'Not tainted' : `Tainted: ${letters}`);

function taskText(task: Task): string {
  return `PID: ${task.pid} Comm: ${task.comm}${task.isIdle ? ' (idle task)' : ''}`;
}

/** `CPU: 0 PID: 1 Comm: init Not tainted 6.1.0-56-cloud-amd64 #1`; undefined when the kernel is not Linux. */
export function cpuLine(kernel: GuestKernel, registers: VcpuRegisters): string | undefined {
  const facts = kernel.linux?.facts();
  if (!facts) return undefined;
  const { cpu, task } = runningCpu(kernel, registers);
  const build = /#\d+\S*/.exec(facts.banner.value ?? '')?.[0];
  return [
    cpu.missing === undefined ? `CPU: ${cpu.value}` : `CPU: ? (${cpu.missing})`,
    task.missing === undefined ? taskText(task.value) : `PID: ? (${task.missing})`,
    facts.taints.missing === undefined ? taintText(facts.taints.value.letters) : 'Tainted: ?',
    facts.release.value ?? '?',
    ...(build === undefined ? [] : [build]),
  ].join(' ');
}

/** That the vCPU stood with the page tables of user mode; undefined when it did not. */
export const isolationLine = (isolatedFrom: number | undefined): string | undefined =>
  isolatedFrom === undefined
    ? undefined
    : `(cr3 has the page tables of user mode; kernel memory is read through those at ${hex16(BigInt(isolatedFrom))})`;
