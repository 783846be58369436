// npm run bench:stack: how long a person waits for the stack of a crashed stock kernel, ours against crash(8) on the same core file and
// the same 590 MB vmlinux, and 1,000 addresses with lines and inlined functions against llvm-symbolizer. User CPU of the program,
// medians of five rounds by turns. Last line: `ratio <ours/crash>`, of xenctx with nothing prepared.
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { FileSource } from '../../core/host/file-source.ts';
import { openElf } from '../../symbols/elf/elf-file.ts';
import { readSymbolTable } from '../../symbols/elf/symtab.ts';
import { fileBuildId } from '../../symbols/kernel/identity.ts';
import { debianKernel } from '../support/debian.ts';
import { busyboxInitramfs, INIT_PROLOGUE } from '../support/initramfs.ts';
import { median } from './cost.ts';

const ROUNDS = 5;
const ADDRESSES = 1000;
/** What the stack must show, whoever prints it. */
const FRAME = 'write_sysrq_trigger';
const PROGRAMS = { crash: 'crash', 'llvm-symbolizer': 'llvm', '/usr/bin/time': 'time' };

const dist = (name: string): string =>
  fileURLToPath(new URL(`../../dist/tools/bin/${name}.js`, import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'pvh-bench-'));
const env = {
  ...process.env,
  PVH_STATE_DIR: join(folder, 'state'),
  PVH_STASH_DIR: join(folder, 'stash'),
  NO_COLOR: '1',
};

interface Measured {
  /** Seconds of user CPU. */
  readonly user: number;
  readonly peakMiB: number;
  readonly output: string;
}

interface Contender {
  readonly name: string;
  readonly command: readonly string[];
  readonly input?: string;
  /** Text that its output must hold, so that nobody wins by failing. */
  readonly shows: string;
}

function measure({ name, command, input = '', shows }: Contender): Measured {
  const times = join(folder, 'times');
  const { stdout, stderr } = spawnSync('/usr/bin/time', ['-f', '%U %M', '-o', times, ...command], {
    env,
    input,
    encoding: 'latin1',
    maxBuffer: 1 << 28,
  });
  if (!stdout.includes(shows)) throw new Error(`${name} does not show ${shows}:\n${stdout}${stderr}`);
  const [user, peak] = (readFileSync(times, 'utf8').trim().split('\n').at(-1) ?? '').split(' ').map(Number);
  return { user: user ?? Number.NaN, peakMiB: (peak ?? Number.NaN) / 1024, output: stdout };
}

/** Boots the kernel with 2 vCPUs to a panic by sysrq; the domain is preserved as number 1. */
function makeCrash(vmlinuz: string): void {
  const ramdisk = join(folder, 'initrd.gz');
  const config = join(folder, 'guest.cfg');
  const init = 'echo 1 >/proc/sys/kernel/sysrq\necho c >/proc/sysrq-trigger\n';
  writeFileSync(ramdisk, busyboxInitramfs(`${INIT_PROLOGUE}${init}`));
  writeFileSync(
    config,
    `name="bench"\ntype="pvh"\nkernel="${vmlinuz}"\nramdisk="${ramdisk}"\nextra="console=hvc0"\n` +
      'memory=512\nvcpus=2\non_crash="preserve"\n',
  );
  execFileSync(process.execPath, [dist('xl'), 'create', '-F', '-q', config], {
    env,
    stdio: ['ignore', 'ignore', 'inherit'],
  });
}

/** Addresses all over the kernel's code, in no order. */
function someAddresses(vmlinux: string): string[] {
  const table = readSymbolTable(openElf(new FileSource(vmlinux)));
  const [start, end] = [table?.addressOf('_stext'), table?.addressOf('_etext')];
  if (start === undefined || end === undefined) throw new Error(`no code in ${vmlinux}`);
  const span = Number(end - start);
  return Array.from(
    { length: ADDRESSES },
    (_, index) => `0x${(start + BigInt((index * 7919 * 4099) % span)).toString(16)}`,
  );
}

function missingPrograms(): string[] {
  return Object.entries(PROGRAMS)
    .filter(([program]) => spawnSync(program, ['--version']).error)
    .map(([, debianPackage]) => debianPackage);
}

function run(): void {
  const { release, vmlinuz, vmlinux: fetchVmlinux } = debianKernel('linux-image-cloud-amd64');
  const vmlinux = fetchVmlinux();
  makeCrash(vmlinuz);
  const buildId = fileBuildId(openElf(new FileSource(vmlinux)));
  if (buildId === undefined) throw new Error(`no build-id in ${vmlinux}`);
  const commands = join(folder, 'crash-commands');
  writeFileSync(commands, 'bt\nquit\n');
  const input = `${someAddresses(vmlinux).join('\n')}\n`;
  const node = process.execPath;
  const keep: Contender = {
    name: 'pvh-report stash vmlinux (once)',
    command: [node, dist('pvh-report'), 'stash', '-q', vmlinux],
    shows: buildId,
  };
  const stack: Contender[] = [
    {
      name: 'xenctx -s vmlinux -C (cold)',
      command: [node, dist('xenctx'), '-s', vmlinux, '-C', '1'],
      shows: FRAME,
    },
    { name: 'xenctx -C (stash)', command: [node, dist('xenctx'), '-C', '1'], shows: FRAME },
    {
      name: 'xenctx -C --source-lines (stash)',
      command: [node, dist('xenctx'), '--source-lines', '-C', '1'],
      shows: FRAME,
    },
    {
      name: 'crash vmlinux core, bt',
      command: ['crash', '-s', '-i', commands, vmlinux, join(folder, 'state/domains/1/core.elf')],
      shows: FRAME,
    },
  ];
  const lines: Contender[] = [
    {
      name: `${ADDRESSES} addresses, ours (stash)`,
      command: [node, fileURLToPath(new URL('stash-lookup.mjs', import.meta.url)), buildId],
      input,
      shows: '.c:',
    },
    {
      name: `${ADDRESSES} addresses, llvm-symbolizer`,
      command: ['llvm-symbolizer', '-e', vmlinux],
      input,
      shows: '.c:',
    },
  ];
  console.log(
    `${release}, 2 vCPUs, panic by sysrq; user CPU in seconds (fastest to slowest), peak resident MiB`,
  );
  const contenders = [...stack, ...lines];
  const rows = new Map<string, Measured[]>([[keep.name, [measure(keep)]]]);
  for (let round = 0; round < ROUNDS; round++)
    for (const contender of contenders)
      rows.set(contender.name, [...(rows.get(contender.name) ?? []), measure(contender)]);
  const medianOf = (name: string | undefined): number =>
    median((rows.get(name ?? '') ?? []).map(({ user }) => user));
  for (const [name, measured] of rows) {
    const users = measured.map(({ user }) => user).sort((a, b) => a - b);
    const peak = Math.max(...measured.map(({ peakMiB }) => peakMiB));
    const range = `(${users[0]?.toFixed(2)} to ${users.at(-1)?.toFixed(2)})`;
    console.log(
      `${name.padEnd(36)} ${median(users).toFixed(2).padStart(6)} ${range} ${peak.toFixed(0).padStart(6)} MiB`,
    );
  }
  const ratio = (ours: Contender | undefined, theirs: Contender | undefined): string =>
    (medianOf(ours?.name) / medianOf(theirs?.name)).toFixed(3);
  console.log(`ratio to llvm-symbolizer ${ratio(lines[0], lines[1])}`);
  console.log(`ratio to crash, stash ${ratio(stack[1], stack.at(-1))}`);
  console.log(`ratio ${ratio(stack[0], stack.at(-1))}`);
}

const missing = missingPrograms();
if (missing.length > 0) {
  console.error(`bench:stack needs ${missing.join(', ')} (Debian packages)`);
  process.exitCode = 1;
} else {
  try {
    run();
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
