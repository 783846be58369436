// Every capture of the real xenctx 4.17 (test/golden/xen-4.17) against ours, line for line. What differs is listed here, with the
// reason; docs/xenctx.md tells users.
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gunzipSync, gzipSync } from 'node:zlib';
import { decompress } from 'fzstd';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { FileSource } from '../../core/host/file-source.ts';
import { openDumpCore } from '../../core/target/dump-core.ts';
import { openCoreFile } from '../../core/target/preserved.ts';
import type { Target } from '../../core/target/target.ts';
import { VirtualMemory } from '../../core/target/virtual-memory.ts';
import { memorySource } from '../../symbols/bytes.ts';
import { ClassicSymbols } from '../../symbols/classic-symbols.ts';
import { findKallsyms } from '../../symbols/kernel/kallsyms.ts';
import { parseSystemMap } from '../../symbols/kernel/system-map.ts';
import { type GuestKernel, knownKernel } from '../../tools/shared/guest-kernel.ts';
import { dumpTarget } from '../../tools/xenctx/dump.ts';
import { parseOptions } from '../../tools/xenctx/options.ts';
import { reduceCore } from '../support/reduced-core.ts';
import { coreFromCaptures } from '../support/xenctx-capture.ts';
import { runXenctx, type XenctxRun } from './run.ts';

const GOLDEN = fileURLToPath(new URL('../golden/xen-4.17/', import.meta.url));
const REDUCED = join(GOLDEN, 'core.sysrq1.reduced.gz');
const folder = mkdtempSync(join(tmpdir(), 'pvh-xenctx-'));
afterAll(() => rmSync(folder, { recursive: true }));

const read = (path: string): string => (existsSync(path) ? readFileSync(path, 'latin1') : '');

interface Capture {
  readonly group: string;
  readonly name: string;
  readonly stdout: string;
  readonly stderr: string;
  readonly status: number;
  /** Words of the command line behind `xenctx`. */
  readonly argv: readonly string[];
}

const captures: Capture[] = read(join(GOLDEN, 'xenctx.tsv'))
  .trim()
  .split('\n')
  .map((line) => {
    const [group = '', name = '', status = '', command = ''] = line.split('\t');
    return {
      group,
      name,
      status: Number(status),
      stdout: read(join(GOLDEN, group, `${name}.out`)),
      stderr: read(join(GOLDEN, group, `${name}.err`)),
      argv: command
        .replace(/^timeout \d+ /, '')
        .split(' ')
        .slice(1),
    };
  });
const rowsOf = (...groups: string[]) => captures.filter(({ group }) => groups.includes(group));

const systemMap = Buffer.from(decompress(readFileSync(join(GOLDEN, 'System.map.zst'))));

/** The command line with our files in place of those of the captured machine. */
function argvFor({ argv, group }: Capture, core: string): string[] {
  const files: Readonly<Record<string, string>> = {
    '/root/System.map': join(folder, 'System.map'),
    '/root': folder,
    '/tmp/g2.map': join(GOLDEN, 'errors/g2.map'),
    '/tmp/g3.map': join(GOLDEN, 'errors/g3.map'),
    '/tmp/g5.map': join(GOLDEN, 'errors/g5.map'),
    '/tmp/g6.map': join(folder, 'g6.map'),
  };
  const takesValue = (word: string | undefined) => word !== undefined && /^-[skmdnbl]$/.test(word);
  const domain = argv.findIndex((word, index) => /^[1-9]\d*$/.test(word) && !takesValue(argv[index - 1]));
  return argv.map((word, index) => {
    if (index === domain && !(group === 'errors' && word === '99')) return core;
    return files[word] ?? word.replace('/root/System.map', join(folder, 'System.map'));
  });
}

/** The same, with the option that makes ours behave as the captured program where no other option does. */
const classicArgv = (capture: Capture, core: string): string[] => ['--classic', ...argvFor(capture, core)];

/** Page 0 of the guest is all zero, and xenctx shows it for whatever is not mapped. */
const zerosUnreadable = (text: string) => text.replace(/\b0{16}\b(?!\))/g, '????????????????');
const NOTHING_AT_0 = 'xenctx: vcpu 0: virtual 0000000000000000: not mapped (PDE at physical 0x61e5000)\n';
const STACK_ENDS = 'xenctx: vcpu 0: virtual ffffc9000001c000: not mapped (PTE at physical 0x45ab0e0)\n';
const page0 = (stderr: string) => (capture: Capture) => ({
  stdout: zerosUnreadable(capture.stdout).replace('address ????????????????', 'address 0000000000000000'),
  stderr,
});

/** Captures from which we differ, why, and what we print instead of which part. */
const DEVIATIONS: Readonly<Record<string, { why: string; ours: (capture: Capture) => Partial<XenctxRun> }>> =
  {
    'sysrq1/xenctx-m-unmapped': {
      why: 'unmapped memory is not page 0',
      ours: page0('xenctx: vcpu 0: virtual ffffffffdeadb000: not mapped (PDE at physical 0x2a177a8)\n'),
    },
    'sysrq1/xenctx-m-zero': { why: 'unmapped memory is not page 0', ours: page0(NOTHING_AT_0) },
    'sysrq1/xenctx-m-noncanon': {
      why: 'a non-canonical address is not page 0',
      ours: page0('xenctx: vcpu 0: virtual 8000000000000000: not canonical\n'),
    },
    'errors/xenctx-m-bad': { why: 'unmapped memory is not page 0', ours: page0(NOTHING_AT_0) },
    'errors/xenctx-m-decimal': { why: 'unmapped memory is not page 0', ours: page0(NOTHING_AT_0) },
    'errors/xenctx-m-no0x': { why: 'unmapped memory is not page 0', ours: page0(NOTHING_AT_0) },
    'sysrq1/xenctx-s-S-n2-C': {
      why: 'the guard page behind the stack is not page 0: the trace ends at it',
      ours: ({ stdout }) => ({
        stdout: stdout.replace(
          /^ffffc9000001c000: +0{16}\n[\s\S]*\n(?=\n$)/m,
          'ffffc9000001c000:     ????????????????\n',
        ),
        stderr: STACK_ENDS,
      }),
    },
    'sysrq1/xenctx-s-n4-C': { why: 'says where the stack ends', ours: () => ({ stderr: STACK_ENDS }) },
    'errors/xenctx-foo': {
      why: 'a name is not domain 0',
      ours: () => ({ stderr: 'xenctx: no domain and no dump file \'foo\'; "xl list" shows the domains\n' }),
    },
    'errors/xenctx-name': {
      why: 'names are accepted; this one does not exist here',
      ours: () => ({
        stderr: 'xenctx: no domain and no dump file \'sysrq1\'; "xl list" shows the domains\n',
      }),
    },
    'errors/xenctx-id-hex': {
      why: '0x1 is not domain 0',
      ours: () => ({ stderr: 'xenctx: no domain and no dump file \'0x1\'; "xl list" shows the domains\n' }),
    },
    'errors/xenctx-s-dir': {
      why: 'a folder is no symbol table',
      ours: () => ({
        stdout: '',
        status: 255,
        stderr: `failed to open symbol table ${folder}\nxenctx: ${folder}: Is a directory\n`,
      }),
    },
    'errors/xenctx-s-empty': {
      why: 'says that there are no symbols',
      ours: () => ({ stderr: 'xenctx: no symbols in /dev/null\n' }),
    },
    'errors/xenctx-s-binary': {
      why: 'says that there are no symbols',
      ours: () => ({ stderr: `xenctx: no symbols in ${GOLDEN}errors/g5.map\n` }),
    },
    'errors/xenctx-s-partial': {
      why: 'address 0 is no code because _stext is missing',
      ours: ({ stdout }) => ({ stdout: stdout.replace('/ _text+0x7f000000\n', '/\n') }),
    },
    'errors/xenctx-s-mini': {
      why: 'user space is no code because _stext is missing',
      ours: ({ stdout }) => ({
        stdout: stdout
          .replace(/^( [fg]s: .*?) _text.*$/gm, (_, start: string) =>
            start.includes('gs:') ? `${start}/` : start,
          )
          .replace(/^[0-9a-f]{16}: {3}\[<(?!ffffffff8[12])[0-9a-f]+>\].*\n/gm, ''),
      }),
    },
    'errors/xenctx-vcpu5': { why: 'a vCPU that cannot be read is a failure', ours: () => ({ status: 1 }) },
    'halt/xenctx-s': { why: 'a vCPU that cannot be read is a failure', ours: () => ({ status: 1 }) },
    'poweroff/xenctx-s': { why: 'a vCPU that cannot be read is a failure', ours: () => ({ status: 1 }) },
  };

/** Captures that cannot be compared, and why. */
const LEFT_OUT: Readonly<Record<string, string>> = {
  'errors/xenctx-h': 'help text: the words are ours (test below)',
  'host/xenctx-help': 'help text: the words are ours (test below)',
  'errors/xenctx-s-garbage': 'the table was not kept',
  'errors/xenctx-s-unsorted': 'xenctx did not end within 60 s (test below)',
  'errors/xenctx-d-bad': 'xenctx did not end (test below)',
  'errors/xenctx-d0': 'xenctx did not end (test below)',
  'wdt/xenctx-s-f-a-C': 'its frame pointer leads to memory that no capture shows',
  'sysrq1/xenctx-after-destroy': 'no such domain: as errors/xenctx-C-99',
};

async function compare(capture: Capture, core: string): Promise<void> {
  const key = `${capture.group}/${capture.name}`;
  const { stdout, stderr, status } = capture;
  const expected = { stdout, stderr, status, ...DEVIATIONS[key]?.ours(capture) };
  expect(await runXenctx(classicArgv(capture, core), folder)).toEqual(expected);
}

const compared = (rows: readonly Capture[]) =>
  rows
    .filter(({ group, name }) => !(`${group}/${name}` in LEFT_OUT))
    .map((row) => [`${row.group}/${row.name}`, row] as const);

beforeAll(() => {
  writeFileSync(join(folder, 'System.map'), systemMap);
  const text = systemMap.toString('latin1').split('\n');
  writeFileSync(join(folder, 'g6.map'), text.filter((line) => / [Tt] /.test(line)).join('\n'));
});

describe('domain sysrq1: its own dump, reduced to the frames that matter', () => {
  const core = join(folder, 'core.sysrq1');
  beforeAll(() => {
    // PVH_GOLDEN_CORE=core.sysrq1 (unpacked) makes the fixture anew.
    const whole = process.env['PVH_GOLDEN_CORE'];
    if (whole)
      writeFileSync(REDUCED, gzipSync(reduceCore(new FileSource(whole), touchedFrames(whole)), { level: 9 }));
    writeFileSync(core, gunzipSync(readFileSync(REDUCED)));
  });
  test.each(compared(rowsOf('sysrq1', 'errors', 'host')))('%s', (_, capture) => compare(capture, core));

  test('-d at an unmapped address ends, where xenctx walks up to the stack', async () => {
    const { stdout, stderr } = await runXenctx(['-d', '0', core], folder);
    expect(stdout).toBe(
      `Stack:\n${` ${Array(4).fill('?'.repeat(16)).join(' ')}\n`.repeat(5)}\nCall Trace:\n`,
    );
    expect(stderr).toBe(NOTHING_AT_0);
  });
  test('-l MAX at an unmapped address ends', async () => {
    const { stdout } = await runXenctx(['-m', '0', '-l', 'MAX', core], folder);
    expect(stdout.split('\n').length).toBeLessThan(200);
  });
  test('an unsorted table is sorted, where xenctx takes minutes and names wrongly', async () => {
    const lines = systemMap.toString('latin1').trimEnd().split('\n').reverse();
    writeFileSync(join(folder, 'unsorted.map'), lines.join('\n'));
    const { stdout } = await runXenctx(['--classic', '-s', join(folder, 'unsorted.map'), core], folder);
    const sorted = captures.find(({ group, name }) => group === 'sysrq1' && name === 'xenctx-s')?.stdout;
    expect(stdout).toBe(sorted);
  });
});

describe('domains whose memory is known from xenctx -S -a -C', () => {
  const groups = [
    'kpanic',
    'newpaused',
    'nmi',
    'poweroff',
    'reboot',
    'tf',
    'tf-dmesg',
    'vfs',
    'vfsroot',
    'wdt',
    'halt',
  ];
  beforeAll(() => {
    for (const group of groups) {
      const extra = /^[ 0-9a-f]+$/gm;
      const entry =
        read(join(GOLDEN, group, 'xenctx-m-entry.out'))
          .match(extra)
          ?.join('') ?? '';
      const names = ['xenctx-s-S-a-C', 'xenctx-a-C', 'xenctx-s-f-a-C'];
      const known = names.map((name) => read(join(GOLDEN, group, `${name}.out`)));
      const file = coreFromCaptures(known, entry ? [[0x1000850n, entry]] : []);
      writeFileSync(join(folder, `core.${group}`), file.read(0, file.size));
    }
  });
  test.each(compared(rowsOf(...groups)))('%s', (_, capture) =>
    compare(capture, join(folder, `core.${capture.group}`)),
  );
});

describe('the true trace of sysrq1, with names and unwind tables out of the guest itself', () => {
  const core = join(folder, 'core.sysrq1');
  /** What the guest printed on its console when it panicked, without the `?` lines. */
  const printed = [
    ' sysrq_handle_crash+0x16/0x20',
    ' __handle_sysrq.cold+0x44/0x11c',
    ' write_sysrq_trigger+0x24/0x40',
    ' proc_reg_write+0x56/0xa0',
    ' vfs_write+0xc7/0x3f0',
    ' ksys_write+0x6b/0xf0',
    ' do_syscall_64+0x5d/0x90',
    ' entry_SYSCALL_64_after_hwframe+0x6e/0xd8',
    'RIP: 0033:0x47b7a0',
    'RSP: 002b:00007fffa27a4658 EFLAGS: 00000202 ORIG_RAX: 0000000000000001',
    'RAX: ffffffffffffffda RBX: 0000000000000001 RCX: 000000000047b7a0',
    'RDX: 0000000000000002 RSI: 0000000021294fb0 RDI: 0000000000000001',
    'RBP: 0000000021294fb0 R08: fefefefefefefeff R09: ffffffffffff0000',
    'R10: 00000000000001b6 R11: 0000000000000202 R12: 0000000000000002',
    'R13: 000000002128f3a0 R14: 0000000000000001 R15: 00007fffa27a46c0',
  ];
  const traceOf = (stdout: string) => stdout.slice(stdout.indexOf('Call Trace:')).trim().split('\n').slice(1);

  test('equals what the kernel printed, line for line, from the panic outwards', async () => {
    const { stdout, stderr, status } = await runXenctx([core], folder);
    expect(traceOf(stdout)).toEqual([
      ' <TASK>',
      ' xen_hypercall_amd+0x3/0x10',
      ' xen_reboot+0x60/0x90',
      ' panic+0x286/0x2f4',
      ...printed,
      ' </TASK>',
    ]);
    expect([stderr, status]).toEqual(['', 0]);
  });
  test('who ran, and how it ended', async () => {
    const { stdout } = await runXenctx(['-C', core], folder);
    expect(stdout.split('\n').slice(1, 6)).toEqual([
      'Command line: console=hvc0 crash=sysrq',
      'Panic: sysrq triggered crash (CPU 0, vcpu0)',
      'Uptime: 17.805923 s (the last line of its log)',
      'Symbols: kallsyms of the guest, build-id 3b43fad5034874490492495d552c0af6a5fab235, physical base 0x0',
      '',
    ]);
    expect(stdout).toContain('\nCPU: 0 PID: 1 Comm: init Not tainted 6.1.0-56-cloud-amd64 #1\nCall Trace:\n');
  });
  test('all tasks, the log and the registers of a frame', async () => {
    const { stdout } = await runXenctx(
      ['--all-tasks', '--dmesg', '-C', '--registers-of-frame', '3', core],
      folder,
    );
    expect(stdout).toMatch(/^task:kthreadd +state:S pid:2 tgid:2 ppid:0 cpu:0\n <TASK>\n __schedule\+/m);
    expect(stdout).toMatch(/^\[ +\d+\.\d{6}\] Kernel panic - not syncing: sysrq triggered crash$/m);
    expect(stdout).toMatch(/^Registers of frame 3: sysrq_handle_crash\+0x16\/0x20\nRIP: ffffffff/m);
  });
  test('as JSON', async () => {
    const { stdout } = await runXenctx(['--json', core], folder);
    const [vcpu] = JSON.parse(stdout).vcpus;
    expect(vcpu.symbol).toBe('xen_hypercall_amd+0x3');
    expect(vcpu.unwind).toMatchObject({ end: 'user mode', detail: null });
    expect(vcpu.unwind.frames.slice(0, 2)).toEqual([
      {
        how: 'registers',
        address: 'ffffffff81a03db3',
        symbol: 'xen_hypercall_amd+0x3/0x10',
        at: null,
        stack: 'TASK',
        exact: true,
      },
      {
        how: 'orc',
        address: 'ffffffff8101ca70',
        symbol: 'xen_reboot+0x60/0x90',
        at: 'ffffc9000001bb90',
        stack: 'TASK',
        exact: false,
      },
    ]);
  });
  test('frame pointers alone are lost at once: this kernel keeps none', async () => {
    const { stdout } = await runXenctx(['--unwind=fp', core], folder);
    expect(traceOf(stdout).slice(0, 4)).toEqual([
      ' <TASK>',
      ' xen_hypercall_amd+0x3/0x10',
      ' sysrq_handle_crash+0x16/0x20',
      ' (frame pointer is none: 0000000000000000)',
    ]);
  });
  test('kallsyms of the guest: all symbols of the System.map that it keeps, at their addresses', () => {
    const target = openCoreFile(core);
    const [vcpu] = target.vcpus;
    const found = vcpu?.registers && findKallsyms(new VirtualMemory(target, vcpu.registers));
    const { table } = parseSystemMap(memorySource('System.map', systemMap));
    const known = new Set<string>();
    for (let index = 0; index < table.length; index++)
      known.add(`${table.address(index)} ${table.name(index)}`);
    expect(found?.length).toBe(87347);
    for (let index = 0; index < (found?.length ?? 0); index++)
      if (!known.has(`${found?.address(index)} ${found?.name(index)}`))
        throw new Error(`${found?.name(index)}`);
    target.close();
  });
});

describe('help', () => {
  test('names every option that xenctx has', async () => {
    const { stdout, status } = await runXenctx(['--help'], folder);
    expect(status).toBe(0);
    for (const option of ['-f', '-s', '-S', '-k', '-a', '-C', '-n', '-b', '-l', '-D', '-t', '-m', '-d', '-h'])
      expect(stdout).toContain(`\n  ${option}`);
  });
});

/** Frames that the captured runs and the true trace read, for the fixture. */
function touchedFrames(path: string): Set<number> {
  const touched = new Set<number>();
  const whole = openDumpCore(new FileSource(path));
  const recording: Target = {
    kind: whole.kind,
    description: whole.description,
    identity: whole.identity,
    vcpus: whole.vcpus,
    lacks: whole.lacks,
    frames: whole.frames,
    close: () => whole.close(),
    readPhysical(address, into) {
      for (let at = address; at < address + into.length; at += 4096) touched.add(Math.floor(at / 4096));
      whole.readPhysical(address, into);
    },
  };
  const { table } = parseSystemMap(memorySource('System.map', systemMap));
  const quiet = { vcpu: () => undefined, memory: () => undefined };
  const run = (argv: readonly string[], kernel?: GuestKernel) => {
    const options = parseOptions(argv);
    const symbols = new ClassicSymbols({
      table: options.symbolTable ? table : undefined,
      kernelStart: options.kernelStart,
    });
    for (const _ of dumpTarget(recording, options, { symbols, kernel }, quiet));
  };
  for (const capture of rowsOf('sysrq1', 'errors'))
    if (capture.status === 0 || capture.status === 143) run(classicArgv(capture, path));
  // The true trace and what else the guest tells; and kallsyms, which is linked at these addresses in this kernel.
  const file = { path: 'System.map', table, buildId: undefined, warnings: [], close: () => undefined };
  const kernel = knownKernel(recording, file, true);
  run(['-C', path], kernel);
  run(['--modules', '--dmesg', '--all-tasks', path], kernel);
  for (let at = 0xffffffff82120000n; at < 0xffffffff822cb000n; at += 4096n)
    kernel.memory?.read(at, new Uint8Array(1));
  return touched;
}
