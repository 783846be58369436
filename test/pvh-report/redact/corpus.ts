// Reports with planted secrets: names, addresses and credentials out of a seeded generator, put into the lines of a real console and
// the files around it, in ordinary and odd places. What was planted is told, so that a test can look for it without our own rules.
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { ArchiveFile } from '../../../tools/pvh-report/archive.ts';
import { renderManifest } from '../../../tools/pvh-report/manifest.ts';
import { withPage } from '../../../tools/pvh-report/page-file.ts';
import { madeUpFiles, madeUpManifest } from '../support.ts';

const GOLDEN = fileURLToPath(new URL('../../golden/xen-4.17/dom0/guest-sysrq1.log', import.meta.url));

/** Numbers in [0, 1) from a seed: mulberry32, public domain. */
function numbers(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

interface Planted {
  readonly host: string;
  readonly other: string;
  readonly guest: string;
  readonly user: string;
  readonly company: string;
  readonly ipv4: string;
  readonly ipv6: string;
  readonly mac: string;
  readonly uuid: string;
  readonly root: string;
  readonly password: string;
  readonly token: string;
  readonly hex: string;
  readonly aws: string;
  readonly jwt: string;
  readonly pem: readonly string[];
}

const SYLLABLES =
  'bar dun fel gor hin jul kap lom mir nex oth pra qui ros sul tev ulm vok wys xan yor zed'.split(' ');

function plant(random: () => number): Planted {
  const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)] as T; // not empty
  const number = (below: number): number => Math.floor(random() * below);
  const text = (alphabet: string, length: number): string =>
    Array.from({ length }, () => alphabet[number(alphabet.length)]).join('');
  const word = (syllables: number): string =>
    Array.from({ length: syllables }, () => pick(SYLLABLES)).join('');
  const hex = (length: number): string => text('0123456789abcdef', length);
  const base64 = (length: number): string =>
    text('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/', length);
  const host = `${word(1 + number(2))}${pick(['', '-'])}${1 + number(99)}`;
  const b = (): number => 1 + number(250);
  return {
    host,
    other: `${word(2)}-${word(1)}`,
    guest: `${word(2)}${pick(['', '-vm', '_7'])}`,
    user: word(2 + number(2)),
    company: `${word(2)}-${word(2)}`,
    ipv4: pick([
      `10.${b()}.${b()}.${b()}`,
      `192.168.${b()}.${b()}`,
      `172.17.${number(10)}.${number(10)}`,
      `81.${b()}.${b()}.${b()}`,
    ]),
    ipv6: pick([
      `fd${hex(2)}:${1 + number(9)}::${1 + number(9)}${hex(2)}`,
      `2a02:${hex(3)}1:${hex(3)}2:a::${hex(3)}7`,
    ]),
    mac: `52:54:${hex(2)}:${hex(2)}:${hex(2)}:${hex(2)}`,
    uuid: `${hex(8)}-${hex(4)}-4${hex(3)}-a${hex(3)}-${hex(12)}`,
    root: `${hex(8)}-${hex(4)}-4${hex(3)}-8${hex(3)}-${hex(12)}`,
    password: `${word(1)}${text('!#%+*_', 1)}${text('ABCDEFGHKLMN', 2)}${number(1000) + 1000}`,
    token: `${text('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789', 20)}q`,
    hex: `${hex(31)}c`,
    aws: `AKIA${text('ABCDEFGHIJKLMNOPQRSTUVWXYZ234567', 16)}`,
    jwt: `eyJ${base64(20).replaceAll(/[+/]/g, 'x')}.eyJ${base64(30).replaceAll(/[+/]/g, 'y')}.${base64(24).replaceAll(/[+/]/g, 'z')}`,
    pem: [`MII${base64(61)}`, base64(64), `${base64(21)}==`],
  };
}

/** Lines that programs print. Each names what it names where a rule has to see it. */
const TELLING: readonly ((p: Planted) => string)[] = [
  (p) =>
    `[    0.000000] Command line: root=UUID=${p.root} console=hvc0 systemd.hostname=${p.host} luks.password=${p.password} quiet`,
  (p) =>
    `[    0.000000] Kernel command line: BOOT_IMAGE=/vmlinuz ip=${p.ipv4}::${p.ipv4}:255.255.255.0:${p.host}:eth0:off rd.luks.key=${p.hex}`,
  (p) => `[    3.125000] systemd[1]: Hostname set to <${p.host}>.`,
  (p) =>
    `Nov 22 10:11:12 ${p.host} sshd[812]: Accepted publickey for ${p.user} from ${p.ipv4} port 51120 ssh2`,
  (p) =>
    `2026-11-22T10:11:12.123456+00:00 ${p.host} sudo: pam_unix(sudo:session): session opened for user ${p.user}(uid=1000)`,
  (p) => `[   12.000001] xen_netfront: eth0: ${p.mac} up, peer ${p.ipv6}`,
  (p) =>
    `curl: (6) Could not resolve https://${p.user}:${p.password}@${p.other}.${p.company}.com/api?token=${p.token}&x=1`,
  (p) => `env: AWS_ACCESS_KEY_ID=${p.aws} API_TOKEN="${p.token}" HOME=/home/${p.user} HOSTNAME=${p.host}`,
  (p) =>
    `{"level":"info","user":"${p.user}","password":"${p.password}","host":"${p.other}.${p.company}.com","addr":"${p.ipv4}:8443"}`,
  (p) => `Authorization: Bearer ${p.jwt}`,
  (p) => `mail for ${p.user}@${p.company}.com bounced`,
  (p) => `${p.host} login: ${p.user}`,
  (p) => ['-----BEGIN RSA PRIVATE KEY-----', ...p.pem, '-----END RSA PRIVATE KEY-----'].join('\n'),
  (p) =>
    `[   13.500000] nfs: server ${p.other}.${p.company}.com not responding, nfsroot=${p.ipv4}:/export/${p.guest}`,
  (p) => `${p.user}@${p.host}:~$ cat /home/${p.user}/notes`,
];

/** The same things where nothing says what they are. */
const ODD: readonly ((p: Planted) => string)[] = [
  (p) => p.host,
  (p) => p.password,
  (p) => `${p.ipv4}`,
  (p) => `x ${p.user}`,
  (p) => `"${p.host}","${p.user}","${p.password}"`,
  (p) => `[${p.host}] (${p.user}) <${p.mac}> {${p.uuid}}`,
  (p) => `ip-${p.ipv4.replaceAll('.', '-')}.${p.company}.com`,
  (p) => `host ${p.host.toUpperCase()} and mac ${p.mac.toUpperCase()}`,
  (p) => `/local/domain/7/data/${p.host}/${p.guest} = "${p.ipv4}"`,
  (p) => `GET /login?next=%2Fhome&pw=${encodeURIComponent(p.password)} from ${p.ipv6}:`,
  (p) => `got ${p.token};${p.aws},${p.hex}.`,
  (p) => `blob ${Buffer.from(`${p.user}:${p.password}`).toString('base64')} end`,
  (p) => `{\\"secret\\":\\"${p.password}\\"} vif-${p.guest}.0 tap_${p.guest}`,
  (p) => `(XEN) [2026-11-22 10:59:00] d1v0 ${p.host}: ${p.ipv4}/24`,
  (p) => `arp ${p.ipv4} is-at ${p.mac.replaceAll(':', '-')}`,
  (p) => `[   14.0] BUG? ${p.uuid.toUpperCase()} vs ${p.root}`,
  (p) => `\u001b[1;32m${p.user}\u001b[0m \u00e9${p.password}\u00e9 ${p.company}`,
];

/** What identifies the crash and must come out as it went in. */
export const EVIDENCE: readonly string[] = [
  '[   15.100000] BUG: kernel NULL pointer dereference, address: 0000000000000008',
  '[   15.100100] RIP: 0010:list_del_entry+0x12/0x340',
  '[   15.100200] Code: 48 89 e5 41 54 0f 0b <0f> 0b 66 90 de ad be ef 00 16 3e 12 34 56',
  '[   15.100300] RSP: 0018:ffffc90000617c60 EFLAGS: 00010246',
  '[   15.100400] RAX: 0000000000000000 RBX: ffff888003e01000 RCX: 00000000deadbeef',
  '[   15.100500] CR2: 0000000000000008 CR3: 00000000061aa000 CR4: 00000000001106b0',
  ' ffffffff8101ca70 00000003823697b9 2851af7ca8dccc00 ffffffff823697b9',
  '                    [<ffffffff81a03db3>] xen_hypercall_amd+0x3 <--',
  '[   15.100600]  ? __die_body.cold+0x1a/0x1f',
];

export interface CorpusReport {
  readonly name: string;
  readonly files: readonly ArchiveFile[];
  /** Texts that must not be in the redacted report, in any case. */
  readonly secrets: readonly string[];
}

const encode = (text: string): Uint8Array => new TextEncoder().encode(text);

/** Report number `seed` of the corpus: the same for the same seed. */
export function corpusReport(seed: number): CorpusReport {
  const random = numbers(seed * 7919 + 1);
  const planted = plant(random);
  const real = readFileSync(GOLDEN, 'utf8').split('\n');
  const from = Math.floor(random() * (real.length - 60));
  const lines = real.slice(from, from + 60);
  // Every report has all that tells; how it is mixed differs.
  for (const line of [...TELLING, ...ODD])
    lines.splice(Math.floor(random() * (lines.length + 1)), 0, line(planted));
  const at = Math.floor(random() * lines.length);
  const console_ = [...lines.slice(0, at), ...lines.slice(at), ...EVIDENCE, ''].join(
    random() < 0.5 ? '\n' : '\r\n',
  );
  const crash = {
    name: planted.guest,
    frames: ['list_del_entry', 'remove_waiter', `fn_${seed}`, 'do_exit'],
    registers: { rax: 'deadbeef', rip: 'ffffffff81000123 list_del_entry+0x12', rsp: 'ffffc90000617c60' },
    console: console_,
    config: [
      `name = "${planted.guest}"`,
      `uuid = "${planted.uuid}"`,
      `kernel = "/home/${planted.user}/vmlinux"`,
      `vif = ["mac=${planted.mac},ip=${planted.ipv4},bridge=xenbr0"]`,
      `extra = "root=UUID=${planted.root} luks.password=${planted.password} rd.luks.key=${planted.hex}"`,
      '',
    ].join('\n'),
    xenLog: `(XEN) d1v0 crashed\n(XEN) ${planted.guest} is gone\n`,
  };
  const more: readonly (readonly [string, string])[] = [
    ['host-uname.txt', `Linux ${planted.host} 6.1.0-56-amd64 #1 SMP x86_64 GNU/Linux\n`],
    ['host-xl-info.txt', `host                   : ${planted.host}\nxen_version            : 4.17.7\n`],
    [
      'host-xl-list.txt',
      `Name                                        ID   Mem VCPUs\tState\tTime(s)\n${planted.other.padEnd(40)}    12   128     1     -b----      13.3\n`,
    ],
    [
      'xl-list-long.json',
      `${JSON.stringify([{ domid: 1, config: { c_info: { name: planted.guest, uuid: planted.uuid }, b_info: { kernel: `/home/${planted.user}/v`, cmdline: `quiet password=${planted.password} "${planted.host}"` }, nics: [{ mac: planted.mac }] } }], undefined, 4)}\n`,
    ],
    [
      'xenstore.txt',
      `/local/domain/1/name = "${planted.guest}"   (n0,r1)\n/vm/${planted.uuid}/vnc-password = "${planted.password}"\n`,
    ],
    [
      'xl-log.txt',
      `Waiting for domain ${planted.guest} (domid 1) to die\nParsing config from /etc/xen/${planted.guest}.cfg\n`,
    ],
  ];
  const files = [...madeUpFiles(crash), ...more.map(([name, text]) => ({ name, bytes: encode(text) }))];
  const manifest = madeUpManifest(crash, files);
  const told = {
    ...manifest,
    domain: { ...manifest.domain, uuid: planted.uuid },
    missing: [
      { item: 'qemu-log.txt', reason: `no qemu-dm-${planted.guest}.log on ${planted.host}`, required: false },
    ],
  };
  const places = ['manifest.json', 'report.html'].map((name) => ({ name, bytes: new Uint8Array() }));
  const withManifest = withPage([...places, ...files], (some) =>
    renderManifest({ ...told, files: madeUpManifest(crash, some.slice(1)).files }),
  );
  const { pem, ipv4, mac, ...single } = planted;
  return {
    name: `pvh-report_${planted.guest}`,
    files: withManifest.files,
    secrets: [
      ...Object.values(single),
      ...pem,
      ...[ipv4, ipv4.replaceAll('.', '-'), mac, mac.replaceAll(':', '-')],
      encodeURIComponent(planted.password),
      Buffer.from(`${planted.user}:${planted.password}`).toString('base64'),
    ],
  };
}
