// What is taken on a real Xen host beside the guest itself. Programs that only read: nothing here has an effect on host or domain
// (`xl debug-keys` would write into the ring, `xl dmesg -c` would empty it).
import { type Collector, KIB, MIB, NotThere, type Take } from './collector.ts';
import type { Subject } from './evidence.ts';
import { linesOfDomain } from './xen-log.ts';

const DOMAIN = { from: ['xen'], origin: 'raw', privacy: 'maybe', required: true, seconds: 15 } as const;
/** What tells of the host and of its other domains too. */
const HOST = { ...DOMAIN, privacy: 'host' } as const;

function domid({ domid: id }: Subject): string {
  if (id === undefined) throw new NotThere('the number of the domain is not known');
  return String(id);
}

function uuid({ uuid: id }: Subject): string {
  if (id === undefined || !/^[0-9a-f-]{36}$/i.test(id))
    throw new NotThere('the UUID of the domain is not known');
  return id;
}

/** Names under which logs of the domain may lie: on_crash="rename-restart" puts a time behind the name of what it keeps. */
function logNames({ name }: Subject, put: (name: string) => string): string[] {
  const names = [...new Set([name, name.replace(/-\d{8}T\d{4}Z$/, '')])];
  if (names.some((each) => each === '' || each.length > 200 || /[/\0]/.test(each)))
    throw new NotThere('the name of the domain cannot be that of a file');
  return names.map(put);
}

/** As root: Xen's interfaces are for it alone. */
const xl = (...args: readonly string[]): Take => ({ program: () => ['xl', ...args], root: true });
const xlOfDomain = (...args: readonly string[]): Take => ({
  program: (subject) => ['xl', ...args, domid(subject)],
  root: true,
});
const xenstore = (path: (subject: Subject) => string): Take => ({
  program: (subject) => ['xenstore-ls', '-f', path(subject)],
  root: true,
});
const logs = (put: (name: string) => string, absent: string): Take => ({
  logs: (subject) => logNames(subject, put),
  absent,
});

function linesAbout(text: string, subject: Subject): string {
  const lines = linesOfDomain(text.split('\n'), Number(domid(subject)));
  if (lines.length === 0) throw new NotThere('xl dmesg has no line about this domain any more');
  return `${lines.join('\n')}\n`;
}

export const HOST_COLLECTORS: readonly Collector[] = [
  {
    ...DOMAIN,
    file: 'console.log',
    what: 'what the guest wrote on its console, from /var/log/xen/console',
    take: logs(
      (name) => `console/guest-${name}.log`,
      'xenconsoled keeps no log of this domain (XENCONSOLED_TRACE=guest in /etc/default/xencommons makes it)',
    ),
    required: false,
    bound: 4 * MIB,
  },
  {
    ...HOST,
    file: 'host-dmesg.txt',
    what: "`dmesg`: the log of the control domain's kernel",
    take: { program: () => ['dmesg'], root: true },
    required: false,
    bound: 1 * MIB,
  },
  {
    ...HOST,
    file: 'host-hypervisor.log',
    what: "the hypervisor's log, where xenconsoled keeps it",
    take: {
      logs: () => ['console/hypervisor.log'],
      absent:
        'xenconsoled keeps no log of the hypervisor (XENCONSOLED_TRACE=all in /etc/default/xencommons makes it)',
    },
    required: false,
    bound: 1 * MIB,
  },
  {
    ...HOST,
    file: 'host-uname.txt',
    what: '`uname -a` of the control domain',
    take: { program: () => ['uname', '-a'], root: false },
    required: false,
    bound: 4 * KIB,
  },
  { ...HOST, file: 'host-xl-dmesg.txt', what: '`xl dmesg`, all of it', take: xl('dmesg'), bound: 4 * MIB },
  { ...HOST, file: 'host-xl-info.txt', what: '`xl info`', take: xl('info'), bound: 64 * KIB },
  {
    ...HOST,
    file: 'host-xl-list.txt',
    what: '`xl list`: all domains of the host',
    take: xl('list'),
    bound: 1 * MIB,
  },
  {
    ...DOMAIN,
    file: 'xenstore-libxl.txt',
    what: "the toolstack's part of xenstore about the domain",
    take: xenstore((subject) => `/libxl/${domid(subject)}`),
    required: false,
    bound: 1 * MIB,
  },
  {
    ...DOMAIN,
    file: 'xenstore-vm.txt',
    what: 'the same below /vm',
    take: xenstore((subject) => `/vm/${uuid(subject)}`),
    required: false,
    bound: 1 * MIB,
  },
  {
    ...DOMAIN,
    file: 'xenstore.txt',
    what: "the domain's part of xenstore",
    take: xenstore((subject) => `/local/domain/${domid(subject)}`),
    bound: 1 * MIB,
  },
  {
    ...DOMAIN,
    file: 'xl-dmesg.txt',
    what: 'the lines of `xl dmesg` about this domain',
    take: { program: () => ['xl', 'dmesg'], root: true, select: linesAbout },
    required: false,
    bound: 4 * MIB,
  },
  {
    ...HOST,
    file: 'xl-list-long.json',
    what: '`xl list -l` of this domain: its configuration',
    take: xlOfDomain('list', '-l'),
    bound: 1 * MIB,
  },
  {
    ...DOMAIN,
    file: 'xl-list.txt',
    what: '`xl list -v` of this domain',
    take: xlOfDomain('list', '-v'),
    privacy: 'none',
    bound: 64 * KIB,
  },
  {
    ...HOST,
    file: 'xl-log.txt',
    what: "the log of the domain's `xl create`, rotated ones first",
    take: logs((name) => `xl-${name}.log`, 'no xl-NAME.log in /var/log/xen'),
    required: false,
    bound: 1 * MIB,
  },
  {
    ...DOMAIN,
    file: 'xl-vcpu-list.txt',
    what: '`xl vcpu-list` of this domain',
    take: xlOfDomain('vcpu-list'),
    privacy: 'none',
    bound: 256 * KIB,
  },
  {
    ...HOST,
    file: 'qemu-log.txt',
    what: "the log of the domain's device model",
    take: logs(
      (name) => `qemu-dm-${name}.log`,
      'no qemu-dm-NAME.log in /var/log/xen: the domain has no device model',
    ),
    required: false,
    bound: 1 * MIB,
  },
];
