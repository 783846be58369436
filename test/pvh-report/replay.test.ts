// `pvh-report replay`: the domain of a report run again. Real domains, input from outside, and reports that somebody changed.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { sha256 } from '../../tools/pvh-report/archive.ts';
import { unpackArchive } from '../../tools/pvh-report/unpack.ts';
import { Host } from '../kernel/guest.ts';
import { TinyKernel } from '../support/tiny-kernel.ts';
import { type } from '../support/typing.ts';
import { collectReport, crash, vmlinuxOf } from './crashed.ts';
import { pvhReportWith, type Run } from './run.ts';
import { type Changes, changed } from './support.ts';

const PVH_REPORT = fileURLToPath(new URL('../../dist/tools/bin/pvh-report.js', import.meta.url));
const KEEP = { on_crash: '"preserve"', on_reboot: '"preserve"', on_poweroff: '"preserve"' };

/** In this process; without domains of this host unless `stateDir` has any. */
const replay = (stateDir: string, ...argv: string[]): Promise<Run> =>
  pvhReportWith({ ...process.env, PVH_STATE_DIR: stateDir }, 'replay', '-q', ...argv);

/** A file of a report. */
async function textOf(path: string, name: string): Promise<string> {
  const { files } = await unpackArchive(readFileSync(path), path);
  return new TextDecoder().decode(files.get(name));
}

/** A guest of a few instructions, running. */
function createTiny(
  host: Host,
  name: string,
  kernel: TinyKernel,
  settings: Readonly<Record<string, string>> = {},
): number {
  const image = join(host.stateDir, `${name}.elf`);
  writeFileSync(image, kernel.elf());
  return host.create(name, { kernel: `"${image}"`, memory: '8', ...KEEP, ...settings });
}

let host: Host;
/** Two vCPUs, no input; one vCPU, three inputs. With their kernels beside them. */
let twoVcpus: string;
let typedAt: string;
let folder: string;
const nobody = (): string => join(folder, 'no-domains');

beforeAll(async () => {
  host = new Host();
  folder = join(host.stateDir, 'reports');
  mkdirSync(folder);
  twoVcpus = collectReport(host, await crash(host, 'crash-on-vcpu1'), '-o', join(folder, 'two.tar.gz')).path;
  copyFileSync(vmlinuxOf('crash-on-vcpu1'), join(folder, 'vmlinux'));
  const guest = new TinyKernel()
    .awaitInput()
    .print('one\n')
    .sleepUntil(4e9)
    .awaitInput()
    .print('two\n')
    .spin();
  const domid = createTiny(host, 'shop-db7', guest);
  await type(host, domid, 'pa', 'ssw0rd\r');
  host.ok('xl', 'pause', 'shop-db7');
  host.ok('xl', 'dump-core', 'shop-db7', join(host.stateDir, 'middle.core'));
  host.ok('xl', 'unpause', 'shop-db7');
  await type(host, domid, 'x');
  host.ok('xl', 'pause', 'shop-db7');
  host.ok('xl', 'unpause', 'shop-db7');
  host.ok('xl', 'trigger', 'shop-db7', 'nmi');
  expect(await host.untilShutdown(domid)).toBe('---sr-');
  typedAt = collectReport(host, domid, '-o', join(folder, 'typed.tar.gz')).path;
  copyFileSync(join(host.stateDir, 'shop-db7.elf'), join(folder, 'shop-db7.elf'));
});
afterAll(() => host[Symbol.dispose]());

describe('the same run', () => {
  test('two vCPUs', async () => {
    const { status, out, err } = await replay(nobody(), twoVcpus);
    expect([status, err]).toEqual([0, '']);
    const lines = (await textOf(twoVcpus, 'console.log')).split('\n').length - 1;
    expect(out).toMatch(
      new RegExp(
        `^same: crash at instruction \\d+, as recorded\n {2}equal: 2 vCPUs, ${lines} lines of console, \\d\\d frames of memory; 0 inputs given\n$`,
      ),
    );
  });

  test('README.txt, report.txt and the page say how it is asked for', async () => {
    expect(await textOf(twoVcpus, 'report.txt')).toMatch(
      /^replay +pvh-report replay REPORT\.tar\.gz --kernel FILE$/m,
    );
    const digest = sha256(readFileSync(vmlinuxOf('crash-on-vcpu1')));
    expect(await textOf(twoVcpus, 'report.txt')).toMatch(
      new RegExp(`^kernel file +vmlinux, SHA-256 ${digest}$`, 'm'),
    );
    expect(await textOf(twoVcpus, 'README.txt')).toContain('pvh-report replay REPORT.tar.gz --kernel FILE');
    expect(await textOf(twoVcpus, 'report.html')).toContain('<dt>replay</dt><dd>pvh-report replay');
  });

  test('typed on the console, paused, dumped, ended by an NMI', async () => {
    const { status, out } = await replay(nobody(), typedAt, '--json');
    expect(status).toBe(0);
    expect(JSON.parse(out)).toMatchObject({
      verdict: 'same',
      differences: [],
      end: { replayed: expect.stringMatching(/^reboot at instruction \d+$/) },
      compared: { inputs: 4, vcpus: 1 },
      warnings: [],
    });
  });

  test('sysrq comes at its place, and a pause or a dump meanwhile does not matter', async () => {
    const domid = createTiny(host, 'spins', new TinyKernel().print('here\n').spin());
    for (const argv of [
      ['sysrq', 'spins', 'h'],
      ['pause', 'spins'],
      ['sysrq', 'spins', 'w'],
      ['unpause', 'spins'],
      ['trigger', 'spins', 'nmi'],
    ])
      host.ok('xl', ...argv);
    await host.untilShutdown(domid);
    const { path } = collectReport(host, domid, '-o', join(folder, 'spins.tar.gz'));
    // The kernel is found where the domain of this host has it.
    const { status, out } = await replay(host.stateDir, path);
    expect([status, out]).toEqual([0, expect.stringContaining('3 inputs given')]);
  });

  test('a domain that has another name now: the guest is told the old one', async () => {
    const guest = new TinyKernel().print('here\n').awaitInput().shutdown('crash');
    const domid = createTiny(host, 'before', guest);
    host.ok('xl', 'rename', 'before', 'after');
    await type(host, domid, 'x');
    await host.untilShutdown(domid);
    const { path } = collectReport(host, domid, '-o', join(folder, 'renamed.tar.gz'));
    const { files } = await unpackArchive(readFileSync(path), path);
    const record = JSON.parse(Buffer.from(files.get('domain.json') ?? []).toString());
    expect(record).toMatchObject({ name: 'after', builtAs: { name: 'before', uuid: record.uuid } });
    expect((await replay(host.stateDir, path)).status).toBe(0);
  });

  test('--core leaves the whole guest for other tools, --kernel need not have the name', async () => {
    const [core, kernel] = [join(folder, 'again.core'), join(folder, 'other-name')];
    copyFileSync(vmlinuxOf('crash-on-vcpu1'), kernel);
    const { status, out } = await replay(nobody(), twoVcpus, '--core', core, '--kernel', kernel);
    expect([status, out.split('\n').at(-2)]).toEqual([0, core]);
    expect(sha256(readFileSync(core))).toBe(sha256(readFileSync(host.file(1, 'core.elf'))));
    expect((await replay(nobody(), twoVcpus, '--core', core)).err).toContain('is there already');
  });

  test('the registry of the user is not touched', async () => {
    const before = readdirSync(host.stateDir, { recursive: true }).sort();
    await replay(host.stateDir, twoVcpus);
    expect(readdirSync(host.stateDir, { recursive: true }).sort()).toEqual(before);
    expect(existsSync(nobody())).toBe(false);
  });
});

describe('another run', () => {
  const inLine =
    (number: number, change: (line: string) => string) =>
    (text: string): string =>
      text
        .split('\n')
        .map((line, index) => (index === number ? change(line) : line))
        .join('\n');
  const without = (number: number) => (text: string) => text.split('\n').toSpliced(number, 1).join('\n');
  const setting = (line: string) => (text: string) => `${text}\n${line}\n`;
  const record = (key: string, value: string) => (text: string) =>
    text.replace(new RegExp(`"${key}": [^,\n]+`), `"${key}": ${value}`);

  test.each<[string, 'typed' | 'two', Changes, string | RegExp]>([
    [
      'seed',
      'two',
      { 'domain.json': record('seed', '5') },
      'seed (recorded / replayed)\n          seed 5 / 0\n',
    ],
    ['seed of the config', 'two', { 'guest.cfg': setting('seed = 6') }, 'seed 0 / 6\n'],
    ['memory', 'two', { 'guest.cfg': setting('memory = 32') }, 'memory 16 MiB / 32 MiB\n'],
    ['vCPUs', 'two', { 'guest.cfg': setting('vcpus = 3') }, 'vCPUs 2 / 3\n'],
    ['command line', 'two', { 'guest.cfg': setting('extra = "quiet"') }, /command line +\/ quiet\n/],
    ['clock', 'two', { 'guest.cfg': setting('wallclock = 7') }, 'wall clock 1767225600 / 7\n'],
    [
      'a register',
      'two',
      { 'target.json': (text) => text.replace(/"rbx": "[0-9a-f]{8}/, '"rbx": "deadbeef') },
      /vcpu0 rbx deadbeef[0-9a-f]{8} \/ [0-9a-f]{16} {2}differs\n/,
    ],
    ['the reason', 'two', { 'domain.json': record('shutdownReason', '"reboot"') }, 'reason reboot / crash\n'],
    [
      'the console',
      'two',
      { 'console.log': inLine(2, (line) => `${line}!\u009b`) },
      /console line 3 (.*)!\? \/ \1\n/,
    ],
    [
      'memory of the guest',
      'two',
      { 'memory.core': (text) => `${text.slice(0, 0x6123)}?!${text.slice(0x6125)}` },
      /memory 0x[0-9a-f]+ [0-9a-f]{16} \/ [0-9a-f]{16} {2}1 of \d+ frames differ\n/,
    ],
    [
      'an earlier end',
      'two',
      { 'domain.json': record('shutdownInstruction', '9000') },
      /end crash at instruction 9000 \/ runs on at instruction \d+: vcpu0 at [0-9a-f]{16}, vcpu1 at/,
    ],
    [
      'a later end',
      'two',
      { 'domain.json': record('shutdownInstruction', '90000000000') },
      /instruction 90000000000 \/ \d+\n/,
    ],
    ['an input less', 'typed', { 'input.log': without(3) }, /end reboot at instruction \d+ \/ runs on at/],
    ['no input', 'typed', { 'input.log': () => '' }, /waits for ever at instruction \d+: vcpu0 at/],
    [
      'an input elsewhere',
      'typed',
      { 'input.log': inLine(1, (line) => line.replace(/"instruction":\d+/, '"instruction":3')) },
      /input 2 \(console\) instruction 3, (\d+ ns, slice \d+) \/ instruction \d+, \1\n/,
    ],
    [
      'other input',
      'typed',
      { 'input.log': inLine(3, (line) => line.replace(/"kind".*/, '"kind":"sysrq","key":"b"}')) },
      'runs on at',
    ],
  ])('%s', async (name, of, changes, said) => {
    const report = of === 'two' ? twoVcpus : typedAt;
    const { status, out } = await replay(
      nobody(),
      await changed(report, join(folder, `changed.tar.gz`), changes),
    );
    expect([name, status]).toEqual([name, 1]);
    expect(out).toMatch(/^different: /);
    if (typeof said === 'string') expect(out).toContain(said);
    else expect(out).toMatch(said);
    for (const line of out.split('\n')) expect(line.length).toBeLessThanOrEqual(160);
  });

  test('another version of the runtime is a warning', async () => {
    const older = await changed(twoVcpus, join(folder, 'older.tar.gz'), {
      'manifest.json': (text) => text.replace(/"tool": "[^"]+"/, '"tool": "pvh-report 0.0.1"'),
    });
    const { status, err } = await replay(nobody(), older);
    expect([status, err]).toEqual([0, expect.stringContaining('made by pvh-report 0.0.1')]);
  });
});

describe('what cannot be replayed', () => {
  test('a kernel that is not at hand: both hashes', async () => {
    const elsewhere = join(folder, 'elsewhere');
    mkdirSync(elsewhere);
    const report = join(elsewhere, 'two.tar.gz');
    copyFileSync(twoVcpus, report);
    const absent = await replay(nobody(), report);
    const digest = sha256(readFileSync(vmlinuxOf('crash-on-vcpu1')));
    expect(absent).toMatchObject({ status: 2, out: '' });
    expect(absent.err).toContain(`the kernel is vmlinux, SHA-256 ${digest}\n`);
    expect(absent.err).toContain('give that very file with --kernel FILE');
    const [text, record] = [await textOf(report, 'guest.cfg'), await textOf(report, 'domain.json')];
    const withRamdisk = await changed(report, join(elsewhere, 'ramdisk.tar.gz'), {
      'guest.cfg': () => `${text}\nramdisk = "initrd.gz"\n`,
      'domain.json': () =>
        record.replace('{', `{ "ramdisk": { "path": "initrd.gz", "sha256": "${digest}" },`),
    });
    const both = await replay(nobody(), withRamdisk);
    expect(both.err).toContain('the kernel is vmlinux');
    expect(both.err).toContain(`the ramdisk is initrd.gz, SHA-256 ${digest}\n`);
    expect(both.err).toContain('give that very file with --ramdisk FILE');
    const panic = vmlinuxOf('panic');
    const wrong = await replay(nobody(), twoVcpus, '--kernel', panic);
    expect(wrong.status).toBe(2);
    expect(wrong.err).toContain(digest);
    expect(wrong.err).toContain(`${panic}: is another file, SHA-256 ${sha256(readFileSync(panic))}`);
    const none = await replay(nobody(), twoVcpus, '--ramdisk', panic);
    expect(none).toMatchObject({ status: 2, err: expect.stringContaining('had none') });
  });

  test('a domain that runs, and one whose input is not in the report', async () => {
    const domid = createTiny(host, 'alive', new TinyKernel().print('here\n').awaitInput().spin());
    const { path } = collectReport(host, domid, '-o', join(folder, 'alive.tar.gz'));
    expect(await replay(host.stateDir, path)).toMatchObject({
      status: 2,
      err: expect.stringContaining('the domain had not ended (running)'),
    });
    expect(await textOf(path, 'report.txt')).not.toMatch(/^replay/m);
    host.ok('xl', 'destroy', 'alive');
    const skipped = join(folder, 'skipped.tar.gz');
    collectReport(host, 1, '-o', skipped, '--skip', 'input');
    expect(await replay(host.stateDir, skipped)).toMatchObject({
      status: 2,
      err: expect.stringContaining('it has no input.log: '),
    });
    for (const name of ['report.txt', 'README.txt', 'report.html'])
      expect(await textOf(skipped, name)).not.toContain('pvh-report replay REPORT');
  });

  test('what was typed is left out by redact, so that is not replayed; a redacted one without is', async () => {
    const [typed, two] = [typedAt, twoVcpus].map((path) => path.replace('.tar.gz', '-redacted.tar.gz'));
    host.ok('pvh-report', 'redact', '-q', typedAt, '-o', `${typed}`);
    const { files } = await unpackArchive(readFileSync(`${typed}`), `${typed}`);
    expect(files.has('input.log')).toBe(false);
    for (const name of ['report.txt', 'README.txt', 'report.html'])
      expect(await textOf(`${typed}`, name)).not.toContain('pvh-report replay REPORT');
    expect(Buffer.concat([...files.values()]).includes('ssw0rd')).toBe(false);
    expect(await replay(nobody(), `${typed}`)).toMatchObject({
      status: 2,
      err: expect.stringContaining('holds console input of the guest: left out by redact'),
    });
    host.ok('pvh-report', 'redact', '-q', twoVcpus, '-o', `${two}`);
    expect(await replay(nobody(), `${two}`)).toMatchObject({
      status: 0,
      out: expect.stringContaining('equal: 2 vCPUs, 0 lines of console, 0 frames of memory'),
      err: expect.stringContaining('stand-ins'),
    });
  });

  const record = (from: RegExp, to: string) => ({ 'domain.json': (text: string) => text.replace(from, to) });
  const config = (line: string) => ({ 'guest.cfg': (text: string) => `${text}\n${line}\n` });
  const input = (text: string) => ({ 'input.log': () => text });
  test.each<[string, Changes, string]>([
    ['more memory than there is', config('memory = 999999'), 'guest.cfg: memory=999999'],
    ['more vCPUs than there are', config('vcpus = 64'), 'vcpus=64: a guest has 1 to 32'],
    ['no config', { 'guest.cfg': () => '(((' }, 'guest.cfg'],
    ['a name that is a path', record(/"name": "shop-db7"/g, '"name": "../x"'), 'Invalid domain name'],
    ['a UUID that is none', record(/"uuid": "[^"]+"/g, '"uuid": "x"'), 'no UUID'],
    ['a domain id that is none', record(/"domid": \d+/, '"domid": 70000'), 'no UUID or number of a domain'],
    [
      'an instruction that is no number',
      record(/"shutdownInstruction": \d+/, '"shutdownInstruction": 1e99'),
      'not an integer',
    ],
    ['a log that is no log', input('x\n'), 'hostile.tar.gz: input.log: line 1'],
    ['half a line', input('{"at":1'), 'the last line is not whole'],
    [
      'an unknown input',
      input('{"at":1,"slice":1,"instruction":1,"kind":"exec"}\n'),
      'of a kind that is not known',
    ],
    [
      'a place before the start',
      input('{"at":1,"slice":-1,"instruction":1,"kind":"sysrq","key":"c"}\n'),
      'below 0',
    ],
    [
      'a vCPU that is not there',
      input('{"at":1,"slice":1,"instruction":1,"kind":"nmi","vcpu":1}\n'),
      'there is no vCPU 1',
    ],
    [
      'a cut log',
      {
        'manifest.json': (text) =>
          text.replace(/("name": "input.log",)/, '$1 "note": "9 of 10 bytes left out",'),
      },
      'its input.log is not whole: 9 of 10 bytes left out',
    ],
  ])('%s', async (_, changes, said) => {
    const { status, out, err } = await replay(
      nobody(),
      await changed(typedAt, join(folder, 'hostile.tar.gz'), changes),
    );
    expect([status, out]).toEqual([2, '']);
    expect(err).toContain(said);
    expect(err).not.toContain('internal error');
  });

  test('bytes changed anywhere: a verdict or a reason, never a bug', async () => {
    const files = ['domain.json', 'guest.cfg', 'input.log', 'target.json', 'memory.core'] as const;
    const change = fc.tuple(
      fc.constantFrom(...files),
      fc.nat(6000),
      fc.constantFrom(...'09-eE"{}[],:.x\\\n\0'),
    );
    await fc.assert(
      fc.asyncProperty(
        fc.boolean(),
        fc.array(change, { minLength: 1, maxLength: 3 }),
        async (typed, list) => {
          const changes: Record<string, (text: string) => string> = {};
          for (const [file, position, character] of list)
            changes[file] = (text) => {
              const at = position % Math.max(1, text.length);
              const other = text[at] === character ? '!' : character;
              return text.slice(0, at) + other + text.slice(at + 1);
            };
          const report = await changed(typed ? typedAt : twoVcpus, join(folder, 'any.tar.gz'), changes);
          const { status, out, err } = await replay(nobody(), report, '--timeout', '20');
          expect([0, 1, 2]).toContain(status);
          expect(status === 2 ? err : out).not.toBe('');
          expect(err).not.toMatch(/internal error|^\s+at /m);
        },
      ),
      { seed: 11, numRuns: 30 },
    );
  });

  test('nothing but the very kernel is opened: other files of the config mean nothing', async () => {
    const report = await changed(twoVcpus, join(folder, 'files.tar.gz'), {
      'guest.cfg': (text) =>
        `${text.replace('"vmlinux"', '"/nonexistent/kernel"')}\ndisk = ["/nonexistent/disk,raw,xvda,w"]\nvif = ["script=/nonexistent/x"]\nserial = "file:/nonexistent/serial"\ndevice_model_override = "/nonexistent/qemu"\n`,
    });
    expect((await replay(nobody(), report)).status).toBe(0);
  });

  test('it gives up when its time is over, and ends in order when it is told to', async () => {
    const forEver = await changed(typedAt, join(folder, 'for-ever.tar.gz'), {
      'domain.json': (text) =>
        text
          .replace(/"shutdownInstruction": \d+/, '"shutdownInstruction": 9000000000000000')
          .replace(/"virtualNanoseconds": \d+/, '"virtualNanoseconds": 9000000000000000'),
      'input.log': (text) => text.split('\n').toSpliced(3, 1).join('\n'),
    });
    expect(await replay(nobody(), forEver, '--timeout', '0.3')).toMatchObject({
      status: 2,
      out: '',
      err: expect.stringMatching(/not done within 0.3 s: at instruction \d+ of 9000000000000000; --timeout/),
    });
    const before = readdirSync(folder);
    const child = spawn(process.execPath, [PVH_REPORT, 'replay', forEver, '--core', join(folder, 'no.core')]);
    let err = '';
    child.stderr.on('data', (bytes) => {
      err += bytes;
      // A second signal would end it at once.
      if (!child.killed && err.includes('Replaying')) child.kill('SIGINT');
    });
    expect(await once(child, 'exit')).toEqual([130, null]);
    expect(err).toContain('pvh-report: interrupted\n');
    expect(readdirSync(folder)).toEqual(before);
  });
});
