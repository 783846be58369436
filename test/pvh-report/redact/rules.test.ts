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
    for (const form of [standIn, standIn.replaceAll(/[.:]/g, '-'), standIn.replaceAll('.', '_')])
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
  'xen 4.17.0.1 ok; e1000e 3.2.6.1-k; usb 1-1.2.3.4: new device; driver version 4.17.0.1',
  'nvme: serial number: none, sd 0:0:0:0: [sda] 2:0:0:0, audit(1700000000.1:1)',
  "Loaded X.509 cert 'Debian Secure Boot CA: 6ccece7e4c6c0d1f6149f3dd27dfcc5cbb419ea1'",
])('left alone: %s', (line) => {
  const { made, leaks } = redact(line);
  expect(made).toBe(line);
  expect(leaks).toEqual([]);
});

/** What is private is in guillemets. */
test.each([
  'PASS=«hunter2x»',
  'DB_PASS="«hunter2x»" x',
  'connect: Server=127.0.0.1;Password=«hunter2x;Encrypt=1»',
  'aws_secret_access_key = «wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY»',
  '{"access_token":"«abCD1234efgh»","expires":3600}',
  '{"client_secret": "«abCD1234efgh»"}',
  'x-api-key: «abCD1234efgh»',
  'PrivateKey = «yAnz5TF1lXXJte14tji3zlMNq1hd2rYUIgJBgB3fBmk»=',
  'https://:«p@ss,wd»@127.0.0.1/',
  'GET /blob?sv=1&sig=«abCD1234efgh» HTTP/1.1',
  'X-Amz-Signature=«abcd1234abcd1234abcd»',
  'mysql -u root -p«hunter2x» db',
  'vm-«d31fd777-6930-4506-a150-7718bb5770d7»-disk0 {«D31FD777-6930-4506-A150-7718BB5770D7»}',
  'UUID=«d31fd777-6930-4506-a150-7718bb5770d7» dm vg-«d31fd777--6930--4506--a150--7718bb5770d7»',
  'dhcp-«10-1-2-3» is up, linux-image-6-1-0-56',
  'addr:«fd00:1::17» from «fd00:1::18»: no route, fd00 face',
  'HWaddr:«52:54:00:ab:cd:ef»: link',
  'DB01.«MUSTER-WERKE».COM',
  'mailto=«mmuster»%40«muster-werke».com',
  'pam_unix: session opened for user root by «mmuster»(uid=0)',
  'dir C:\\Users\\«mmuster»\\x',
  'sshd[1]: Failed password for invalid user «mmuster» from «10.1.2.3» port 22',
  '/var/log/journal/«0123456789abcdef0123456789abcdef»/system.journal',
  'rd.md.uuid=«d31fd777:69304506:a1507718:bb5770d7» ifname=eth0:«52:54:00:12:34:56»',
  'root=nfs4:«filer3»:/x mount.nfs: «filer3»:/x',
  'Authorization: token «abcdef0123456789abcd»',
  'ssh-ed25519 | «aa:bb:cc:dd:ee:ff:00:11:22:33:44:55:66:77:88:99» | - | «mmuster»@«virt7» |',
  'netroot=iscsi:«filer3»::::iqn.2005-10.«com».«muster»:disk1',
  'vfb = ["type=vnc,vncpasswd=«s3cr3t»"]',
  'netconsole=6665@«10.1.2.3»/eth0,6666@«10.1.2.4»/«52:54:00:12:34:56»',
  '[«2a02:8109::1»]:8443 «2a02:8109::2»%eth0',
  '«10.1.2.3»',
  '(«10.1.2.3»), «10.1.2.4»:22 «10.1.2.0»/24 «10.1.2.5».',
  '\u001b[32m«10.1.2.3»\u001b[0m',
  'localhost login: «ali»\u001b[0m«ce»\n«alice» is in, «alic»\u001b(B\u001b[m«e», not \u001b[1m«ALICE»\u001b[0mx',
  'rd.luks.key=«hun»\u001b[1;31m«ter»\u001b[0m«2x» \u001b[31mroot\u001b[0m@«10.1»\u001b[0m«.2.3» cpu\u001b[20Cs',
])('%s', (marked) => {
  const before = marked.replaceAll(/[«»]/g, '');
  const { made, leaks } = redact(before);
  for (const [, secret = ''] of marked.matchAll(/«([^»]*)»/g)) expect(made).not.toContain(secret);
  for (const left of marked
    .replaceAll(/«[^»]*»/g, '\n')
    .replaceAll(/DB01\./g, '')
    .split('\n'))
    expect(made).toContain(left);
  expect(made.length).toBe(before.length);
  expect(leaks).toEqual([]);
});
