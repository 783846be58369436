// Stock Debian kernels as PVH guests, from creation to the preserved crash (issue "the whole path on a real kernel", rows 1 to 4).
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { debianArchive, debianKernel } from '../support/debian.ts';
import { busyboxInitramfs, INIT_PROLOGUE } from '../support/initramfs.ts';
import { Host, sha256 } from './guest.ts';

const PRESERVE = { on_crash: '"preserve"', on_reboot: '"preserve"', memory: '512' };

const SHELL_INIT = `${INIT_PROLOGUE}
ls / ; ps ; cat /proc/cpuinfo
h=/sys/hypervisor
echo "hypervisor: type=$(cat $h/type) ver=$(cat $h/version/major).$(cat $h/version/minor) guest_type=$(cat $h/guest_type) uuid=$(cat $h/uuid)"
xen-detect; echo "xen-detect rc=$?"
echo 1 >/proc/sys/kernel/sysrq
echo c >/proc/sysrq-trigger
`;

/** Runs one guest to its shutdown and hands it to `look`. */
async function crash(
  settings: Readonly<Record<string, string>>,
  initramfs: Buffer | undefined,
  look: (host: Host, domid: number, state: string) => void,
): Promise<void> {
  using host = new Host();
  const ramdisk = join(host.stateDir, 'initrd.gz');
  if (initramfs) writeFileSync(ramdisk, initramfs);
  const domid = host.create('guest', {
    ...PRESERVE,
    ...settings,
    ...(initramfs ? { ramdisk: `"${ramdisk}"` } : {}),
  });
  look(host, domid, await host.untilShutdown(domid));
}

const kernels = debianArchive
  ? [
      { name: '6.1 vmlinuz', path: () => debianKernel('linux-image-cloud-amd64').vmlinuz },
      { name: '6.1 vmlinux', path: () => debianKernel('linux-image-cloud-amd64').vmlinux() },
      { name: '6.12 vmlinuz', path: () => debianKernel('linux-image-6.12-cloud-amd64').vmlinuz },
    ]
  : [];
const rows = kernels.flatMap((kernel) => [1, 2, 4].map((vcpus) => ({ ...kernel, vcpus })));

describe.runIf(debianArchive)('stock Debian cloud kernels', { timeout: 300_000 }, () => {
  test.each(rows)(
    '$name, $vcpus vCPUs: panics without a root file system and is preserved',
    async ({ path, vcpus }) => {
      const settings = { kernel: `"${path()}"`, vcpus: `${vcpus}`, extra: '"console=hvc0"' };
      await crash(settings, undefined, (host, domid, state) => {
        expect(state).toBe('---sc-');
        expect(host.ok('xl', 'list', '-v', String(domid))).toMatch(/ 3 +-?\s*$/m);
        const log = host.console(domid);
        expect(log).toContain('Hypervisor detected: Xen HVM');
        expect(log).toContain(`smp: Brought up 1 node, ${vcpus} CPU${vcpus > 1 ? 's' : ''}`);
        expect(log).toContain('Kernel panic - not syncing: VFS: Unable to mount root fs');
        expect(log.trimEnd().split('\n').at(-1)).toMatch(/Kernel Offset: disabled|end Kernel panic/);
      });
    },
  );

  test.each(rows)(
    '$name, $vcpus vCPUs: runs a busybox shell and crashes by sysrq',
    async ({ path, vcpus }) => {
      const settings = { kernel: `"${path()}"`, vcpus: `${vcpus}`, extra: '"console=hvc0"' };
      await crash(settings, busyboxInitramfs(SHELL_INIT), (host, domid, state) => {
        expect(state).toBe('---sc-');
        const log = host.console(domid);
        expect(log).toMatch(/\bbin +.*\bdev +.*\binit\b/);
        expect(log).toMatch(/^ +1 0 +\{init\}/m);
        expect(log.match(/^processor\t/gm)).toHaveLength(vcpus);
        expect(log).toMatch(/hypervisor: type=xen ver=4\.17 guest_type=PVH uuid=[0-9a-f-]{36}/);
        expect(log).toContain('Running in PVH context on Xen V4.17.');
        expect(log).toContain('xen-detect rc=0');
        expect(log).toContain('Kernel panic - not syncing: sysrq triggered crash');
      });
    },
  );

  test('the same configuration twice: equal console log and core', async () => {
    const { vmlinuz } = debianKernel('linux-image-cloud-amd64');
    const seen = new Set<string>();
    for (let round = 0; round < 2; round++)
      await crash({ kernel: `"${vmlinuz}"`, vcpus: '2', extra: '"console=hvc0"' }, undefined, (host, domid) =>
        seen.add(`${sha256(host.file(domid, 'console.log'))} ${sha256(host.file(domid, 'core.elf'))}`),
      );
    expect(seen.size).toBe(1);
  });

  test('xenctx names every vCPU of the preserved domain', async () => {
    const { vmlinuz, vmlinux } = debianKernel('linux-image-cloud-amd64');
    await crash({ kernel: `"${vmlinuz}"`, vcpus: '4', extra: '"console=hvc0"' }, undefined, (host, domid) => {
      const text = host.ok('xenctx', '-s', vmlinux(), '-f', '-a', '-C', String(domid));
      expect(text.match(/^vcpu\d:$|^vcpu\d offline$/gm)).toHaveLength(4);
      expect(text).toMatch(/^rip: [0-9a-f]{16} xen_hypercall_\w+(\+0x[0-9a-f]+)?$/m);
      expect(text).toContain('Call Trace:');
    });
  });
});
