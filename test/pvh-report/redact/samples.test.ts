// Reports of guests that crashed, collected and redacted by the programs themselves: nothing that tells of the crash changes.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { readReport } from '../../../tools/pvh-report/report.ts';
import { unpackArchive } from '../../../tools/pvh-report/unpack.ts';
import { Host } from '../../kernel/guest.ts';

const samples = fileURLToPath(new URL('../../../samples/', import.meta.url));

/** Names as people give them, one that is also a function of the guest. */
test.each([
  ['panic', 'kundendb-07'],
  ['deep-call-chain', 'average'],
  ['null-dereference', 'web01.intern.muster-werke.de'],
])('%s, as a domain called %s', async (sample, name) => {
  using host = new Host();
  const vmlinux = join(samples, sample, 'vmlinux');
  const actions = ['on_crash', 'on_reboot', 'on_watchdog', 'on_poweroff'].map((action) => [
    action,
    '"preserve"',
  ]);
  const domid = host.create(name, {
    kernel: `"${vmlinux}"`,
    memory: '16',
    uuid: '"8d7f0c1e-52c4-4b1a-9d3e-7a60c5b1f2a9"',
    extra: '"console=hvc0 luks.password=tr0ub4dor ip=10.20.30.41"',
    ...Object.fromEntries(actions),
  });
  await host.untilShutdown(domid);
  const [plain, redacted] = [join(host.stateDir, 'plain.tar.gz'), join(host.stateDir, 'redacted.tar.gz')];
  host.ok('pvh-report', 'collect', '-q', '-s', vmlinux, '-o', plain, String(domid));
  host.ok('pvh-report', 'collect', '-q', '-s', vmlinux, '-o', redacted, '--redact', String(domid));

  const [before, after] = await Promise.all(
    [plain, redacted].map(async (path) => (await unpackArchive(readFileSync(path), path)).files),
  );
  const text = (files: ReadonlyMap<string, Uint8Array> | undefined, file: string): string =>
    Buffer.from(files?.get(file) ?? new Uint8Array()).toString('utf8');
  const widths = (files: ReadonlyMap<string, Uint8Array> | undefined, file: string): number[] =>
    text(files, file)
      .split('\n')
      .map((line) => line.length);
  for (const file of after?.keys() ?? []) {
    for (const secret of [
      'tr0ub4dor',
      '10.20.30.41',
      '8d7f0c1e-52c4-4b1a-9d3e-7a60c5b1f2a9',
      'kundendb',
      'web01',
      'muster-werke',
    ])
      expect(`${file}: ${text(after, file)}`).not.toContain(secret);
    if (!['manifest.json', 'README.txt', 'report.txt', 'report.html'].includes(file))
      expect([file, ...widths(after, file)]).toEqual([file, ...widths(before, file)]);
  }
  // These say that memory.core is not there, and that it is redacted.
  const page = (files: typeof before): string =>
    text(files, 'report.txt')
      .replace(/\nredacted .*/, '')
      .replace(/\nMissing\n.*/s, '');
  expect(
    page(after)
      .split('\n')
      .map(({ length }) => length),
  ).toEqual(
    page(before)
      .split('\n')
      .map(({ length }) => length),
  );
  expect(text(after, 'report.txt')).toContain('\n  memory.core: holds memory of the guest: left out');
  expect(text(after, 'README.txt')).not.toContain('memory.core');
  const said = /stand-ins for private values, by rule secret-option \d+, uuid \d+, ipv4 \d+, guest-name \d+/;
  expect(host.ok('pvh-report', 'show', redacted)).toMatch(new RegExp(`^redacted +${said.source}$`, 'm'));
  expect(text(after, 'report.html')).toMatch(new RegExp(`Redacted: ${said.source}\\.`));
  for (const file of ['crash.json', 'xenctx-unwind.txt', 'xenctx.txt', 'console.log'])
    expect(text(after, file)).toBe(text(before, file));
  expect(text(after, 'guest.cfg')).not.toContain(`"${name}"`);
  const [left, right] = [await readReport(plain), await readReport(redacted)];
  expect(right.manifest.domain.name).not.toBe(name);
  expect(right.signature).toEqual(left.signature);
  expect(text(after, 'report.html')).toBe(host.ok('pvh-report', 'show', '--html', redacted, '-o', '-'));
  expect(host.ok('pvh-report', 'diff', plain, redacted)).toMatch(/^same crash/);
  // With its memory, everything that is derived comes out of the redacted raw files as it stands there.
  const whole = join(host.stateDir, 'whole.tar.gz');
  host.ok('pvh-report', 'redact', plain, '-q', '-o', whole, '--keep', 'memory');
  host.ok('pvh-report', 'verify', whole, '-s', vmlinux);
});
