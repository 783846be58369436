// `pvh-report mail`: a report as it goes to a mailing list.
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Host } from '../kernel/guest.ts';
import { collectReport, crash, vmlinuxOf } from './crashed.ts';
import { pvhReport } from './run.ts';
import { type MadeUpCrash, packReport, scratchFolder } from './support.ts';
import { XenHost } from './xen-host.ts';

const folder = scratchFolder();
afterAll(() => folder.remove());

const run = (...argv: string[]) => pvhReport('mail', ...argv);

const sha256 = (path: string): string => createHash('sha256').update(readFileSync(path)).digest('hex');

/** The text below a heading, without the indentation. */
const section = (mail: string, title: string): string => {
  const [, after = ''] = mail.split(new RegExp(`^== ${title.replace(/[().]/g, '\\$&')} =+\n\n`, 'm'));
  return after.split(/\n== /)[0]?.replace(/^ {2}/gm, '') ?? '';
};
const titles = (mail: string): string[] =>
  [...mail.matchAll(/^== (.*?) =+$/gm)].map(([, title = '']) => title);

describe('a sample that panicked', () => {
  const host = new Host();
  afterAll(() => host[Symbol.dispose]());

  test('has subject, story, console and what is attached', async () => {
    const domid = await crash(host, 'panic');
    const output = join(folder.path, 'panic.tar.gz');
    const { path } = collectReport(host, domid, '-s', vmlinuxOf('panic'), '-o', output);
    const { status, out } = await run(path);
    expect(status).toBe(0);
    const [head = '', ...rest] = out.split('\n\n');
    expect(head.replace(/kernel [0-9a-f]{12}/, 'kernel BUILD-ID')).toBe(
      `Subject: [BUG] PVH guest panic: Panic: cannot mount root, tried 3 devices, kernel BUILD-ID on Xen 4.17.0-pvh-report
MIME-Version: 1.0
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: 8bit`,
    );
    expect(rest[0]).toMatch(
      /^PVH guest panic \(domain 1\), .*\n? *.*reason crash\. It ran in the emulated PVH runtime of pvh-report, not on\n {2}a Xen host\.\nMessage: Panic: cannot mount root, tried 3 devices\nWhere: vcpu0 in mount_root, called by start_services/,
    );
    expect(titles(out)).toEqual([
      'Summary (report.txt)',
      'Console, its end (console.log)',
      'Hypervisor log, lines about this domain (xl-dmesg.txt)',
      'Configuration (guest.cfg)',
      'Missing from the report',
      'Attached',
    ]);
    expect(section(out, 'Console, its end (console.log)')).toBe(host.console(domid).replaceAll('\r', ''));
    expect(section(out, 'Summary (report.txt)')).toMatch(/^Stack of vcpu0 .*\n.*shutdown\+0x/m);
    expect(section(out, 'Attached')).toContain(`SHA-256 ${sha256(path)}\n`);
    expect(section(out, 'Missing from the report').trim()).toBe('nothing');
    const ours = out.split('\n').filter((line) => !line.startsWith('  ') && !line.startsWith('Subject: '));
    expect(Math.max(...ours.map((line) => line.length))).toBeLessThanOrEqual(78);
  });
});

describe('a guest of a Xen host', () => {
  let host: XenHost;
  beforeEach(() => {
    host = new XenHost();
  });
  afterEach(() => host[Symbol.dispose]());

  test('names kernel and Xen, and nothing of the host beside the domain', async () => {
    const { report } = await host.collect();
    const { out, status } = await run(report);
    expect(status).toBe(0);
    expect(out).toMatch(
      /^Subject: \[BUG\] PVH guest sysrq1: Kernel panic - not syncing: sysrq triggered crash, Linux 6\.1\.\S+ on Xen 4\.17\.7\n/,
    );
    expect(out).toContain('It ran on a Xen host.');
    expect(out).toMatch(/^Where: vcpu0 in sysrq_handle_crash, called by __handle_sysrq/m);
    expect(titles(out)).toContain('Configuration (xl list -l)');
    expect(titles(out).some((title) => title.includes('host-'))).toBe(false);
    const attached = section(out, 'Attached');
    expect(attached).toContain(sha256(report));
    expect(out).not.toContain(join(report, '..'));
  });
});

describe('made-up reports', () => {
  const made = async (crash: MadeUpCrash): Promise<string> => {
    const { out, status } = await run(folder.write('made.tar.gz', await packReport(crash)));
    expect(status).toBe(0);
    return out;
  };

  test.each([
    ['of ASCII', 'a line of the guest\n'],
    ['of many bytes a character', 'ein Gruß aus 東京 🦀🦀🦀\n'],
    ['of long lines', `${'x'.repeat(5000)}\n`],
    ['without an end of line', 'z'],
  ])('a console of 4 MiB %s fits, with its end', async (_, line) => {
    const console = `${line.repeat(Math.ceil((3 << 20) / Buffer.byteLength(line)))}Kernel panic - not syncing: last words\n`;
    const mail = await made({ console, frames: ['panic', 'f'] });
    expect(Buffer.byteLength(mail)).toBeLessThanOrEqual(100_000);
    expect(Math.max(...mail.split('\n').map((each) => Buffer.byteLength(each)))).toBeLessThan(998);
    expect(mail).not.toContain('\ufffd');
    if (line.endsWith('\n')) {
      expect(Buffer.byteLength(mail)).toBeGreaterThan(97_000);
      expect(mail).toContain('\n  Kernel panic - not syncing: last words\n');
      expect(mail).toMatch(/^ {2}\[\.\.\. \d+ lines left out \.\.\.\]$/m);
    }
  });

  test('what would steer a terminal or a mail program is only text', async () => {
    const mail = await made({
      name: 'evil\r\nBcc: everybody@example.org',
      console:
        'From someone\n.\n---\ndiff --git a/x b/x\n\x1b]0;title\x07\u202egnp.exe\x9b\nKernel panic - not syncing: a\r\nb\n',
      frames: ['panic', 'f'],
    });
    expect(mail).not.toMatch(/^(From |\.$|---|diff|Bcc)/m);
    expect(mail).not.toMatch(/[^\n\P{Cc}]|\p{Cf}/u);
    expect(mail.split('\n\n')[0]?.split('\n')).toHaveLength(4);
  });

  test('a subject that is not ASCII is encoded, and reads back', async () => {
    const mail = await made({
      name: 'gäst',
      console: 'Kernel panic - not syncing: ünïcode in a lengthy message, 東京\n',
    });
    const [headers = ''] = mail.split('\n\n');
    const words = [...headers.matchAll(/=\?UTF-8\?B\?([^?]*)\?=/g)];
    expect(Math.max(...words.map(([word]) => word.length))).toBeLessThanOrEqual(75);
    expect(words.map(([, text = '']) => Buffer.from(text, 'base64').toString()).join('')).toBe(
      '[BUG] PVH guest gäst: Kernel panic - not syncing: ünïcode in a lengthy message, 東京, unknown kernel on Xen 4.17.0-pvh-report',
    );
  });

  test('what is missing is said, and that the report is partial', async () => {
    const path = folder.write(
      'partial.tar.gz',
      await packReport({ missing: [{ item: 'crash.json', reason: 'domain 3 was lost', required: true }] }),
    );
    const { status, out } = await run(path);
    expect(status).toBe(3);
    expect(section(out, 'Missing from the report').trim()).toBe('crash.json (required): domain 3 was lost');
    expect(out).toContain('Message: none found in what the guest said\nWhere: no vCPU could be read');
  });

  test('says when the report itself is too large to go along', async () => {
    const noise = createHash('shake256', { outputLength: 150_000 }).update('noise').digest('hex');
    const path = folder.write('large.tar.gz', await packReport({ console: `${noise}\nBUG: x\n` }));
    expect(await run(path)).toMatchObject({
      status: 0,
      err: expect.stringContaining('pvh-report fit --fit=mail'),
    });
    const small = folder.write('small.tar.gz', await packReport({ console: 'BUG: x\n' }));
    expect((await run(small)).err).toBe('');
  });

  test('goes into a file; a file that is no report is refused', async () => {
    const path = folder.write('made.tar.gz', await packReport({ console: 'BUG: x\n' }));
    const mail = join(folder.path, 'mail.txt');
    expect(await run(path, '-o', mail)).toMatchObject({ status: 0, out: `${mail}\n` });
    expect(readFileSync(mail, 'utf8')).toBe((await run(path)).out);
    const { status, err } = await run(folder.write('bad.tar.gz', new TextEncoder().encode('bad')));
    expect([status, err]).toEqual([2, expect.stringMatching(/not a whole gzip file .*bad\.tar\.gz/)]);
  });
});
