// What gdb, crash and drgn of Debian make of a preserved domain that pvh-report exported: the stacks that xenctx shows, log and tasks.
// Where one of them cannot, it is shown that it cannot for the dump that QEMU makes either. docs/export.md has the reasons.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { Host } from '../kernel/guest.ts';
import { debianArchive, debianKernel } from '../support/debian.ts';
import { INTERRUPTED } from '../support/gdb.ts';
import { busyboxInitramfs, INIT_PROLOGUE } from '../support/initramfs.ts';
import { hasQemu, QemuGuest } from '../support/qemu-dump.ts';
import {
  crash,
  crashFrames,
  drgn,
  drgnFrames,
  gdbSteps,
  gdbTraces,
  hasDebuggers,
  type Trace,
  xenctxTraces,
} from './debuggers.ts';

const INIT = `${INIT_PROLOGUE}sleep 1000 & sleep 1
echo 1 >/proc/sys/kernel/sysrq
echo c >/proc/sysrq-trigger
`;

const PANIC = 'Kernel panic - not syncing: sysrq triggered crash';
/** What crash 8.0.2 prints for every CPU but the one that panicked. */
const NO_VC_STACK = 'bt: invalid size request: 0  type: "stack contents"';

const STACKS = `
from drgn.helpers.linux.percpu import per_cpu
from drgn.helpers.linux.pid import for_each_task
from drgn.helpers.linux.printk import get_dmesg
for cpu in range(2):
    print('CPU', cpu)
    if cpu == 0: first = per_cpu(prog['runqueues'], cpu).curr.pid.value_()
    try:
        print(prog.stack_trace(per_cpu(prog['runqueues'], cpu).curr))
    except Exception as error:
        print('error:', error)
print('THREAD 2')
print(prog.stack_trace(2))
print('TASKS', len(list(for_each_task(prog))))
print('CRASHED', prog.crashed_thread().tid == first)
print('LOG', get_dmesg(prog).decode().splitlines()[-2])
`;

/** `part` in the order in which it stands, with others between. */
const within = (part: readonly string[], whole: readonly string[]): string[] => {
  let at = 0;
  return part.filter((name) => {
    const found = whole.indexOf(name, at);
    if (found >= 0) at = found + 1;
    return found >= 0;
  });
};

/** Kernels, and what the debuggers of Debian 12 know of them. */
const kernels = [
  { meta: 'linux-image-cloud-amd64', crashKnowsIt: true, drgnKnowsItsOrc: true },
  { meta: 'linux-image-6.12-cloud-amd64', crashKnowsIt: false, drgnKnowsItsOrc: false },
];

describe.runIf(debianArchive && hasDebuggers).each(kernels)(
  'a preserved domain of $meta',
  { timeout: 600_000 },
  ({ meta, crashKnowsIt, drgnKnowsItsOrc }) => {
    let host: Host;
    let vmlinux: string;
    let domid: string;
    let traces: Trace[];
    let panicked: number;
    /** Two ways of gdb. */
    let plain: string[];
    let through: string[];
    const dump = (format: string): string => join(host.stateDir, `guest.${format}`);

    beforeAll(async () => {
      host = new Host();
      vi.stubEnv('PVH_STASH_DIR', join(host.stateDir, 'stash'));
      const kernel = debianKernel(meta);
      vmlinux = kernel.vmlinux();
      const ramdisk = join(host.stateDir, 'initrd.gz');
      writeFileSync(ramdisk, busyboxInitramfs(INIT));
      domid = String(
        host.create('guest', {
          ...{ on_crash: '"preserve"', memory: '256', vcpus: '2', extra: '"console=hvc0"' },
          ...{ kernel: `"${kernel.vmlinuz}"`, ramdisk: `"${ramdisk}"` },
        }),
      );
      await host.untilShutdown(Number(domid));
      const run = (...args: string[]) => {
        const result = host.run('pvh-report', 'export', ...args, domid);
        expect(result).toMatchObject({ status: 0 });
        return gdbSteps(result.stderr);
      };
      plain = run('-s', vmlinux, '-o', dump('elf'));
      through = run('-s', vmlinux, '-o', dump('elf'), '--gdb-unwinding', dump('unwind'));
      run('--format', 'kdump', '-o', dump('kdump'));
      const unwound = (target: string): string =>
        host.ok('xenctx', '--unwind=auto', '--lines', '-C', '-s', vmlinux, target);
      traces = xenctxTraces(unwound(dump('elf')));
      panicked = traces.findIndex(({ inner }) => inner.includes('panic'));
      // The domain itself shows the vCPU that is online; the other has stopped.
      expect(xenctxTraces(unwound(domid))[0]).toEqual(traces[panicked]);
      expect(xenctxTraces(unwound(dump('kdump')))).toEqual(traces);
    }, 600_000);

    afterAll(() => {
      vi.unstubAllEnvs();
      host?.[Symbol.dispose]();
    });

    test('xenctx has both stacks whole', () => {
      expect(traces[panicked]?.inner).toEqual(
        expect.arrayContaining(['xen_reboot', 'sysrq_handle_crash', 'entry_SYSCALL_64']),
      );
      expect(traces[1 - panicked]?.inner.slice(0, 2)).toEqual(['native_halt', 'stop_this_cpu']);
      expect(traces[1 - panicked]?.outer).toEqual(expect.arrayContaining(['default_idle', 'do_idle']));
    });

    test('gdb: each vCPU is a thread, with the same functions', () => {
      const threads = gdbTraces(plain);
      expect(threads).toHaveLength(2);
      // Call frame information ends at the entry from user mode, and where a stack is left for another.
      for (const [cpu, { inner }] of traces.entries())
        expect(threads[cpu]?.slice(0, inner.length)).toEqual(inner);
      expect(threads[1 - panicked]).toHaveLength(traces[1 - panicked]?.inner.length ?? 0);
    });

    test('gdb, with the tables that were written for it: the same functions to the end', () => {
      const threads = gdbTraces(through);
      expect(threads).toHaveLength(2);
      for (const [cpu, { inner, outer }] of traces.entries()) {
        const shown = threads[cpu] ?? [];
        const whole = [...inner, ...outer].map((name, index) =>
          shown[index] === INTERRUPTED ? INTERRUPTED : name,
        );
        expect(shown.slice(0, whole.length)).toEqual(whole);
        // Behind it only user mode.
        expect(shown.slice(whole.length).filter((name) => name !== '??')).toEqual([]);
      }
    });

    test.each(['elf', 'kdump'])(
      'drgn, %s: each CPU, a sleeping task, the list of tasks, the log',
      (format) => {
        const text = drgn(vmlinux, dump(format), STACKS);
        const parts = text.split(/^(?=CPU|THREAD|TASKS)/m).filter((part) => /^[A-Z]/.test(part));
        const [panic = [], stopped = []] = [panicked, 1 - panicked].map((cpu) => traces[cpu]?.inner);
        if (drgnKnowsItsOrc) {
          expect(drgnFrames(parts[panicked] ?? '').slice(0, panic.length)).toEqual(panic);
          expect(drgnFrames(parts[2] ?? '').slice(-2)).toEqual(['kthreadd', 'ret_from_fork']);
        } else {
          // The stack begins in a function for which only ORC has rows, in a form that came after drgn 0.0.22.
          expect(parts[panicked]).toContain('error: unknown ORC entry type 3');
          expect(drgnFrames(parts[2] ?? '')).toContain('kthreadd');
        }
        expect(drgnFrames(parts[1 - panicked] ?? '').slice(0, stopped.length)).toEqual(stopped);
        expect(Number(/^TASKS (\d+)/m.exec(text)?.[1])).toBeGreaterThan(40);
        expect(text).toMatch(/^LOG .*<\/TASK>$/m);
        // It goes by crashing_cpu, which only a kexec sets: CPU 0, whatever happened.
        expect(text).toMatch(/^CRASHED True$/m);
      },
    );

    describe('crash', () => {
      const panicStack = (): string[] => {
        const { inner = [] } = traces[panicked] ?? {};
        // It starts at panic, and shows no inlined functions.
        return inner
          .slice(inner.indexOf('panic'))
          .filter((name) => !/^(?:pde_write|do_syscall_x64|entry_SYSCALL_64)$/.test(name));
      };

      test.runIf(crashKnowsIt).each(['elf', 'kdump'])('%s: log, tasks, and each stack', (format) => {
        const registers = host.ok('xenctx', '-C', dump(format)).split(/^(?=vcpu\d)/m);
        const stopped = registers.find((part) => part.startsWith(`vcpu${1 - panicked}:`)) ?? '';
        const [rip, rsp] = ['rip', 'rsp'].map(
          (name) => new RegExp(`^${name}: (\\w+)`, 'm').exec(stopped)?.[1],
        );
        const text = crash(
          [vmlinux, dump(format)],
          [
            `bt -c ${panicked}`,
            `set -c ${1 - panicked}`,
            'bt',
            'eval 4711',
            `bt -S ${rsp} -I ${rip}`,
            'ps',
            'log',
          ],
        );
        const [first = '', again = ''] = text.split('decimal: 4711');
        expect(within(panicStack(), crashFrames(first))).toEqual(panicStack());
        expect(text).toContain(PANIC);
        expect(text).toMatch(/^> +1 +0 +\d +[0-9a-f]{16} +RU .* init$/m);
        // Told where to start, it does not look through stacks that are not there.
        expect(text).toContain(NO_VC_STACK);
        const idle = ['default_idle', 'default_idle_call', 'do_idle', 'cpu_startup_entry'];
        expect(within(idle, crashFrames(again))).toEqual(idle);
      });

      test('a file of xl dump-core opens with the options that pvh-report tells', () => {
        const core = join(host.stateDir, 'core');
        host.ok('xl', 'dump-core', domid, core);
        const command =
          host.ok('pvh-report', 'export', '--commands', '-s', vmlinux, core).split('\n')[0] ?? '';
        const [program, ...options] = command.split(' ');
        expect(program).toBe('crash');
        if (!crashKnowsIt) {
          expect(crash(['--minimal', ...options], ['log'])).toContain(PANIC);
          return;
        }
        const text = crash(options, ['bt -a', 'ps', 'log']);
        expect(within(panicStack(), crashFrames(text))).toEqual(panicStack());
        expect(text).toContain(PANIC);
        expect(text).toMatch(/ init$/m);
      });

      test.runIf(!crashKnowsIt)('of a kernel that is newer than it: the log', () => {
        expect(crash(['--minimal', vmlinux, dump('kdump')], ['log'])).toContain(PANIC);
      });
    });
  },
);

describe.runIf(debianArchive && hasDebuggers && hasQemu).each(kernels)(
  "QEMU's own dump of such a panic of $meta",
  { timeout: 900_000 },
  ({ meta, crashKnowsIt, drgnKnowsItsOrc }) => {
    test('the debuggers can no more with it, and more with what is exported from it', async () => {
      using host = new Host();
      const kernel = debianKernel(meta);
      const vmlinux = kernel.vmlinux();
      await using guest = new QemuGuest({ kernel: kernel.vmlinuz, initramfs: busyboxInitramfs(INIT) });
      await guest.untilConsole('---[ end Kernel panic');
      const dump = await guest.dump('elf');
      const opened = crash([vmlinux, dump], ['bt -a', 'ps']);
      if (crashKnowsIt) {
        expect(opened).toContain(NO_VC_STACK);
        expect(opened).toContain('not found in PID hash');
      } else expect(opened).toContain('failed to read pageflag_names entry');
      expect(drgn(vmlinux, dump, '')).toContain('unrecognized QEMU memory dump');

      const exported = join(host.stateDir, 'exported');
      const { stderr } = host.run('pvh-report', 'export', '-s', vmlinux, '-o', exported, dump);
      const traces = xenctxTraces(
        host.ok('xenctx', '--unwind=auto', '--lines', '-C', '-s', vmlinux, exported),
      );
      const threads = gdbTraces(gdbSteps(stderr));
      expect(threads).toHaveLength(2);
      for (const [cpu, { inner }] of traces.entries())
        expect(threads[cpu]?.slice(0, inner.length)).toEqual(inner);
      const panicked = traces.findIndex(({ inner }) => inner.includes('panic'));
      const stack = drgnFrames(drgn(vmlinux, exported, 'print(prog.stack_trace(1))'));
      const { inner = [] } = traces[panicked] ?? {};
      if (drgnKnowsItsOrc) expect(stack.slice(0, inner.length)).toEqual(inner);
    });
  },
);
