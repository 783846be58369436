// Panics by the guest's own hand in every kind of context: what xenctx unwinds out of the dump against the calls that the CPU
// recorded as they were made, address by address, on the vCPU that panicked and on all others.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { CallChain } from '../oracle/call-recorder.ts';
import { debianArchive, debianKernel } from '../support/debian.ts';
import { busyboxInitramfs, INIT_PROLOGUE } from '../support/initramfs.ts';
import { kernelModule } from '../support/kernel-module.ts';
import { runXenctx } from '../xenctx/run.ts';
import { type Moment, RecordedGuest } from './recorded-guest.ts';

const KERNELS = ['linux-image-cloud-amd64', 'linux-image-6.12-cloud-amd64'];
const VCPUS = 4;
const MODULE = fileURLToPath(new URL('module', import.meta.url));
/** A shell that does what is typed, so that each context starts from the same moment. */
const INIT = `${INIT_PROLOGUE}echo 1 >/proc/sys/kernel/sysrq
sleep 1
echo ready
while read line; do eval "$line"; done
`;
const insmod = (how: string): string => `insmod /contexts.ko how=${how}`;

interface Context {
  readonly name: string;
  /** What is typed into the guest's shell. */
  readonly line: string;
  /** What the guest prints of it when it is the context that it should be. */
  readonly shows: readonly RegExp[];
  /** What the host does once the guest has printed something. */
  readonly host?: { readonly after: string; readonly act: (guest: RecordedGuest) => void };
}

const IN_MODULE = / level3[.\w]*\+.*\n.* level2\+.*\n.* level1\+/;
const CONTEXTS: readonly Context[] = [
  { name: 'system call', line: 'echo c >/proc/sysrq-trigger', shows: [/ write_sysrq_trigger\+/] },
  {
    name: 'in a module',
    line: insmod('module'),
    shows: [IN_MODULE, / init_module\+|contexts_init\+/, / do_init_module\+/],
  },
  {
    name: 'in an inlined function',
    line: insmod('inlined'),
    shows: [/ level3[.\w]*\+.*\n.* holds_inlined\+/],
  },
  { name: 'behind a tail call', line: insmod('tail'), shows: [IN_MODULE, / jumped_to\+/] },
  { name: 'behind the end of a function', line: insmod('noreturn'), shows: [/by hand: noreturn/] },
  {
    name: 'interrupt',
    line: insmod('interrupt'),
    shows: [/<IRQ>/, / on_hrtimer\+/, /<\/IRQ>/, /RIP: 0010:spin\+/],
  },
  {
    name: 'interrupt while idle',
    line: insmod('idle'),
    shows: [/Comm: swapper/, /<IRQ>/, / on_hrtimer\+/, / do_idle\+/],
  },
  {
    name: 'softirq on the way out of an interrupt',
    line: insmod('timer'),
    shows: [/<IRQ>/, / on_timer\+/, / __irq_exit_rcu\+/, /RIP: 0010:spin\+/],
  },
  { name: 'softirq by local_bh_enable', line: insmod('softirq'), shows: [/ on_tasklet\+/, / do_softirq/] },
  {
    name: 'kernel thread',
    line: insmod('kthread'),
    shows: [/Comm: contexts/, / kthread\+/, / ret_from_fork/],
  },
  { name: 'work queue', line: insmod('work'), shows: [/Comm: kworker/, / worker_thread\+/] },
  {
    name: 'interrupt on vCPU 1 of 4, idle',
    line: `taskset 1 ${insmod('vcpu1')}`,
    shows: [/CPU: 1 /, / on_other_cpu\+/, / do_idle\+/],
  },
  {
    name: 'NMI',
    line: `taskset 8 ${insmod('nmi')}`,
    shows: [/<NMI>/, / on_nmi\+/, /<\/NMI>/, / spin\+/],
    host: { after: '] contexts: nmi', act: (guest) => guest.input({ kind: 'nmi', vcpu: 3 }) },
  },
  {
    name: 'NMI while idle',
    line: 'echo 1 >/proc/sys/kernel/panic_on_unrecovered_nmi; echo $((7 * 6)) sleeps; sleep 1000',
    shows: [/<NMI>/, / do_idle\+/],
    host: { after: '42 sleeps', act: (guest) => guest.input({ kind: 'nmi', vcpu: 2 }) },
  },
  {
    name: 'double fault on its own stack',
    line: insmod('overflow'),
    shows: [/stack guard page was hit/, / overflow\+.*\n.* overflow\+/],
  },
  { name: 'BUG()', line: insmod('bug'), shows: [/RIP: 0010:bug\+/] },
  { name: 'page fault', line: insmod('fault'), shows: [/RIP: 0010:wild_pointer\+/] },
];

/** System calls, page faults, forks, interrupts, on all vCPUs. */
const BUSY = `for i in 1 2 3 4; do (while true; do find /sys /proc -type f | head -n 99 | xargs cat; done) >/dev/null 2>&1 & done`;
const BUSY_INSTRUCTIONS = 10_000_000;
const MOMENTS = 6;

/** What xenctx prints with --json, as far as it is looked at here. */
interface Document {
  readonly vcpus: readonly {
    readonly unwind: { readonly frames: readonly { address?: string }[]; readonly end: string } | null;
  }[];
}

/** Addresses from the innermost out, and how they end. */
interface Trace {
  readonly frames: readonly string[];
  readonly end: string | undefined;
}

const ENDS: Readonly<Record<CallChain['end'], string>> = { thread: 'end of stack', user: 'user mode' };
const hex = (address: bigint): string => address.toString(16);

/** What xenctx says of each vCPU. */
async function unwound(core: string, stateDir: string): Promise<Trace[]> {
  const { stdout, stderr, status } = await runXenctx(['--unwind=auto', '--json', '-C', core], stateDir);
  expect({ stderr, status }).toEqual({ stderr: '', status: 0 });
  const { vcpus } = JSON.parse(stdout) as Document; // our own format, tested in test/xenctx
  return vcpus.map(({ unwind }) => ({
    frames: (unwind?.frames ?? []).flatMap(({ address }) => address?.replace(/^0*/, '') ?? []),
    end: unwind?.end,
  }));
}

const recorded = (guest: RecordedGuest): Trace[] =>
  guest
    .chains()
    .map(({ links, end }) => ({ frames: links.map(({ address }) => hex(address)), end: ENDS[end] }));

/** Panics before the scheduler is set up. */
const EARLY: readonly { name: string; cmdline: string; kernels: readonly string[] }[] = [
  // In setup_arch, where nobody listens to panics yet: the guest spins for ever.
  { name: 'without memory', cmdline: 'memmap=exactmap', kernels: KERNELS },
  // In setup_per_cpu_areas; how much memory is too little there differs between kernels.
  { name: 'without room for per-CPU areas', cmdline: 'mem=3400K', kernels: KERNELS.slice(0, 1) },
];
/** More than any of them needs. */
const EARLY_INSTRUCTIONS = 100_000_000;

describe.runIf(debianArchive).each(KERNELS)('call chains of %s', { timeout: 300_000 }, (meta) => {
  const scratch = mkdtempSync(join(tmpdir(), 'pvh-contexts-'));
  const core = join(scratch, 'core.elf');
  let guest: RecordedGuest;
  let ready: Moment;

  beforeAll(() => {
    const { release, vmlinuz } = debianKernel(meta);
    guest = new RecordedGuest({
      kernel: vmlinuz,
      ramdisk: busyboxInitramfs(INIT, { 'contexts.ko': kernelModule(release, MODULE) }),
      cmdline: 'console=hvc0 oops=panic cryptomgr.notests',
      vcpus: VCPUS,
      memoryMiB: 192,
    });
    guest.until('\nready');
    ready = guest.now();
  }, 300_000);

  afterAll(() => rmSync(scratch, { recursive: true, force: true }));

  test.each(CONTEXTS)('$name', async ({ line, shows, host }) => {
    guest.backTo(ready);
    guest.type(line);
    if (host) {
      guest.until(host.after, ready.console.length);
      host.act(guest);
    }
    expect(guest.finish()).toMatchObject({ kind: 'shutdown', reason: 'crash' });
    const printed = guest.console.slice(ready.console.length).replaceAll('\r', '');
    for (const text of shows) expect(printed).toMatch(text);
    guest.dump(core);
    expect(await unwound(core, scratch)).toEqual(recorded(guest));
  });

  test('at any moment of a busy guest', async () => {
    guest.backTo(ready);
    guest.type(BUSY);
    for (let moment = 0; moment < MOMENTS; moment++) {
      guest.run(BUSY_INSTRUCTIONS + moment * 77_777);
      guest.dump(core);
      const inKernel = (_: unknown, vcpu: number): boolean => !guest.inUserMode(vcpu);
      expect((await unwound(core, scratch)).filter(inKernel), `moment ${moment}`).toEqual(
        recorded(guest).filter(inKernel),
      );
    }
  });

  const early = EARLY.filter(({ kernels }) => kernels.includes(meta));
  test.each(early)('early boot, before the scheduler: $name', async ({ cmdline }) => {
    const { vmlinuz } = debianKernel(meta);
    const small = new RecordedGuest({ kernel: vmlinuz, cmdline, vcpus: 1, memoryMiB: 192 });
    small.run(EARLY_INSTRUCTIONS);
    small.dump(core);
    const chains = recorded(small);
    expect(chains[0]?.frames.length).toBeGreaterThan(5);
    expect(await unwound(core, scratch)).toEqual(chains);
  });
});
