// Thirty ways for a domain to end, and five configurations for each: what the labelled corpus is recorded from.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Host } from '../../kernel/guest.ts';
import { debianKernel } from '../../support/debian.ts';
import { busyboxInitramfs, INIT_PROLOGUE } from '../../support/initramfs.ts';
import { kernelModule } from '../../support/kernel-module.ts';

const SAMPLES = fileURLToPath(new URL('../../../samples', import.meta.url));
const MODULE = fileURLToPath(new URL('../../contexts/module', import.meta.url));

/** What a run needs, and who pushes it over the edge. */
export interface Run {
  /** Of kernel, vCPUs, memory and seed. */
  readonly what: string;
  readonly kernel: string;
  readonly symbols?: string;
  readonly ramdisk?: Uint8Array;
  readonly settings: Readonly<Record<string, string>>;
  /** Once the console has `after`, xl does `command` with the domain. */
  readonly host?: { readonly after: string; readonly command: readonly string[] };
  /** The domain does not end: collected when its console has this. */
  readonly until?: string;
}

interface Cause {
  readonly label: string;
  /** As many runs as there are configurations. */
  readonly run: (index: number) => Run;
}

export const RUNS = 5;

const SAMPLE_RUNS: readonly { vcpus: number; memory: number; seed: number }[] = [
  { vcpus: 1, memory: 16, seed: 0 },
  { vcpus: 2, memory: 24, seed: 1 },
  { vcpus: 4, memory: 32, seed: 2 },
  { vcpus: 1, memory: 64, seed: 3 },
  { vcpus: 2, memory: 48, seed: 4 },
];

const OLDER = 'linux-image-cloud-amd64';
const NEWER = 'linux-image-6.12-cloud-amd64';
const LINUX_RUNS: readonly { meta: string; vcpus: number; memory: number; seed: number }[] = [
  { meta: OLDER, vcpus: 1, memory: 192, seed: 1 },
  { meta: OLDER, vcpus: 2, memory: 256, seed: 2 },
  { meta: OLDER, vcpus: 4, memory: 320, seed: 3 },
  { meta: NEWER, vcpus: 2, memory: 256, seed: 4 },
  { meta: NEWER, vcpus: 1, memory: 192, seed: 5 },
];

const settingsOf = (run: { vcpus: number; memory: number; seed: number }, leastVcpus = 1) => ({
  vcpus: String(Math.max(run.vcpus, leastVcpus)),
  memory: String(run.memory),
  seed: String(run.seed),
  ...Object.fromEntries(
    ['poweroff', 'reboot', 'crash', 'watchdog'].map((how) => [`on_${how}`, '"preserve"']),
  ),
});

const described = (kernel: string, { vcpus, memory, seed }: Readonly<Record<string, string>>): string =>
  `${kernel}, ${vcpus} vCPU, ${memory} MiB, seed ${seed}`;

function sample(name: string, more: Pick<Run, 'until'> = {}, leastVcpus = 1): Cause {
  return {
    label: name,
    run(index) {
      const settings = settingsOf(SAMPLE_RUNS[index % RUNS] ?? { vcpus: 1, memory: 16, seed: 0 }, leastVcpus);
      const vmlinux = join(SAMPLES, name, 'vmlinux');
      return {
        what: described(`sample ${name}`, settings),
        kernel: vmlinux,
        symbols: vmlinux,
        settings,
        ...more,
      };
    },
  };
}

/** A static program of one instruction that no CPU knows: ELF header, one segment, `ud2`. */
function faultingProgram(): Buffer {
  const [base, headers] = [0x400000, 120];
  const program = Buffer.alloc(headers + 2);
  program.write('\x7fELF\x02\x01\x01', 0, 'latin1');
  program.writeUInt16LE(2, 16); // ET_EXEC
  program.writeUInt16LE(62, 18); // EM_X86_64
  program.writeUInt32LE(1, 20);
  program.writeBigUInt64LE(BigInt(base + headers), 24);
  program.writeBigUInt64LE(64n, 32);
  program.writeUInt16LE(64, 52);
  program.writeUInt16LE(56, 54);
  program.writeUInt16LE(1, 56);
  program.writeUInt32LE(1, 64); // PT_LOAD
  program.writeUInt32LE(5, 68); // r-x
  for (const at of [80, 88]) program.writeBigUInt64LE(BigInt(base), at);
  for (const at of [96, 104]) program.writeBigUInt64LE(BigInt(program.length), at);
  program.writeBigUInt64LE(0x1000n, 112);
  program.set([0x0f, 0x0b], headers);
  return program;
}

interface LinuxCause {
  /** Lines of /init behind its prologue, of run `index`; `raw` is the whole of it; none: no ramdisk. */
  readonly init?: (index: number) => string;
  readonly raw?: string;
  readonly extra?: (index: number) => string;
  readonly module?: true;
  readonly host?: (index: number) => Run['host'];
}

const modules = new Map<string, Buffer>();

function moduleFor(meta: string): Buffer {
  const known = modules.get(meta);
  if (known) return known;
  const built = kernelModule(debianKernel(meta).release, MODULE);
  modules.set(meta, built);
  return built;
}

function linux(label: string, { init, raw, extra, module, host }: LinuxCause): Cause {
  return {
    label,
    run(index) {
      const run = LINUX_RUNS[index % RUNS] ?? { meta: OLDER, vcpus: 1, memory: 192, seed: 0 };
      const { release, vmlinuz } = debianKernel(run.meta);
      const text = raw ?? (init && `${INIT_PROLOGUE}${init(index)}\n`);
      const files = { fault: faultingProgram(), ...(module && { 'contexts.ko': moduleFor(run.meta) }) };
      const settings = {
        ...settingsOf(run),
        extra: `"console=hvc0 oops=panic cryptomgr.notests ${extra?.(index) ?? ''}"`,
      };
      const push = host?.(index);
      return {
        what: described(release, settings),
        kernel: vmlinuz,
        settings,
        ...(text !== undefined && { ramdisk: busyboxInitramfs(text, files) }),
        ...(push && { host: push }),
      };
    },
  };
}

const inModule = (how: string): Cause =>
  linux(`module-${how}`, { init: () => `insmod /contexts.ko how=${how}; sleep 1000`, module: true });

const SLEEPS = 'echo $((7 * 6)) sleeps; sleep 1000';

export const CAUSES: readonly Cause[] = [
  ...['panic', 'null-dereference', 'bug-ud2', 'stack-overflow', 'triple-fault', 'jump-bad-address'].map(
    (name) => sample(name),
  ),
  ...['watchdog', 'corrupted-page-table', 'deep-call-chain'].map((name) => sample(name)),
  sample('hang-irqs-off', { until: 'interrupts off' }),
  sample('crash-on-vcpu1', {}, 2),
  linux('sysrq', {
    // By the guest itself, and from outside.
    init: (index) => `echo 1 >/proc/sys/kernel/sysrq; ${index % 2 ? SLEEPS : 'echo c >/proc/sysrq-trigger'}`,
    host: (index) => (index % 2 ? { after: '42 sleeps', command: ['sysrq', 'c'] } : undefined),
  }),
  linux('init-exits', { init: (index) => `exit ${index}` }),
  linux('init-killed', { init: () => 'exec /fault' }),
  linux('out-of-memory', { init: () => 'echo 2 >/proc/sys/vm/panic_on_oom; tail /dev/zero; sleep 1000' }),
  linux('no-root', {
    extra: (index) =>
      ['', 'root=/dev/nowhere', 'rdinit=/missing', 'root=/dev/xvda1', 'ro'][index % RUNS] ?? '',
  }),
  linux('no-init', { raw: 'this is no program\n' }),
  linux('no-requested-init', { raw: 'this is no program\n', extra: () => 'init=/nowhere' }),
  linux('nmi', {
    init: () => `echo 1 >/proc/sys/kernel/panic_on_unrecovered_nmi; ${SLEEPS}`,
    host: () => ({ after: '42 sleeps', command: ['trigger', 'nmi'] }),
  }),
  linux('reboot', { init: () => 'reboot -f; sleep 1000' }),
  linux('soft-lockup', {
    // Waits for an NMI that does not come.
    init: () =>
      'echo 1 >/proc/sys/kernel/watchdog_thresh; echo 1 >/proc/sys/kernel/softlockup_panic; insmod /contexts.ko how=nmi',
    module: true,
  }),
  ...['module', 'interrupt', 'timer', 'softirq', 'kthread', 'work', 'overflow', 'bug', 'fault'].map(inModule),
];

/** Runs it to its end and collects a report of it. @returns the path of the report. */
export async function collectRun(
  host: Host,
  name: string,
  run: Run,
): Promise<{ report: string; domid: number }> {
  const ramdisk = join(host.stateDir, `${name}.cpio.gz`);
  if (run.ramdisk) writeFileSync(ramdisk, run.ramdisk);
  const domid = host.create(name, {
    kernel: `"${run.kernel}"`,
    ...(run.ramdisk && { ramdisk: `"${ramdisk}"` }),
    ...run.settings,
  });
  const awaited = run.until ?? run.host?.after;
  for (let patience = 600; awaited !== undefined && !consoleOf(host, domid).includes(awaited); patience--) {
    if (patience === 0)
      throw new Error(`${name} never says '${awaited}':\n${consoleOf(host, domid).slice(-2000)}`);
    await new Promise((wake) => setTimeout(wake, 200));
  }
  if (run.host) {
    const [command = '', ...rest] = run.host.command;
    host.ok('xl', command, String(domid), ...rest);
  }
  if (run.until === undefined) await host.untilShutdown(domid, 300);
  else host.ok('xl', 'pause', String(domid));
  const report = join(host.stateDir, `${name}.tar.gz`);
  const symbols = run.symbols === undefined ? [] : ['-s', run.symbols];
  const only = ['--only', 'console.log,crash.json,guest.cfg,xl-dmesg.txt'];
  host.run('pvh-report', 'collect', String(domid), ...symbols, ...only, '-q', '-o', report);
  return { report, domid };
}

/** What it has written so far; nothing yet is nothing. */
function consoleOf(host: Host, domid: number): string {
  try {
    return readFileSync(host.file(domid, 'console.log'), 'latin1');
  } catch {
    return '';
  }
}
