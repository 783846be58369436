// xenctx as a user runs it on a panicked stock kernel: source lines, modules, disassembly, registers of frames, the log.
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { debianArchive, debianKernel } from '../support/debian.ts';
import { debianModuleDebug, debianModules } from '../support/debian-modules.ts';
import { busyboxInitramfs, INIT_PROLOGUE } from '../support/initramfs.ts';
import { Host } from './guest.ts';

const META = 'linux-image-cloud-amd64';
const MODULES = ['loop', 'pktgen'];
/** pktgen starts a thread for each CPU, which sleeps in the module. */
const INIT = `${INIT_PROLOGUE}
for m in /loop.ko /pktgen.ko; do insmod $m; done
sleep 1
sed 's/^/MODULE /' /proc/modules
echo 1 >/proc/sys/kernel/sysrq
echo c >/proc/sysrq-trigger
`;

const PVH_REPORT = fileURLToPath(new URL('../../dist/tools/bin/pvh-report.js', import.meta.url));

/** `name+0x10` and the place behind it, of all lines that have both. */
const placesIn = (text: string): Map<string, string> =>
  new Map(
    [...text.matchAll(/([\w.]+\+0x[0-9a-f]+)\/0x[0-9a-f]+(?: \[\w+\])? (\(.+\))$/gm)].map(
      ([, name = '', place = '']) => [name, place],
    ),
  );

describe.runIf(debianArchive)('xenctx', { timeout: 120_000 }, () => {
  let host: Host;
  let id: string;
  let vmlinux: string;
  let console: string;

  beforeAll(async () => {
    host = new Host();
    vi.stubEnv('PVH_STASH_DIR', join(host.stateDir, 'stash'));
    vi.stubEnv('DEBUGINFOD_URLS', '');
    const kernel = debianKernel(META);
    vmlinux = kernel.vmlinux();
    const ramdisk = join(host.stateDir, 'initrd.gz');
    writeFileSync(ramdisk, busyboxInitramfs(INIT, debianModules(META, MODULES)));
    const domid = host.createLinux('guest', { kernel: kernel.vmlinuz, ramdisk, extra: 'console=hvc0' });
    await host.untilShutdown(domid);
    id = String(domid);
    console = host.console(domid);
  }, 300_000);

  afterAll(() => {
    vi.unstubAllEnvs();
    host?.[Symbol.dispose]();
  });

  describe('--lines', () => {
    test('file and line of each frame, and what was inlined, as pvh-report decode has them', () => {
      const text = host.ok('xenctx', '--lines', '-s', vmlinux, id);
      expect(text).toMatch(/^ panic\+0x[0-9a-f]+\/0x[0-9a-f]+ \(kernel\/panic\.c:\d+\)$/m);
      expect(text).toMatch(
        /^ do_syscall_64\+\S+ \(do_syscall_x64 at arch\/x86\/entry\/common\.c:\d+\)\n {3}\(inlined by\) do_syscall_64 at arch\/x86\/entry\/common\.c:\d+$/m,
      );
      const decoded = placesIn(
        execFileSync(process.execPath, [PVH_REPORT, 'decode', '-s', vmlinux], {
          input: console,
          encoding: 'utf8',
          stdio: ['pipe', 'pipe', 'ignore'],
        }),
      );
      const shown = [...placesIn(text)].filter(([name]) => decoded.has(name));
      expect(shown.length).toBeGreaterThan(5);
      for (const [name, place] of shown) expect([name, decoded.get(name)]).toEqual([name, place]);
    });

    test('what has no debug file is said once', () => {
      const { stdout, stderr } = host.run('xenctx', '--lines', '--all-tasks', '-s', vmlinux, id);
      expect(stdout.match(/ pktgen_thread_worker\+\S+ \[pktgen\]$/gm)).toHaveLength(2);
      expect(stderr).toBe('xenctx: no debug file of module pktgen: no file and line for it\n');
      expect(host.run('xenctx', '--lines', id).stderr).toMatch(
        /^xenctx: no file and line: no vmlinux of this kernel was found; [^\n]*\n$/,
      );
    });

    test('frames in a module, by the file that the stash has', () => {
      host.ok('pvh-report', 'stash', '-q', debianModuleDebug(META, 'pktgen'));
      const { stdout, stderr } = host.run('xenctx', '--lines', '--all-tasks', '-s', vmlinux, id);
      expect(stderr).toBe('');
      expect(
        stdout.match(/ pktgen_thread_worker\+\S+ \[pktgen\] \(net\/core\/pktgen\.c:\d+\)$/gm),
      ).toHaveLength(2);
      const lines = host.ok('xenctx', '--lines', '--modules', '-s', vmlinux, id).split('\n');
      expect(lines.filter((line) => line.startsWith('  '))).toEqual([
        '  debug file: pktgen.ko (stashed)',
        '  debug file: none found',
      ]);
    });
  });

  test('--modules are those of /proc/modules', () => {
    const printed = [...console.matchAll(/^MODULE (\w+) (\d+) .* (Live) 0x/gm)].map((row) => row.slice(1));
    expect(printed).toHaveLength(2);
    const [title, ...rows] = host.ok('xenctx', '--modules', id).trimEnd().split('\n');
    expect(title).toMatch(/^Module +Size +Address +State$/);
    expect(rows.map((row) => row.split(/ +/))).toEqual(
      printed.map(([name, size, state]) => [
        name,
        size,
        expect.stringMatching(/^ffffffffc/),
        state?.toLowerCase(),
      ]),
    );
  });

  test('the CPU that the panic halted, whose vCPU is offline, is shown where it stands', () => {
    const text = host.ok('xenctx', '-C', id);
    const halted = /^vcpu(\d) offline\nrip: \S+ stop_this_cpu\+(?:.+\n|\n(?!vcpu))*/m.exec(text);
    expect(halted?.[0]).toMatch(/^CPU: (\d) PID: 0 Comm: swapper\/\1 \(idle task\) /m);
    expect(halted?.[0]).toMatch(
      /^ <IRQ>\n stop_this_cpu\+(?:.*\n)*? <\/IRQ>\n <TASK>\n(?:.*\n)*? do_idle\+/m,
    );
    const tasks = host.ok('xenctx', '--all-tasks', id);
    expect(tasks).toMatch(/^task:swapper\/\d .*\(running\)\n <IRQ>\n stop_this_cpu\+/m);
    expect(tasks).toMatch(/^task:init .*\(running\)\n <TASK>\n(?:.*\n)*? panic\+/m);
    expect(tasks).not.toContain('registers are not known');
    // xenctx itself shows no vCPU that is offline.
    expect(host.ok('xenctx', '--classic', '-C', id)).toMatch(/^vcpu\d offline\n\n/m);
    const { status, stderr } = host.run('xenctx', '--classic', id, halted?.[1] ?? '');
    expect([status, stderr]).toEqual([1, 'xc_domain_hvm_getcontext_partial: No data available\n']);
  });

  test('a vCPU that does not exist: those that do are named', () => {
    const { status, stderr } = host.run('xenctx', id, '7');
    expect([status, stderr]).toEqual([1, 'xenctx: there is no vcpu 7: the last is 1\n']);
  });

  test('--disassemble', () => {
    const text = host.ok('xenctx', '--disassemble', '-s', vmlinux, id);
    const rip = /^rip: ([0-9a-f]{16})/m.exec(text)?.[1];
    const block = text.slice(text.indexOf('Disassembly:\n')).split('\n\n')[0] ?? '';
    expect(block).toMatch(/^ {3}[0-9a-f]{16} <\+0x0>: vmm?call$/m);
    expect(block).toMatch(new RegExp(`^=> ${rip} <\\+0x3>: ret$`, 'm'));
  });

  test('--registers-of-frame', () => {
    const [text, above] = [1, 2].map((frame) =>
      host.ok('xenctx', '--registers-of-frame', String(frame), '-s', vmlinux, id),
    );
    expect(text).toMatch(/^Registers of frame 1: xen_reboot\+/m);
    expect(above).toMatch(/^Registers of frame 2: panic\+/m);
    // What a call destroys is not known in the caller; what it keeps is.
    expect(above).toMatch(/^RAX: \?{16} RBX: [0-9a-f]{16} RCX: \?{16}$/m);
    expect(above).toMatch(/^RIP: ffffffff[0-9a-f]{8} RSP: [0-9a-f]{16}$/m);
    expect(host.ok('xenctx', '--registers-of-frame', '999', id)).toContain('(there is no frame 999)\n');
  });

  test('--dmesg is what the console showed', () => {
    const shown = console.split('\n').filter((line) => /^\[ *\d+\.\d{6}\] /.test(line));
    expect(shown.length).toBeGreaterThan(100);
    const log = new Set(host.ok('xenctx', '--dmesg', id).split('\n'));
    expect(shown.filter((line) => !log.has(line))).toEqual([]);
  });

  test('without any names: why, and frames that are guessed are marked', () => {
    // Without the tokens of its names, which hold the digits one by one, kallsyms cannot be read.
    const core = readFileSync(host.file(Number(id), 'core.elf'));
    const digits = Buffer.from([...'0123456789'].map((digit) => `${digit}\0`).join(''));
    for (let at = core.indexOf(digits); at >= 0; at = core.indexOf(digits, at))
      core.fill(0, at, at + digits.length);
    const path = join(host.stateDir, 'nameless.elf');
    writeFileSync(path, core);
    const { status, stdout, stderr } = host.run('xenctx', path, '1');
    expect(status).toBe(0);
    expect(stderr).toBe(
      'xenctx: no symbols: no -s, and no kallsyms in the guest; frames are found by guessing\n',
    );
    const [first, ...frames] = stdout.slice(stdout.indexOf('Call Trace:\n')).trimEnd().split('\n').slice(1);
    expect(first).toMatch(/^ 0xffffffff[0-9a-f]{8}$/);
    expect(frames.length).toBeGreaterThan(3);
    // Behind the last there may be the registers of user mode.
    const guesses = frames.slice(
      0,
      frames.findIndex((line) => line.startsWith('RIP: 0033:')),
    );
    for (const frame of guesses) expect(frame).toMatch(/^ \? 0xffffffff[0-9a-f]{8}$/);
  });
});
