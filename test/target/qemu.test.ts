// Real dumps: a Debian kernel with KASLR panics under QEMU, and every form of dump of it shows what QEMU's monitor showed.
import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Registry } from '../../core/domain/registry.ts';
import { openTarget } from '../../core/target/open.ts';
import { MemoryFault } from '../../symbols/errors.ts';
import { debianArchive, debianKernel, debianPackage } from '../support/debian.ts';
import { busyboxInitramfs, INIT_PROLOGUE } from '../support/initramfs.ts';
import { monitorRegisters, valueAt } from '../support/monitor-registers.ts';
import { hasQemu, QemuGuest } from '../support/qemu-dump.ts';
import { runXenctx } from '../xenctx/run.ts';

const INIT = `${INIT_PROLOGUE}
insmod /qemu_fw_cfg.ko
echo 1 >/proc/sys/kernel/sysrq
echo c >/proc/sysrq-trigger
`;

const PAGE = 4096;
const STEP = 13;

/** Makes makedumpfile read QEMU's file: as in /proc/vmcore program headers come first, with direct-map addresses. */
function linuxLike(bytes: Buffer): Buffer {
  const [start, count] = [Number(bytes.readBigUInt64LE(32)), bytes.readUInt16LE(56)];
  bytes.copyWithin(64, start, start + count * 56);
  for (let at = 64; at < 64 + count * 56; at += 56) {
    const physical = bytes.readBigUInt64LE(at + 24);
    if (bytes.readUInt32LE(at) === 1) bytes.writeBigUInt64LE(0xffff888000000000n + physical, at + 16);
  }
  bytes.writeBigUInt64LE(64n, 32);
  bytes.writeBigUInt64LE(0n, 40);
  bytes.writeUInt16LE(64, 52);
  bytes.fill(0, 58, 64);
  return bytes;
}

describe.runIf(debianArchive && hasQemu)('dumps of a Debian 6.1 guest', { timeout: 300_000 }, () => {
  let guest: QemuGuest;
  const registers: ReadonlyMap<string, bigint>[] = [];
  const paths = new Map<string, string>();
  /** What the kernel printed below panic, frame by frame. */
  let printed: string[] = [];
  /** Parts of a dump that was split. */
  const parts = ['part-1', 'part-2', 'part-3'];

  beforeAll(async () => {
    const kernel = debianKernel('linux-image-cloud-amd64');
    const modules = join(kernel.vmlinuz, `../../lib/modules/${kernel.release}`);
    const fwCfg = readFileSync(join(modules, 'kernel/drivers/firmware/qemu_fw_cfg.ko'));
    guest = new QemuGuest({
      kernel: kernel.vmlinuz,
      initramfs: busyboxInitramfs(INIT, { 'qemu_fw_cfg.ko': fwCfg }),
      vmcoreinfo: true,
    });
    await guest.untilConsole('end Kernel panic');
    await guest.qmp('stop');
    for (const vcpu of [0, 1]) registers.push(monitorRegisters(await guest.registers(vcpu)));
    paths.set('QEMU ELF', await guest.dump('elf'));
    paths.set('QEMU ELF by virtual addresses', await guest.dump('elf', true));
    for (const format of ['kdump-zlib', 'kdump-lzo', 'kdump-snappy'] as const)
      if ((await guest.formats()).includes(format)) paths.set(`QEMU ${format}`, await guest.dump(format));
    const trace = guest.console().slice(guest.console().lastIndexOf('Call Trace:'));
    printed = [...trace.matchAll(/^\[[ .\d]+\] {2}(\w\S*\+0x\w+\/0x\w+)$/gm)].map(([, frame = '']) => frame);

    const input = guest.path('linux-like');
    writeFileSync(input, linuxLike(readFileSync(paths.get('QEMU ELF') ?? '')));
    const makedumpfile = join(debianPackage('makedumpfile'), 'usr/bin/makedumpfile');
    const make = (name: string, ...options: string[]): void => {
      const path = guest.path(name.replaceAll(/\W/g, '-'));
      if (spawnSync(makedumpfile, [...options, input, path]).status === 0) paths.set(name, path);
    };
    make('makedumpfile -l -d 31', '-l', '-d', '31');
    make('makedumpfile -c -d 1', '-c', '-d', '1');
    make('makedumpfile -p -d 31', '-p', '-d', '31');
    make('makedumpfile -z -d 31', '-z', '-d', '31');
    make('makedumpfile -c -d 0', '-c', '-d', '0');
    make('makedumpfile -E -d 31', '-E', '-d', '31');
    const split = parts.map((part) => guest.path(part));
    execFileSync(makedumpfile, ['--split', '--splitblock-size', '16', '-c', '-d', '31', input, ...split], {
      stdio: 'pipe',
    });
    const joined = guest.path('joined');
    execFileSync(makedumpfile, ['--reassemble', ...split, joined], { stdio: 'pipe' });
    paths.set('makedumpfile --reassemble', joined);
    const flat = guest.path('flat');
    writeFileSync(
      flat,
      execFileSync(makedumpfile, ['-F', '-c', '-d', '31', input], { maxBuffer: 1 << 30, stdio: 'pipe' }),
    );
    paths.set('makedumpfile -F', flat);
  }, 300_000);
  afterAll(() => guest[Symbol.asyncDispose]());

  test('every form that a user can have was made', () => {
    for (const name of [
      'QEMU kdump-zlib',
      'makedumpfile -l -d 31',
      'makedumpfile -c -d 1',
      'makedumpfile -c -d 0',
      'makedumpfile -E -d 31',
    ])
      expect([...paths.keys()]).toContain(name);
  });

  test('registers of both vCPUs, one by one, are those of the monitor', async () => {
    for (const [name, path] of paths) {
      const target = await openTarget(path, { registry: new Registry(guest.folder) });
      expect(target.vcpus).toHaveLength(2);
      for (const { id, registers: ours } of target.vcpus)
        for (const [register, value] of registers[id] ?? [])
          expect([name, id, register, ours && valueAt(ours, register)]).toEqual([name, id, register, value]);
      target.close();
    }
    expect(registers[0]?.size).toBe(50);
  });

  test('xenctx shows the same of each, with the trace that the kernel printed, names out of guest memory', async () => {
    const outputs: string[] = [];
    for (const path of paths.values()) outputs.push((await runXenctx(['-C', path], guest.folder)).stdout);
    expect(new Set(outputs).size).toBe(1);
    const trace = (outputs[0] ?? '').split('Call Trace:').find((part) => part.includes(' panic+')) ?? '';
    const frames = [...trace.matchAll(/^ (\w\S*\+0x\w+\/0x\w+)$/gm)].map(([, frame]) => frame);
    const below = (list: readonly (string | undefined)[]) =>
      list.slice(list.findLastIndex((frame) => frame?.startsWith('panic+')) + 1);
    expect(below(printed).length).toBeGreaterThan(5);
    expect(below(frames)).toEqual(below(printed));
  });

  /** Reads every STEPth frame of QEMU's ELF file out of both. @returns how many there were, and why others were not. */
  const compare = async (path: string): Promise<{ equal: number; missing: Map<string, number> }> => {
    const registry = new Registry(guest.folder);
    const [whole, other] = [
      await openTarget(paths.get('QEMU ELF') ?? '', { registry }),
      await openTarget(path, { registry }),
    ];
    const [expected, found] = [new Uint8Array(PAGE), new Uint8Array(PAGE)];
    let equal = 0;
    const missing = new Map<string, number>();
    for (const [first, count] of whole.frames)
      for (let gfn = first; gfn < first + count; gfn += STEP)
        try {
          other.readPhysical(gfn * PAGE, found);
          whole.readPhysical(gfn * PAGE, expected);
          expect(Buffer.compare(found, expected), `frame ${gfn}`).toBe(0);
          equal++;
        } catch (error) {
          if (!(error instanceof MemoryFault)) throw error;
          const reason = error.message.replace(/^physical [0-9a-f]+: /, '');
          missing.set(reason, (missing.get(reason) ?? 0) + 1);
        }
    whole.close();
    other.close();
    return { equal, missing };
  };

  /** Reasons for which a page may not be there: QEMU's own forms leave nothing out, Linux knows nothing of its firmware's frames. */
  const allowed = (name: string): RegExp =>
    /virtual|-E/.test(name)
      ? /^not in dump$/
      : /-d (1|31)|-F|reassemble/.test(name)
        ? /^not in dump \((left out by dump level|no such frame)/
        : /makedumpfile/.test(name)
          ? /^not in dump \(no such frame\)/
          : /^$/;

  test('each page is that of the guest, or is said to be left out: never zeros in its place', async () => {
    const { equal: all } = await compare(paths.get('QEMU ELF') ?? '');
    expect(all).toBeGreaterThan(4000);
    for (const [name, path] of paths) {
      const { equal, missing } = await compare(path);
      const left = [...missing.values()].reduce((sum, count) => sum + count, 0);
      expect([name, equal + left]).toEqual([name, all]);
      expect([name, [...missing.keys()].filter((reason) => !allowed(name).test(reason))]).toEqual([name, []]);
      if (/-d 31/.test(name)) expect(left).toBeGreaterThan(1000);
    }
  });

  test('a part of a split dump has what its range has, and says so', async () => {
    const { equal } = await compare(paths.get('makedumpfile --reassemble') ?? '');
    const held: number[] = [];
    for (const part of parts) {
      const found = await compare(guest.path(part));
      held.push(found.equal);
      expect(found.missing.get('not in dump (in another part of the split dump)')).toBeGreaterThan(0);
      const target = await openTarget(guest.path(part), { registry: new Registry(guest.folder) });
      expect(target.vcpus).toHaveLength(2);
      expect(target.lacks.join('\n')).toMatch(
        /one part of a split dump, .* makedumpfile --reassemble joins the parts/,
      );
      target.close();
    }
    expect(Math.min(...held)).toBeGreaterThan(0);
    expect(held.reduce((sum, count) => sum + count, 0)).toBe(equal);
  });
});
