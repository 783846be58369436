// Unwinding of stock kernels in all ways: through a tracer's return addresses, by call frame information as by ORC, and the stack
// of every task that sleeps. (That the frames are those that the kernel prints is looked at in trace.test.ts.)
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { FileSource } from '../../core/host/file-source.ts';
import { openDumpCore } from '../../core/target/dump-core.ts';
import { VirtualMemory } from '../../core/target/virtual-memory.ts';
import { openElf } from '../../symbols/elf/elf-file.ts';
import { findKallsyms } from '../../symbols/kernel/kallsyms.ts';
import { LinuxGuest } from '../../symbols/kernel/linux-guest.ts';
import { Symbolizer } from '../../symbols/symbolizer.ts';
import { cfiFromElf } from '../../symbols/unwind/dwarf-cfi.ts';
import { linuxContext } from '../../symbols/unwind/linux-context.ts';
import { orcFromMemory } from '../../symbols/unwind/orc.ts';
import type { RowSource } from '../../symbols/unwind/row.ts';
import { startOfSleepingTask } from '../../symbols/unwind/sleeping-task.ts';
import {
  type UnwindContext,
  type UnwindStart,
  type UnwindStep,
  unwind,
} from '../../symbols/unwind/unwinder.ts';
import { debianArchive, debianKernel } from '../support/debian.ts';
import { busyboxInitramfs, INIT_PROLOGUE } from '../support/initramfs.ts';
import { Host } from './guest.ts';

/** The graph tracer on three functions of the call chain of a write, a kretprobe on a fourth. */
const TRACED_PANIC = `mount -t tracefs t /sys/kernel/tracing
cd /sys/kernel/tracing
echo ksys_write write_sysrq_trigger proc_reg_write >set_ftrace_filter
echo function_graph >current_tracer
echo 'r:probe vfs_write' >kprobe_events
echo 1 >events/kprobes/probe/enable
echo 1 >/proc/sys/kernel/sysrq
echo c >/proc/sysrq-trigger
`;

/** A crashed guest, taken apart. */
class Crashed {
  readonly target: ReturnType<typeof openDumpCore>;
  readonly guest: LinuxGuest;
  readonly orc: RowSource;
  readonly #symbolizer: Symbolizer;
  readonly #common: Pick<UnwindContext, 'memory' | 'isCode'>;

  constructor(core: string) {
    this.target = openDumpCore(new FileSource(core));
    const memory = new VirtualMemory(this.target, this.#registers(0));
    const table = findKallsyms(memory);
    if (!table) throw new Error('no kallsyms');
    const addressOf = (name: string): bigint | undefined => table.addressOf(name);
    this.#symbolizer = new Symbolizer(table);
    this.guest = new LinuxGuest({ memory, addressOf });
    const orc = orcFromMemory(memory, addressOf);
    if (!orc) throw new Error('no ORC tables');
    this.orc = orc;
    const ranges = [
      ['_stext', '_etext'],
      ['_sinittext', '_einittext'],
    ].map(([start = '', end = '']) => [addressOf(start) ?? 0n, addressOf(end) ?? 0n] as const);
    // Trampolines of ftrace and kprobes are made where modules are.
    ranges.push([0xffffffffa0000000n, 0xffffffffff000000n]);
    const isCode = (address: bigint): boolean =>
      ranges.some(([start, end]) => address >= start && address < end);
    this.#common = { memory, isCode };
  }

  #registers(vcpu: number) {
    const registers = this.target.vcpus[vcpu]?.registers;
    if (!registers) throw new Error(`no registers of vCPU ${vcpu}`);
    return registers;
  }

  vcpu(index: number, more: Pick<UnwindContext, 'rows' | 'way'>): UnwindStep[] {
    const { perCpu, linux } = this.guest;
    const registers = this.#registers(index);
    const cpu = this.guest.cpuOfVcpu(registers.gs.base, registers.kernel_gs_base);
    const task = cpu === undefined ? undefined : this.guest.currentTask(cpu).value;
    const thread = linuxContext(linux, perCpu.value, { cpu, task, taskRegister: registers.tr?.base });
    return [...unwind({ ...this.#common, ...thread, ...more }, { rip: registers.rip, registers })];
  }

  sleeping(task: { address: bigint; stack: bigint }, start: UnwindStart): UnwindStep[] {
    const thread = linuxContext(this.guest.linux, this.guest.perCpu.value, { task });
    return [...unwind({ ...this.#common, ...thread, rows: [this.orc] }, start)];
  }

  /** Function names, stacks in angle brackets, ends in parentheses. */
  names(steps: readonly UnwindStep[]): string[] {
    return steps.flatMap((step) => {
      if (step.kind === 'stack') return [`<${step.name}>`];
      if (step.kind === 'end') return [`(${step.end.why})`];
      if (step.kind !== 'frame') return [];
      const { address, exact } = step.frame;
      const hit = exact ? this.#symbolizer.symbolize(address) : this.#symbolizer.symbolizeReturn(address);
      return [hit?.name ?? '?'];
    });
  }
}

const addresses = (steps: readonly UnwindStep[]): bigint[] =>
  steps.flatMap((step) => (step.kind === 'frame' ? [step.frame.address] : []));
const lastOf = (steps: readonly UnwindStep[]) => {
  const last = steps.at(-1);
  return last?.kind === 'end' ? last.end.why : undefined;
};

describe.runIf(debianArchive).each(['linux-image-cloud-amd64', 'linux-image-6.12-cloud-amd64'])(
  '%s',
  (meta) => {
    let crashed: Crashed;
    let panicked = 0;
    const other = () => 1 - panicked;

    beforeAll(async () => {
      const host = new Host();
      const ramdisk = join(host.stateDir, 'initrd.gz');
      writeFileSync(ramdisk, busyboxInitramfs(`${INIT_PROLOGUE}${TRACED_PANIC}`));
      const { vmlinuz } = debianKernel(meta);
      const domid = host.createLinux('guest', { kernel: vmlinuz, ramdisk, extra: 'console=hvc0' });
      await host.untilShutdown(domid);
      crashed = new Crashed(host.file(domid, 'core.elf'));
      const names = crashed.names(crashed.vcpu(0, { rows: [crashed.orc] }));
      panicked = names.includes('sysrq_handle_crash') ? 0 : 1;
      return () => {
        crashed.target.close();
        host[Symbol.dispose]();
      };
    }, 300_000);

    test("behind the tracers' return addresses stand the true ones", () => {
      const names = crashed.names(crashed.vcpu(panicked, { rows: [crashed.orc] }));
      expect(names[0]).toBe('<TASK>');
      expect(names.slice(names.indexOf('write_sysrq_trigger'))).toEqual([
        'write_sysrq_trigger',
        'return_to_handler',
        'proc_reg_write',
        'return_to_handler',
        'vfs_write',
        'arch_rethook_trampoline',
        'ksys_write',
        'return_to_handler',
        'do_syscall_64',
        'entry_SYSCALL_64_after_hwframe',
        '(user mode)',
      ]);
    });

    test('the vCPU that was stopped is on its interrupt stack, then on its task', () => {
      const names = crashed.names(crashed.vcpu(other(), { rows: [crashed.orc], way: 'orc' }));
      const sysvec = ['__sysvec_reboot', 'sysvec_reboot', '<TASK>', 'asm_sysvec_reboot'];
      expect(names.slice(0, 6)).toEqual(['<IRQ>', 'stop_this_cpu', ...sysvec]);
      expect(names.at(-1)).toBe('(end of stack)');
    });

    test('a scan finds the frames that the tables lead to, and more', () => {
      const byTables = crashed.vcpu(other(), { rows: [crashed.orc] });
      const scanned = new Set(addresses(crashed.vcpu(other(), { rows: [], way: 'scan' })));
      for (const address of addresses(byTables)) expect(scanned).toContain(address);
    });

    test('every sleeping task is unwound to its end', () => {
      const tasks = crashed.guest.tasks().value?.tasks ?? [];
      expect(tasks.length).toBeGreaterThan(40);
      const ends = new Set<string | undefined>();
      for (const task of tasks) {
        if (task.onCpu || task.savedSp === undefined) continue;
        const steps = crashed.sleeping(task, startOfSleepingTask(crashed.guest.linux, task.savedSp));
        expect(
          steps.filter((step) => step.kind === 'gap' || (step.kind === 'frame' && step.frame.doubt)),
          task.comm,
        ).toEqual([]);
        ends.add(lastOf(steps));
      }
      expect([...ends].filter((end) => end !== 'end of stack' && end !== 'user mode')).toEqual([]);
    });

    // The debug package of 6.12 is another large download for the same code.
    test.runIf(meta === 'linux-image-cloud-amd64')('call frame information leads where ORC does', () => {
      const file = new FileSource(debianKernel(meta).vmlinux());
      try {
        const cfi = cfiFromElf(openElf(file));
        for (const index of [0, 1]) {
          const byOrc = crashed.vcpu(index, { rows: [crashed.orc] });
          const byCfi = crashed.vcpu(index, { rows: cfi });
          expect(crashed.names(byCfi)).toEqual(crashed.names(byOrc));
          expect(addresses(byCfi)).toEqual(addresses(byOrc));
          const ways = byCfi.flatMap((step) => (step.kind === 'frame' ? [step.frame.how] : []));
          expect(ways.filter((how) => how === 'cfi').length).toBeGreaterThan(ways.length / 2);
        }
      } finally {
        file.close();
      }
    });
  },
);
