// Debian packages for tests: downloaded by apt-get, unpacked without installing, kept in a cache folder.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

const cache = join(
  process.env['XDG_CACHE_HOME'] ?? join(process.env['HOME'] ?? homedir(), '.cache'),
  'pvh-report/debian',
);

const output = (program: string, ...args: string[]): string =>
  execFileSync(program, args, { encoding: 'utf8', maxBuffer: 1 << 26, stdio: ['ignore', 'pipe', 'pipe'] });

/** True where apt-get can fetch; CI counts as such whatever happens, so that a missing archive fails there. */
export const debianArchive: boolean =
  process.env['CI'] === 'true' || (existsSync('/usr/bin/apt-get') && existsSync('/usr/bin/dpkg-deb'));

/** The folder into which package `name` was unpacked, downloaded at most once. @throws Error when apt-get cannot fetch it. */
export const debianPackage = (name: string): string => debianTree(name, []);

/** As debianPackage, with the packages `others` unpacked over it: for those that point into each other. */
export function debianTree(name: string, others: readonly string[]): string {
  const folder = join(cache, [name, ...others].join('+'));
  if (existsSync(folder)) return folder;
  mkdirSync(cache, { recursive: true });
  const scratch = mkdtempSync(join(cache, 'unpack-'));
  try {
    const names = [name, ...others];
    execFileSync('apt-get', ['download', ...names], { cwd: scratch, stdio: ['ignore', 'ignore', 'pipe'] });
    const archives = readdirSync(scratch).filter((file) => file.endsWith('.deb'));
    if (archives.length < names.length) throw new Error(`apt-get download ${names.join(' ')} left too few`);
    for (const archive of archives)
      execFileSync('dpkg-deb', ['-x', join(scratch, archive), join(scratch, 'root')]);
    // Two test workers may have unpacked it at once: the first rename wins, both are whole.
    if (!existsSync(folder)) renameSync(join(scratch, 'root'), folder);
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
  return folder;
}

/** Whether the archive has a package of this name (a kernel that was replaced goes away). */
export const inArchive = (name: string): boolean =>
  / Candidate: \d/.test(output('apt-cache', 'policy', name));

/** The packages that `name` depends on. */
export const dependenciesOf = (name: string): string[] =>
  [...output('apt-cache', 'depends', name).matchAll(/ Depends: (\S+)/g)].flatMap(([, found]) => found ?? []);

/** The newest kernel package that the meta-package `meta` depends on, for example `linux-image-6.1.0-56-cloud-amd64`. */
export function newestKernelPackage(meta: string): string {
  const found = dependenciesOf(meta).find((name) => name.startsWith('linux-image-'));
  if (found === undefined)
    throw new Error(`${meta} depends on no kernel: is the package list fresh (apt-get update)?`);
  return found;
}

export interface DebianKernel {
  readonly release: string;
  readonly vmlinuz: string;
  /** The unstripped ELF of the -dbg package (a large download): fetched when first asked for. */
  readonly vmlinux: () => string;
}

/** @param meta `linux-image-cloud-amd64` (6.1 in bookworm) or `linux-image-6.12-cloud-amd64`. */
export function debianKernel(meta: string): DebianKernel {
  const name = newestKernelPackage(meta);
  const release = name.replace('linux-image-', '');
  return {
    release,
    vmlinuz: join(debianPackage(name), `boot/vmlinuz-${release}`),
    vmlinux: () => join(debianPackage(`${name}-dbg`), `usr/lib/debug/boot/vmlinux-${release}`),
  };
}
