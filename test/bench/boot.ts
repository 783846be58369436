// npm run bench:boot: user CPU of booting Debian's stock 6.1 cloud kernel to the root-mount panic, here and under QEMU's TCG
// in the same run, three times by turns; the medians count. QEMU enters the ELF out of vmlinuz through its PVH entry, ours
// unpacks vmlinuz itself and preserves the domain. Last line: `ratio <ours/theirs>`.
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { hostCodecs } from '../../core/host/codecs.ts';
import { FileSource } from '../../core/host/file-source.ts';
import { unpackBzImage } from '../../symbols/kernel/bzimage.ts';
import { debianKernel } from '../support/debian.ts';
import { median } from './cost.ts';

const ROUNDS = 3;
const MEMORY_MIB = 512;
const PANIC = 'Unable to mount root fs';

interface Measured {
  /** Seconds of user CPU of the program and of all that it waited for. */
  readonly user: number;
  /** Largest resident set of one process below it, in MiB. */
  readonly peakMiB: number;
}

const xl = fileURLToPath(new URL('../../dist/tools/bin/xl.js', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'pvh-bench-'));

/** Runs a program in a bash that tells the CPU time of its children, and watches the process that `pidOf` names. */
async function measure(command: string, log: string, pidOf: () => number | undefined): Promise<Measured> {
  const child = spawn('bash', ['-c', `${command} >"$0" 2>&1; status=$?; times; exit $status`, log], {
    env: { ...process.env, PVH_STATE_DIR: join(folder, 'state') },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let times = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    times += text;
  });
  let peakKiB = 0;
  const watch = setInterval(() => {
    try {
      const status = readFileSync(`/proc/${pidOf()}/status`, 'utf8');
      peakKiB = Math.max(peakKiB, Number(status.match(/VmHWM:\s+(\d+)/)?.[1] ?? 0));
    } catch {
      // Not started yet, or ended.
    }
  }, 20);
  const status = await new Promise<number | null>((resolve) => child.on('close', resolve));
  clearInterval(watch);
  if (status !== 0) throw new Error(`${command}: exit ${status}\n${readFileSync(log, 'utf8')}`);
  // The second line is that of the children: user and system time as `0m1.234s`.
  const [, minutes, seconds] = times.split('\n')[1]?.match(/^(\d+)m([\d.]+)s/) ?? [];
  return { user: Number(minutes) * 60 + Number(seconds), peakMiB: peakKiB / 1024 };
}

async function ours(round: number, vmlinuz: string): Promise<Measured> {
  const config = join(folder, 'guest.cfg');
  const name = `bench${round}`;
  writeFileSync(
    config,
    `name="${name}"\ntype="pvh"\nkernel="${vmlinuz}"\nextra="console=hvc0"\nmemory=${MEMORY_MIB}\n` +
      'on_crash="preserve"\non_reboot="preserve"\n',
  );
  const domain = join(folder, `state/domains/${round}`);
  const measured = await measure(
    `node ${xl} create -F -q ${config}`,
    join(folder, 'ours.log'),
    () => JSON.parse(readFileSync(join(domain, 'domain.json'), 'utf8')).process?.pid,
  );
  if (!readFileSync(join(domain, 'console.log'), 'latin1').includes(PANIC))
    throw new Error('our guest did not reach the panic');
  return measured;
}

async function theirs(vmlinux: string): Promise<Measured> {
  const console = join(folder, 'qemu-console.log');
  const pidfile = join(folder, 'qemu.pid');
  const measured = await measure(
    `qemu-system-x86_64 -accel tcg -machine q35 -m ${MEMORY_MIB} -nodefaults -display none -no-reboot -pidfile ${pidfile} ` +
      `-serial file:${console} -kernel ${vmlinux} -append 'console=ttyS0 panic=-1'`,
    join(folder, 'qemu.log'),
    () => Number(readFileSync(pidfile, 'utf8')),
  );
  if (!readFileSync(console, 'latin1').includes(PANIC))
    throw new Error("QEMU's guest did not reach the panic");
  return measured;
}

try {
  const { release, vmlinuz } = debianKernel('linux-image-cloud-amd64');
  const vmlinux = join(folder, 'vmlinux');
  writeFileSync(vmlinux, unpackBzImage(new FileSource(vmlinuz), hostCodecs));
  console.log(`${release}, ${MEMORY_MIB} MiB, 1 vCPU, to "${PANIC}"; user CPU in seconds, peak resident MiB`);
  const rows: { ours: Measured; theirs: Measured }[] = [];
  for (let round = 1; round <= ROUNDS; round++) {
    const row = { ours: await ours(round, vmlinuz), theirs: await theirs(vmlinux) };
    rows.push(row);
    const text = ({ user, peakMiB }: Measured): string => `${user.toFixed(2)} s ${peakMiB.toFixed(0)} MiB`;
    console.log(`round ${round}: pvh-report ${text(row.ours)}, QEMU TCG ${text(row.theirs)}`);
  }
  const ratio = median(rows.map((row) => row.ours.user)) / median(rows.map((row) => row.theirs.user));
  console.log(`ratio ${ratio.toFixed(2)}`);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
