// Symbols that are added later: the receiver of a report comes to the very bytes that the reporter would have got.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { sha256 } from '../../tools/pvh-report/archive.ts';
import { readFacts } from '../../tools/pvh-report/html/xenctx-facts.ts';
import { readReport, unpackReport } from '../../tools/pvh-report/report.ts';
import { goldenSystemMap } from '../fuzz/sample.ts';
import { Host } from '../kernel/guest.ts';
import { debianArchive, debianKernel } from '../support/debian.ts';
import { busyboxInitramfs, INIT_PROLOGUE } from '../support/initramfs.ts';
import { collectReport, crash, vmlinuxOf } from './crashed.ts';
import { XenHost } from './xen-host.ts';

const digestOf = (path: string): string => sha256(gunzipSync(readFileSync(path)));
const textOf = async (path: string, name: string): Promise<string> =>
  new TextDecoder().decode((await unpackReport(path)).files.get(name));

describe('a sample that crashed', () => {
  let host: Host;
  beforeAll(() => {
    host = new Host();
  });
  afterAll(() => host[Symbol.dispose]());

  const samples = [
    ...['panic', 'deep-call-chain', 'crash-on-vcpu1', 'stack-overflow', 'triple-fault'],
    ...['jump-bad-address', 'corrupted-page-table'],
  ];
  test.each(samples)('%s: symbols later give the bytes of symbols at once', async (sample) => {
    const domid = await crash(host, sample);
    const vmlinux = vmlinuxOf(sample);
    const plain = collectReport(host, domid, '-o', join(host.stateDir, 'plain.tar.gz'));
    const named = collectReport(host, domid, '-s', vmlinux, '-o', join(host.stateDir, 'named.tar.gz'));
    expect(named.digest).not.toBe(plain.digest);
    // Whatever the receiver's file is called.
    const other = join(host.stateDir, 'some.debug');
    writeFileSync(other, readFileSync(vmlinux));
    const later = join(host.stateDir, 'later.tar.gz');
    expect(host.ok('pvh-report', 'symbolize', plain.path, '-s', other, '-o', later)).toBe(`${later}\n`);
    expect(digestOf(later)).toBe(named.digest);
    // What is made of the record is what xenctx makes of the domain itself.
    const live = host.run('xenctx', '-s', vmlinux, '-f', '-a', '-C', String(domid)).stdout;
    expect(await textOf(later, 'xenctx.txt')).toBe(live);
  });

  test.each([
    ['triple-fault', 0],
    ['crash-on-vcpu1', 0],
  ])('%s: what looks like code on the stack is no address of the stack itself', async (sample, vcpu) => {
    using own = new Host();
    const domid = await crash(own, sample);
    const { path } = collectReport(own, domid, '-o', join(own.stateDir, 'scanned.tar.gz'));
    const { vcpus } = await readReport(path);
    const frames = vcpus[vcpu]?.frames.map(({ address }) => address);
    expect(vcpus[vcpu]?.trace).toBe('scan');
    expect(frames).toHaveLength(4);
    const facts = readFacts(await textOf(path, 'xenctx.json'), 'xenctx.json');
    expect(frames).toEqual(facts.get(vcpu)?.frames.map(({ address }) => address));
  });

  test('what cannot be symbolized is refused with a reason, and nothing is written', async () => {
    const domid = await crash(host, 'bug-ud2');
    const out = join(host.stateDir, 'none.tar.gz');
    const refused = (report: string, ...options: string[]): string => {
      const { status, stdout, stderr } = host.run('pvh-report', 'symbolize', report, ...options);
      expect([status, stdout]).toEqual([2, '']);
      return stderr;
    };
    const bare = collectReport(host, domid, '--memory=none', '-o', join(host.stateDir, 'bare.tar.gz'));
    const vmlinux = vmlinuxOf('bug-ud2');
    expect(refused(bare.path, '-s', vmlinux, '-o', out)).toContain(
      'it has no memory of the guest, so nothing can be made again (memory.core: left out by --memory=none',
    );
    const plain = collectReport(host, domid, '-o', join(host.stateDir, 'plain.tar.gz'));
    expect(refused(plain.path, '-s', vmlinux, '-o', plain.path)).toContain('is the report itself');
    expect(refused(vmlinux, '-s', vmlinux, '-o', out)).toContain('not a whole gzip file');
    expect(() => readFileSync(out)).toThrow('ENOENT');
  });

  test('memory.core is a dump that the other tools open', async () => {
    const domid = await crash(host, 'null-dereference');
    const { path } = collectReport(host, domid, '-o', join(host.stateDir, 'report.tar.gz'));
    const core = join(host.stateDir, 'memory.core');
    writeFileSync(core, (await unpackReport(path)).files.get('memory.core') ?? '');
    const vmlinux = vmlinuxOf('null-dereference');
    const trace = (target: string): string =>
      host.ok('xenctx', '-s', vmlinux, '-l', '0', '-C', target).replace(/^.*\n(?=Call Trace:)/s, '');
    expect(trace(core)).toBe(trace(String(domid)));
  });
});

describe('a report', () => {
  const sources = ['a domain of a Xen host', 'its dump'] as const;
  test.each(sources)('of %s: symbols later give the bytes of symbols at once', async (source) => {
    using host = new Host();
    using xen = new XenHost();
    const map = join(host.stateDir, 'System.map');
    writeFileSync(map, goldenSystemMap());
    const collected = async (name: string, symbolTable?: string): Promise<string> => {
      const options = symbolTable === undefined ? {} : { symbolTable };
      if (source === 'a domain of a Xen host') return (await xen.collect(options)).report;
      const path = join(host.stateDir, `${name}.tar.gz`);
      const given = symbolTable === undefined ? [] : ['-s', symbolTable];
      host.ok('pvh-report', 'collect', xen.path('core.sysrq1'), '-q', '-o', path, ...given);
      return path;
    };
    const [plain, named] = [await collected('plain'), await collected('named', map)];
    const later = join(host.stateDir, 'later.tar.gz');
    host.ok('pvh-report', 'symbolize', plain, '-s', map, '-o', later);
    expect(digestOf(later)).toBe(digestOf(named));
    expect(await textOf(later, 'xenctx-unwind.txt')).toContain(' sysrq_handle_crash+0x16/0x20');
    expect(host.ok('pvh-report', 'verify', plain)).toContain('comes out the same');
    expect(host.ok('pvh-report', 'verify', later, '-s', map)).toContain('comes out the same');
  });
});

describe.runIf(debianArchive)('a Debian kernel that panicked', { timeout: 300_000 }, () => {
  test('symbols later give the bytes of symbols at once, and names are there without', async () => {
    using host = new Host();
    const { vmlinuz: kernel, vmlinux } = debianKernel('linux-image-cloud-amd64');
    const ramdisk = join(host.stateDir, 'initrd.gz');
    const init = `${INIT_PROLOGUE}echo 1 >/proc/sys/kernel/sysrq\necho c >/proc/sysrq-trigger\n`;
    writeFileSync(ramdisk, busyboxInitramfs(init));
    const domid = host.createLinux('guest', { kernel, ramdisk, extra: 'console=hvc0' });
    await host.untilShutdown(domid);
    const plain = collectReport(host, domid, '-o', join(host.stateDir, 'plain.tar.gz'));
    const named = collectReport(host, domid, '-s', vmlinux(), '-o', join(host.stateDir, 'named.tar.gz'));
    const later = join(host.stateDir, 'later.tar.gz');
    host.ok('pvh-report', 'symbolize', plain.path, '-s', vmlinux(), '-o', later);
    expect(digestOf(later)).toBe(named.digest);
    const { vmlinuz: other } = debianKernel('linux-image-6.12-cloud-amd64');
    const wrong = host.run('pvh-report', 'symbolize', plain.path, '-s', other, '-o', '/dev/null');
    expect([wrong.status, wrong.stderr]).toEqual([
      2,
      expect.stringMatching(/has build-id \w+, the guest's kernel \w+: nothing was written/),
    ]);
    expect(host.ok('pvh-report', 'verify', plain.path)).toContain('what is derived comes out the same');
    expect(host.ok('pvh-report', 'verify', later, '-s', vmlinux())).toContain('comes out the same');
    expect(await textOf(plain.path, 'report.txt')).toContain('sysrq_handle_crash+0x');
    // The whole kernel is not in it: what is only searched through is left out.
    const memory = (await unpackReport(plain.path)).files.get('memory.core');
    expect(memory?.length).toBeLessThan(16 << 20);
    const live = host.run('xenctx', '-l', '0', '-C', String(domid)).stdout;
    expect(await textOf(plain.path, 'xenctx-unwind.txt')).toBe(live);
  });
});
