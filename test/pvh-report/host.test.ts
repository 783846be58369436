// `pvh-report collect` of a domain of a Xen host: what is taken, within which bounds, and what is said when it cannot be had.
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { compareReports } from '../../tools/pvh-report/diff/compare.ts';
import { type Manifest, parseManifest } from '../../tools/pvh-report/manifest.ts';
import { readReport } from '../../tools/pvh-report/report.ts';
import { unpackArchive } from '../../tools/pvh-report/unpack.ts';
import { XenHost } from './xen-host.ts';

let host: XenHost;
beforeEach(() => {
  host = new XenHost();
});
afterEach(() => host[Symbol.dispose]());

interface Opened {
  readonly manifest: Manifest;
  text(name: string): string;
  bytes(name: string): Uint8Array | undefined;
}

async function open(report: string): Promise<Opened> {
  // As whoever receives it: every file held against the manifest.
  await readReport(report);
  const { files } = await unpackArchive(readFileSync(report), report);
  const bytes = (name: string) => files.get(name);
  const text = (name: string) => new TextDecoder().decode(bytes(name));
  return { manifest: parseManifest(text('manifest.json'), report), text, bytes };
}

const ledger = ({ manifest }: Opened) =>
  Object.fromEntries(
    manifest.missing.map(({ item, cause, reason, required }) => [item, { cause, reason, required }]),
  );

const isAlive = (pid: number): boolean =>
  existsSync(`/proc/${pid}`) && !/^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));

/** A signal that ends a process takes its time on a busy machine. */
const untilGone = (pids: readonly number[]): Promise<void> =>
  expect.poll(() => pids.filter(isAlive), { timeout: 30_000 }).toEqual([]);

const ALL = [
  ...[
    'console.log',
    'crash.json',
    'guest-dmesg.txt',
    'host-dmesg.txt',
    'host-uname.txt',
    'host-xl-dmesg.txt',
    'host-xl-info.txt',
  ],
  ...[
    'host-xl-list.txt',
    'memory.core',
    'report.html',
    'target.json',
    'xenctx-unwind.txt',
    'xenctx.json',
    'xenctx.txt',
    'xenstore-libxl.txt',
  ],
  ...[
    'xenstore-vm.txt',
    'xenstore.txt',
    'xl-list-long.json',
    'xl-list.txt',
    'xl-log.txt',
    'xl-vcpu-list.txt',
  ],
];

describe('a whole report of a Xen host', () => {
  test('has what the host says beside our own xenctx', async () => {
    const { status, out, err, report } = await host.collect();
    expect([status, out]).toEqual([0, `${report}\n`]);
    expect(err).toBe('');
    const made = await open(report);
    expect(made.manifest.files.slice(3).map(({ name }) => name)).toEqual(ALL);
    expect(made.manifest.files.find(({ name }) => name === 'report.html')?.privacy).toBe('host');
    expect(made.manifest).toMatchObject({
      source: 'xen',
      host: { collectedAt: '2026-11-22T12:00:00.000Z', root: true },
      domain: { name: 'sysrq1', domid: 1 },
      state: 'shutdown',
      shutdownReason: 'crash',
      xen: '4.17.7',
      kernel: { buildId: '3b43fad5034874490492495d552c0af6a5fab235' },
    });
    expect(ledger(made)).toMatchObject({
      'host-hypervisor.log': { cause: 'absent', required: false },
      'qemu-log.txt': { cause: 'absent', required: false },
      'xl-dmesg.txt': { cause: 'absent', reason: 'xl dmesg has no line about this domain any more' },
    });
    expect(made.text('xenstore.txt')).toContain('/local/domain/1/name = "sysrq1"');
    expect(made.text('xenctx-unwind.txt')).toContain(' sysrq_handle_crash+0x16/0x20');
    const summary = made.text('report.txt');
    for (const line of [
      /^sysrq1 \(domain 1\): shut down, reason crash$/m,
      /^message +Kernel panic - not syncing: sysrq triggered crash$/m,
      /^where +vcpu0 in sysrq_handle_crash\+0x16\/0x20, called by __handle_sysrq$/m,
      /^xl list +---sc-$/m,
      /^kernel file +vmlinuz$/m,
      /^command line +console=hvc0 crash=sysrq$/m,
      /^machine +128 MiB, 1 vCPU, Xen 4\.17\.7$/m,
      /^collected +2026-11-22T12:00:00\.000Z$/m,
    ])
      expect(summary).toMatch(line);
  });

  test('says which files tell of the host, and which command printed them', async () => {
    const { manifest } = await open((await host.collect()).report);
    const byName = new Map(manifest.files.map((file) => [file.name, file]));
    expect(byName.get('host-xl-list.txt')).toMatchObject({
      privacy: 'host',
      command: 'xl list',
      origin: 'raw',
    });
    expect(byName.get('xl-vcpu-list.txt')).toMatchObject({ privacy: 'none', command: 'xl vcpu-list 1' });
  });

  test('is the same crash for diff as another report of it, and so is one of a dump', async () => {
    const [a, b] = [await host.collect(), await host.collect({ skip: ['host-*'] })];
    const cli = (...args: string[]) =>
      execFileSync(
        process.execPath,
        ['--import', './tools/dev/typescript.mjs', 'tools/bin/pvh-report.ts', ...args],
        { encoding: 'utf8' },
      );
    expect(cli('diff', a.report, b.report)).toMatch(
      /^same crash: ending, message and the first 2 frames agree/,
    );
  });

  test('is compared with another by its configuration, key by key', async () => {
    const before = await readReport((await host.collect()).report);
    host.edit('xl', 'cmdline": "console=hvc0', 'cmdline": "quiet');
    const after = await readReport((await host.collect()).report);
    const { config, judgement } = compareReports(before, after);
    expect(judgement.verdict).toBe('same');
    expect(config).toEqual([{ what: 'cmdline, words', a: 'console=hvc0', b: 'quiet', harmless: false }]);
  });

  test('of a domain that Xen itself ended has the lines about it, and its vCPU', async () => {
    const { report } = await host.collect(
      { skip: ['xenctx*', 'crash', 'xl-list*'] },
      { domain: { domid: 68 } },
    );
    const made = await open(report);
    expect(made.text('xl-dmesg.txt')).toContain('(XEN) d68v0 Triple fault - invoking HVM shutdown action 1');
    expect(made.text('xl-dmesg.txt')).not.toContain('HVM68');
    expect(made.manifest).toMatchObject({ shutdownVcpu: 0, state: 'unknown' });
  });

  test('writes nothing but the report', async () => {
    const everything = () => readdirSync(host.folder, { recursive: true, encoding: 'utf8' }).sort();
    const before = everything();
    const { report } = await host.collect();
    expect(everything().filter((name) => !before.includes(name))).toEqual([
      report.slice(host.folder.length + 1),
    ]);
  });

  test('whose registers cannot be read is made all the same, and is partial', async () => {
    const { status, report } = await host.collect({}, { openFails: 'no usable libxenctrl of Xen 4.17' });
    const made = await open(report);
    expect(status).toBe(3);
    expect(ledger(made)['xenctx.txt']).toEqual({
      cause: 'failed',
      reason: 'no usable libxenctrl of Xen 4.17',
      required: true,
    });
    expect(made.text('report.txt')).toMatch(
      /^sysrq1 \(domain 1\): shut down, reason crash\n\nmessage +Kernel panic/,
    );
  });
});

describe('where our own way to Xen is closed', () => {
  test('xl says which domain it is, and the report has all but registers', async () => {
    const { status, report } = await host.collect({}, { closed: 'sysrq1' });
    const made = await open(report);
    expect(status).toBe(3);
    expect(made.manifest).toMatchObject({ domain: { name: 'sysrq1', domid: 1 }, shutdownReason: 'crash' });
    expect(ledger(made)['crash.json']).toMatchObject({ cause: 'failed', reason: 'koffi cannot be loaded' });
    expect(made.text('xenstore.txt')).toContain('sysrq1');
  });

  test.each(['nobody', '--help', 'a b', '$(reboot)'])('%j is no domain', async (closed) => {
    await expect(host.collect({}, { closed })).rejects.toThrow('xl does not know it');
  });

  test('and we are not root, the ledger says what root would have had', async () => {
    host.program('xl', 'echo "Permission denied" >&2; exit 1');
    host.program('xenstore-ls', 'echo "Permission denied" >&2; exit 1');
    const { status, err, report } = await host.collect({}, { closed: '7', isRoot: false });
    const made = await open(report);
    expect(status).toBe(3);
    expect(made.manifest.domain).toEqual({ name: 'domain-7', domid: 7, uuid: undefined });
    expect(ledger(made)).toMatchObject({
      'crash.json': { cause: 'root' },
      'xenstore.txt': {
        cause: 'root',
        reason: 'xenstore-ls -f /local/domain/7: exit status 1: Permission denied',
      },
      'xenstore-vm.txt': { cause: 'absent', reason: 'the UUID of the domain is not known' },
    });
    expect(err).toMatch(/need root/);
  });
});

test('without a log of the console, what the guest said is taken from its memory', async () => {
  const { report } = await host.collect({ skip: ['console'] });
  const made = await open(report);
  expect(made.text('guest-dmesg.txt')).toContain('Kernel panic - not syncing: sysrq triggered crash');
  expect(made.text('report.txt')).toMatch(/^message +Kernel panic - not syncing: sysrq triggered crash$/m);
  expect(made.text('report.txt')).toMatch(/^End of the guest kernel's log$/m);
  // The same as of a domain of the runtime: corpus/recorded/sysrq.
  expect((await readReport(report)).signature).toMatchObject({
    title: 'Kernel panic - not syncing: sysrq triggered crash',
    text: 'panic: sysrq triggered crash | sysrq_handle_crash | __handle_sysrq',
  });
});

describe('programs', () => {
  test('that fail are in the ledger with their status and their own words; what they printed is kept', async () => {
    host.program('xl', 'echo half of it; printf "libxl: error:\\nno \\033[2J space\\n" >&2; exit 3');
    const { status, err, report } = await host.collect();
    const made = await open(report);
    expect(status).toBe(3);
    expect(err).toContain(
      'missing: host-xl-info.txt: xl info: exit status 3: libxl: error:; no ?[2J space\n',
    );
    expect(ledger(made)['host-xl-info.txt']).toEqual({
      cause: 'failed',
      reason: 'xl info: exit status 3: libxl: error:; no ?[2J space',
      required: true,
    });
    expect(made.text('host-xl-info.txt')).toBe('half of it\n');
    expect(made.manifest.files.find(({ name }) => name === 'host-xl-info.txt')?.note).toBe(
      'not whole: see missing',
    );
  });

  test('that are not installed, and PATH folders that are none', async () => {
    host.removeProgram('xenstore-ls');
    const made = await open((await host.collect()).report);
    expect(ledger(made)['xenstore.txt']).toEqual({
      cause: 'program',
      reason: 'xenstore-ls -f /local/domain/1: xenstore-ls is not in PATH',
      required: true,
    });
  });

  test('of ours that have the name of one of Xen are not taken for it', async () => {
    host.removeProgram('xl');
    host.program('../lib/tools/bin/xl.js', 'echo ours');
    symlinkSync(host.path('lib/tools/bin/xl.js'), host.path('bin/xl'));
    const made = await open((await host.collect()).report);
    expect(ledger(made)['host-xl-info.txt']).toMatchObject({ cause: 'program' });
  });

  test('that need root say so when there is none, with what they said themselves', async () => {
    host.program('xl', 'echo "xencall: error: Permission denied" >&2; exit 1');
    const { status, err, report } = await host.collect({}, { isRoot: false });
    const made = await open(report);
    expect(status).toBe(3);
    expect(ledger(made)['host-xl-dmesg.txt']).toEqual({
      cause: 'root',
      reason: 'xl dmesg: exit status 1: xencall: error: Permission denied',
      required: true,
    });
    expect(err).toMatch(/pvh-report: \d+ of these need root/);
    expect(made.text('report.txt')).toMatch(/^collected .*, not as root$/m);
  });

  test.each([
    ['that hang and do not listen', `trap '' TERM; sleep 300 & echo $! >>PIDS; wait; sleep 300`],
    ['that listen, with children that do not', `(trap '' TERM; exec sleep 300) & echo $! >>PIDS; wait`],
  ])('%s are ended with all that they started, and keep what they printed', async (_, script) => {
    const pidFile = `'${host.path('pid')}'`;
    host.program('xl', `echo before; echo $$ >${pidFile}; ${script.replace('PIDS', pidFile)}`);
    const { status, report } = await host.collect({ only: ['host-xl-dmesg'], timeout: '3' });
    const made = await open(report);
    expect(status).toBe(3);
    expect(ledger(made)['host-xl-dmesg.txt']).toMatchObject({
      cause: 'time',
      reason: 'xl dmesg: it was not done within 3 s',
      required: true,
    });
    expect(made.text('host-xl-dmesg.txt')).toBe('before\n');
    const pids = readFileSync(host.path('pid'), 'utf8').trim().split('\n').map(Number);
    expect(pids).toHaveLength(2);
    await untilGone(pids);
  });

  test('are all ended when the deadline for everything has passed, and the report is whole all the same', async () => {
    host.program('xl', 'sleep 300');
    const { status, report } = await host.collect({
      only: ['host-uname', 'host-xl-*', 'xl-*'],
      deadline: '5',
    });
    const made = await open(report);
    expect(status).toBe(3);
    expect(ledger(made)['xl-vcpu-list.txt']).toMatchObject({
      cause: 'time',
      reason: expect.stringContaining('the deadline of 5 s for everything had passed'),
    });
    expect(made.text('host-uname.txt')).toContain('dom0');
  });

  test('that fail before they print what is looked for are the reason, not what they did not print', async () => {
    host.program('xl', 'echo "(XEN) Xen version 4.17"; exit 1');
    const made = await open((await host.collect({ only: ['xl-dmesg'] })).report);
    expect(ledger(made)['xl-dmesg.txt']).toMatchObject({
      cause: 'failed',
      reason: 'xl dmesg: exit status 1',
    });
  });

  test('that leave something running in the background are not waited for', async () => {
    host.program('uname', `sleep 60 & echo $! >'${host.path('pid')}'; echo done`);
    const { status, report } = await host.collect({ only: ['host-uname'] });
    expect([status, (await open(report)).text('host-uname.txt')]).toEqual([0, 'done\n']);
    process.kill(Number(readFileSync(host.path('pid'), 'utf8')), 'SIGKILL');
  });

  test('that print without end are cut off, in bounded memory', async () => {
    host.program('xl', 'echo first; exec yes');
    const before = process.memoryUsage().rss;
    const { report } = await host.collect({ only: ['host-xl-dmesg'] });
    expect(process.memoryUsage().rss - before).toBeLessThan(96 << 20);
    const made = await open(report);
    expect(ledger(made)['host-xl-dmesg.txt']?.reason).toMatch(/^xl dmesg: it printed more than \d+ bytes/);
    expect(made.text('host-xl-dmesg.txt')).toMatch(/^first\ny\n/);
    expect(made.bytes('host-xl-dmesg.txt')?.length).toBeLessThan((4 << 20) + 100);
  });

  test('that print much keep the beginning and the end', async () => {
    host.program('xl', 'echo first; head -c 6000000 /dev/zero | tr "\\0" x; echo last');
    const made = await open((await host.collect({ only: ['host-xl-dmesg'] })).report);
    const file = made.manifest.files.find(({ name }) => name === 'host-xl-dmesg.txt');
    expect(file?.note).toMatch(/^\d+ of 6000011 bytes left out after the first 1048576$/);
    const text = made.text('host-xl-dmesg.txt');
    expect([text.slice(0, 6), text.slice(-6)]).toEqual(['first\n', 'xlast\n']);
  });

  test('that print what is no UTF-8 are taken as they are', async () => {
    host.program('uname', "printf 'Linux \\377\\376 dom0\\n'; printf 'odd \\377\\n' >&2");
    const made = await open((await host.collect({ only: ['host-uname'] })).report);
    expect(Buffer.from(made.bytes('host-uname.txt') ?? []).toString('latin1')).toBe('Linux \xff\xfe dom0\n');
    expect(made.manifest.files.find(({ name }) => name === 'host-uname.txt')?.note).toBe('stderr: odd �');
  });

  test('that print nothing, or die of a signal', async () => {
    host.program('dmesg', 'kill -SEGV $$');
    host.program('uname', ':');
    const made = await open((await host.collect({ only: ['host-dmesg', 'host-uname'] })).report);
    expect(ledger(made)['host-dmesg.txt']).toMatchObject({
      cause: 'failed',
      reason: 'dmesg: ended by SIGSEGV',
    });
    expect(ledger(made)['host-uname.txt']).toMatchObject({
      cause: 'absent',
      reason: 'uname -a printed nothing',
    });
  });

  test('get no input and a language that everybody reads', async () => {
    host.program('uname', 'cat; echo "$LC_ALL $PWD"');
    const made = await open((await host.collect({ only: ['host-uname'] })).report);
    expect(made.text('host-uname.txt')).toBe('C /\n');
  });
});

test.each([
  ['SIGINT', 130],
  ['SIGTERM', 143],
  ['SIGHUP', 129],
] as const)(
  '%s ends a collection and what it started, and leaves nothing behind',
  async (signal, expected) => {
    host.program('xl', `echo $$ >>'${host.path('pids')}'; exec sleep 300`);
    const child = spawn(
      process.execPath,
      ['--import', './tools/dev/typescript.mjs', 'test/pvh-report/collect-cli.ts', host.folder],
      { stdio: ['ignore', 'pipe', 'pipe'] },
    );
    let err = '';
    child.stderr.on('data', (bytes) => {
      err += bytes;
    });
    const ended = new Promise<number | null>((resolve) => child.once('close', resolve));
    while (!existsSync(host.path('pids')) && child.exitCode === null)
      await new Promise((wake) => setTimeout(wake, 50));
    child.kill(signal);
    expect([await ended, err]).toEqual([expected, 'pvh-report: interrupted, nothing was written\n']);
    const pids = readFileSync(host.path('pids'), 'utf8').trim().split('\n').map(Number);
    await untilGone(pids);
    expect(readdirSync(host.folder).sort()).toEqual(['bin', 'core.sysrq1', 'log', 'pids']);
  },
);

describe('logs', () => {
  test('are taken with their rotated ones, oldest first', async () => {
    host.log('xl-sysrq1.log.1', 'newer\n');
    host.log('xl-sysrq1.log.10', 'oldest\n');
    host.log('xl-sysrq1.log.gz', 'packed\n');
    host.log('xl-sysrq11.log', 'of another domain\n');
    host.log('qemu-dm-sysrq1.log', 'qemu: terminating\n');
    const made = await open((await host.collect({ only: ['*-log'] })).report);
    expect(made.text('xl-log.txt')).toMatch(
      /^==> xl-sysrq1\.log\.10 <==\noldest\n==> xl-sysrq1\.log\.1 <==\nnewer\n==> xl-sysrq1\.log <==\nWaiting for domain sysrq1/,
    );
    expect(made.text('qemu-log.txt')).toBe('qemu: terminating\n');
  });

  test('of a domain that was renamed when it crashed lie under its old name', async () => {
    const name = 'sysrq1-20261122T1059Z';
    const made = await open(
      (await host.collect({ only: ['console', 'xl-log'] }, { domain: { name } })).report,
    );
    expect(made.text('console.log')).toContain('sysrq triggered crash');
    expect(made.text('xl-log.txt')).toContain('reason code 3');
  });

  test.each(['../../etc/passwd', 'a/b', '', 'x'.repeat(300)])(
    'of a domain called %j are not looked for',
    async (name) => {
      const { report } = await host.collect({ only: ['console'] }, { domain: { name } });
      expect(ledger(await open(report))['console.log']?.reason).toBe(
        'the name of the domain cannot be that of a file',
      );
    },
  );

  test('that are links or pipes are not followed', async () => {
    host.log('secret', 'secret');
    mkdirSync(join(host.logFolder, 'x'));
    symlinkSync(join(host.logFolder, 'secret'), join(host.logFolder, 'qemu-dm-sysrq1.log'));
    execFileSync('/usr/bin/mkfifo', [join(host.logFolder, 'console/hypervisor.log')]);
    const made = await open((await host.collect({ only: ['qemu-log', 'host-hypervisor'] })).report);
    expect(ledger(made)['qemu-log.txt']).toMatchObject({
      cause: 'failed',
      reason: expect.stringContaining('ELOOP'),
    });
    expect(made.text('host-hypervisor.log')).toBe('');
  });
});

describe('a choice of files', () => {
  test('--only and --skip are in the ledger, and make nothing partial', async () => {
    const { status, report } = await host.collect({ only: ['host-*,xl-list'], skip: ['host-xl-dmesg.txt'] });
    const made = await open(report);
    expect(status).toBe(0);
    expect(made.manifest.files.slice(3).map(({ name }) => name)).toEqual([
      ...['host-dmesg.txt', 'host-uname.txt', 'host-xl-info.txt', 'host-xl-list.txt', 'xl-list.txt'],
    ]);
    expect(ledger(made)['xenctx.txt']).toEqual({
      cause: 'skipped',
      reason: 'left out by --only or --skip',
      required: false,
    });
  });

  test.each([
    [
      { only: ['nonsense'] },
      /--only nonsense: no report has a file of that name; there are: console\.log crash\.json/,
    ],
    [{ only: ['guest.cfg'] }, /nothing to collect/],
    [{ timeout: 'soon' }, /--timeout soon: not a number of seconds/],
    [{ deadline: '0' }, /--deadline 0: not a number of seconds/],
  ])('%j is refused', async (options, message) => {
    await expect(host.collect(options)).rejects.toThrow(message);
  });

  test('--dry-run says what would be taken and runs nothing', async () => {
    host.program('xl', `touch '${host.path('ran')}'`);
    const { status, out, report } = await host.collect({ dryRun: true, timeout: '5' }, { isRoot: false });
    expect(status).toBe(0);
    expect(out).toMatch(/^xl-vcpu-list\.txt +256 KiB +5 s +none +yes +xl vcpu-list 1$/m);
    expect(out).toMatch(/^xenstore-vm\.txt .* xenstore-ls -f \/vm\/d31fd777-6930-4506-a150-7718bb5770d7$/m);
    expect(out).toMatch(/^You are not root: \d+ of these need it\.$/m);
    expect([existsSync(host.path('ran')), existsSync(report)]).toEqual([false, false]);
    const { out: json } = await host.collect({ dryRun: true, json: true });
    expect(JSON.parse(json)).toMatchObject({
      schema: 'pvh-report-plan/1',
      domain: { source: 'xen', domid: 1 },
    });
  });

  test('--estimate collects, tells the sizes and writes nothing', async () => {
    const { status, out, report } = await host.collect({ estimate: true });
    expect(status).toBe(0);
    expect(out).toMatch(/^host-xl-info\.txt +1448 +\d+\.\d\d$/m);
    expect(out).toMatch(/would have \d+ bytes\. Nothing was written\.$/m);
    expect(existsSync(report)).toBe(false);
  });
});
