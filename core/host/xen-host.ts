// Whether this machine is the control domain of a real Xen host, and where the host's libraries lie. Asks Xen nothing.
import { accessSync, constants, existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const PRIVCMD = '/dev/xen/privcmd';
const CAPABILITIES = '/proc/xen/capabilities';

/** Folders in which distributions, and a Xen built from source, put libxenctrl. */
const LIBRARY_FOLDERS = [
  '/usr/lib/x86_64-linux-gnu',
  '/usr/lib64',
  '/usr/lib',
  '/usr/local/lib',
  '/usr/local/lib64',
  '/lib/x86_64-linux-gnu',
  '/lib64',
] as const;

/** Why no domain of a Xen host can be reached from here; undefined when this is a control domain. */
export function notXenHost(): string | undefined {
  if (!existsSync(PRIVCMD)) return `this is no Xen host: there is no ${PRIVCMD}`;
  try {
    if (readFileSync(CAPABILITIES, 'latin1').includes('control_d')) return undefined;
    return `this is a Xen guest, not the control domain: no control_d in ${CAPABILITIES}`;
  } catch {
    return `cannot tell whether this is Xen's control domain: ${CAPABILITIES} cannot be read (mount -t xenfs xenfs /proc/xen)`;
  }
}

/** True when this process may make hypercalls. */
export function mayUseXen(): boolean {
  try {
    accessSync(PRIVCMD, constants.R_OK | constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

/** The running hypervisor as `4.17`; undefined when sysfs does not say. */
export function hypervisorVersion(): string | undefined {
  try {
    const part = (name: string) => readFileSync(`/sys/hypervisor/version/${name}`, 'latin1').trim();
    return `${part('major')}.${part('minor')}`;
  } catch {
    return undefined;
  }
}

/** Paths of the files `libxenctrl.so.MAJOR.MINOR` of this machine, newest version first. */
export function xenctrlLibraries(): string[] {
  const found = LIBRARY_FOLDERS.flatMap((folder) => {
    try {
      return readdirSync(folder)
        .filter((name) => /^libxenctrl\.so\.\d+\.\d+$/.test(name))
        .map((name) => join(folder, name));
    } catch {
      return [];
    }
  });
  const minor = (path: string): number => Number(/\d+$/.exec(path)?.[0] ?? 0);
  return found.sort((a, b) => minor(b) - minor(a));
}
