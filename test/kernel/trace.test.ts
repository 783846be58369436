// The true trace of a panicked stock kernel against what that kernel itself printed: frame by frame, its `?` lines left out.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { debianArchive, debianKernel } from '../support/debian.ts';
import { busyboxInitramfs, INIT_PROLOGUE } from '../support/initramfs.ts';
import { printedFrames, unwoundFrames } from '../support/printed-trace.ts';
import { Host } from './guest.ts';

/** A way to panic: the init script, and what the host does once the guest says `ready`. */
const contexts: readonly {
  name: string;
  init?: string;
  host?: (host: Host, domid: number) => void;
}[] = [
  { name: 'kernel thread before init' },
  { name: 'system call', init: 'echo 1 >/proc/sys/kernel/sysrq\necho c >/proc/sysrq-trigger\n' },
  {
    name: 'NMI while idle',
    init: 'echo 1 >/proc/sys/kernel/panic_on_unrecovered_nmi\necho ready\nsleep 1000\n',
    host: (host, domid) => host.ok('xl', 'trigger', String(domid), 'nmi'),
  },
  {
    name: 'watch of the host',
    init: 'echo 1 >/proc/sys/kernel/sysrq\necho ready\nsleep 1000\n',
    host: (host, domid) => host.ok('xl', 'sysrq', String(domid), 'c'),
  },
];
const metas = ['linux-image-cloud-amd64', 'linux-image-6.12-cloud-amd64'];
const rows = metas.flatMap((meta) => contexts.map((context) => ({ meta, ...context })));

async function untilReady(host: Host, domid: number): Promise<void> {
  for (const end = Date.now() + 120_000; Date.now() < end; await new Promise((wake) => setTimeout(wake, 200)))
    if (host.console(domid).includes('\nready')) return;
  throw new Error(`the guest does not come up:\n${host.console(domid).slice(-2000)}`);
}

describe.runIf(debianArchive)('xenctx --unwind', { timeout: 300_000 }, () => {
  test.each(rows)('$meta: $name', async ({ meta, init, host: act }) => {
    using host = new Host();
    const ramdisk = join(host.stateDir, 'initrd.gz');
    if (init) writeFileSync(ramdisk, busyboxInitramfs(`${INIT_PROLOGUE}${init}`));
    const domid = host.create('guest', {
      on_crash: '"preserve"',
      memory: '256',
      vcpus: '2',
      kernel: `"${debianKernel(meta).vmlinuz}"`,
      extra: '"console=hvc0"',
      ...(init ? { ramdisk: `"${ramdisk}"` } : {}),
    });
    if (act) {
      await untilReady(host, domid);
      act(host, domid);
    }
    await host.untilShutdown(domid);
    const printed = printedFrames(host.console(domid));
    expect(printed.length).toBeGreaterThan(3);
    expect(unwoundFrames(host.ok('xenctx', '--unwind=auto', '-C', String(domid)))).toEqual(printed);
  });
});
