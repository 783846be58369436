// gdb over our server on stock Debian kernels with their debug files: the backtraces of all vCPUs against xenctx's traces.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { Host } from '../kernel/guest.ts';
import { debianArchive, debianKernel } from '../support/debian.ts';
import {
  backtraces,
  GdbServer,
  gdb,
  gdbFunctions,
  hasGdb,
  INTERRUPTED,
  xenctxFunctions,
} from '../support/gdb.ts';
import { busyboxInitramfs, INIT_PROLOGUE } from '../support/initramfs.ts';
import { hasQemu, QemuGuest } from '../support/qemu-dump.ts';

/** How gdb shows an address in user mode, the last that there is. */
const USER = '??';
/** The assembly at the outer end has labels; gdb prefers the global ones. A part that was moved away (`.cold`) has its function's name. */
const named = (name: string): string =>
  name.replace(/^(?:common|secondary)_startup_64\w*$/, 'startup').replace(/\..*$/, '');

/** gdb has the frames of xenctx; it names neither the code that saved an interrupted one's registers nor user mode. */
function expectSame(backtrace: string | undefined, trace: string | undefined): void {
  const shown = gdbFunctions(backtrace ?? '').map(named);
  const found = xenctxFunctions(trace ?? '').map(named);
  if (shown.at(-1) === USER) shown.pop();
  expect(shown).toEqual(found.map((name, index) => (shown[index] === INTERRUPTED ? INTERRUPTED : name)));
  expect(shown.length).toBeGreaterThan(3);
}

/** Traces of xenctx -C by vCPU. */
const traces = (text: string): Map<number, string> =>
  new Map(
    text
      .split(/^(?=vcpu\d+:)/m)
      .slice(1)
      .map((part) => [Number(/\d+/.exec(part)?.[0]), part]),
  );

/** The second way that the server tells: its tables before those of the file. */
function tablesFirst({ greeting }: GdbServer): string[] {
  const line = greeting.find((text) => text.includes('sharedlibrary')) ?? '';
  return [...line.matchAll(/-ex (?:'([^']*)'|(\S+))/g)]
    .flatMap(([, quoted, plain]) => quoted ?? plain ?? [])
    .slice(1);
}

describe.runIf(debianArchive && hasGdb)('gdb with a Debian guest', { timeout: 600_000 }, () => {
  test.each(['linux-image-cloud-amd64', 'linux-image-6.12-cloud-amd64'])(
    '%s, a preserved domain: a panic in an NMI that came in while the kernel was idle',
    async (meta) => {
      using host = new Host();
      const { vmlinuz, vmlinux } = debianKernel(meta);
      const ramdisk = join(host.stateDir, 'initrd.gz');
      const init = `${INIT_PROLOGUE}echo 1 >/proc/sys/kernel/panic_on_unrecovered_nmi\necho ready\nsleep 1000\n`;
      writeFileSync(ramdisk, busyboxInitramfs(init));
      const domid = host.create('guest', {
        on_crash: '"preserve"',
        memory: '256',
        vcpus: '2',
        kernel: `"${vmlinuz}"`,
        ramdisk: `"${ramdisk}"`,
        extra: '"console=hvc0"',
      });
      for (const end = Date.now() + 120_000; !host.console(domid).includes('\nready'); ) {
        if (Date.now() > end) throw new Error('the guest does not come up');
        await new Promise((wake) => setTimeout(wake, 200));
      }
      host.ok('xl', 'trigger', String(domid), 'nmi');
      await host.untilShutdown(domid);
      const xenctx = host.ok('xenctx', '-s', vmlinux(), String(domid));
      await using server = await GdbServer.start(host.stateDir, String(domid), '-s', vmlinux());
      const [threads = '', all = '', bad, offsets, , again, registers = ''] = await gdb(server, vmlinux(), [
        'info threads',
        'thread apply all bt',
        'x/xg 0xdead000000000000',
        'print &jiffies_64',
        'continue',
        'bt 1',
        'info registers',
      ]);
      expect(threads).toMatch(/^\* 1 +Thread 1 "swapper\/0" \(vCPU 0, idle task, panicked\) /m);
      expect(threads).toMatch(/^ {2}2 +Thread 2 \(vCPU 1, offline\) /m);
      const panicked = backtraces(all).get(1) ?? '';
      expectSame(panicked, xenctx);
      expect(gdbFunctions(panicked)).toContain(INTERRUPTED);
      expect(panicked).toMatch(/ panic \(.*\) at kernel\/panic\.c:\d+$/m);
      expect(bad).toContain('Cannot access memory at address 0xdead000000000000');
      expect(offsets).toMatch(/0xffffffff8[0-9a-f]{7} <jiffies_64>/);
      expect(again).toMatch(/^#0 /);
      for (const [, name = '', value = ''] of xenctx.matchAll(/\b(r[a-ds][xip]|r\d+): ([0-9a-f]{16})/g))
        expect(registers).toMatch(new RegExp(`^${name} +0x${value.replace(/^0+(?=.)/, '')}\\b`, 'm'));
    },
  );

  test.runIf(hasQemu || process.env['CI'] === 'true')(
    'a dump of QEMU, its kernel moved by KASLR: both vCPUs, through the interrupt stack',
    async () => {
      using host = new Host();
      const { vmlinuz, vmlinux } = debianKernel('linux-image-cloud-amd64');
      await using guest = new QemuGuest({
        kernel: vmlinuz,
        initramfs: busyboxInitramfs(
          `${INIT_PROLOGUE}echo 1 >/proc/sys/kernel/sysrq\necho c >/proc/sysrq-trigger\n`,
        ),
        commandLine: 'panic=0',
      });
      await guest.untilConsole('---[ end Kernel panic');
      const path = await guest.dump('elf');
      const found = traces(host.ok('xenctx', '-C', '-s', vmlinux(), path));
      expect([...found.keys()]).toEqual([0, 1]);
      await using server = await GdbServer.start(host.stateDir, path, '-s', vmlinux());
      const [all = '', banner] = await gdb(server, vmlinux(), ['thread apply all bt', 'print linux_banner']);
      expect(banner).toContain('"Linux version ');
      const plain = backtraces(all);
      const panicked = [...plain.keys()].find((thread) =>
        gdbFunctions(plain.get(thread) ?? '').includes('panic'),
      );
      expectSame(plain.get(panicked ?? 0), found.get((panicked ?? 0) - 1));
      const commands = [...tablesFirst(server), 'thread apply all bt'];
      const through = backtraces((await gdb(server, undefined, commands)).at(-1) ?? '');
      for (const vcpu of [0, 1]) expectSame(through.get(vcpu + 1), found.get(vcpu));
    },
  );
});
