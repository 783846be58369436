// The same panic of the same kernel, taken by every route that a user has: the same functions out of each, by our own xenctx.
//
// The core of a real Xen (test/golden/xen-4.17) was taken once, of Debian's 6.1.0-56-cloud-amd64. Where the archive has another 6.1
// kernel by now, the other routes take that. Functions are compared, not offsets into them: Linux patches its indirect calls by the
// CPU that it finds (`lfence; call *%rax` or `call *%rax` for a retpoline), so that where they return to differs by three bytes.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openCoreFile } from '../../core/target/preserved.ts';
import { Host } from '../kernel/guest.ts';
import { debianArchive, debianKernel, debianPackage, inArchive } from '../support/debian.ts';
import { busyboxInitramfs, INIT_PROLOGUE } from '../support/initramfs.ts';
import { hasQemu, QemuGuest } from '../support/qemu-dump.ts';
import { hvmContextRecord, pageDataRecord, writeSaved } from '../support/saved-writer.ts';

const RELEASE = '6.1.0-56-cloud-amd64';
const XEN_CORE = fileURLToPath(new URL('../golden/xen-4.17/core.sysrq1.reduced.gz', import.meta.url));
const PAGE = 4096;
/** Pages that Xen's tools put into one record. */
const BATCH = 1024;
const INIT = `${INIT_PROLOGUE}
echo 1 >/proc/sys/kernel/sysrq
echo c >/proc/sysrq-trigger
`;

/** What the guest on the real Xen printed on its console, without the `?` lines. */
const PRINTED = [
  'sysrq_handle_crash+0x16/0x20',
  '__handle_sysrq.cold+0x44/0x11c',
  'write_sysrq_trigger+0x24/0x40',
  'proc_reg_write+0x56/0xa0',
  'vfs_write+0xc7/0x3f0',
  'ksys_write+0x6b/0xf0',
  'do_syscall_64+0x5d/0x90',
  'entry_SYSCALL_64_after_hwframe+0x6e/0xd8',
];

/** What of `xenctx --json` (schema 2) is looked at. */
interface Output {
  readonly kernel: { readonly panickedVcpu: number | null };
  readonly vcpus: readonly {
    readonly id: number;
    readonly unwind: {
      readonly frames: readonly { readonly symbol?: string | null; readonly how?: string }[];
    } | null;
  }[];
}

/** Frames of the vCPU that panicked, from the caller of panic to the entry of the system call. */
function panicFrames(json: string): string[] {
  const { kernel, vcpus } = JSON.parse(json) as Output; // the schema is that of docs/xenctx.md
  const frames = vcpus.find(({ id }) => id === kernel.panickedVcpu)?.unwind?.frames ?? [];
  const names = frames.flatMap(({ symbol }) => symbol ?? []);
  return names.slice(names.findLastIndex((name) => /^v?panic\+/.test(name)) + 1);
}

/** A saved domain with the registers of a core of ours, and those of its pages that are not all zeros. */
function savedFrom(core: string): Uint8Array {
  const target = openCoreFile(core);
  const zeros = new Uint8Array(PAGE);
  const pages = target.frames.flatMap(([first, count]) =>
    Array.from({ length: count }, (_, index) => {
      const bytes = new Uint8Array(PAGE);
      target.readPhysical((first + index) * PAGE, bytes);
      return Buffer.compare(bytes, zeros) === 0 ? [] : [{ pfn: first + index, bytes }];
    }).flat(),
  );
  const records = [];
  for (let at = 0; at < pages.length; at += BATCH) records.push(pageDataRecord(pages.slice(at, at + BATCH)));
  records.push(
    hvmContextRecord(target.vcpus.map(({ registers, online }) => (online ? registers : undefined))),
  );
  target.close();
  return writeSaved({ records });
}

const underCi = process.env['CI'] === 'true';

describe.runIf(debianArchive && (hasQemu || underCi))('the same panic', { timeout: 300_000 }, () => {
  let host: Host;
  let guest: QemuGuest | undefined;
  const trace = (route: string): string[] =>
    panicFrames(host.ok('xenctx', '--json', '-C', routes.get(route) ?? ''));
  const functions = (route: string): string[] => trace(route).map((name) => name.replace(/\+.*/, ''));
  /** Route to what xenctx is to open. */
  const routes = new Map<string, string>();

  beforeAll(async () => {
    host = new Host();
    const kernel = inArchive(`linux-image-${RELEASE}`)
      ? join(debianPackage(`linux-image-${RELEASE}`), `boot/vmlinuz-${RELEASE}`)
      : debianKernel('linux-image-cloud-amd64').vmlinuz;
    const initramfs = busyboxInitramfs(INIT);

    const core = join(host.stateDir, 'xen.core');
    writeFileSync(core, gunzipSync(readFileSync(XEN_CORE)));
    routes.set('a real Xen, xl dump-core', core);

    guest = new QemuGuest({ kernel, initramfs });
    const ramdisk = join(host.stateDir, 'initrd.gz');
    writeFileSync(ramdisk, initramfs);
    const domid = host.create('routes', {
      ...{ on_crash: '"preserve"', memory: '256', vcpus: '2' },
      ...{ kernel: `"${kernel}"`, ramdisk: `"${ramdisk}"`, extra: '"console=hvc0"' },
    });
    await host.untilShutdown(domid);
    routes.set('emulated, preserved', String(domid));
    const copy = join(host.stateDir, 'copy.core');
    host.ok('xl', 'dump-core', String(domid), copy);
    routes.set('emulated, xl dump-core', copy);

    const image = join(host.stateDir, 'domain.save');
    writeFileSync(image, savedFrom(copy));
    routes.set('emulated, as xl save writes it', image);

    for (const format of ['elf', 'kdump']) {
      const path = join(host.stateDir, `exported.${format}`);
      host.ok('pvh-report', 'export', '-q', '--format', format, '-o', path, String(domid));
      routes.set(`emulated, pvh-report export --format ${format}`, path);
    }

    await guest.untilConsole('end Kernel panic');
    await guest.qmp('stop');
    routes.set('QEMU, dump-guest-memory', await guest.dump('elf'));
    routes.set('QEMU, kdump-zlib', await guest.dump('kdump-zlib'));
  }, 300_000);
  afterAll(async () => {
    await guest?.[Symbol.asyncDispose]();
    host?.[Symbol.dispose]();
  });

  test('the core of the real Xen has what its guest printed', () => {
    expect(trace('a real Xen, xl dump-core')).toEqual(PRINTED);
  });

  test.each([
    'emulated, preserved',
    'emulated, xl dump-core',
    'emulated, as xl save writes it',
    'emulated, pvh-report export --format elf',
    'emulated, pvh-report export --format kdump',
    'QEMU, dump-guest-memory',
    'QEMU, kdump-zlib',
  ])('%s: the same functions as out of the core of the real Xen', (route) => {
    expect(functions(route)).toEqual(functions('a real Xen, xl dump-core'));
  });
});
