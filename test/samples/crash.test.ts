// Every sample as a user runs it: xl create in its folder, then what expected.txt says of console, xl and xenctx, then a report.
import { execFileSync } from 'node:child_process';
import { readFileSync, truncateSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, test } from 'vitest';
import { Host, sha256 } from '../kernel/guest.ts';
import { firstMissing, readExpected } from '../support/expected.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const folder = (name: string) => join(root, 'samples', name);
const xl = join(root, 'dist/tools/bin/xl.js');

const host = new Host();
afterAll(() => host[Symbol.dispose]());

/** `xl create guest.cfg` in the sample's folder. @returns the domid. */
function create(name: string, ...overrides: string[]): number {
  const env = { ...process.env, PVH_STATE_DIR: host.stateDir, NO_COLOR: '1' };
  execFileSync(process.execPath, [xl, 'create', '-q', 'guest.cfg', ...overrides], {
    cwd: folder(name),
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  return Number(
    host.ok('xl', 'domid', overrides.length === 0 ? name : (overrides[0]?.split('"')[1] ?? name)),
  );
}

type Tool = 'xl' | 'xenctx' | 'pvh-report';

/** The output that a section of expected.txt is about. */
function look(subject: string, domid: number, name: string): string {
  if (subject === 'console') return host.console(domid);
  const [tool = '', ...args] = subject
    .split(' ')
    .map((word) => (word === 'vmlinux' ? join(folder(name), word) : word));
  return host.ok(tool as Tool, ...args, ...(tool === 'xenctx' || args[0] === 'list' ? [String(domid)] : [])); // expected.txt names our tools only
}

async function until(condition: () => boolean, what: string): Promise<void> {
  for (const end = Date.now() + 60_000; Date.now() < end; await new Promise((wake) => setTimeout(wake, 100)))
    if (condition()) return;
  throw new Error(`${what}: not within a minute`);
}

const samples = [
  'panic',
  'null-dereference',
  'bug-ud2',
  'stack-overflow',
  'triple-fault',
  'jump-bad-address',
  'watchdog',
  'corrupted-page-table',
  'crash-on-vcpu1',
  'deep-call-chain',
];

async function meetsExpectations(name: string, domid: number): Promise<void> {
  for (const { subject, lines } of readExpected(join(folder(name), 'expected.txt'))) {
    if (subject.startsWith('run ')) {
      const [tool, ...args] = subject.slice(4).split(' ');
      host.ok(tool as Tool, ...args); // as above
      await host.untilShutdown(domid, 60);
    } else {
      const text = look(subject, domid, name);
      expect(firstMissing(lines, text), `[${subject}] of ${name}:\n${text}`).toBeUndefined();
    }
  }
}

describe('samples', () => {
  test.each(samples)('%s crashes as it should', async (name) => {
    const domid = create(name);
    await host.untilShutdown(domid, 60);
    await meetsExpectations(name, domid);
  });

  test('hang-irqs-off runs on, and an NMI ends it', async () => {
    const domid = create('hang-irqs-off');
    await until(() => host.console(domid).includes('interrupts off'), 'the lock');
    const report = join(host.stateDir, 'hang.tar.gz');
    const vmlinux = join(folder('hang-irqs-off'), 'vmlinux');
    host.ok('pvh-report', 'collect', '-q', 'hang-irqs-off', '-s', vmlinux, '-o', report);
    const text = execFileSync('tar', ['-xzOf', report, 'pvh-report_hang-irqs-off/report.txt'], {
      encoding: 'utf8',
    });
    expect(
      firstMissing(
        ['*: running: this is a look at a domain that goes on', 'where vcpu0 in lock_irq_off+*'],
        text,
      ),
      text,
    ).toBeUndefined();
    await meetsExpectations('hang-irqs-off', domid);
  });
});

test.each(['crash-on-vcpu1', 'watchdog'])('%s runs the same way each time', async (name) => {
  const run = async () => {
    const domid = create(name, `name="${name}-repeat"`);
    await host.untilShutdown(domid, 60);
    const hashes = ['core.elf', 'console.log'].map((file) => sha256(host.file(domid, file)));
    host.ok('xl', 'destroy', String(domid));
    return hashes;
  };
  expect(await run()).toEqual(await run());
});

describe('reports', () => {
  const report = (name: string, file: string) => {
    const path = join(host.stateDir, file);
    host.ok(
      'pvh-report',
      'collect',
      '-q',
      name,
      '-s',
      join(folder(name.replace('-again', '')), 'vmlinux'),
      '-o',
      path,
    );
    return path;
  };

  test.each(samples)('of %s are whole and repeat to the byte', (name) => {
    const [first, second] = [report(name, `${name}.1.tar.gz`), report(name, `${name}.2.tar.gz`)];
    expect(readFileSync(first).equals(readFileSync(second))).toBe(true);
    expect(host.ok('pvh-report', 'diff', first, second)).toMatch(/^same crash: the reports are identical/);
  });

  test('name neither this host nor this user', async () => {
    const kernel = join(folder('panic'), 'vmlinux');
    await host.untilShutdown(create('panic', 'name="absolute"', `kernel="${kernel}"`), 60);
    const path = join(host.stateDir, 'absolute.tar.gz');
    host.ok('pvh-report', 'collect', '-q', 'absolute', '-s', kernel, '-o', path);
    const text = execFileSync('tar', ['-xzOf', path], { encoding: 'utf8' });
    const names = [root, host.stateDir, hostname(), process.env['HOME'] ?? '/'].filter(
      (name) => name.length > 3,
    );
    for (const name of names) expect(text).not.toContain(name);
  });

  test('of two runs of one sample are of the same crash', async () => {
    const domid = create('panic', 'name="panic-again"', 'memory=20');
    await host.untilShutdown(domid, 60);
    const { status, stdout } = host.run(
      'pvh-report',
      'diff',
      report('panic', 'a.tar.gz'),
      report('panic-again', 'b.tar.gz'),
    );
    expect([status, stdout]).toEqual([
      0,
      expect.stringMatching(/^same crash: ending, message and the first 2 frames/),
    ]);
    expect(stdout).toContain('memory: "16" / "20"');
  });

  test('of two samples are of different crashes', () => {
    const { status, stdout } = host.run(
      'pvh-report',
      'diff',
      report('panic', 'a.tar.gz'),
      report('bug-ud2', 'b.tar.gz'),
    );
    expect([status, stdout]).toEqual([
      1,
      expect.stringMatching(/^different crash: the messages on the console differ/),
    ]);
  });

  test('of a domain whose memory is damaged are partial, and say why', async () => {
    const domid = create('panic', 'name="damaged"');
    await host.untilShutdown(domid, 60);
    truncateSync(host.file(domid, 'core.elf'), 5000);
    const path = join(host.stateDir, 'damaged.tar.gz');
    const { status, stderr } = host.run('pvh-report', 'collect', '-q', 'damaged', '-o', path);
    expect([status, stderr]).toEqual([3, expect.stringMatching(/^missing: crash\.json: .*core\.elf/)]);
    const { stdout } = host.run('pvh-report', 'diff', report('panic', 'a.tar.gz'), path);
    expect(stdout).toMatch(/^same crash: ending and message agree/);
  });

  test('of a domain whose process was killed have what was on the disk', async () => {
    const domid = create('hang-irqs-off', 'name="killed"');
    await until(() => host.console(domid).includes('interrupts off'), 'the lock');
    const { process: owner } = JSON.parse(readFileSync(host.file(domid, 'domain.json'), 'utf8'));
    process.kill(owner.pid, 'SIGKILL');
    await until(() => host.ok('xl', 'list', 'killed').includes('lost'), 'the loss');
    const path = join(host.stateDir, 'killed.tar.gz');
    const { status, stderr } = host.run('pvh-report', 'collect', '-q', 'killed', '-o', path);
    expect([status, stderr]).toEqual([3, expect.stringMatching(/^missing: crash\.json: .* was lost/)]);
    const summary = execFileSync('tar', ['-xzOf', path, 'pvh-report_killed/report.txt'], {
      encoding: 'utf8',
    });
    expect(summary).toContain('lock taken, interrupts off');
  });

  test('that are none are refused', () => {
    const { status, stderr } = host.run('pvh-report', 'diff', join(folder('panic'), 'main.c'), xl);
    expect([status, stderr]).toEqual([2, expect.stringMatching(/not a whole gzip file \(.*main\.c\)/)]);
  });

  test('about a domain that is not there are refused', () => {
    const { status, stderr } = host.run('pvh-report', 'collect', 'nobody');
    expect([status, stderr]).toEqual([2, expect.stringContaining('nobody')]);
  });
});
