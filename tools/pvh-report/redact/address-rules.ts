// Addresses and other numbers that are of one machine, and what looks like them but tells of nobody.
import { isIPv6 } from 'node:net';
import { g, type Rule } from './rule.ts';

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
const VERSION =
  /(?:^|[^A-Za-z])(?:v|(?:version|release|ver|rev|firmware|xen|linux|kernel|gcc|microcode|bios)[ :=]{1,3}v?)$|\b(?:usb|hub) \d{1,3}-$/i;

export const ADDRESS_RULES: readonly Rule[] = [
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
      '(?:\\b(?:machine[_-]?id|machine ID|boot[_-]?id|PARTUUID)["\']?[ \\t]{0,3}[=:]?[ \\t]{0,3}["\']?|log/journal/)(?<v>[0-9a-f]{8}(?:-[0-9a-f]{2}|[0-9a-f]{24}))(?![0-9a-f-])|(?:\\brd\\.md\\.uuid=|\\bUUID ?[:=] ?)(?<v2>[0-9a-f]{8}(?::[0-9a-f]{8}){3})(?![0-9a-f:])',
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
      '\\b(?:BOOTIF=(?:01-)?|ifname=[a-z0-9._-]{1,15}:)(?<v>[0-9a-f]{2}(?:[:-][0-9a-f]{2}){5})',
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
    pattern: g('(?<![\\d.])(?<v>\\d{1,3}\\.\\d{1,3}\\.\\d{1,3}\\.\\d{1,3})(?!\\d|\\.\\d|-k\\b)'),
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
];
