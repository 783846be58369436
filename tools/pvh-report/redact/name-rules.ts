// Names of guests, machines and people, by the places in which programs print them. Several rows may look alike because several
// programs print alike.
import { g, type Rule } from './rule.ts';
import { SUFFIX_PATTERN } from './words.ts';

/** An address of the kernel's `ip=`. */
const IP_FIELD = '(?:[\\d.]{0,15}|\\[[0-9a-f:]{0,45}\\])';
const LABEL = '[A-Za-z0-9](?:[A-Za-z0-9_-]{0,62})';
/** A host name or an address, not longer than a name may be. */
const HOST_REST = '[A-Za-z0-9._-]{0,252}';
const HOST = `[A-Za-z0-9]${HOST_REST}`;
/** Who built a kernel is in its banner, and identifies the kernel, not the machine. */
const BUILDER = /Linux version \S{1,80} \(\S{0,80}$/;

const isHostName = (value: string): boolean =>
  !/^[\d.]+$/.test(value) && !/^(?:yes|no|on|off|y|n|true|false|none|auto|unknown)$/i.test(value);

export const NAME_RULES: readonly Rule[] = [
  // Names of guests, where the tools print them.
  {
    name: 'guest-name',
    class: 'domain',
    files:
      /^(?:manifest|domain|xl-list|xl-list-long|target|xenctx|identity)\.json$|^(?:guest\.cfg|config\.txt)$|^xenstore/,
    pattern: g(
      '(?:^|[\\s,;{/])(?:(?:domain|c_info|identity|target|guest|subject):)?(?:name|vm_?name)[ \\t]{0,8}=[ \\t]{0,8}["\'](?<v>[^"\'\\n]{1,255})["\']',
      'm',
    ),
    accept: (value) => value !== 'Domain-0',
    example: { file: 'guest.cfg', before: 'name = "shop-db"', after: 'name = "<domain>"' },
  },
  {
    name: 'guest-list',
    class: 'domain',
    files: /^(?:host-)?xl-(?:list|vcpu-list)\.txt$/,
    pattern: g('^(?<v>[^\\s(][^\\n]{0,63}?) {1,60}\\d{1,6} {1,12}\\d{1,12} {1,12}(?:\\d{1,6}|-) ', 'm'),
    accept: (value) => value !== 'Domain-0' && !/^Name\b/.test(value),
    example: {
      file: 'host-xl-list.txt',
      before: 'shop-db                                      1   128     1     ---sc-      13.3',
      after: '<domain>                                      1   128     1     ---sc-      13.3',
    },
  },
  {
    name: 'guest-report',
    class: 'domain',
    files: /^report\.txt$/,
    pattern: g(
      '^(?<v>[^\\n]{1,255}?)(?: \\(domain \\d{1,9}\\))?: (?:shut down, reason|lost: its|a dump file:|nothing tells whether|\\w{1,20}: this is a look)',
    ),
    example: {
      file: 'report.txt',
      before: 'shop-db (domain 3): shut down, reason crash',
      after: '<domain> (domain 3): shut down, reason crash',
    },
  },
  {
    name: 'guest-log-name',
    class: 'domain',
    pattern: g('\\b(?:guest-|qemu-dm-|xl-)(?<v>[A-Za-z0-9_][A-Za-z0-9._+-]{0,200}?)\\.log\\b'),
    accept: (value) => value !== 'NAME',
    example: { before: 'no /var/log/xen/qemu-dm-shop-db.log', after: 'no /var/log/xen/qemu-dm-<domain>.log' },
  },
  {
    name: 'guest-of-number',
    class: 'domain',
    pattern: g(
      '\\b[Dd]omain \\d{1,9} \\((?<v>[^()\\n]{1,255})\\)|\\b[Dd]omain (?<v2>[^()\\s]{1,255}) \\(domid \\d{1,9}\\)',
    ),
    example: {
      before: 'Waiting for domain shop-db (domid 1) to die; domain 1 (shop-db) of this host',
      after: 'Waiting for domain <domain> (domid 1) to die; domain 1 (<domain>) of this host',
    },
  },
  // Names of machines.
  {
    name: 'xl-info-host',
    class: 'host',
    files: /xl-info/,
    pattern: g(`^host {1,40}: {0,4}(?<v>${HOST})`, 'm'),
    example: {
      file: 'host-xl-info.txt',
      before: 'host                   : virt7',
      after: 'host                   : <host>',
    },
  },
  {
    name: 'uname-host',
    class: 'host',
    files: /uname/,
    pattern: g(`^Linux (?<v>${HOST}) `, 'm'),
    example: {
      file: 'host-uname.txt',
      before: 'Linux virt7 6.1.0-56-amd64 #1 SMP',
      after: 'Linux <host> 6.1.0-56-amd64 #1 SMP',
    },
  },
  {
    name: 'hostname-option',
    class: 'host',
    sign: /(?:name|host|fqdn)["']?[ \t]{0,3}=/gi,
    pattern: g(
      `(?<![A-Za-z])(?:[a-z]{1,20}[._])?(?:host[_-]?name|nodename|node[_-]name|host|fqdn)["']?[ \\t]{0,3}=[ \\t]{0,3}["']?(?<v>${HOST})`,
      'i',
    ),
    accept: isHostName,
    example: {
      before: 'systemd.hostname=virt7 HOSTNAME="virt7"',
      after: 'systemd.hostname=<host> HOSTNAME="<host>"',
    },
  },
  {
    name: 'hostname-said',
    class: 'host',
    pattern: g(
      `\\b(?:[Hh]ostname (?:set )?to|[Ss]et hostname to|[Hh]ostname:|[Hh]ost name is|[Hh]ostname is) {1,3}[<"']?(?<v>${HOST})`,
    ),
    accept: isHostName,
    example: {
      before: 'systemd[1]: Hostname set to <virt7>.',
      after: 'systemd[1]: Hostname set to <<host>>.',
    },
  },
  {
    name: 'ip-option-host',
    class: 'host',
    pattern: g(`\\bip=(?:${IP_FIELD}:){4}(?<v>[A-Za-z]${HOST_REST})(?=[:\\s"']|$)`),
    example: {
      before: 'ip=127.0.0.2::127.0.0.1:255.255.255.0:virt7:eth0:off',
      after: 'ip=127.0.0.2::127.0.0.1:255.255.255.0:<host>:eth0:off',
    },
  },
  {
    name: 'login-prompt',
    class: 'host',
    sign: /login: /g,
    pattern: g(`(?:^|[\\]\\r] ?)(?<v>${HOST}) login: `, 'm'),
    example: { before: 'virt7 login: ', after: '<host> login: ' },
  },
  {
    name: 'getty-banner',
    class: 'host',
    pattern: g(`\\bLinux (?:[\\w./-]{1,30} ){0,3}(?<v>${HOST}) (?:hvc|tty|ttyS|console|pts/)\\d{0,3}\\b`),
    example: { before: 'Debian GNU/Linux 12 virt7 hvc0', after: 'Debian GNU/Linux 12 <host> hvc0' },
  },
  {
    name: 'shell-prompt-host',
    class: 'host',
    sign: /@/g,
    pattern: g(`(?:^|[\\s"'(\\]])[A-Za-z_][A-Za-z0-9._-]{0,31}@(?<v>${LABEL}):[~/]`, 'm'),
    example: { before: 'root@virt7:~# reboot', after: 'root@<host>:~# reboot' },
  },
  {
    name: 'shell-prompt-user',
    class: 'user',
    sign: /@/g,
    pattern: g(`(?:^|[\\s"'(\\]])(?<v>[A-Za-z_][A-Za-z0-9._-]{0,31})@${LABEL}:[~/]`, 'm'),
    accept: (value) => value !== 'root',
    example: {
      before: 'root@xen:~$ cd; mmuster@xen:~$ ls',
      after: 'root@<host>:~$ cd; <user>@<host>:~$ ls',
    },
  },
  {
    name: 'syslog-host',
    class: 'host',
    pattern: g(
      `(?:\\b(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) {1,2}\\d{1,2} \\d\\d:\\d\\d:\\d\\d|\\b\\d{4}-\\d\\d-\\d\\d[T ]\\d\\d:\\d\\d:\\d\\d[.,\\d]{0,10}(?:Z|[+-]\\d\\d:?\\d\\d)?) (?<v>${HOST}) [A-Za-z0-9_./()-]{1,64}(?:\\[\\d{1,10}\\])?: `,
    ),
    accept: isHostName,
    example: {
      before: 'Nov 22 10:11:12 virt7 sshd[12]: Server listening',
      after: 'Nov 22 10:11:12 <host> sshd[12]: Server listening',
    },
  },
  {
    name: 'url-host',
    class: 'host',
    sign: /:\/\//g,
    pattern: g(`\\b[A-Za-z][A-Za-z0-9+.-]{1,20}://(?:[^\\s/"'<>]{0,600}@)?(?<v>${HOST})`),
    example: {
      before: 'nfs://filer3/export http://bugs.debian.org/',
      after: 'nfs://<host>/export http://bugs.debian.org/',
    },
  },
  {
    name: 'network-root',
    class: 'host',
    pattern: g(
      `\\b(?:mount\\.nfs4?: |(?:root|netroot)=(?:nfs4?|iscsi):|(?:nfsroot|nfsaddrs|iscsi|netroot|server|gateway|nameserver|dns\\d?|ntp|netconsole_host|logserver|syslog)=)(?<v>[A-Za-z]${HOST_REST})`,
    ),
    accept: (value) => !/^(?:yes|no|on|off|y|n|true|false|dhcp|none|auto)$/i.test(value),
    example: { before: 'nfsroot=filer3:/export', after: 'nfsroot=<host>:/export' },
  },
  {
    name: 'server-said',
    class: 'host',
    pattern: g(`\\bserver (?<v>${HOST}) (?:not responding|OK\\b|is not)`),
    example: { before: 'nfs: server filer3 not responding', after: 'nfs: server <host> not responding' },
  },
  {
    name: 'share-host',
    class: 'host',
    sign: /\/\/|\\\\/g,
    pattern: g(`(?<=^|[\\s"'=])(?://|\\\\\\\\)(?<v>${HOST})[/\\\\][A-Za-z0-9]`, 'm'),
    accept: isHostName,
    example: { before: 'CIFS: mounting //filer3/data', after: 'CIFS: mounting //<host>/data' },
  },
  {
    name: 'dhcp-name',
    class: 'host',
    pattern: g(`\\b(?:host-name|domain-name) ["'](?<v>${HOST})`),
    example: { before: 'option host-name "filer3";', after: 'option host-name "<host>";' },
  },
  {
    name: 'iscsi-name',
    class: 'dns',
    pattern: g('\\biqn\\.\\d{4}-\\d{2}\\.(?<v>[A-Za-z0-9][A-Za-z0-9.-]{0,200})'),
    example: {
      before: 'iqn.2005-10.com.muster-werke:disk1',
      after: 'iqn.2005-10.<dns>.<dns>:disk1',
    },
  },
  {
    name: 'ssh-target',
    class: 'host',
    pattern: g(
      `\\b(?:connect(?:ed|ion|ing)? (?:to|from)|peer|remote host|ping|ssh|scp|rhost=|from host) ["'<]?(?:[A-Za-z0-9._-]{1,32}@)?(?<v>${HOST})(?= port |:\\d|["'>])`,
    ),
    accept: isHostName,
    example: { before: 'connect to filer3 port 2049', after: 'connect to <host> port 2049' },
  },
  // Names of people.
  {
    name: 'home-folder',
    class: 'user',
    sign: /home\/|Users|mail\/|media\//g,
    pattern: g(
      '(?:/home/|/Users/|\\\\Users\\\\|/export/home/|/var/spool/mail/|/var/mail/|/run/media/|/media/)(?<v>[A-Za-z0-9_][A-Za-z0-9._@+-]{0,63})',
    ),
    accept: (value) => !/^(?:lost\+found|cdrom|floppy|usb\d?|root)$/.test(value),
    example: { before: 'kernel = "/home/mmuster/vmlinux"', after: 'kernel = "/home/<user>/vmlinux"' },
  },
  {
    name: 'user-option',
    class: 'user',
    pattern: g(
      '(?<![A-Za-z])(?:user|username|user[_-]name|login|logname|acct|ruser|sudo_user|ssh_user)["\']?[ \\t]?[=:][ \\t]?["\']?(?<v>[A-Za-z_][A-Za-z0-9._@-]{0,63})',
      'i',
    ),
    accept: (value) =>
      !/^(?:root|yes|no|on|off|true|false|none|user|xattr|unknown|auto|prompt)$/i.test(value),
    example: { before: 'cifs username=mmuster USER=root', after: 'cifs username=<user> USER=root' },
  },
  {
    name: 'user-said',
    class: 'user',
    pattern: g(
      '\\b(?:for (?:invalid )?user|[Ii]nvalid user|[Ss]ession opened for user|[Ss]ession closed for user|of user|new user:? name=|Accepted (?:password|publickey|keyboard-interactive/pam) for|Failed password for(?: invalid user)?|LOGIN ON \\S{1,20} BY|logged in as|USER=|password for|sudo: {1,8}) ?[\'"]?(?<v>[A-Za-z_][A-Za-z0-9._-]{0,63})',
    ),
    accept: (value) => !/^(?:root|the|user|this|that|invalid|a|an|of|UID|uid|unknown)$/.test(value),
    example: {
      before: 'Accepted publickey for mmuster from 127.0.0.1',
      after: 'Accepted publickey for <user> from 127.0.0.1',
    },
  },
  {
    name: 'passwd-line',
    class: 'user',
    sign: /:[1-9]\d{3,9}:\d/g,
    pattern: g(
      '(?<=^|[\\s"])(?<v>[a-z_][a-z0-9._-]{0,31}):[^:\\s]{0,200}:[1-9]\\d{3,9}:\\d{1,10}:(?<v2>[^:\\n]{0,100}):/',
      'm',
    ),
    accept: (value) => value !== '',
    example: {
      before: 'mmuster:x:1000:1000:Max Muster:/srv:/bin/sh',
      after: '<user>:x:1000:1000:<user>:/srv:/bin/sh',
    },
  },
  {
    name: 'user-id',
    class: 'user',
    pattern: g(
      '\\b(?:[ug]id=|groups=|by )(?:\\d{1,10}\\((?<v>[A-Za-z_][A-Za-z0-9._-]{0,31})\\)|(?<v2>[A-Za-z_][A-Za-z0-9._-]{0,31})\\(uid=)',
    ),
    accept: (value) => value !== 'root',
    example: { before: 'uid=1000(mmuster) gid=0(root)', after: 'uid=1000(<user>) gid=0(root)' },
  },
  {
    name: 'login-name',
    class: 'user',
    pattern: g('\\blogin: (?<v>[A-Za-z_][A-Za-z0-9._-]{0,63})(?=\\s)'),
    accept: (value) => value !== 'root',
    example: { before: 'xen login: mmuster\r\n', after: '<host> login: <user>\r\n' },
  },
  // Names with dots anywhere: after the above, so that their parts have a class already.
  {
    name: 'email',
    class: 'email',
    sign: /@|%40/g,
    pattern: g(
      '(?<![A-Za-z0-9._%+-])(?<v>[A-Za-z0-9_][A-Za-z0-9._%+-]{0,63}(?:@|%40)[A-Za-z0-9][A-Za-z0-9.-]{0,252}\\.[A-Za-z]{2,24})(?![A-Za-z0-9])|\\| - \\| (?<v2>[A-Za-z0-9_][A-Za-z0-9._-]{0,63}@[A-Za-z0-9][A-Za-z0-9._-]{0,252})',
    ),
    accept: (_, before) => !BUILDER.test(before),
    example: { before: 'mail to max.muster@muster-werke.com.', after: 'mail to <user>@<dns>.com.' },
  },
  {
    name: 'dns-name',
    class: 'dns',
    sign: new RegExp(`\\.(?:${SUFFIX_PATTERN})(?![A-Za-z0-9_-])`, 'gi'),
    pattern: g(
      `(?:%[0-9A-Fa-f]{2}|(?<![A-Za-z0-9._%-]))(?<v>(?:[A-Za-z0-9_][A-Za-z0-9_-]{0,62}\\.){1,8}(?:${SUFFIX_PATTERN}|${SUFFIX_PATTERN.toUpperCase()}))(?![A-Za-z0-9_-]|\\.[A-Za-z0-9])`,
    ),
    accept: (_, before) => !BUILDER.test(before),
    example: { before: 'resolved db.muster-werke.com ok', after: 'resolved <dns>.<dns>.com ok' },
  },
];
