// A Debian guest under QEMU behind its gdb stub: what the tools show of it as it runs and when it has panicked, and that it runs on.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Registry } from '../../core/domain/registry.ts';
import { openTarget } from '../../core/target/open.ts';
import type { Target } from '../../core/target/target.ts';
import { debianArchive, debianKernel } from '../support/debian.ts';
import { GdbServer } from '../support/gdb.ts';
import { busyboxInitramfs, INIT_PROLOGUE } from '../support/initramfs.ts';
import { monitorRegisters, valueAt } from '../support/monitor-registers.ts';
import { hasQemu, QemuGuest, qemuVersion } from '../support/qemu-dump.ts';
import { CORE_DESCRIPTION, ScriptedStub, type StubScript } from '../support/scripted-stub.ts';
import { runXenctx } from '../xenctx/run.ts';

const XENCTX = fileURLToPath(new URL('../../dist/tools/bin/xenctx.js', import.meta.url));

/** A shell of one line after the other. */
const INIT = `${INIT_PROLOGUE}
echo 1 >/proc/sys/kernel/sysrq
echo READY
while read line; do eval "$line"; done
`;

/** What the stub does not give: of segments only selectors, of FS and GS the base too. */
const WITHOUT = /^(tr|ldtr|gdtr|idtr)\.|\.limit$|^[cdes]s\.base$/;

describe.runIf(debianArchive && hasQemu)('a Debian 6.1 guest behind the gdb stub of QEMU', () => {
  let guest: QemuGuest;
  let spec = '';

  beforeAll(async () => {
    guest = new QemuGuest({
      kernel: debianKernel('linux-image-cloud-amd64').vmlinuz,
      initramfs: busyboxInitramfs(INIT),
      attended: true,
    });
    spec = `gdb:unix:${guest.path('gdb')}`;
    await guest.untilConsole('READY');
  }, 300_000);
  afterAll(() => guest[Symbol.asyncDispose]());

  const open = (): Promise<Target> => openTarget(spec, { registry: new Registry(guest.folder) });
  const isRunning = async (): Promise<boolean> => {
    const status = await guest.qmp('query-status');
    return (status as { running: boolean }).running; // QMP schema: StatusInfo
  };
  let lines = 0;
  /** The shell does what it is told. */
  const reacts = async (): Promise<void> => {
    const mark = `line-${++lines}`;
    await guest.type(`echo ${mark}-$((6*7))`);
    await guest.untilConsole(`${mark}-42`, 60);
  };

  test('registers of both vCPUs are those of the monitor; the guest stands still for as long, and goes on', async () => {
    const target = await open();
    try {
      expect(await isRunning()).toBe(false);
      expect(target.vcpus).toHaveLength(2);
      let compared = 0;
      for (const { id, registers } of target.vcpus)
        for (const [name, value] of monitorRegisters(await guest.registers(id))) {
          if (WITHOUT.test(name)) continue;
          compared++;
          expect([id, name, registers && valueAt(registers, name)]).toEqual([id, name, value]);
        }
      expect(compared).toBe(2 * (18 + 4 + 6 + 2));
    } finally {
      target.close();
    }
    expect(await isRunning()).toBe(true);
    await reacts();
  });

  test('frames and memory are those of a dump', async () => {
    const target = await open();
    try {
      const dump = await openTarget(await guest.dump('elf'), { registry: new Registry(guest.folder) });
      expect(target.frames).toEqual(dump.frames);
      const [ours, theirs] = [new Uint8Array(1 << 20), new Uint8Array(1 << 20)];
      for (let address = 0; address < 256 << 20; address += 32 << 20) {
        target.readPhysical(address + 0x123, ours);
        dump.readPhysical(address + 0x123, theirs);
        expect(Buffer.compare(ours, theirs)).toBe(0);
      }
      // The APIC is a device: not read, and nothing is invented.
      expect(() => target.readPhysical(0xfee00000, new Uint8Array(8))).toThrow(/not in dump/);
      dump.close();
    } finally {
      target.close();
    }
  });

  test('xenctx shows both vCPUs with names, without any file', async () => {
    const { stdout, stderr, status } = await runXenctx(['-C', spec], guest.folder);
    expect([status, stderr]).toEqual([0, '']);
    for (const trace of stdout.split('Call Trace:').slice(1))
      expect(trace).toMatch(/ do_idle\+.*\n cpu_startup_entry\+.*\n/);
    expect(stdout.split('Call Trace:')).toHaveLength(3);
    await reacts();
  });

  test('the same through a stub with core registers and virtual memory only, as Firecracker has it', async () => {
    const answers: StubScript = [
      ['^(qSupported)', 'PacketSize=1000;qXfer:features:read+'],
      ['^qXfer:features:read:target.xml:0,', `l${CORE_DESCRIPTION}`],
      ['^(qqemu|Qqemu|qRcmd|QStart)', ''],
    ];
    await guest.qmp('stop');
    const whole = await runXenctx(['-C', spec], guest.folder);
    await using stub = await ScriptedStub.start(answers, guest.path('gdb'));
    const bare = await runXenctx(['-C', `gdb:${stub.place}`], guest.folder);
    expect([bare.status, bare.stderr]).toEqual([0, '']);
    // Without GS base nobody knows whose stack it is.
    const traces = (text: string): string[][] =>
      text
        .split('Call Trace:')
        .slice(1)
        .map((part) => part.match(/^ \w\S*\+0x\w+\/0x\w+$/gm) ?? []);
    expect(traces(whole.stdout).map(({ length }) => length > 5)).toEqual([true, true]);
    expect(traces(bare.stdout)).toEqual(traces(whole.stdout));
    await guest.qmp('cont');
    await reacts();
  });

  // Newer ones do not tell: docs/guide.md says so.
  test.runIf(qemuVersion < 8.1)('a guest that was paused by hand stays so', async () => {
    await guest.qmp('stop');
    (await open()).close();
    expect(await isRunning()).toBe(false);
    await guest.qmp('cont');
    await reacts();
  });

  test.each(['SIGINT', 'SIGTERM', 'SIGKILL'] as const)(
    '%s in the middle: the guest goes on, and the stub answers the next one',
    async (signal) => {
      const xenctx = spawn(process.execPath, [XENCTX, '-C', spec], { stdio: 'ignore' });
      const ended = once(xenctx, 'exit');
      while (await isRunning()) await sleep(10);
      await sleep(50);
      xenctx.kill(signal);
      expect((await ended)[1]).toBe(signal);
      while (!(await isRunning())) await sleep(10);
      await reacts();
      (await open()).close();
      await reacts();
    },
  );

  test('a panic: the trace that the kernel printed, and what xenctx shows of a dump', async () => {
    await guest.type('echo c >/proc/sysrq-trigger');
    await guest.untilConsole('end Kernel panic', 60);
    const { stdout } = await runXenctx(['-C', spec], guest.folder);
    const printed = guest.console().slice(guest.console().lastIndexOf('Call Trace:'));
    const names = [...printed.matchAll(/^\[[ .\d]+\] {2}(\w\S*\+0x\w+\/0x\w+)$/gm)].map(([, frame]) => frame);
    const below = (list: readonly (string | undefined)[]) =>
      list.slice(list.findLastIndex((frame) => frame?.startsWith('panic+')) + 1);
    const trace = stdout.split('Call Trace:').find((part) => part.includes(' panic+')) ?? '';
    const frames = [...trace.matchAll(/^ (\w\S*\+0x\w+\/0x\w+)$/gm)].map(([, frame]) => frame);
    expect(below(names).length).toBeGreaterThan(5);
    expect(below(frames)).toEqual(below(names));

    await guest.qmp('stop');
    const still = await runXenctx(['-C', spec], guest.folder);
    const dump = await guest.dump('elf');
    expect(still).toEqual(await runXenctx(['-C', dump], guest.folder));
    // And through our own server over that dump.
    await using server = await GdbServer.start(guest.folder, dump);
    expect(await runXenctx(['-C', `gdb:${server.address}`], guest.folder)).toEqual(still);
  });
});
