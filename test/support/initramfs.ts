// A small initramfs for guests under test: busybox, Debian's xen-detect with its libc, and an init script.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { debianPackage } from './debian.ts';

interface Entry {
  readonly path: string;
  readonly mode: number;
  readonly data?: Uint8Array;
  /** Device major and minor of a node. */
  readonly device?: readonly [number, number];
}

const field = (value: number): string => value.toString(16).padStart(8, '0');

/** A newc cpio archive (linux Documentation/driver-api/early-userspace/buffer-format.rst) with fixed times and owners. */
export function cpio(entries: readonly Entry[]): Buffer {
  const parts: Buffer[] = [];
  const add = (bytes: Uint8Array): void => {
    parts.push(Buffer.from(bytes), Buffer.alloc(-bytes.length & 3));
  };
  const trailer: Entry = { path: 'TRAILER!!!', mode: 0 };
  for (const [index, { path, mode, data = new Uint8Array(), device = [0, 0] }] of [
    ...entries,
    trailer,
  ].entries()) {
    const numbers = [index + 1, mode, 0, 0, 1, 0, data.length, 0, 0, ...device, path.length + 1, 0];
    add(Buffer.from(`070701${numbers.map(field).join('')}${path}\0`));
    add(data);
  }
  return Buffer.concat(parts);
}

const directory = (path: string): Entry => ({ path, mode: 0o40755 });
const executable = (path: string, data: Uint8Array): Entry => ({ path, mode: 0o100755, data });

/** First of `paths` below `folder` that exists. */
function oneOf(folder: string, ...paths: string[]): Buffer {
  const found = paths.map((path) => join(folder, path)).find((path) => existsSync(path));
  if (found === undefined) throw new Error(`none of ${paths.join(', ')} in ${folder}`);
  return readFileSync(found);
}

/**
 * @param init text of /init, a busybox shell script.
 * @param files more files for the root folder, by name.
 * @returns a gzip-compressed archive, the same bytes each time.
 */
export function busyboxInitramfs(init: string, files: Readonly<Record<string, Uint8Array>> = {}): Buffer {
  const libc = debianPackage('libc6');
  return gzipSync(
    cpio([
      ...['bin', 'dev', 'lib', 'lib/x86_64-linux-gnu', 'lib64', 'proc', 'sys'].map(directory),
      { path: 'dev/console', mode: 0o20600, device: [5, 1] },
      { path: 'dev/null', mode: 0o20666, device: [1, 3] },
      executable('bin/busybox', oneOf(debianPackage('busybox-static'), 'bin/busybox', 'usr/bin/busybox')),
      executable('bin/xen-detect', oneOf(debianPackage('xen-utils-common'), 'usr/bin/xen-detect')),
      executable('lib/x86_64-linux-gnu/libc.so.6', oneOf(libc, 'lib/x86_64-linux-gnu/libc.so.6')),
      executable('lib64/ld-linux-x86-64.so.2', oneOf(libc, 'lib/x86_64-linux-gnu/ld-linux-x86-64.so.2')),
      executable('init', Buffer.from(init)),
      ...Object.entries(files).map(([name, data]) => executable(name, data)),
    ]),
    { level: 6 },
  );
}

/** Mounts what a shell needs and puts standard streams on the console. */
export const INIT_PROLOGUE = `#!/bin/busybox sh
export PATH=/bin
/bin/busybox --install -s /bin
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev
exec </dev/console >/dev/console 2>&1
`;
