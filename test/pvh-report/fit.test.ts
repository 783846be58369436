// `pvh-report fit` and `collect --fit`: a report small enough to be sent, that says what it lacks.
import { createHash } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { ArchiveFile } from '../../tools/pvh-report/archive.ts';
import { compareReports } from '../../tools/pvh-report/diff/compare.ts';
import { fitReport } from '../../tools/pvh-report/fit.ts';
import { renderReportPage } from '../../tools/pvh-report/html/report-page.ts';
import { renderManifest } from '../../tools/pvh-report/manifest.ts';
import { packArchive } from '../../tools/pvh-report/pack.ts';
import { readReport, unpackReport } from '../../tools/pvh-report/report.ts';
import { unpackArchive } from '../../tools/pvh-report/unpack.ts';
import { Host } from '../kernel/guest.ts';
import { collectReport, crash, vmlinuxOf } from './crashed.ts';
import { pvhReport } from './run.ts';
import { type MadeUpCrash, madeUpFiles, madeUpManifest, scratchFolder } from './support.ts';
import { XenHost } from './xen-host.ts';

const folder = scratchFolder();
afterAll(() => folder.remove());

const run = (...argv: string[]) => pvhReport('fit', ...argv);

const MAIL_BYTES = 69_000;
const encode = (text: string): Uint8Array => new TextEncoder().encode(text);
/** Text that does not get smaller than three quarters, the same in every run. */
const noise = (bytes: number): Uint8Array =>
  encode(
    createHash('shake256', { outputLength: (bytes * 3) / 4 })
      .update(`${bytes}`)
      .digest('base64'),
  );

const CRASH: MadeUpCrash = {
  frames: ['panic', 'mount_root', 'prepare_namespace'],
  console: 'booting\nKernel panic - not syncing: VFS: no root\n',
  config: 'name = "guest"\n',
  missing: [{ item: 'xenstore.txt', reason: 'not kept', cause: 'absent', required: false }],
};

/** A report with more files than the crash has. */
async function made(
  name: string,
  crash: MadeUpCrash,
  more: Readonly<Record<string, Uint8Array>>,
): Promise<string> {
  const files: ArchiveFile[] = [
    {
      name: 'README.txt',
      bytes: encode('Files\n\n  report.txt    x\n  xenctx.json   y\n  crash.json    z\n'),
    },
    { name: 'report.txt', bytes: encode('guest: shut down\n\nMissing\n  xenstore.txt: not kept\n') },
    ...madeUpFiles(crash),
    ...Object.entries(more).map(([file, bytes]) => ({ name: file, bytes })),
  ];
  const manifest = { name: 'manifest.json', bytes: encode(renderManifest(madeUpManifest(crash, files))) };
  const [readme, ...rest] = files;
  return folder.write(name, (await packArchive('r', [readme ?? manifest, manifest, ...rest])).bytes);
}

const textsOf = async (path: string): Promise<Record<string, string>> => {
  const { files } = await unpackArchive(readFileSync(path), path);
  return Object.fromEntries([...files].map(([name, bytes]) => [name, new TextDecoder().decode(bytes)]));
};

test('one that fits is left as it is, bit for bit', async () => {
  const path = await made('small.tar.gz', CRASH, {});
  const output = join(folder.path, 'small.out');
  expect(await run(path, '--fit=mail', '-o', output)).toEqual({ status: 0, out: `${output}\n`, err: '' });
  expect(readFileSync(output).equals(readFileSync(path))).toBe(true);
});

test('what is worth least is left out, and ledger, README.txt and report.txt say so', async () => {
  const path = await made('large.tar.gz', CRASH, {
    'memory.core': noise(300_000),
    'xenctx.json': noise(40_000),
    'xl-info.txt': noise(40_400),
    'host-dmesg.txt': noise(10_000),
    'unknown-to-us.txt': noise(40_800),
  });
  const output = join(folder.path, 'fitted.tar.gz');
  const { status, err } = await run(path, '--fit=mail', '-o', output);
  expect(status).toBe(0);
  expect(err.split('\n').map((line) => line.split(':')[1]?.trim())).toEqual([
    'memory.core',
    'xenctx.json',
    'unknown-to-us.txt',
    undefined,
  ]);
  expect(err).toContain(
    'left out: memory.core: 300000 bytes left out to fit into a mail of 100,000 characters',
  );
  expect(statSync(output).size).toBeLessThanOrEqual(MAIL_BYTES);
  const base64 = readFileSync(output).toString('base64');
  expect(base64.length + 2 * Math.ceil(base64.length / 76)).toBeLessThan(100_000);
  const [before, after] = [await readReport(path), await readReport(output)];
  expect(after.manifest.missing).toEqual([
    ...before.manifest.missing,
    ...['memory.core', 'xenctx.json', 'unknown-to-us.txt'].map((item) => ({
      item,
      reason: expect.stringContaining('left out to fit into'),
      cause: 'size',
      required: false,
    })),
  ]);
  expect(compareReports(before, after).judgement).toMatchObject({ verdict: 'same' });
  const texts = await textsOf(output);
  expect(Object.keys(texts).slice(0, 3)).toEqual(['README.txt', 'manifest.json', 'report.txt']);
  expect(texts['report.txt']).toMatch(
    /^guest: shut down\n\nMissing\n {2}xenstore\.txt: not kept\n {2}memory\.core: /,
  );
  expect(texts['README.txt']).toMatch(/^ {2}crash\.json +z$/m);
  expect(texts['README.txt']).not.toContain('xenctx.json');
  // The same once more: it fits now.
  expect((await run(output, '--fit=mail', '-o', join(folder.path, 'again'))).err).toBe('');
  await run(path, '--fit=mail', '-o', join(folder.path, 'twice'));
  expect(readFileSync(join(folder.path, 'twice')).equals(readFileSync(output))).toBe(true);
});

test('a page that stays is made again of what stays', async () => {
  const page = encode('the page of the whole report');
  const path = await made('paged.tar.gz', CRASH, { 'memory.core': noise(300_000), 'report.html': page });
  const output = join(folder.path, 'paged.out.tar.gz');
  await run(path, '--fit=github', '-o', output);
  expect((await readReport(output)).files.get('report.html')).toEqual(Buffer.from(page));
  await run(path, '-o', output);
  const report = await readReport(output);
  const shown = new TextDecoder().decode(report.files.get('report.html'));
  expect(shown).toBe(renderReportPage(report));
  expect(shown).toContain('memory.core</code></th><td>no</td><td>size</td>');
});

test('of a console that is too long, beginning and end are kept', async () => {
  const text = new TextDecoder().decode(noise(600_000)).replace(/.{70}/g, '$&\n');
  const console = `Linux version 6.1.0\n${text}\nKernel panic - not syncing: at the end\n`;
  const path = await made('console.tar.gz', { ...CRASH, console }, { 'xl-info.txt': encode('info\n') });
  const output = join(folder.path, 'console.out.tar.gz');
  const { err } = await run(path, '-o', output);
  expect(err).toMatch(/^left out: console\.log: \d+ of \d+ bytes left out after the first \d+\n$/);
  const { console: kept = '', manifest, signature } = await readReport(output);
  expect(kept).toMatch(
    /^Linux version 6\.1\.0\n[\s\S]*\n\[\.\.\. \d+ bytes left out \.\.\.\]\n[\s\S]*at the end\n$/,
  );
  expect(kept.length).toBeGreaterThan(30_000);
  expect(signature.title).toMatch(/at the end$/);
  expect(manifest.files.find(({ name }) => name === 'console.log')?.note).toMatch(/left out after the first/);
  expect(manifest.files.map(({ name }) => name)).toContain('xl-info.txt');
});

describe('what the guest said of its crash is kept, wherever it stands in a console that is too long', () => {
  const lines = (bytes: number) => new TextDecoder().decode(noise(bytes)).replace(/.{70}/g, '$&\n');
  const bug = [
    'BUG: kernel NULL pointer dereference, address: 0000000000000008',
    'CPU: 3 PID: 71 Comm: rmmod',
    'RIP: 0010:list_del_entry+0x12/0x340',
  ].join('\n');
  test.each([
    ['a panic in the middle', `${lines(900_000)}\nKernel panic - not syncing: no root\n${lines(700_000)}`],
    [
      'a BUG far before its panic',
      `${lines(600_000)}\n${bug}\n${lines(9e5)}\nKernel panic - not syncing: Fatal exception\n${lines(6e5)}`,
    ],
    ['behind a long line', `${lines(9e5)}${'x'.repeat(300_000)}\nPanic: no root\n${lines(8e5)}`],
    ['across where the end begins', `${lines(1_000_000)}\n${bug}\n${lines(49_000)}`],
  ])('%s', async (name, console) => {
    const path = await made(`${name}.tar.gz`, { ...CRASH, frames: [], console }, {});
    const output = join(folder.path, 'told.tar.gz');
    expect(await run(path, '-o', output)).toMatchObject({ status: 0 });
    expect(statSync(output).size).toBeLessThanOrEqual(MAIL_BYTES);
    const [before, after] = [await readReport(path), await readReport(output)];
    expect(after.signature.title).toMatch(/^(Kernel panic - |BUG: |Panic: )/);
    expect({ ...after.signature, steps: [] }).toEqual({ ...before.signature, steps: [] });
    expect(after.console?.length).toBeLessThan(console.length);
  });

  test('where there is no room for it, nothing is written', async () => {
    const console = lines(400_000);
    const path = await made('full.tar.gz', { ...CRASH, console: `${console}\nPanic: no root\n` }, {});
    const limit = { bytes: 3000, what: 'a test' };
    await expect(fitReport(await unpackReport(path), statSync(path).size, limit)).rejects.toThrow(
      /a test has no room for what the guest said of its crash/,
    );
  });
});

test('github takes what a mail does not', async () => {
  const path = await made('mid.tar.gz', CRASH, { 'memory.core': noise(300_000) });
  for (const [fit, dropped] of [
    ['github', 0],
    ['gitlab', 0],
    ['none', 0],
    ['mail', 1],
  ] as const) {
    const { err } = await run(path, `--fit=${fit}`, '-o', join(folder.path, 'out'));
    expect([fit, err.split('\n').length - 1]).toEqual([fit, dropped]);
  }
});

test('one that cannot be made to fit is refused, and nothing is written', async () => {
  const path = await made('heavy.tar.gz', CRASH, { 'signature.json': noise(200_000) });
  const { status, err, out } = await run(path, '-o', join(folder.path, 'never'));
  expect([status, out]).toEqual([2, '']);
  expect(err).toMatch(/what every report must have takes \d+ bytes; .*\n {2}put the report/);
  expect(() => statSync(join(folder.path, 'never'))).toThrow(/ENOENT/);
});

test('the report itself is never overwritten, and what is none is refused', async () => {
  const path = await made('own.tar.gz', CRASH, { 'memory.core': noise(300_000) });
  const digest = createHash('sha256').update(readFileSync(path)).digest('hex');
  expect((await run(path, '-o', path)).err).toMatch(/is not overwritten/);
  expect(createHash('sha256').update(readFileSync(path)).digest('hex')).toBe(digest);
  expect((await run(folder.write('bad.tar.gz', encode('bad')))).err).toMatch(/not a whole gzip file/);
  expect((await run(folder.path)).err).toMatch(/not a file/);
});

describe('a real report', () => {
  const domains = new Host();
  afterAll(() => domains[Symbol.dispose]());

  test('whose memory still fits can be made again without what was left out', async () => {
    const vmlinux = vmlinuxOf('panic');
    const whole = join(folder.path, 'panic.tar.gz');
    const { path } = collectReport(domains, await crash(domains, 'panic'), '-s', vmlinux, '-o', whole);
    const limit = { bytes: statSync(path).size - 1, what: 'a test' };
    const fitted = await fitReport(await unpackReport(path), statSync(path).size, limit);
    if (!fitted) throw new Error('it was not too large');
    expect(fitted.dropped.map(({ item }) => item)).toEqual(['report.html']);
    const output = folder.write('fitted-panic.tar.gz', fitted.bytes);
    expect(domains.run('pvh-report', 'verify', output, '-s', vmlinux)).toMatchObject({
      status: 0,
      stderr: '',
    });
  });
});

describe('collect --fit', () => {
  let host: XenHost;
  beforeEach(() => {
    host = new XenHost();
  });
  afterEach(() => host[Symbol.dispose]());

  test('collects, then leaves out what is too much', async () => {
    const whole = await host.collect();
    const { status, report, err } = await host.collect({ fit: 'mail' });
    expect(status).toBe(whole.status);
    expect(statSync(report).size).toBeLessThanOrEqual(MAIL_BYTES);
    const left = err.split('\n').filter((line) => line.startsWith('left out: ')).length;
    const { manifest } = await readReport(report);
    expect(manifest.missing.filter(({ cause }) => cause === 'size')).toHaveLength(left);
    expect(statSync(whole.report).size > MAIL_BYTES ? left : 0).toBe(left);
  });
});
