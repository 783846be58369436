// What is private in a report: one row a kind of place. The group `v` of a pattern is the value (several rows may look alike
// because several programs print alike). Knows nothing of how a value is replaced.
//
// Every pattern takes time linear in the text: no repetition holds another, every open end is bounded, and what may come before a
// value is a fixed text or a class that the value cannot begin with. JSON is shown to them as lines `parent:key="value"`.
import { isIPv6 } from 'node:net';
import { SUFFIX_PATTERN } from './words.ts';

/** What a value is: says how its stand-in looks. */
export const VALUE_CLASSES = [
  'host',
  'user',
  'domain',
  'dns',
  'email',
  'ipv4',
  'ipv6',
  'mac',
  'uuid',
  'secret',
] as const;
export type ValueClass = (typeof VALUE_CLASSES)[number];

export interface Rule {
  readonly name: string;
  readonly class: ValueClass;
  /** Files that have it; all without. */
  readonly files?: RegExp;
  /** With flags `gd`; group `v` is the value, and so is `v2`. */
  readonly pattern: RegExp;
  /** Every line in which the pattern finds something has this: quicker to look for. Only where no match goes beyond its line. */
  readonly sign?: RegExp;
  /** Whether what the pattern found is meant. @param before at most 100 characters that stand before it. */
  readonly accept?: (value: string, before: string) => boolean;
  /** The value is these pieces of what `v` has; what lies between them stays. */
  readonly pieces?: RegExp;
  /** The value is of this place only: it is not looked for elsewhere. */
  readonly local?: true;
  /** `after` has the class in angle brackets for each stand-in. */
  readonly example: { readonly file?: string; readonly before: string; readonly after: string };
}

/** An address of the kernel's `ip=`. */
const IP_FIELD = '(?:[\\d.]{0,15}|\\[[0-9a-f:]{0,45}\\])';
const LABEL = '[A-Za-z0-9](?:[A-Za-z0-9_-]{0,62})';
/** A host name or an address, not longer than a name may be. */
const HOST_REST = '[A-Za-z0-9._-]{0,252}';
const HOST = `[A-Za-z0-9]${HOST_REST}`;
/** The value of an option: to the next blank or quote. */
const PLAIN_VALUE = '[^\\s"\'`&<>]{1,1000}';
const QUOTED = (group: string): string => `"(?<${group}>[^"\\n]{1,1000})"`;

const g = (source: string, flags = ''): RegExp => new RegExp(source, `gd${flags}`);

const isAddress = (value: string): boolean => value.split('.').every((part) => Number(part) <= 255);

/** Loopback, link-local, multicast, reserved, masks and `0.0.0.0` tell of nobody. */
function isPrivateIpv4(value: string): boolean {
  const [a = 0, b = 0] = value.split('.').map(Number);
  return isAddress(value) && a !== 0 && a !== 127 && !(a === 169 && b === 254) && a < 224;
}

/** Loopback, the unspecified address and multicast tell of nobody; a link-local one does when it is made of a MAC. */
function isPrivateIpv6(value: string): boolean {
  if (!isIPv6(value)) return false;
  const lower = value.toLowerCase();
  if (/^[0:]+1?$/.test(lower) || /^ff[0-9a-f]{2}:/.test(lower)) return false;
  if (/^::[0-9a-f]{0,4}$/.test(lower) || /^::ffff:/.test(lower)) return false;
  return !/^fe80:/.test(lower) || /ff:fe/.test(lower);
}

/** Zeros, broadcast, multicast and the one that Xen gives every vif of the host. */
const isPrivateMac = (value: string): boolean =>
  !/^(?:00[:-]00[:-]00[:-]00[:-]00[:-]00|ff[:-]ff[:-]ff[:-]ff[:-]ff[:-]ff|fe[:-]ff[:-]ff[:-]ff[:-]ff[:-]ff|33[:-]33[:-].*|01[:-]00[:-]5e.*|01[:-]80[:-]c2.*)$/i.test(
    value,
  );

const isPrivateUuid = (value: string): boolean => !/^[0-]+$/.test(value);

/** What stands before a version with four numbers. */
const VERSION = /(?:^|[^A-Za-z])(?:v|(?:version|release|ver|rev|firmware)[ :=]{1,3}v?)$/i;

/** Who built a kernel is in its banner, and identifies the kernel, not the machine. */
const BUILDER = /Linux version \S{1,80} \(\S{0,80}$/;

const isHostName = (value: string): boolean =>
  !/^[\d.]+$/.test(value) && !/^(?:yes|no|on|off|y|n|true|false|none|auto|unknown)$/i.test(value);

/** Names that options name secrets by; what stands before them in the same word does not matter. */
const SECRET_WORDS =
  'password|passwd|passphrase|passwort|[a-z]pwd|(?<![a-z])pass|(?<![a-z])pw|secret|secret[_-]?key|access[_-]?key|api[_-]?key|auth[_-]?key|private[_-]?key|account[_-]?key|preshared[_-]?key|shared[_-]?key|psk|(?<!set_)credential|credentials|[._-]key|passcode';
const TOKEN_WORDS = 'token|apikey|bearer|cookie|authtok|session[_-]?id|[_-]signature|[?&]sig|\\bauth';

/** First to last: of two that find the same place, the earlier has it. */
export const RULES: readonly Rule[] = [
  // Secrets by their own looks.
  {
    name: 'pem-private-key',
    class: 'secret',
    pattern: g('-----BEGIN [A-Z ]{0,30}PRIVATE KEY(?: BLOCK)?-----(?<v>(?:[^-]|-(?!----)){1,20000})'),
    pieces: /[A-Za-z0-9+/-]{16,2000}|[A-Za-z0-9+/-]{2,16}(?=={0,2}(?:[\r\n\\]|$))/g,
    example: {
      before:
        '[1.2] -----BEGIN PRIVATE KEY-----\n[1.2] MIIEvQIBADANBgkqhkiG\n[1.2] x9A=\n-----END PRIVATE KEY-----',
      after: '[1.2] -----BEGIN PRIVATE KEY-----\n[1.2] <secret>\n[1.2] <secret>=\n-----END PRIVATE KEY-----',
    },
  },
  {
    name: 'ssh-key',
    class: 'secret',
    pattern: g(
      '\\b(?:ssh-(?:rsa|dss|ed25519)|ecdsa-sha2-nistp\\d{3}|sk-[a-z0-9-]{1,30}@openssh\\.com) (?<v>AAAA[A-Za-z0-9+/=]{16,4000})',
    ),
    example: {
      before: 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGJ2YWx1ZXNvZmFrZXk= (none)',
      after: 'ssh-ed25519 <secret> (none)',
    },
  },
  {
    name: 'key-fingerprint',
    class: 'secret',
    pattern: g(
      '\\b(?:SHA256:(?<v>[A-Za-z0-9+/]{43})(?![A-Za-z0-9+/])|MD5:(?<v2>[0-9a-f]{2}(?::[0-9a-f]{2}){15}))',
    ),
    example: {
      before: '256 SHA256:jWOaZyZ1q3VQmWwyJ8mSgnCtJmX0mCk4S1Gv0xGZ7Lk (ED25519)',
      after: '256 SHA256:<secret> (ED25519)',
    },
  },
  {
    name: 'aws-access-key',
    class: 'secret',
    pattern: g('(?<![A-Za-z0-9])(?<v>(?:AKIA|ASIA|AROA|AIDA)[A-Z0-9]{16})(?![A-Za-z0-9])'),
    example: { before: 'aws: AKIAIOSFODNN7EXAMPLE used', after: 'aws: <secret> used' },
  },
  {
    name: 'service-token',
    class: 'secret',
    pattern: g(
      '(?<![A-Za-z0-9])(?<v>(?:gh[pousr]_[A-Za-z0-9]{20,255}|github_pat_[A-Za-z0-9_]{20,255}|glpat-[A-Za-z0-9_-]{20,64}|xox[abeprs]-[A-Za-z0-9-]{10,255}|[sr]k_(?:live|test)_[A-Za-z0-9]{10,255}|AIza[A-Za-z0-9_-]{35}|npm_[A-Za-z0-9]{36}|hvs\\.[A-Za-z0-9_-]{20,255}))',
    ),
    example: {
      before: 'clone with ghp_16C7e42F292c6912E7710c838347Ae178B4a!',
      after: 'clone with <secret>!',
    },
  },
  {
    name: 'jwt',
    class: 'secret',
    pattern: g(
      '(?<![A-Za-z0-9_-])(?<v>eyJ[A-Za-z0-9_-]{8,4000}\\.eyJ[A-Za-z0-9_-]{4,8000}\\.[A-Za-z0-9_-]{0,4000})',
    ),
    example: {
      before: 'got eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmNHl0w5N, ok',
      after: 'got <secret>, ok',
    },
  },
  {
    name: 'password-hash',
    class: 'secret',
    pattern: g('(?<v>\\$(?:1|2[abxy]|5|6|7|y|gy|argon2id|argon2i)\\$[A-Za-z0-9./$,=+]{10,500})'),
    example: { before: 'root:$6$saltsalt$GJ1AbCdEfGhIjK:19000:', after: 'root:<secret>:19000:' },
  },
  // Secrets by the name of what they are given to.
  {
    name: 'url-credentials',
    class: 'secret',
    sign: /@/g,
    pattern: g('\\b[A-Za-z][A-Za-z0-9+.-]{1,20}://[^\\s:/@"\'<>]{0,200}:(?<v>[^\\s/"\'<>]{1,400})@'),
    example: { before: 'GET https://:s3cr3t@[::1]/x', after: 'GET https://:<secret>@[::1]/x' },
  },
  {
    name: 'url-user',
    class: 'user',
    sign: /@/g,
    pattern: g(
      '\\b[A-Za-z][A-Za-z0-9+.-]{1,20}://(?<v>[^\\s:/@"\'<>]{1,200})(?=[:@])(?::[^\\s/"\'<>]{0,400})?@',
    ),
    example: { before: 'nbd://backupper@[::1]/x', after: 'nbd://<user>@[::1]/x' },
  },
  {
    name: 'userinfo',
    class: 'secret',
    sign: /@/g,
    pattern: g(
      `(?<![A-Za-z0-9._:/-])[A-Za-z_][A-Za-z0-9._-]{0,63}:(?<v>[^\\s:@/"'<>]{3,100})@(?=[A-Za-z0-9[])`,
    ),
    example: { before: 'rsync root:hunter2@127.0.0.1', after: 'rsync root:<secret>@127.0.0.1' },
  },
  {
    name: 'netrc',
    class: 'secret',
    pattern: g(`\\blogin \\S{1,64} password (?<v>${PLAIN_VALUE})`),
    example: { before: 'login root password hunter2', after: 'login root password <secret>' },
  },
  {
    name: 'credential-option',
    class: 'secret',
    pattern: g(`\\bset_credential(?:_binary)?=[^\\s:=]{1,100}:(?<v>${PLAIN_VALUE})`),
    example: {
      before: 'systemd.set_credential=shell:hunter2',
      after: 'systemd.set_credential=shell:<secret>',
    },
  },
  {
    name: 'program-password',
    class: 'secret',
    pattern: g(
      `\\b(?:sshpass -p ?|mysql(?:dump|admin)? (?:-u ?\\S{1,64} )?-p|IDENTIFIED BY )["']?(?<v>${PLAIN_VALUE})`,
    ),
    example: { before: 'sshpass -p hunter2 ssh x', after: 'sshpass -p <secret> ssh x' },
  },
  {
    name: 'authorization',
    class: 'secret',
    sign: /(?:Basic|Bearer|Digest|Negotiate) /g,
    pattern: g('\\b(?:Basic|Bearer|Digest|Negotiate) (?<v>[A-Za-z0-9+/._~=-]{8,4000})'),
    accept: (value) => /[A-Z0-9=]/.test(value),
    example: { before: 'Authorization: Basic YWxpY2U6czNjcjN0', after: 'Authorization: Basic <secret>' },
  },
  {
    name: 'cookie',
    class: 'secret',
    pattern: g('\\b(?:Set-)?Cookie: {0,4}(?<v>[^\\s][^\\n\\r"]{0,2000})', 'i'),
    example: { before: 'Cookie: sid=4f2b; theme=1', after: 'Cookie: <secret>' },
  },
  {
    name: 'secret-option',
    class: 'secret',
    pattern: g(
      `(?:${SECRET_WORDS})["']?[ \\t]{0,3}[=:][ \\t]{0,3}(?:${QUOTED('v')}|'(?<v2>[^'\\n]{1,1000})'|(?<v3>${PLAIN_VALUE}))`,
      'i',
    ),
    example: {
      before: 'root=/dev/xvda1 luks.password=hunter2 rd.luks.key="a b" quiet',
      after: 'root=/dev/xvda1 luks.password=<secret> rd.luks.key="<secret>" quiet',
    },
  },
  {
    name: 'token-option',
    class: 'secret',
    pattern: g(
      `(?:${TOKEN_WORDS})["']?[ \\t]{0,3}[=:][ \\t]{0,3}(?:${QUOTED('v')}|(?<v2>${PLAIN_VALUE}))`,
      'i',
    ),
    // libxl's watches have tokens like `3/0`.
    accept: (value) => value.length >= 6 && /[0-9A-Z]/.test(value),
    example: { before: 'coreos.token=4f1c9b27aa quiet', after: 'coreos.token=<secret> quiet' },
  },
  {
    name: 'secret-argument',
    class: 'secret',
    sign: /--?(?:[a-z]{1,20}-)?(?:pass|secret|token|api-key)/gi,
    pattern: g(
      `(?<=\\s|^|["'])--?(?:[a-z]{1,20}-)?(?:password|passwd|passphrase|pass|secret|token|api-key|secret-key)[ \\t]{1,3}(?:${QUOTED('v')}|(?<v2>[^\\s"'-]${PLAIN_VALUE.replace('{1,1000}', '{0,1000}')}))`,
      'im',
    ),
    example: { before: 'mount.cifs --password hunter2 //x', after: 'mount.cifs --password <secret> //x' },
  },
  {
    name: 'user-argument',
    class: 'secret',
    sign: /-u[ \t]/g,
    pattern: g(`(?<=\\s)-u[ \\t]{1,3}[A-Za-z0-9._-]{1,64}:(?<v>${PLAIN_VALUE})`),
    example: { before: 'curl -u root:hunter2 x', after: 'curl -u root:<secret> x' },
  },
  // Numbers that are of one machine.
  {
    name: 'uuid',
    class: 'uuid',
    sign: /-[0-9a-f]{4}-[0-9a-f]{4}-/gi,
    pattern: g(
      '(?<![0-9A-Za-z])(?<v>[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})(?![0-9A-Za-z])',
      'i',
    ),
    accept: isPrivateUuid,
    example: {
      before: 'root=UUID=d31fd777-6930-4506-a150-7718bb5770d7 ro',
      after: 'root=UUID=<uuid> ro',
    },
  },
  {
    name: 'machine-id',
    class: 'secret',
    pattern: g(
      '\\b(?:machine[_-]?id|machine ID|boot[_-]?id|PARTUUID)["\']?[ \\t]{0,3}[=:]?[ \\t]{0,3}["\']?(?<v>[0-9a-f]{8}(?:-[0-9a-f]{2}|[0-9a-f]{24}))(?![0-9a-f-])',
      'i',
    ),
    example: {
      before: 'systemd.machine_id=0123456789abcdef0123456789abcdef',
      after: 'systemd.machine_id=<secret>',
    },
  },
  {
    name: 'mac',
    class: 'mac',
    pattern: g(
      '(?<![0-9A-Za-z]|[0-9a-f][:-])(?<v>[0-9a-f]{2}:[0-9a-f]{2}:[0-9a-f]{2}:[0-9a-f]{2}:[0-9a-f]{2}:[0-9a-f]{2}|[0-9a-f]{2}-[0-9a-f]{2}-[0-9a-f]{2}-[0-9a-f]{2}-[0-9a-f]{2}-[0-9a-f]{2})(?![0-9A-Za-z]|[:-][0-9a-f]{2}(?![0-9A-Za-z]))',
      'i',
    ),
    accept: isPrivateMac,
    example: { before: 'vif = ["mac=00:16:3e:12:34:56"]', after: 'vif = ["mac=<mac>"]' },
  },
  {
    name: 'boot-interface',
    class: 'mac',
    pattern: g(
      '\\bBOOTIF=(?:01-)?(?<v>[0-9a-f]{2}-[0-9a-f]{2}-[0-9a-f]{2}-[0-9a-f]{2}-[0-9a-f]{2}-[0-9a-f]{2})',
      'i',
    ),
    example: { before: 'BOOTIF=01-52-54-00-12-34-56 ro', after: 'BOOTIF=01-<mac> ro' },
  },
  {
    name: 'ipv6',
    class: 'ipv6',
    sign: /:[0-9a-f]{0,4}:/gi,
    pattern: g(
      '(?<![0-9A-Za-z.]|[0-9a-f:]:)(?<v>[0-9a-f]{0,4}:[0-9a-f:]{0,37}(?:[0-9a-f]|::))(?![0-9A-Za-z]|:[0-9a-f:]|\\.\\d)',
      'i',
    ),
    accept: isPrivateIpv6,
    example: {
      before: 'eth0: fd00:12::5/64 via fe80::1 from [2a02:810d::1]:22',
      after: 'eth0: <ipv6>/64 via fe80::1 from [<ipv6>]:22',
    },
  },
  {
    name: 'ipv4',
    class: 'ipv4',
    pattern: g('(?<![\\d.])(?<v>\\d{1,3}\\.\\d{1,3}\\.\\d{1,3}\\.\\d{1,3})(?!\\d|\\.\\d)'),
    accept: (value, before) => isPrivateIpv4(value) && !VERSION.test(before),
    example: {
      before: 'ip=10.1.2.3::10.1.2.1:255.255.255.0:::off lo 127.0.0.1 driver version 1.2.3.4',
      after: 'ip=<ipv4>::<ipv4>:255.255.255.0:::off lo 127.0.0.1 driver version 1.2.3.4',
    },
  },
  {
    name: 'ipv4-dashed',
    class: 'ipv4',
    sign: /-\d{1,3}-\d{1,3}-\d/g,
    pattern: g(
      '(?<=[A-Za-z]-?)(?<!(?:linux|kernel|version|gcc|xen|image|v)-?)(?<v>\\d{1,3}-\\d{1,3}-\\d{1,3}-\\d{1,3})(?![\\d-])',
      'i',
    ),
    accept: (value) => isPrivateIpv4(value.replaceAll('-', '.')),
    example: { before: 'at ip-10-1-2-3 now', after: 'at ip-<ipv4> now' },
  },
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
      `\\b(?:nfsroot|nfsaddrs|root=nfs|iscsi|netroot|server|gateway|nameserver|dns\\d?|ntp|netconsole_host|logserver|syslog)=(?:nfs:|iscsi:)?(?<v>[A-Za-z]${HOST_REST})`,
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
      '\\b(?:for (?:invalid )?user|[Ii]nvalid user|[Ss]ession opened for user|[Ss]ession closed for user|of user|new user:? name=|Accepted (?:password|publickey|keyboard-interactive/pam) for|Failed password for|LOGIN ON \\S{1,20} BY|logged in as|USER=|password for|sudo: {1,8}) ?[\'"]?(?<v>[A-Za-z_][A-Za-z0-9._-]{0,63})',
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
      '(?<![A-Za-z0-9._%+-])(?<v>[A-Za-z0-9_][A-Za-z0-9._%+-]{0,63}(?:@|%40)[A-Za-z0-9][A-Za-z0-9.-]{0,252}\\.[A-Za-z]{2,24})(?![A-Za-z0-9])',
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
  {
    name: 'cut-word',
    class: 'secret',
    local: true,
    pattern: g(
      '\\[\\.\\.\\. \\d{1,15} bytes left out \\.\\.\\.\\]\\n(?<v>[^\\s[]\\S{0,300})|(?=\\n\\[\\.\\.\\. \\d{1,15} bytes left out)(?<=(?<v2>\\S{1,300}))',
    ),
    example: {
      before: 'quiet psk=hun\n[... 100 bytes left out ...]\nter2 quiet',
      after: 'quiet <secret>\n[... 100 bytes left out ...]\n<secret> quiet',
    },
  },
];
