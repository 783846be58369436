// `pvh-report redact` and `collect --redact` as a user meets them.
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, test } from 'vitest';
import { sha256 } from '../../../tools/pvh-report/archive.ts';
import { compareReports } from '../../../tools/pvh-report/diff/compare.ts';
import { renderManifest } from '../../../tools/pvh-report/manifest.ts';
import { packArchive } from '../../../tools/pvh-report/pack.ts';
import { redactReport } from '../../../tools/pvh-report/redact/redact-report.ts';
import { readReport, unpackedOf, unpackReport } from '../../../tools/pvh-report/report.ts';
import { renderReadme } from '../../../tools/pvh-report/summary.ts';
import { unpackArchive } from '../../../tools/pvh-report/unpack.ts';
import { goldenSystemMap } from '../../fuzz/sample.ts';
import { pvhReport } from '../run.ts';
import { type MadeUpCrash, madeUpFiles, madeUpManifest, packReport, scratchFolder } from '../support.ts';
import { XenHost } from '../xen-host.ts';
import { KEY } from './key.ts';

const folder = scratchFolder();
afterAll(() => folder.remove());
const key = folder.write('key', KEY);

const crash: MadeUpCrash = {
  name: 'shop-db',
  frames: ['panic', 'mount_root', 'start'],
  registers: { rax: '1', rip: 'ffffffff81000001 panic+0x1' },
  console:
    'web-7 login: \nssh: connect to 10.1.2.3 port 22\nroot=/dev/xvda1 luks.password=hunter22\nPanic: no root\n',
  config: 'name = "shop-db"\n',
};

let number = 0;
async function make(change: Partial<MadeUpCrash> = {}): Promise<string> {
  return folder.write(`report${++number}.tar.gz`, await packReport({ ...crash, ...change }));
}

/** With the texts that `collect` writes. */
async function made(from: MadeUpCrash): Promise<string> {
  const text = (name: string, content: string) => ({ name, bytes: Buffer.from(content) });
  const files = [
    text('README.txt', renderReadme([['console.log', 'what the guest wrote on its console']])),
    text(
      'report.txt',
      `${from.name} (domain 1): shut down, reason crash\n\nmessage        Panic: no root\nmachine        16 MiB, 1 vCPU, Xen 4.17\n\nvcpu0          online\n\nStack of vcpu0 (only where it stands)\n  [<ffffffff81000001>] panic+0x1\n\nRegisters of vcpu0\n     rip ffffffff81000001\n\nEnd of the console\n  Panic: no root\n\nMissing\n  nothing\n`,
    ),
    ...madeUpFiles(from),
  ];
  const manifest = {
    ...madeUpManifest(from, files),
    memory: { taken: 'stacks', frames: 1, leftOut: 0 } as const,
  };
  const all = [text('manifest.json', renderManifest(manifest)), ...files];
  return folder.write(`report${++number}.tar.gz`, (await packArchive('report', all)).bytes);
}

const textOf = async (report: string, name: string): Promise<string> => {
  const { files } = await unpackArchive(readFileSync(report), report);
  return Buffer.from(files.get(name) ?? new Uint8Array()).toString('utf8');
};

describe('redact', () => {
  test('writes a new report beside the old one, and the map beside that', async () => {
    const report = await make();
    const old = sha256(readFileSync(report));
    const { status, out, err } = await pvhReport('redact', report);
    const made = report.replace('.tar.gz', '-redacted.tar.gz');
    expect([status, out]).toEqual([0, `${made}\n`]);
    expect(sha256(readFileSync(report))).toBe(old);
    expect(err).toMatch(/^rule +replacements +values\n/);
    expect(err).toMatch(/^guest-name +2 +1$/m);
    const map = `${made}.private-map.json`;
    expect([made, map].map((path) => statSync(path).mode & 0o777)).toEqual([0o600, 0o600]);
    const { values } = JSON.parse(readFileSync(map, 'utf8')) as { values: Record<string, string>[] };
    expect(values.map(({ value }) => value).sort()).toEqual([
      '00000000-0000-0000-0000-000000000001',
      '10.1.2.3',
      'hunter22',
      'shop-db',
      'web-7',
    ]);
    const { redaction } = JSON.parse(await textOf(made, 'manifest.json')) as {
      redaction: Record<string, unknown>;
    };
    expect(redaction).toMatchObject({
      leaks: 0,
      signature: 'same',
      rules: expect.arrayContaining([{ rule: 'ipv4', replacements: 1, values: 1 }]),
    });
    const console = await textOf(made, 'console.log');
    expect(console).toMatch(
      /^h[a-z2-7]{4} login: \nssh: connect to 0\.\d+\.\d+\.\d+ port 22\nroot=\/dev\/xvda1 luks\.password=s[a-z2-7]{7}\nPanic: no root\n$/,
    );
    expect(compareReports(await readReport(report), await readReport(made)).judgement.verdict).toBe('same');
  });

  test('the default name does not tell the name of the domain', async () => {
    const report = folder.write('pvh-report_shop-db_0123abcd.tar.gz', await packReport(crash));
    const { out } = await pvhReport('redact', report, '-q');
    expect(out).not.toContain('shop-db');
    expect(out).toMatch(/\/pvh-report_d[a-z2-7]{6}_0123abcd-redacted\.tar\.gz\n$/);
  });

  test('--show prints values and stand-ins, and writes nothing', async () => {
    const report = await make();
    const before = readdirSync(folder.path);
    const { status, out } = await pvhReport('redact', report, '--show', '--key', key);
    expect(status).toBe(0);
    expect(out).toMatch(/^secret-option +s[a-z2-7]{7} +hunter22$/m);
    expect(out).toMatch(/^login-prompt +1 +1$/m);
    expect(readdirSync(folder.path)).toEqual(before);
  });

  test('--keep leaves what a rule or a class finds', async () => {
    const report = await make();
    const out = join(folder.path, 'kept.tar.gz');
    expect((await pvhReport('redact', report, '-q', '-o', out, '--keep', 'ipv4,domain')).status).toBe(0);
    expect(await textOf(out, 'console.log')).toContain('10.1.2.3 port 22');
    expect((await readReport(out)).manifest.domain.name).toBe('shop-db');
    expect(JSON.parse(await textOf(out, 'manifest.json'))).toMatchObject({
      redaction: { kept: ['domain', 'ipv4'] },
    });
    const { status, err } = await pvhReport('redact', report, '--keep', 'names');
    expect([status, err]).toEqual([
      2,
      expect.stringMatching(/--keep names: no such rule; there are: memory secret /),
    ]);
  });

  test('never over the report, nor the map over it', async () => {
    const report = await make();
    const same = await pvhReport('redact', report, '-o', report);
    expect([same.status, same.err]).toEqual([2, expect.stringContaining('never written over')]);
    const map = await pvhReport(
      'redact',
      report,
      '-o',
      join(folder.path, 'm'),
      '--map',
      join(folder.path, 'm'),
    );
    expect([map.status, map.err]).toEqual([2, expect.stringContaining('the same file')]);
    const input = await pvhReport('redact', report, '-o', join(folder.path, 'n'), '--map', report);
    expect([input.status, input.err]).toEqual([2, expect.stringContaining('not JSON')]);
  });

  test('one key gives one value the same stand-in in two reports; a map does so even without the key', async () => {
    const [a, b] = [await make(), await make({ console: 'x 10.1.2.3\nweb-7 login: \nPanic: b\n' })];
    const [outA, outB, outC] = ['a', 'b', 'c'].map((name) => join(folder.path, `key-${name}.tar.gz`)) as [
      string,
      string,
      string,
    ];
    await pvhReport('redact', a, '-q', '-o', outA, '--key', key);
    await pvhReport('redact', b, '-q', '-o', outB, '--key', key);
    const address = /0\.\d+\.\d+\.\d+/;
    const standIn = async (report: string) => address.exec(await textOf(report, 'console.log'))?.[0];
    expect(await standIn(outB)).toBe(await standIn(outA));
    const map = join(folder.path, 'shared-map.json');
    await pvhReport('redact', a, '-q', '-o', outA, '--map', map);
    await pvhReport('redact', b, '-q', '-o', outC, '--map', map);
    expect(await standIn(outC)).toBe(await standIn(outA));
    expect(await standIn(outC)).not.toBe(await standIn(outB));
    expect((await readReport(outC)).manifest.domain.name).toBe((await readReport(outA)).manifest.domain.name);
  });

  test('a key that is too short, a map that is none', async () => {
    const report = await make();
    const short = await pvhReport('redact', report, '--key', folder.write('short', Buffer.from('x')));
    expect([short.status, short.err]).toEqual([2, expect.stringContaining('a key has 16 to 4096 bytes')]);
    const none = await pvhReport(
      'redact',
      report,
      '--map',
      folder.write('none.json', Buffer.from('{"schema":"x"}')),
    );
    expect([none.status, none.err]).toEqual([
      2,
      expect.stringContaining('not of schema pvh-report-private-map/1'),
    ]);
  });

  test.each([
    ['a host', 'web-7 login: \nPanic: no route to web-7\n', 'web-7', 'panic: no route to <name>'],
    [
      'the domain',
      'Panic: SHOP-DB: disk of shop-db is full\n',
      'shop-db',
      'panic: <name>: disk of <name> is full',
    ],
    [
      'what the line itself tells',
      'Kernel panic - not syncing: nfs://mmuster:hunter22@filer3.muster-werke.com/x: no answer from fd00:12::5\n',
      'mmuster|hunter22|filer3|muster-werke|fd00:12::5',
      'panic: nfs://<name>:<name>@<name>.<name>.com/x: no answer from <name>',
    ],
    ['a folder', 'kernel BUG at /home/mmuster/linux/mm/slub.c:379!\n', 'mmuster', 'kernel BUG: slub.c'],
  ])(
    'a message of the crash with a private word keeps its signature: %s',
    async (_, console, secrets, message) => {
      const report = await make({ console });
      const out = join(folder.path, 'private-message.tar.gz');
      expect(await pvhReport('redact', report, '-q', '-o', out)).toMatchObject({ status: 0, err: '' });
      const [before, after] = [await readReport(report), await readReport(out)];
      expect(after.signature).toMatchObject({
        message,
        text: before.signature.text,
        sha8: before.signature.sha8,
      });
      expect(`${after.console}${after.signature.title}`).not.toMatch(new RegExp(secrets, 'i'));
      expect(compareReports(before, after).judgement.verdict).toBe('same');
    },
  );

  test('a word of the message that only another file tells to be private: refused, with the way out', async () => {
    const files = [
      ...madeUpFiles({ ...crash, console: 'Panic: no route to virt7\n' }),
      { name: 'host-uname.txt', bytes: Buffer.from('Linux virt7 6.1.0-56-amd64 #1 SMP\n') },
    ];
    const manifest = {
      name: 'manifest.json',
      bytes: Buffer.from(renderManifest(madeUpManifest(crash, files))),
    };
    const report = folder.write('elsewhere.tar.gz', (await packArchive('r', [manifest, ...files])).bytes);
    const before = readdirSync(folder.path);
    const { status, out, err } = await pvhReport('redact', report);
    expect([status, out]).toEqual([1, '']);
    expect(err).toMatch(
      /message "panic: no route to virt7" would be "panic: no route to h\w{4}"; if that may be shown: pvh-report redact --keep uname-host; nothing was written/,
    );
    expect(readdirSync(folder.path)).toEqual(before);
    expect((await pvhReport('redact', report, '-q', '--keep', 'uname-host')).status).toBe(0);
  });

  test('a domain that is called like a function of the kernel loses its name where it is a name only', async () => {
    const report = await make({
      name: 'mount_root',
      config: 'name = "mount_root"\n',
      console: 'Panic: in mount_root\n',
    });
    const out = join(folder.path, 'function.tar.gz');
    expect((await pvhReport('redact', report, '-q', '-o', out)).status).toBe(0);
    expect(await textOf(out, 'guest.cfg')).not.toContain('mount_root');
    expect((await readReport(out)).manifest.domain.name).not.toBe('mount_root');
    expect(await textOf(out, 'console.log')).toBe('Panic: in mount_root\n');
    expect((await readReport(out)).signature).toEqual((await readReport(report)).signature);
  });

  test.each([
    'console',
    'memory',
    'none',
    'guest',
    'xen',
    'x',
    'ds',
    'stacks',
    'taken',
    'derived',
    'guest-dmesg',
    'txt',
    'rip',
    'how',
    'json',
    'deadbeef',
    'vcpu0',
    'redacted',
    'size',
    'files',
  ])('a domain that is called %s loses its name, and our own words stay', async (name) => {
    const texts = (domain: string) => ({
      ...crash,
      name: domain,
      config: `name = "${domain}"\nmemory = 16\n`,
      console: `${domain}-7 login: \nPanic: no root\n`,
    });
    const out = join(folder.path, 'word.tar.gz');
    const report = await made(texts(name));
    expect(await pvhReport('redact', report, '-q', '-o', out)).toMatchObject({ status: 0, err: '' });
    const [before, after] = [await readReport(report), await readReport(out)];
    const now = after.manifest.domain.name;
    expect(now).not.toBe(name);
    expect(await textOf(out, 'guest.cfg')).toBe(`name = "${now}"\nmemory = 16\n`);
    expect(after.signature).toEqual(before.signature);
    for (const file of ['crash.json', 'README.txt'])
      expect(await textOf(out, file)).toBe(await textOf(report, file));
    expect([...after.files.keys()]).toEqual([...before.files.keys()]);
    const { redaction: _, ...manifest } = after.manifest;
    const { domain, files, memory } = before.manifest;
    const own = { domain, files, memory };
    expect({ ...manifest, ...own }).toEqual({ ...before.manifest, ...own });
    expect((await textOf(out, 'report.txt')).replace(/\nredacted .*/, '').replace(now, name)).toBe(
      await textOf(report, 'report.txt'),
    );
  });

  test('a page is looked through like the files, and has words of its own', async () => {
    const timeline = { ...crash, name: 'timeline', console: 'timeline-7 login: \nPanic: no root\n' };
    const files = [...madeUpFiles(timeline), { name: 'report.html', bytes: Buffer.from('made anew') }];
    const manifest = renderManifest(madeUpManifest(timeline, files));
    const all = [{ name: 'manifest.json', bytes: Buffer.from(manifest) }, ...files];
    const report = folder.write('page.tar.gz', (await packArchive('r', all)).bytes);
    const unpacked = await unpackReport(report);
    const made = await redactReport(unpacked, { key: KEY, keep: new Set(), earlier: [] });
    expect(made.refused).toBeUndefined();
    const page = Buffer.from('<p>Timeline of <code>tim\u001b[0meline-7</code></p>');
    const changed = made.files.map((file) => (file.name === 'report.html' ? { ...file, bytes: page } : file));
    expect(made.objection(unpackedOf({ ...made, files: changed, image: undefined }, report))).toBe(
      'something private would be left: report.html:1 (login-prompt)',
    );
  });

  test('memory is left out, with a line in the ledger; --keep memory keeps it', async () => {
    const memory = { name: 'memory.core', bytes: Buffer.from('\x7fELF luks.password=hunter22', 'latin1') };
    const files = [...madeUpFiles(crash), memory];
    const manifest = {
      name: 'manifest.json',
      bytes: Buffer.from(renderManifest(madeUpManifest(crash, files))),
    };
    const report = folder.write('memory.tar.gz', (await packArchive('r', [manifest, ...files])).bytes);
    const [without, kept] = ['without', 'with'].map((name) => join(folder.path, `${name}.tar.gz`)) as [
      string,
      string,
    ];
    const { err } = await pvhReport('redact', report, '-o', without);
    expect(err).toContain('left out: memory.core: holds memory of the guest\n');
    const { manifest: after } = await readReport(without);
    expect(after.files.map(({ name }) => name)).not.toContain('memory.core');
    expect(after.missing).toEqual([
      expect.objectContaining({ item: 'memory.core', cause: 'redacted', required: false }),
    ]);
    expect((await pvhReport('redact', report, '-q', '-o', kept, '--keep', 'memory')).status).toBe(0);
    expect(await textOf(kept, 'memory.core')).toBe(memory.bytes.toString());
  });

  test('a report that is none, or was changed, is refused as diff refuses it', async () => {
    const files = madeUpFiles(crash);
    const manifest = {
      name: 'manifest.json',
      bytes: Buffer.from(renderManifest(madeUpManifest(crash, files))),
    };
    const changed = files.map((file) => ({ ...file, bytes: Buffer.concat([file.bytes, Buffer.from(' ')]) }));
    const rows: [Uint8Array, RegExp][] = [
      [Buffer.from('no gzip'), /not a whole gzip file/],
      [(await packArchive('r', files)).bytes, /no manifest\.json/],
      [(await packArchive('r', [manifest, ...changed])).bytes, /its SHA-256 differs/],
      [(await packArchive('..', [manifest, ...files])).bytes, /has a name that no report has/],
      [
        (
          await packArchive('r', [
            { name: 'manifest.json', bytes: Buffer.from('{"schema":"pvh-report/1","redaction":7}') },
          ])
        ).bytes,
        /not an object/,
      ],
    ];
    for (const [bytes, reason] of rows) {
      const report = folder.write('bad.tar.gz', bytes);
      const { status, out, err } = await pvhReport('redact', report);
      expect([status, out]).toEqual([2, '']);
      expect(err).toMatch(reason);
      expect(existsSync(report.replace('.tar.gz', '-redacted.tar.gz'))).toBe(false);
    }
  });
});

const cli = fileURLToPath(new URL('redact-cli.ts', import.meta.url));
const typescript = fileURLToPath(new URL('../../../tools/dev/typescript.mjs', import.meta.url));

test('killed at any moment: the old file or the new one, whole', async () => {
  const lines = Array.from(
    { length: 1500 },
    (_, i) => `h${i}x login: u${i}y 10.1.${i % 200}.${i % 99}\n`,
  ).join('');
  const report = await make({ console: `${lines}Panic: no root\n` });
  const out = join(folder.path, 'killed.tar.gz');
  const old = await packReport({ ...crash, name: 'old' });
  const run = async (milliseconds: number | undefined): Promise<number> => {
    writeFileSync(out, old);
    const child = spawn(process.execPath, ['--import', typescript, cli, report, out, key], { stdio: 'pipe' });
    const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
    // From when it begins to work: starting takes longer than working.
    await Promise.race([ended, new Promise((resolve) => child.stdout.once('data', resolve))]);
    const start = performance.now();
    const timer =
      milliseconds === undefined ? undefined : setTimeout(() => child.kill('SIGKILL'), milliseconds);
    await ended;
    clearTimeout(timer);
    return performance.now() - start;
  };
  const whole = await run(undefined);
  const { digest } = await readReport(out);
  expect((await readReport(out)).manifest.domain.name).toMatch(/^d[a-z2-7]{6}$/);
  const oldDigest = (await readReport(folder.write('old.tar.gz', old))).digest;
  for (let part = 1; part <= 5; part++) {
    await run((whole * part) / 5.5);
    expect([digest, oldDigest]).toContain((await readReport(out)).digest);
    if (existsSync(`${out}.private-map.json`)) JSON.parse(readFileSync(`${out}.private-map.json`, 'utf8'));
  }
}, 240_000);

describe('collect --redact', () => {
  test('writes only what may be passed on', async () => {
    using host = new XenHost();
    host.edit('xl', 'dom0 *$', 'virt-server-7');
    const { status, out, report } = await host.collect({ redact: true, json: true });
    expect(status).toBe(0);
    const { manifest, digest } = await readReport(report);
    expect(JSON.parse(out)).toMatchObject({ digest, manifest: { domain: manifest.domain } });
    const { files, folder: inside } = await unpackArchive(readFileSync(report), report);
    const all = [
      inside,
      ...[...files].map(([name, bytes]) => name + Buffer.from(bytes).toString('latin1')),
    ].join('\n');
    for (const word of ['sysrq1', 'virt-server-7', 'd31fd777-6930-4506-a150-7718bb5770d7'])
      expect(all).not.toContain(word);
    const map = readFileSync(`${report}.private-map.json`, 'utf8');
    expect(map).toContain('virt-server-7');

    const plain = await host.collect();
    const [left, right] = [await readReport(plain.report), await readReport(report)];
    expect(right.signature).toEqual(left.signature);
    for (const name of ['crash.json', 'xenctx.txt', 'xenctx-unwind.txt'])
      expect(await textOf(report, name)).toBe(await textOf(plain.report, name));
  });

  test('--fit makes it small after that, and what it says of itself is right', async () => {
    using host = new XenHost();
    host.edit('xl', 'dom0 *$', 'virt-server-7');
    // Random letters do not get smaller.
    const noise = createHash('shake256', { outputLength: 150_000 }).update('').digest('base64');
    host.log('qemu-dm-sysrq1.log', `virt-server-7\n${noise.replace(/.{70}/g, '$&\n')}`);
    const options = { redact: true, redactKey: key } as const;
    const whole = await host.collect(options);
    const { status, err, report } = await host.collect({ ...options, fit: 'mail' });
    expect([whole.status, status]).toEqual([0, 0]);
    expect(err).toMatch(/^left out: qemu-log\.txt: \d+ bytes left out to fit into a mail/m);
    expect(statSync(report).size).toBeLessThanOrEqual(69_000);

    const { manifest, signature } = await readReport(report);
    const left = (await readReport(whole.report)).manifest.missing;
    expect(left).toContainEqual(expect.objectContaining({ item: 'memory.core', cause: 'redacted' }));
    expect(manifest.missing.filter(({ cause }) => cause !== 'size')).toEqual(left);
    expect(manifest).toMatchObject({ redaction: { leaks: 0, signature: 'same' }, memory: { taken: 'none' } });
    expect(signature).toEqual((await readReport(whole.report)).signature);
    for (const name of ['memory.core', 'qemu-log.txt']) {
      expect(await textOf(report, 'README.txt')).not.toContain(name);
      expect(await textOf(report, 'report.txt')).toMatch(new RegExp(`^Missing\\n(  .*\\n)*  ${name}: `, 'm'));
    }
    const { files } = await unpackArchive(readFileSync(report), report);
    expect(Buffer.concat([...files.values()]).toString('latin1')).not.toMatch(/virt-server-7|sysrq1/);
    expect(readFileSync(`${report}.private-map.json`, 'utf8')).toContain('virt-server-7');
    expect(await pvhReport('verify', report)).toMatchObject({
      status: 2,
      err: expect.stringContaining('files are what the manifest says; '),
    });
    const again = join(host.folder, 'again.tar.gz');
    await pvhReport('redact', report, '-q', '-o', again);
    expect((await readReport(again)).digest).toBe((await readReport(report)).digest);
  });

  test('--fit keeps the message of the crash, wherever it stands', async () => {
    using host = new XenHost();
    const lines = createHash('shake256', { outputLength: 3_000_000 }).update('').digest('base64');
    const [before, after] = [0, 2_000_000].map((start) =>
      lines.slice(start, start + 2_000_000).replace(/.{70}/g, '$&\n'),
    );
    host.log('console/guest-sysrq1.log', `${before}\nKernel panic - not syncing: no root\n${after}`);
    const { status, err, report } = await host.collect({ redact: true, fit: 'mail' });
    expect([status, err.match(/pvh-report: .*/)?.[0]]).toEqual([0, undefined]);
    expect((await readReport(report)).signature.title).toBe('Kernel panic - not syncing: no root');
  });
});

test('symbols for a redacted report with its memory bring private words back: it says so, and --map takes them out', async () => {
  using host = new XenHost();
  // A word of the kernel's log that no rule knows there: the name of the host.
  host.edit('xl', 'dom0 *$', 'HWalign');
  const map = join(host.folder, 'System.map');
  writeFileSync(map, goldenSystemMap());
  const [redacted, later, again] = ['redacted', 'later', 'again'].map((name) =>
    join(host.folder, `${name}.tar.gz`),
  ) as [string, string, string];
  const plain = await host.collect();
  const ok = async (...argv: string[]): Promise<string> => {
    const { status, err } = await pvhReport(...argv);
    expect([argv[0], status]).toEqual([argv[0], 0]);
    return err;
  };
  await ok('redact', plain.report, '-o', redacted, '--keep', 'memory');
  const log = await textOf(redacted, 'guest-dmesg.txt');
  expect(log).not.toMatch(/giometti|HWalign/);
  expect(await pvhReport('verify', redacted)).toMatchObject({
    status: 1,
    out: 'guest-dmesg.txt: not what the raw files give\nreport.html: not what the raw files give\n',
    err: expect.stringContaining('it was redacted, its memory was not'),
  });

  expect(await ok('symbolize', redacted, '-s', map, '-o', later)).toContain(
    'redact --keep memory, with --map',
  );
  expect(await textOf(later, 'guest-dmesg.txt')).toBe(await textOf(plain.report, 'guest-dmesg.txt'));
  expect((await readReport(later)).manifest.redaction).toMatchObject({ leaks: 'unknown' });
  await ok('verify', later, '-s', map);

  await ok('redact', later, '-o', again, '--keep', 'memory', '--map', `${redacted}.private-map.json`);
  expect(await textOf(again, 'guest-dmesg.txt')).toBe(log);
  expect((await readReport(again)).manifest.redaction).toMatchObject({ leaks: 0 });
  expect(await textOf(again, 'xenctx-unwind.txt')).toContain(' sysrq_handle_crash+0x16/0x20');
});
