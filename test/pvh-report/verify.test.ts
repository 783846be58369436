// `pvh-report verify`: what it finds in reports that somebody changed, with care or without.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type ArchiveFile, sha256 } from '../../tools/pvh-report/archive.ts';
import { packArchive } from '../../tools/pvh-report/pack.ts';
import { unpackReport } from '../../tools/pvh-report/report.ts';
import { Host } from '../kernel/guest.ts';
import { collectReport, crash, type Made, vmlinuxOf } from './crashed.ts';

let host: Host;
let plain: Made;
let named: Made;
let domid: number;
const vmlinux = vmlinuxOf('deep-call-chain');

beforeAll(async () => {
  host = new Host();
  domid = await crash(host, 'deep-call-chain');
  plain = collectReport(host, domid, '-o', join(host.stateDir, 'plain.tar.gz'));
  named = collectReport(host, domid, '-s', vmlinux, '-o', join(host.stateDir, 'named.tar.gz'));
});
afterAll(() => host[Symbol.dispose]());

const verify = (path: string, ...options: string[]) => {
  const { status, stdout, stderr } = host.run('pvh-report', 'verify', path, ...options);
  return { status, stdout, stderr };
};

/** A report with some files replaced; with `forged`, the manifest says so too. */
async function changed(
  change: Readonly<Record<string, (text: string) => string>>,
  { forged = false, of = plain.path, order = (all: ArchiveFile[]) => all, without = '' } = {},
): Promise<string> {
  const { files } = await unpackReport(of);
  const contents = new Map(
    [...files].map(([name, bytes]) => {
      const edit = change[name];
      return [name, edit ? Buffer.from(edit(Buffer.from(bytes).toString('latin1')), 'latin1') : bytes];
    }),
  );
  contents.delete(without);
  if (forged) {
    const manifest = JSON.parse(Buffer.from(files.get('manifest.json') ?? []).toString());
    manifest.files = manifest.files.filter(({ name }: ArchiveFile) => name !== without);
    for (const file of manifest.files) {
      const bytes = contents.get(file.name) ?? new Uint8Array();
      Object.assign(file, { sha256: sha256(bytes), bytes: bytes.length });
    }
    contents.set('manifest.json', Buffer.from(`${JSON.stringify(manifest, undefined, 2)}\n`));
  }
  const all = [...contents].map(([name, bytes]) => ({ name, bytes }));
  const path = join(host.stateDir, 'changed.tar.gz');
  writeFileSync(path, (await packArchive('pvh-report_deep-call-chain', order(all))).bytes);
  return path;
}

test('a report as it was made is whole, with symbols and without', () => {
  const whole = 'files are what the manifest says, and what is derived comes out the same\n';
  expect(verify(plain.path)).toEqual({ status: 0, stdout: expect.stringContaining(whole), stderr: '' });
  expect(verify(named.path, '-s', vmlinux)).toMatchObject({ status: 0, stderr: '' });
});

test('a report with names takes their file, and says which', () => {
  const { status, stdout, stderr } = verify(named.path);
  expect([status, stdout]).toEqual([2, '']);
  expect(stderr).toMatch(/takes the symbols(?: of build-id \w+)?: give them with -s/);
  const other = verify(named.path, '-s', vmlinuxOf('panic'));
  expect(other.status).toBe(1);
  expect(other.stdout).toMatch(/^crash\.json: not what the raw files give$/m);
});

test('a report from before there were pages is whole, and gets none', async () => {
  const readme = (text: string): string =>
    text
      .replace(/^ {2}report\.html .*\n/m, '')
      .replace('the crash on one page, as text', 'the crash on one page: read this first')
      .replace('report.html shows all of them.\n', '');
  const old = await changed({ 'README.txt': readme }, { forged: true, without: 'report.html' });
  expect(verify(old)).toMatchObject({ status: 0, stderr: '' });
  expect(host.ok('pvh-report', 'show', '--html', old, '-o', '-')).toContain('<h1>deep-call-chain');
  const later = join(host.stateDir, 'later.tar.gz');
  host.ok('pvh-report', 'symbolize', old, '-s', vmlinux, '-o', later);
  expect((await unpackReport(later)).files.has('report.html')).toBe(false);
  expect(verify(later, '-s', vmlinux)).toMatchObject({ status: 0, stderr: '' });
});

test('a report of which the page was left out is whole', async () => {
  const { path } = collectReport(host, domid, '--skip=report.html', '-o', join(host.stateDir, 'less.tar.gz'));
  const { files, manifest } = await unpackReport(path);
  expect(files.has('report.html')).toBe(false);
  expect(manifest.missing).toContainEqual(expect.objectContaining({ item: 'report.html', cause: 'skipped' }));
  expect(verify(path)).toMatchObject({ status: 0, stderr: '' });
});

test('a changed file is named', async () => {
  const path = await changed({ 'console.log': (text) => text.replace('a', 'b') });
  expect(verify(path)).toMatchObject({
    status: 1,
    stdout: 'console.log is not what the manifest says: its SHA-256 differs\n',
  });
});

const lies: [string, Parameters<typeof changed>[0], RegExp][] = [
  [
    'a derived text',
    { 'report.txt': (text) => text.replace('crash', 'smash') },
    /^report\.txt: not what the raw files give\n$/,
  ],
  [
    'a word on the page',
    { 'report.html': (text) => text.replace('Verdict', 'Opinion') },
    /^report\.html: not what the raw files give\n$/,
  ],
  [
    'a register among the derived ones',
    { 'crash.json': (text) => text.replace(/"value": "[0-9a-f]{16}"/, '"value": "0000000000000bad"') },
    /^crash\.json: not what the raw files give$/m,
  ],
  [
    'a register among the raw ones',
    { 'target.json': (text) => text.replace(/"rip": "[0-9a-f]{16}"/, '"rip": "ffffffff80100000"') },
    /^xenctx\.txt: not what the raw files give$/m,
  ],
  [
    'words on the console',
    { 'console.log': (text) => `${text}\nPanic: something else\n` },
    /^report\.txt: not what the raw files give$/m,
  ],
];
test.each(lies)('%s that was changed with care is found', async (_, change, message) => {
  const { status, stdout } = verify(await changed(change, { forged: true }));
  expect(status).toBe(1);
  expect(stdout).toMatch(message);
});

test('files in another order are not packed by us', async () => {
  const path = await changed({}, { order: (all) => all.reverse() });
  expect(verify(path)).toMatchObject({ status: 1, stdout: expect.stringContaining('the container: ') });
});

const damages: [string, Parameters<typeof changed>[0], RegExp][] = [
  ['memory.core is cut', { 'memory.core': (text) => text.slice(0, 9000) }, /memory\.core/],
  ['memory.core is empty', { 'memory.core': () => '' }, /memory\.core/],
  ['memory.core is no dump', { 'memory.core': () => 'x'.repeat(100_000) }, /memory\.core/],
  [
    'memory.core has sections without end',
    { 'memory.core': (text) => `${text.slice(0, 60)}\xff\xff${text.slice(62)}` },
    /memory\.core/,
  ],
  ['target.json is none', { 'target.json': () => '[]' }, /target\.json/],
  ['target.json has no schema', { 'target.json': () => '{}' }, /not of schema/],
  [
    'a vCPU has a register of 17 digits',
    { 'target.json': (text) => text.replace(/"rax": "/, '"rax": "0') },
    /registers\.rax\)?: |not 16 hex digits/,
  ],
  [
    'there are 100,000 vCPUs',
    {
      'target.json': (text) => {
        const target = JSON.parse(text);
        return JSON.stringify({ ...target, vcpus: Array(100_000).fill({ id: 0, online: true }) });
      },
    },
    /more than 512 vcpus/,
  ],
  ['domain.json is none', { 'domain.json': () => '3' }, /domain\.json/],
];
test.each(damages)('%s: refused with a reason', async (_, change, message) => {
  const { status, stdout, stderr } = verify(await changed(change, { forged: true }));
  expect([status, stdout]).toEqual([2, '']);
  expect(stderr).toMatch(message);
  expect(stderr).not.toMatch(/internal error|\n\s+at /);
});

const wild: [string, (text: string) => string][] = [
  ['the page tables', (text) => text.replace(/"cr3": "[0-9a-f]{16}"/g, '"cr3": "000ffffffffff000"')],
  ['paging itself', (text) => text.replace(/"cr0": "[0-9a-f]{16}"/g, '"cr0": "0000000000000000"')],
  ['the stack pointer', (text) => text.replace(/"rsp": "[0-9a-f]{16}"/g, '"rsp": "ffffffffffffffff"')],
  ['the number of a vCPU', (text) => text.replace(/"id": 0/, '"id": 9007199254740991')],
];
test.each(wild)('registers that make no sense (%s) are no crash of ours', async (_, change) => {
  const { status, stderr } = verify(await changed({ 'target.json': change }, { forged: true }));
  expect([1, 2]).toContain(status);
  expect(stderr).not.toMatch(/internal error|\n\s+at /);
});

test('what is no report is refused', () => {
  expect(verify(vmlinux)).toMatchObject({ status: 2, stderr: expect.stringContaining('gzip') });
  expect(verify(join(host.stateDir, 'nothing'))).toMatchObject({ status: 2 });
  expect(readFileSync(plain.path).length).toBeGreaterThan(0);
});
