// Every rule on its own example, and what no rule may touch.
import { expect, test } from 'vitest';
import { openDocument } from '../../../tools/pvh-report/redact/document.ts';
import { Redactor } from '../../../tools/pvh-report/redact/redact.ts';
import { RULES } from '../../../tools/pvh-report/redact/rules.ts';
import { Vault } from '../../../tools/pvh-report/redact/vault.ts';

const key = Buffer.from('a key for tests, of no worth');

/** One text, redacted; stand-ins shown as their class in angle brackets. */
function redact(text: string, file = 'console.log', keep: readonly string[] = []) {
  const vault = new Vault(key, new Set(), [], new Map());
  const redactor = new Redactor(vault, new Set(keep));
  const document = openDocument(file, Buffer.from(text));
  redactor.learn([document]);
  const { bytes, leaks } = redactor.redact(document);
  const made = Buffer.from(bytes).toString();
  let shown = made;
  const standIns = [...vault.values].sort((a, b) => b.standIn.length - a.standIn.length);
  for (const { standIn, class: kind } of standIns) {
    for (const form of [standIn, standIn.replaceAll('.', '-'), standIn.replaceAll('.', '_')])
      shown = shown.replaceAll(form, `<${kind}>`);
  }
  return { made, shown, leaks: [...leaks, ...redactor.leaks(file, bytes)] };
}

test.each(RULES)('$name', ({ example: { file, before, after } }) => {
  const { made, shown, leaks } = redact(before, file);
  expect(shown).toBe(after);
  expect(leaks).toEqual([]);
  expect(made.split('\n').map((line) => line.length)).toEqual(before.split('\n').map((line) => line.length));
  expect(redact(made, file).made.length).toBe(made.length);
});

test('a rule that is kept leaves its example alone', () => {
  for (const rule of RULES) {
    const { before, file } = rule.example;
    const classes = RULES.map((each) => each.class);
    expect(redact(before, file, classes).made).toBe(before);
  }
});

test.each([
  'rip: ffffffff81a03db3 xen_hypercall_amd+0x3',
  'rax: 0000000000000000	rcx: 0000000000000001	rdx: 0000000000000001',
  ' gs: 0000 @ ffff888007a00000/0000000000000000/',
  '41 59 41 5a 41 5b 5e 5f 5a 59 58 74 05 eb 13 0f 1f 00 0f 01 d9 <e9> a8 dc 3f 00 0f 1f 84 00 00 00 ',
  ' ffffffff8101ca70 00000003823697b9 2851af7ca8dccc00 ffffffff823697b9',
  '[   12.3] Code: 48 89 e5 41 54 0f 0b <0f> 0b 66 90 RIP: 0010:panic+0x12/0x340',
  '[   12.3] RSP: 0018:ffffc90000617c60 EFLAGS: 00010246',
  'hw_caps                : 178bf3fd:c2d82203:24500800:00000077:00000000:00880189:00000000:00000000',
  'build_id               : 151b373fd64b321593bf987fd923cd10dabadac4',
  'Linux version 6.1.0-56-cloud-amd64 (debian-kernel@lists.debian.org) (gcc-12 (Debian 12.2.0-14+deb12u1) 12.2.0) #1 SMP',
  'Linux version 6.1.0 (max@build.muster-werke.com) (gcc 12) #1 SMP',
  'cc_compile_by          : pkg-xen-devel',
  'cc_compile_domain      : lists.alioth.debian.org',
  'libxl: debug: libxl_event.c:812:libxl__ev_xswatch_register: watch w=0x55dc wpath=@releaseDomain token=3/0: register',
  'ACPI: XSDT 0x00000000FC007F50 000034 (v01 Xen    HVM      00000000 HVML 00000000)',
  'BIOS-e820: [mem 0x0000000000000000-0x000000000009ffff] usable',
  'pci 0000:00:1f.2: [8086:2922] type 00 class 0x010601',
  'inet 127.0.0.1 netmask 255.255.255.0 broadcast 255.255.255.255 any 0.0.0.0 multicast 224.0.0.1',
  'lo: ::1/128 all ff02::1 link fe80::1',
  'brd ff:ff:ff:ff:ff:ff vif fe:ff:ff:ff:ff:ff lo 00:00:00:00:00:00',
  'systemd[1]: Started dbus.service - D-Bus System Message Bus.',
  'Freeing unused kernel image (initmem) memory: 2776K',
  'Key type dns_resolver registered',
  'Password: ',
  '12:34:56 up 1 day',
])('left alone: %s', (line) => {
  const { made, leaks } = redact(line);
  expect(made).toBe(line);
  expect(leaks).toEqual([]);
});
