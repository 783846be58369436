import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import type { DomainRecord } from '../../core/domain/record.ts';
import { Registry } from '../../core/domain/registry.ts';
import { collect } from '../../tools/pvh-report/collect.ts';
import type { Evidence, Inspection, Problem, RuntimeEvidence } from '../../tools/pvh-report/evidence.ts';
import { boundTo } from '../../tools/pvh-report/host/bounded-output.ts';
import { Limits } from '../../tools/pvh-report/limits.ts';
import { renderTarget } from '../../tools/pvh-report/memory/target-file.ts';
import { readReport } from '../../tools/pvh-report/report.ts';
import { select } from '../../tools/pvh-report/selection.ts';
import { renderSignature } from '../../tools/pvh-report/signature.ts';
import { unpackArchive } from '../../tools/pvh-report/unpack.ts';
import { linesOfDomain, vcpuOfShutdown } from '../../tools/pvh-report/xen-log.ts';
import { scratchFolder } from './support.ts';

const folder = scratchFolder();
afterAll(() => folder.remove());

const record: DomainRecord = {
  schema: 1,
  domid: 3,
  name: 'guest/3',
  uuid: '00000000-0000-0000-0000-000000000003',
  state: 'shutdown',
  shutdownReason: 'crash',
  paused: false,
  idle: false,
  memoryKiB: 16384,
  vcpus: [{ id: 0, online: true, seconds: 0.5 }],
  virtualNanoseconds: 5e8,
  createdAt: '2026-11-22T10:59:00.000Z',
  process: { pid: 4711, startTime: '1' },
  kernel: { path: '/home/somebody/vmlinux', sha256: 'ab'.repeat(32), buildId: 'cafe' },
  cmdline: 'console=hvc0',
  seed: 1,
  wallclock: { seconds: 1, source: 'fixed' },
  actions: {
    on_poweroff: 'preserve',
    on_reboot: 'preserve',
    on_crash: 'preserve',
    on_watchdog: 'preserve',
    on_soft_reset: 'preserve',
  },
  preserved: true,
};

const inspection: Inspection = {
  xenctxText: 'vcpu0:\n',
  unwindText: 'vcpu0:\n',
  symbolsUsed: true,
  namesFromGuest: false,
  xenctxJson: '{}\n',
  targetJson: renderTarget(
    { kind: 'preserved', identity: { domid: 3 }, lacks: [], vcpus: [] },
    { taken: 'stacks', frames: 1, leftOut: 0 },
  ),
  memory: new Uint8Array(4096),
  kernelLog: { problem: 'not Linux' },
  console: undefined,
  vcpus: [
    {
      id: 0,
      online: true,
      trace: 'fp',
      registers: [{ name: 'rip', value: 'ffffffff80101234', symbol: 'panic+0x4' }],
      frames: [
        { address: 'ffffffff80101234', symbol: 'panic+0x4' },
        { address: 'ffffffff80105678', symbol: 'mount_root+0x8' },
      ],
    },
  ],
  symbolsBuildId: undefined,
  guestBuildId: 'cafe',
  gaps: [],
};

/** What may be other than usual. */
interface Change extends Partial<Omit<RuntimeEvidence, 'xenstore'>> {
  readonly xenstore?: string | Problem;
  readonly inspection?: Inspection | Problem;
  readonly console?: string;
}

function evidence({ xenstore, inspection: seen, console, ...runtime }: Change): Evidence {
  const registry = new Registry(join(folder.path, 'state'));
  const files = registry.files(3);
  mkdirSync(files.folder, { recursive: true });
  writeFileSync(files.console, console ?? 'hello\r\nPanic: no root\r\n');
  writeFileSync(files.config, 'name = "guest"\n');
  return {
    subject: { source: 'runtime', name: record.name, domid: record.domid, uuid: record.uuid },
    inspect: async () => seen ?? inspection,
    runtime: {
      record,
      files,
      xenLog: ['(XEN) d3v0 shut down'],
      info: { xen_version: '4.17.0' },
      xenstore: async () => xenstore ?? 'name = "guest"\n',
      ...runtime,
    },
  };
}

async function make(change: Change = {}) {
  using limits = new Limits({ deadline: 60 }, new AbortController().signal);
  return collect(evidence(change), { ...select('runtime', {}), limits }, 'pvh-report 0', () => undefined);
}
const files = async (bytes: Uint8Array) => readReport(folder.write('made.tar.gz', bytes));

test('a whole report reads back, and nothing is missing', async () => {
  const made = await make();
  expect(made.partial).toBe(false);
  expect(made.manifest.missing).toEqual([]);
  expect(made.fileName).toMatch(/^pvh-report_guest_3_1970-01-01T00_00_01Z_[0-9a-f]{8}\.tar\.gz$/);
  const report = await files(made.bytes);
  const inside = (await unpackArchive(made.bytes, 'made')).files.get('signature.json');
  expect(new TextDecoder().decode(inside)).toBe(renderSignature(report.signature));
  expect(report.signature).toMatchObject({
    ending: 'crash',
    title: 'Panic: no root',
    frames: [{ symbol: 'mount_root+0x8' }],
  });
  expect(report.manifest.files.map(({ name }) => name)).toEqual([
    ...[
      'README.txt',
      'report.txt',
      'signature.json',
      'console.log',
      'crash.json',
      'domain.json',
      'guest.cfg',
      'input.log',
      'memory.core',
      'report.html',
      'target.json',
      'xenctx-unwind.txt',
      'xenctx.json',
      'xenctx.txt',
    ],
    ...['xenstore.txt', 'xl-dmesg.txt', 'xl-info.txt', 'xl-list.json', 'xl-list.txt'],
  ]);
});

test('README.txt says first of all to open the page; one that would be too large is left out, and everything says so', async () => {
  const textsOf = async ({ bytes }: { readonly bytes: Uint8Array }) =>
    (await unpackArchive(bytes, 'made')).files;
  const readmeOf = async (made: { readonly bytes: Uint8Array }) =>
    new TextDecoder().decode((await textsOf(made)).get('README.txt'));
  const usual = await make();
  expect((await readmeOf(usual)).split('\n')[2]).toMatch(/^ {2}report\.html +.* open this first/);
  // What HTML writes six times as long.
  const quotes = `${'"'.repeat(199)}\n`;
  const large = await make({
    console: quotes.repeat(25_000),
    xenLog: Array(5000).fill(quotes.trim()),
    xenstore: quotes.repeat(5000),
  });
  const files = await textsOf(large);
  expect(large.manifest.missing).toEqual([
    {
      item: 'report.html',
      reason: expect.stringMatching(/^it would have \d{8} bytes, 33554432 is the most$/),
      cause: 'size',
      required: false,
    },
  ]);
  expect(files.has('report.html')).toBe(false);
  expect(await readmeOf(large)).not.toContain('report.html');
  expect(new TextDecoder().decode(files.get('report.txt'))).toContain('report.html: it would have');
});

test('the same evidence gives the same bytes, whoever and whenever', async () => {
  const first = await make();
  const later = await make({
    record: {
      ...record,
      createdAt: '2030-01-01T00:00:00.000Z',
      process: undefined,
      kernel: { ...record.kernel, path: '/elsewhere/vmlinux' },
    },
  });
  expect(Buffer.from(first.bytes).equals(Buffer.from(later.bytes))).toBe(true);
});

test('what is missing is told, and what is required makes the report partial', async () => {
  const partial = await make({
    inspection: { problem: 'domain 3 was lost' },
    xenstore: { problem: 'not kept' },
  });
  expect(partial.partial).toBe(true);
  expect(partial.manifest.missing).toEqual([
    { item: 'crash.json', reason: 'domain 3 was lost', cause: 'failed', required: true },
    { item: 'memory.core', reason: 'domain 3 was lost', cause: 'failed', required: false },
    { item: 'target.json', reason: 'domain 3 was lost', cause: 'failed', required: true },
    { item: 'xenctx-unwind.txt', reason: 'domain 3 was lost', cause: 'failed', required: true },
    { item: 'xenctx.json', reason: 'domain 3 was lost', cause: 'failed', required: true },
    { item: 'xenctx.txt', reason: 'domain 3 was lost', cause: 'failed', required: true },
    { item: 'xenstore.txt', reason: 'not kept', cause: 'absent', required: false },
  ]);
  expect((await files(partial.bytes)).manifest.missing).toHaveLength(7);
  const nameless = await make({ inspection: { ...inspection, symbolsUsed: false } });
  expect(nameless.manifest.missing).toEqual([
    { item: 'symbols', reason: 'no file was given with -s: addresses have no names', required: false },
  ]);
  const withoutLog = await make({ xenLog: [] });
  expect(withoutLog.partial).toBe(false);
});

test('a collector that fails takes nothing else with it', async () => {
  const usual = new Registry(join(folder.path, 'state')).files(3);
  const made = await make({ files: { ...usual, config: usual.folder } });
  expect(made.manifest.missing).toMatchObject([
    { item: 'guest.cfg', reason: expect.stringMatching(/^failed: EISDIR/), required: true },
  ]);
});

test('a long file keeps its beginning and its end', () => {
  const text = 'a'.repeat(100) + 'b'.repeat(1000) + 'c'.repeat(300);
  const { bytes, note } = boundTo(new TextEncoder().encode(text), 400);
  expect(new TextDecoder().decode(bytes)).toBe(
    `${'a'.repeat(100)}\n[... 1000 bytes left out ...]\n${'c'.repeat(300)}`,
  );
  expect(note).toBe('1000 of 1400 bytes left out after the first 100');
});

test('of the log, only lines about the domain are taken, register dumps whole', () => {
  const lines = [
    '(XEN) d1v0 Triple fault',
    '(XEN) *** Dumping Dom1 vcpu#0 state: ***',
    '(XEN) ----[ Xen-4.17.0  x86_64  debug=n  Not tainted ]----',
    '(XEN) RIP:    0010:[<ffffffffc020108b>]',
    '(XEN) d11v0 Triple fault',
    '(XEN) *** Dumping Dom11 vcpu#0 state: ***',
    '(XEN) RIP:    0010:[<ffffffffc0201000>]',
    '(d1) a word from the guest',
    '(XEN) d1: destroyed',
  ];
  expect(linesOfDomain(lines, 1)).toEqual([...lines.slice(0, 4), ...lines.slice(7)]);
});

test('the log names the vCPU of the shutdown', () => {
  const lines = ['(XEN) d1v1 shut down, reason code 3 (crash)', '(XEN) d1v0 something else'];
  expect(vcpuOfShutdown(lines)).toBe(1);
  expect(vcpuOfShutdown([])).toBeUndefined();
});
