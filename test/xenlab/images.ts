// What the lab boots, out of Debian packages that stay uninstalled: hypervisor, dom0's kernel and initramfs, the guest's kernel and
// initramfs. Needs Debian 12 for libc and Node's own libraries.
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, realpathSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import { debianKernel, debianPackage, dependenciesOf } from '../support/debian.ts';
import { debianModules } from '../support/debian-modules.ts';
import { busyboxInitramfs, cpio, INIT_PROLOGUE } from '../support/initramfs.ts';
import { kernelModule } from '../support/kernel-module.ts';

const DOM0_KERNEL = 'linux-image-amd64';
const GUEST_KERNEL = 'linux-image-cloud-amd64';

/** In the order of loading. */
const DOM0_MODULES = [
  ...['virtio_ring', 'virtio', 'virtio_pci_modern_dev', 'virtio_pci_legacy_dev', 'virtio_pci'],
  ...['9pnet', '9pnet_virtio', 'netfs', 'fscache', '9p'],
  ...['xen-evtchn', 'xen-gntdev', 'xen-gntalloc', 'xen-privcmd', 'xenfs'],
] as const;

const DOM0_PROGRAMS = [
  'xl',
  'xenctx',
  'xenstored',
  'xenconsoled',
  'xen-init-dom0',
  'libxl-save-helper',
] as const;
const STORE_PROGRAMS = [
  'xenstore',
  'xenstore-ls',
  'xenstore-read',
  'xenstore-write',
  'xenstore-list',
] as const;

/** What the guest does is the word `how=` on its command line. */
const GUEST_INIT = `${INIT_PROLOGUE}
for word in $(cat /proc/cmdline); do case $word in how=*) how=\${word#how=} ;; esac; done
case $how in
  sysrq) echo 1 >/proc/sys/kernel/sysrq; echo c >/proc/sysrq-trigger ;;
  module) insmod /contexts.ko how=module ;;
  spin) echo ready; while :; do :; done ;;
  idle) echo ready ;;
esac
while :; do sleep 1000; done
`;

export type GuestDeed = 'sysrq' | 'module' | 'spin' | 'idle';

/** The package and the libraries it depends on, and those that they do. */
function withLibraries(name: string): string[] {
  const found = new Set([name]);
  for (const each of found)
    for (const dependency of dependenciesOf(each))
      if (/^lib(?!c6$|gcc)/.test(dependency)) found.add(dependency);
  return [...found];
}

/** Files below `root` that satisfy `wanted`, by name. */
function filesBelow(root: string, wanted: RegExp): string[] {
  return readdirSync(root, { recursive: true, encoding: 'utf8' })
    .filter((path) => wanted.test(path))
    .map((path) => join(root, path))
    .filter((path) => existsSync(path));
}

/** The libraries that these programs are linked with, by the names they ask for. */
function librariesOf(programs: readonly string[], folders: readonly string[]): Map<string, string> {
  const env = { ...process.env, LD_LIBRARY_PATH: folders.join(':') };
  const found = new Map<string, string>();
  for (const program of programs) {
    const text = execFileSync('ldd', [program], { encoding: 'utf8', env });
    const absent = /^\s*(\S+) => not found/m.exec(text)?.[1];
    if (absent !== undefined) throw new Error(`${program} needs ${absent}, which this machine lacks`);
    for (const [, name = '', path = ''] of text.matchAll(/^\s*(\S+) => (\/\S+)/gm)) found.set(name, path);
  }
  return found;
}

const directory = (path: string) => ({ path, mode: 0o40755 });
const program = (path: string, data: Uint8Array) => ({ path, mode: 0o100755, data });

function dom0Initramfs(): Buffer {
  const utils = dependenciesOf('xen-system-amd64').find((name) => name.startsWith('xen-utils-4'));
  if (utils === undefined) throw new Error('xen-system-amd64 depends on no xen-utils-4.*');
  const packages = [...new Set([...withLibraries(utils), ...withLibraries('xenstore-utils')])].map(
    debianPackage,
  );
  const folders = packages.flatMap((root) => [
    ...filesBelow(root, /(^|\/)lib\/x86_64-linux-gnu$/),
    ...filesBelow(root, /(^|\/)usr\/lib\/xen-4[^/]*\/lib\/x86_64-linux-gnu$/),
  ]);
  const named = (names: readonly string[]): string[] =>
    names.map((name) => {
      const path = packages.flatMap((root) => filesBelow(root, new RegExp(`bin/${name}$`))).at(0);
      if (path === undefined) throw new Error(`no program ${name} in the packages of Xen`);
      return path;
    });
  const programs = named([...DOM0_PROGRAMS, ...STORE_PROGRAMS]);
  // What koffi is linked with Node is too.
  const libraries = librariesOf([...programs, process.execPath], folders);
  const modules = debianModules(DOM0_KERNEL, DOM0_MODULES);
  const busybox = filesBelow(debianPackage('busybox-static'), /bin\/busybox$/).at(0);
  if (busybox === undefined) throw new Error('busybox-static has no busybox');
  const read = (path: string): Buffer => readFileSync(realpathSync(path));
  return cpio([
    ...[
      'bin',
      'dev',
      'proc',
      'sys',
      'run',
      'tmp',
      'root',
      'etc',
      'etc/xen',
      'lib64',
      'modules',
      'xen',
      'xen/bin',
      'xen/lib',
    ].map(directory),
    ...['usr', 'usr/bin', 'var', 'var/lib', 'var/lib/xen', 'var/lib/xenstored', 'var/log', 'var/log/xen'].map(
      directory,
    ),
    directory('var/log/xen/console'),
    directory('usr/lib'),
    directory(`usr/lib/${utils.replace('-utils', '')}`),
    // Where libxl looks for its helper.
    { path: `usr/lib/${utils.replace('-utils', '')}/bin`, mode: 0o120777, data: Buffer.from('/xen/bin') },
    { path: 'var/run', mode: 0o120777, data: Buffer.from('/run') },
    { path: 'var/lock', mode: 0o120777, data: Buffer.from('/run/lock') },
    { path: 'dev/console', mode: 0o20600, device: [5, 1] },
    { path: 'dev/null', mode: 0o20666, device: [1, 3] },
    { path: 'etc/passwd', mode: 0o100644, data: Buffer.from('root:x:0:0:root:/root:/bin/sh\n') },
    { path: 'etc/group', mode: 0o100644, data: Buffer.from('root:x:0:\n') },
    { path: 'etc/xen/xl.conf', mode: 0o100644, data: Buffer.from('autoballoon="off"\n') },
    program('init', readFileSync(new URL('dom0-init.sh', import.meta.url))),
    program('bin/busybox', read(busybox)),
    program('bin/node', read(process.execPath)),
    program('lib64/ld-linux-x86-64.so.2', read('/lib64/ld-linux-x86-64.so.2')),
    ...programs.map((path) => program(`xen/bin/${basename(path)}`, read(path))),
    ...[...libraries].map(([name, path]) => program(`xen/lib/${name}`, read(path))),
    ...Object.entries(modules).map(([name, data]) => program(`modules/${name}`, data)),
    { path: 'modules/order', mode: 0o100644, data: Buffer.from(DOM0_MODULES.join('\n')) },
  ]);
}

export interface LabImages {
  readonly xen: Uint8Array;
  readonly dom0Kernel: string;
  readonly dom0Initramfs: Uint8Array;
  readonly guestKernel: string;
  readonly guestInitramfs: Uint8Array;
}

/** Downloads what is not there yet. @throws Error when the archive or this machine lacks something. */
export function labImages(): LabImages {
  const hypervisor = dependenciesOf('xen-system-amd64').find((name) => name.startsWith('xen-hypervisor-4'));
  if (hypervisor === undefined) throw new Error('xen-system-amd64 depends on no xen-hypervisor-4.*');
  const packed = filesBelow(debianPackage(hypervisor), /boot\/xen-[^/]*\.gz$/).at(0);
  if (packed === undefined) throw new Error(`${hypervisor} has no boot/xen-*.gz`);
  const guest = debianKernel(GUEST_KERNEL);
  const contexts = kernelModule(guest.release, fileURLToPath(new URL('../contexts/module', import.meta.url)));
  return {
    xen: gunzipSync(readFileSync(packed)),
    dom0Kernel: debianKernel(DOM0_KERNEL).vmlinuz,
    dom0Initramfs: dom0Initramfs(),
    guestKernel: guest.vmlinuz,
    guestInitramfs: busyboxInitramfs(GUEST_INIT, { 'contexts.ko': contexts }),
  };
}
