// What a panicked stock kernel's memory tells, against what that kernel itself said while it lived: /proc, /sys and its console.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openCoreFile } from '../../core/target/preserved.ts';
import type { Target } from '../../core/target/target.ts';
import { VirtualMemory } from '../../core/target/virtual-memory.ts';
import { findKallsyms } from '../../symbols/kernel/kallsyms.ts';
import { LinuxGuest } from '../../symbols/kernel/linux-guest.ts';
import { printkLines } from '../../symbols/kernel/printk-text.ts';
import { guestClock } from '../../symbols/kernel/timekeeping.ts';
import type { SymbolTable } from '../../symbols/symbol-table.ts';
import { Symbolizer } from '../../symbols/symbolizer.ts';
import { OrcRows } from '../../symbols/unwind/orc.ts';
import { debianArchive, debianKernel } from '../support/debian.ts';
import { debianModules } from '../support/debian-modules.ts';
import { busyboxInitramfs, INIT_PROLOGUE } from '../support/initramfs.ts';
import { Host } from './guest.ts';

const MODULES = ['loop', 'dummy'];

/** What is known of a dump without any file. */
function openGuest(core: string): { target: Target; table: SymbolTable; guest: LinuxGuest } {
  const target = openCoreFile(core);
  const registers = target.vcpus[0]?.registers;
  if (!registers) throw new Error('no registers');
  const memory = new VirtualMemory(target, registers);
  const table = findKallsyms(memory);
  if (!table) throw new Error('no kallsyms');
  return { target, table, guest: new LinuxGuest({ memory, addressOf: (name) => table.addressOf(name) }) };
}

/** Tells all about itself, each line with a word in front, and panics. */
const INIT = `${INIT_PROLOGUE}
for m in /loop.ko /dummy.ko; do insmod $m; done
sleep 1000 & sleep 1000 &
sleep 1
echo 0 >/proc/sys/kernel/kptr_restrict
sed 's/^/MODULE /' /proc/modules
awk '/\\[loop\\]/ { print "LOOP", $0 } !/\\[/ && NR % 97 == 0 { print "SYMBOL", $0 }' /proc/kallsyms
for m in loop dummy; do echo "ID $m $(od -An -tx1 -v -j16 /sys/module/$m/notes/.note.gnu.build-id | tr -d ' \\n')"; done
cat /proc/[0-9]*/task/[0-9]*/stat | sed 's/^/TASK /'
sed 's/^/BANNER /' /proc/version; sed 's/^/CMDLINE /' /proc/cmdline
echo "RELEASE $(uname -r)"; echo "UPTIME $(cut -d' ' -f1 /proc/uptime)"; echo "DATE $(date +%s)"
echo 1 >/proc/sys/kernel/sysrq
echo c >/proc/sysrq-trigger
`;

const metas = ['linux-image-cloud-amd64', 'linux-image-6.12-cloud-amd64'];

describe.runIf(debianArchive).each(metas)('%s', { timeout: 300_000 }, (meta) => {
  let host: Host;
  let target: Target;
  let table: SymbolTable;
  let guest: LinuxGuest;
  let console: string[];

  /** Rest of the console's lines that begin with a word. */
  const said = (word: string): string[] =>
    console.flatMap((line) => (line.startsWith(`${word} `) ? [line.slice(word.length + 1)] : []));

  beforeAll(async () => {
    host = new Host();
    const ramdisk = join(host.stateDir, 'initrd.gz');
    writeFileSync(ramdisk, busyboxInitramfs(INIT, debianModules(meta, MODULES)));
    const domid = host.createLinux('guest', {
      kernel: debianKernel(meta).vmlinuz,
      ramdisk,
      extra: 'console=hvc0 quiet loglevel=7',
    });
    await host.untilShutdown(domid);
    console = host.console(domid).split('\n');
    ({ target, table, guest } = openGuest(host.file(domid, 'core.elf')));
  }, 300_000);

  afterAll(() => {
    target?.close();
    host?.[Symbol.dispose]();
  });

  test('symbols are those of /proc/kallsyms', () => {
    const lines = said('SYMBOL').map((line) => line.split(' '));
    expect(lines.length).toBeGreaterThan(500);
    for (const [address, letter, name] of lines) {
      const index = table.lowerBound(BigInt(`0x${address}`));
      const names: string[] = [];
      for (let at = index; table.address(at) === table.address(index) && at < table.length; at++)
        names.push(`${table.letter(at)} ${table.name(at)}`);
      expect(names).toContain(`${letter} ${name}`);
    }
  });

  test('banner, release, command line, panic', () => {
    const facts = guest.facts();
    expect([facts.banner.value]).toEqual(said('BANNER'));
    expect([facts.release.value]).toEqual(said('RELEASE'));
    expect([facts.commandLine.value]).toEqual(said('CMDLINE'));
    expect(facts.panicMessage.value).toBe('sysrq triggered crash');
    expect(facts.cause.value?.text).toBe('Kernel panic - not syncing: sysrq triggered crash');
    expect(facts.taints.value).toEqual({ mask: 0n, letters: '' });
    const panicLine = console.find((line) => / CPU: \d+ /.test(line)) ?? '';
    expect(`${facts.panicCpu.value}`).toBe(/ CPU: (\d+) /.exec(panicLine)?.[1]);
    expect(facts.cpusPossible.value).toEqual([0, 1]);
    expect(guest.vmcoreinfo?.release).toBe(facts.release.value);
  });

  test('clocks', () => {
    const facts = guest.facts();
    const uptime = Number(said('UPTIME')[0]);
    const seconds = Number(facts.uptime.value?.ns) / 1e9;
    expect(seconds).toBeGreaterThanOrEqual(uptime);
    expect(seconds).toBeLessThan(uptime + 1);
    // The last tick can lie a little before what the guest said last.
    const tick = Number(guestClock(guest.linux).monotonicNs) / 1e9;
    expect(Math.abs(tick - seconds)).toBeLessThan(0.5);
    const date = Number(said('DATE')[0]);
    expect([date, date + 1]).toContain(facts.wallClock.value);
  });

  test('the log is what the console showed', () => {
    const shown = console.filter((line) => /^\[ *\d+\.\d{6}\] /.test(line));
    const records = guest.log().value ?? [];
    // `loglevel=7` holds back debug messages.
    const lines = records
      .filter(({ level }) => level < 7)
      .flatMap((record) => printkLines(record, { time: true, caller: false }));
    expect(lines).toEqual(shown);
  });

  test('without symbols of data: VMCOREINFO is found, and the log and release by it', () => {
    const registers = target.vcpus[0]?.registers;
    if (!registers) throw new Error('no registers');
    const blind = new LinuxGuest({
      memory: new VirtualMemory(target, registers),
      addressOf: () => undefined,
      physical: target,
    });
    expect(blind.vmcoreinfo?.keys).toEqual(guest.vmcoreinfo?.keys);
    expect(blind.linux.layouts?.source).toBe('VMCOREINFO');
    expect(blind.log()).toEqual(guest.log());
    expect(blind.facts().release).toEqual(guest.facts().release);
    expect(blind.modules()).toEqual({ missing: 'no symbol modules' });
    expect(blind.facts().panicCpu).toEqual({ missing: 'no symbol panic_cpu' });
  });

  test('tasks are those of /proc, and the idle ones', () => {
    const printed = said('TASK').map((line) => {
      const [, pid = '', comm = '', rest = ''] = /^(\d+) \((.*)\) (.*)$/.exec(line) ?? [];
      return { pid: Number(pid), comm, fields: rest.split(' ') };
    });
    const list = guest.tasks().value;
    expect(list?.problems).toEqual([]);
    const tasks = new Map(list?.tasks.filter(({ isIdle }) => !isIdle).map((task) => [task.pid, task]));
    // `cat` and kernel threads come and go: those that stay are the same.
    const both = printed.filter(({ pid }) => tasks.has(pid));
    expect(both.length).toBeGreaterThan(printed.length - 5);
    expect(both.length).toBeGreaterThan(tasks.size - 5);
    for (const { pid, comm, fields } of both) {
      const task = tasks.get(pid);
      // /proc adds to a worker's name what it works on.
      expect(comm.startsWith(task?.comm ?? '-'), comm).toBe(true);
      expect(task?.parent).toBe(Number(fields[1]));
      expect(task?.isKernelThread).toBe((Number(fields[6]) & 0x20_0000) !== 0);
      if (/sleep|kthreadd|idle_inject|migration/.test(comm)) expect(task?.state).toBe(fields[0]);
    }
    expect(list?.tasks.filter(({ isIdle }) => isIdle).map(({ comm, pid }) => `${comm} ${pid}`)).toEqual([
      'swapper/0 0',
      'swapper/1 0',
    ]);
  });

  test('each vCPU is a CPU, and its task the one that runs there', () => {
    const panicked = guest.facts().panicCpu.value;
    const cpus = target.vcpus.map(({ registers }) =>
      guest.cpuOfVcpu(registers?.gs.base, registers?.kernel_gs_base),
    );
    expect(cpus).toEqual([0, 1]);
    for (const cpu of [0, 1]) {
      const task = guest.currentTask(cpu).value;
      expect(task).toMatchObject({ cpu, onCpu: true, isIdle: cpu !== panicked });
      expect(task?.comm).toBe(cpu === panicked ? 'init' : `swapper/${cpu}`);
    }
  });

  test('modules with their symbols, unwind tables and build-ids', () => {
    const printed = said('MODULE').map((line) => line.split(' '));
    const modules = guest.modules().value ?? [];
    expect(guest.moduleProblem).toBeUndefined();
    expect(guest.logProblem).toBeUndefined();
    expect(modules.map(({ name }) => name)).toEqual(printed.map(([name]) => name));
    for (const [index, module] of modules.entries()) {
      const [, size, , , state, base = ''] = printed[index] ?? [];
      expect(module.ranges.reduce((sum, range) => sum + range.size, 0)).toBe(Number(size));
      expect(module.state).toBe(state?.toLowerCase());
      expect(module.ranges[0]?.base).toBe(BigInt(base));
      expect([`${module.name} ${module.buildId()}`]).toEqual(
        said('ID').filter((line) => line.startsWith(module.name)),
      );
    }
    const loop = modules.find(({ name }) => name === 'loop');
    if (!loop) throw new Error('no loop');
    const symbols = loop.symbols();
    // /proc gives exported symbols capital letters.
    const own = new Set(
      Array.from(
        { length: symbols.length },
        (_, at) =>
          `${symbols.address(at).toString(16)} ${symbols.letter(at).toLowerCase()} ${symbols.name(at)}`,
      ),
    );
    const lines = said('LOOP').map((line) =>
      line.replace('\t[loop]', '').replace(/ [A-Z] /, (letter) => letter.toLowerCase()),
    );
    expect(lines.length).toBeGreaterThan(50);
    for (const line of lines) expect(own).toContain(line);
    const [address = ''] = lines.find((line) => / t loop_/.test(line))?.split(' ') ?? [];
    expect(guest.moduleAt(BigInt(`0x${address}`) + 1n)).toBe(loop);
    const orc = loop.orc();
    expect(orc && new OrcRows(orc).find(BigInt(`0x${address}`))?.kind).toBe('call');
    expect(new Symbolizer(symbols).symbolize(BigInt(`0x${address}`))?.offset).toBe(0n);
  });
});

test.runIf(debianArchive)(
  'a death before there is a console: what happened is in memory',
  async () => {
    using host = new Host();
    // So little memory that the kernel trips over it before its scheduler and consoles are up.
    const domid = host.createLinux('early', {
      kernel: debianKernel('linux-image-cloud-amd64').vmlinuz,
      extra: 'console=hvc0 mem=4M',
    });
    await host.untilShutdown(domid);
    expect(host.console(domid)).toBe('');
    const early = openGuest(host.file(domid, 'core.elf'));
    const facts = early.guest.facts();
    expect(facts.panicMessage.value).toBe('Attempted to kill the idle task!');
    expect(facts.cause.value?.text).toMatch(/^(?:kernel BUG at|BUG:) /);
    expect(facts.taints.value?.letters).toMatch(/^GD/);
    expect(facts.wallClock).toEqual({ missing: 'the clock is not set yet' });
    expect(facts.uptime.value?.from).toBe('printk');
    expect(early.guest.log().value?.[0]?.text).toMatch(/^Linux version /);
    expect(early.guest.currentTask(0).value).toMatchObject({ pid: 0, isIdle: true, onCpu: true });
    early.target.close();
  },
  300_000,
);
