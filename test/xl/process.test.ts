// Real domain processes: every way in which a domain ends, and what is left of it.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statfsSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { isAlive } from '../../core/host/process-identity.ts';
import { openCoreFile } from '../../core/target/preserved.ts';
import { TinyKernel } from '../support/tiny-kernel.ts';
import { sleep, type XlLab, xlLabs } from '../support/xl-process.ts';

const newLab = xlLabs();
const KEEP = [
  'on_crash="preserve"',
  'on_reboot="preserve"',
  'on_poweroff="preserve"',
  'on_watchdog="preserve"',
];

const sha256 = (path: string): string => createHash('sha256').update(readFileSync(path)).digest('hex');
const row = (list: string, name: string): string | undefined =>
  list.split('\n').find((line) => line.startsWith(`${name} `));
const letters = async (lab: XlLab, name: string): Promise<string | undefined> =>
  row((await lab.xl('list')).out, name)?.slice(63, 69);
/** Ids of the domains' processes that have not ended. */
const ended = async (lab: XlLab, spec: string): Promise<void> => {
  const owner = lab.registry.find(spec)?.process;
  for (let i = 0; owner !== undefined && isAlive(owner) && i < 200; i++) await sleep(25);
};

describe('a guest that ends', () => {
  const ends: [string, TinyKernel, string, string][] = [
    ['crash', new TinyKernel().shutdown('crash'), '---sc-', '3'],
    ['poweroff', new TinyKernel().shutdown('poweroff'), '---s--', '0'],
    ['halt', new TinyKernel().haltForever(), '---s--', '0'],
    ['reboot', new TinyKernel().shutdown('reboot'), '---sr-', '1'],
    ['triple', new TinyKernel().tripleFault(), '---sr-', '1'],
    ['watchdog', new TinyKernel().watchdog(1).sleepUntil(2e9).spin(), '---sw-', '4'],
  ];
  test.each(ends)('%s is preserved', async (name, kernel, state, code) => {
    const lab = newLab();
    const { status, out, err } = await lab.xl('create', lab.guest(name, kernel, KEEP));
    expect([status, out]).toEqual([0, '']);
    expect(err).toMatch(
      new RegExp(`^Parsing config from .*${name}.cfg\nReading kernel .*\nLoading the kernel`),
    );
    const record = await lab.until(name, (found) => found?.preserved === true);
    const files = lab.registry.files(record.domid);
    while (existsSync(files.socket)) await sleep(25);
    expect(readdirSync(files.folder).sort()).toEqual([
      'config.cfg',
      'console.log',
      'core.elf',
      'domain.json',
      'xenstore.txt',
    ]);
    expect(await letters(lab, name)).toBe(state);
    expect(row((await lab.xl('list', '-v')).out, name)).toMatch(new RegExp(` ${code} +-$`));
    const log = readFileSync(lab.registry.monitorLogPath(name), 'utf8');
    expect(log).toContain(
      `Domain 1 has shut down, reason code ${code} 0x${code}\nAction for shutdown reason code ${code} is preserve\nDone. Exiting now\n`,
    );
    expect((await lab.xl('destroy', name)).status).toBe(0);
    expect((await lab.xl('list')).out.split('\n')).toHaveLength(2);
    expect(existsSync(files.folder)).toBe(false);
  });

  test('the same configuration twice gives the same bytes', async () => {
    const lab = newLab();
    const kernel = new TinyKernel()
      .print('hello\n')
      .store(0x20_0000, 42)
      .sleepUntil(5e8)
      .print('bye\n')
      .shutdown('crash');
    const config = lab.guest('twin', kernel, KEEP);
    const digests = [];
    for (let i = 0; i < 2; i++) {
      await lab.xl('create', '-q', config);
      const { domid } = await lab.until('twin', (record) => record?.preserved === true);
      const { console: text, core } = lab.registry.files(domid);
      expect(readFileSync(text, 'utf8')).toBe('hello\nbye\n');
      digests.push([sha256(text), sha256(core)]);
      await lab.xl('destroy', 'twin');
    }
    expect(digests[0]).toEqual(digests[1]);
  });

  test('destroy: nothing is left', async () => {
    const lab = newLab();
    const config = lab.guest('gone', new TinyKernel().shutdown('crash'));
    expect((await lab.xl('create', '-F', config)).status).toBe(0);
    expect(lab.registry.list()).toEqual([]);
    expect(readFileSync(lab.registry.monitorLogPath('gone'), 'utf8')).toMatch(
      /Action for shutdown reason code 3 is destroy\nDomain 1 needs to be cleaned up: destroying the domain\nDone\. Exiting now\n$/,
    );
  });

  test('-e: nobody acts, the guest is kept', async () => {
    const lab = newLab();
    await lab.xl('create', '-e', lab.guest('kept', new TinyKernel().shutdown('crash')));
    await lab.until('kept', (record) => record?.preserved === true);
    expect(await letters(lab, 'kept')).toBe('---sc-');
  });

  test('restart: another domid, the same name and uuid', async () => {
    const lab = newLab();
    await lab.xl(
      'create',
      lab.guest('again', new TinyKernel().sleepUntil(1000).shutdown('reboot'), [
        'uuid="d31fd777-6930-4506-a150-7718bb5770d7"',
      ]),
    );
    const second = await lab.until('again', (record) => (record?.domid ?? 0) > 1);
    expect(second.uuid).toBe('d31fd777-6930-4506-a150-7718bb5770d7');
    expect(readFileSync(lab.registry.monitorLogPath('again'), 'utf8')).toContain('Done. Rebooting now\n');
    await lab.until('again', (record) => record?.state === 'running' || (record?.domid ?? 0) > 2);
  });

  test('rename-restart: the dead one is kept under another name', async () => {
    const lab = newLab();
    await lab.xl(
      'create',
      lab.guest('old', new TinyKernel().shutdown('crash'), ['on_crash="rename-restart"']),
    );
    const second = await lab.until('old', (record) => (record?.domid ?? 0) > 1);
    const [kept] = lab.registry.list();
    expect(kept?.name).toMatch(/^old-\d{8}T\d{4}Z$/);
    expect(kept).toMatchObject({ domid: 1, preserved: true, shutdownReason: 'crash' });
    expect(kept?.uuid).not.toBe(second.uuid);
  });

  test('coredump-destroy: the dump stays', async () => {
    const lab = newLab();
    await lab.xl(
      'create',
      '-F',
      lab.guest('dumped', new TinyKernel().shutdown('crash'), ['on_crash="coredump-destroy"']),
    );
    expect(lab.registry.list()).toEqual([]);
    expect(readFileSync(lab.registry.dumpPath('dumped')).subarray(0, 4)).toEqual(Buffer.from('\x7fELF'));
    expect(readFileSync(lab.registry.monitorLogPath('dumped'), 'utf8')).toContain('dumping core to ');
  });

  test('soft-reset is refused with a reason and the guest kept', async () => {
    const lab = newLab();
    await lab.xl('create', lab.guest('soft', new TinyKernel().shutdown('soft_reset')));
    await lab.until('soft', (record) => record?.preserved === true);
    expect(await letters(lab, 'soft')).toBe('---sS-');
    expect((await lab.xl('dmesg')).out).toContain(
      'd1: soft-reset refused: a domain cannot be reset in place',
    );
  });

  test('a crash shows its registers in xl dmesg', async () => {
    const lab = newLab();
    await lab.xl('create', '-F', lab.guest('regs', new TinyKernel().shutdown('crash'), KEEP));
    const { out } = await lab.xl('dmesg');
    expect(out).toMatch(/^\(XEN\) d1: regs: 8 MiB, 1 vCPU, kernel /);
    expect(out).toContain(
      '(XEN) d1v0 shut down, reason code 3 (crash)\n(XEN) *** Dumping Dom1 vcpu#0 state: ***\n',
    );
    expect((await lab.xl('dmesg', '-T')).out).toMatch(/^\(XEN\) \[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\] d1: /);
    expect((await lab.xl('dmesg', '-c')).out).toBe(out);
    expect((await lab.xl('dmesg')).out).toBe('');
  });
});

describe('a guest that runs', () => {
  test('pause, unpause, list, vcpu-list, rename, dump-core, destroy', async () => {
    const lab = newLab();
    await lab.xl('create', '-p', lab.guest('live', new TinyKernel().print('up\n').awaitInput().spin()));
    expect(await letters(lab, 'live')).toBe('--p---');
    expect(lab.registry.find('live')?.virtualNanoseconds).toBe(0);
    await lab.xl('unpause', 'live');
    await sleep(300);
    expect(await letters(lab, 'live')).toBe('-b----');
    expect((await lab.xl('vcpu-list', 'live')).out).toMatch(/live +1 +0 +0 {3}-b- +0\.0 {2}all \/ all\n$/);
    await lab.xl('pause', 'live');
    expect(await letters(lab, 'live')).toBe('-bp---');
    expect((await lab.xl('rename', 'live', 'other')).status).toBe(0);
    expect((await lab.xl('domid', 'other')).out).toBe('1\n');
    expect((await lab.xl('domname', '1')).out).toBe('other\n');
    expect((await lab.xl('rename', 'other', 'a/b')).status).toBe(1);
    expect((await lab.xl('dump-core', 'other', 'core')).status).toBe(0);
    expect(readFileSync(lab.path('core')).subarray(0, 4)).toEqual(Buffer.from('\x7fELF'));
    expect(await lab.xl('dump-core', 'other', '/nonexistent/core')).toMatchObject({
      status: 1,
      err: expect.stringContaining('core dump failed (rc='),
    });
    expect(await lab.xl('shutdown', 'other')).toMatchObject({
      status: 1,
      err: expect.stringContaining('PV control interface not available'),
    });
    expect((await lab.xl('trigger', 'other', 'foo')).err).toBe('Invalid trigger "foo"\n');
    expect((await lab.xl('uptime')).out).toMatch(/^Name +ID Uptime\nother +1 {2}0:00:\d\d\n$/);
    expect((await lab.xl('destroy', 'other')).status).toBe(0);
    expect(lab.registry.list()).toEqual([]);
  });

  test('the console takes what is typed, and Ctrl-] leaves', async () => {
    const lab = newLab();
    await lab.xl('create', lab.guest('tty', new TinyKernel().awaitInput().print('thanks\n').spin(), KEEP));
    const console = lab.start('console', 'tty');
    let seen = '';
    console.stdout?.on('data', (bytes) => {
      seen += bytes;
    });
    await sleep(400);
    console.stdin?.write('x');
    while (!seen.includes('thanks')) await sleep(25);
    console.stdin?.write('\x1d');
    const [status] = await once(console, 'exit');
    expect([status, seen]).toEqual([0, 'thanks\n']);
    expect(readFileSync(lab.registry.files(1).inputLog, 'utf8')).toMatch(
      /^\{"at":\d+,"slice":\d+,"instruction":\d+,"kind":"console","text":"x"\}\n$/,
    );
  });

  test('create -c shows everything from the first line and ends with the guest', async () => {
    const lab = newLab();
    const { status, out } = await lab.xl(
      'create',
      '-q',
      '-c',
      lab.guest(
        'shown',
        new TinyKernel().print('first\n').sleepUntil(1e8).print('last\n').shutdown('poweroff'),
      ),
    );
    expect([status, out]).toEqual([0, 'first\nlast\n']);
  });

  test('nonsense on the control socket is refused and hurts nobody', async () => {
    const lab = newLab();
    await lab.xl('create', '-q', lab.guest('calm', new TinyKernel().spin()));
    const { socket: path } = lab.registry.files(1);
    const say = async (text: string): Promise<string> => {
      const socket = connect(path);
      let answer = '';
      socket.on('data', (bytes) => {
        answer += bytes;
        socket.end();
      });
      socket.on('error', () => {});
      socket.write(text);
      await new Promise((resolve) => socket.once('close', resolve));
      return answer;
    };
    for (const line of [
      '',
      'x',
      '{}',
      'null',
      '[]',
      '{"op":"fly"}',
      '{"op":"nmi","vcpu":9}',
      '{"op":"rename","name":"../../x"}',
      '{"op":"dump-core","path":"rel"}',
    ])
      expect(JSON.parse(await say(`${line}\n`))).toMatchObject({ ok: false, error: expect.any(String) });
    expect(await say('a'.repeat(3 << 20))).toBe('');
    expect(await letters(lab, 'calm')).toBe('r-----');
  });

  test('killed: lost, never running; its name is free after destroy', async () => {
    const lab = newLab();
    const config = lab.guest('victim', new TinyKernel().spin());
    await lab.xl('create', config);
    const owner = lab.registry.find('victim')?.process;
    process.kill(owner?.pid ?? 0, 'SIGKILL');
    await ended(lab, 'victim');
    expect(await letters(lab, 'victim')).toBe('lost--');
    expect(await lab.xl('create', config)).toMatchObject({
      status: 3,
      err: expect.stringContaining('It was lost'),
    });
    expect((await lab.xl('pause', 'victim')).status).toBe(0);
    expect((await lab.xl('sysrq', 'victim', 'h')).err).toContain('was lost');
    expect((await lab.xl('destroy', 'victim')).status).toBe(0);
    expect((await lab.xl('create', config)).status).toBe(0);
  });
});

describe('when the host fails', () => {
  test('killed at any moment: preserved whole, or lost, or gone', async () => {
    const lab = newLab();
    for (const [i, delay] of [0, 20, 60, 100, 140, 180, 250].entries()) {
      const name = `victim${i}`;
      const kernel = new TinyKernel().store(0x20_0000, i).sleepUntil(1e8).shutdown('crash');
      const create = lab.start('create', '-q', lab.guest(name, kernel, [...KEEP, 'memory=256']));
      const { process: owner } = await lab.until(name, (record) => {
        const pid = record?.process?.pid;
        return record?.preserved === true || (pid !== undefined && pid !== create.pid);
      });
      await sleep(delay);
      if (owner !== undefined && isAlive(owner)) process.kill(owner.pid, 'SIGKILL');
      if (create.exitCode === null && create.signalCode === null) await once(create, 'exit');
      for (; owner !== undefined && isAlive(owner); ) await sleep(10);
      const record = lab.registry.find(name);
      const { core, folder } = lab.registry.files(record?.domid ?? 0);
      if (record === undefined) expect(existsSync(folder)).toBe(false);
      else if (record.state === 'lost') expect(record.preserved).toBe(false);
      else {
        expect(record).toMatchObject({ state: 'shutdown', preserved: true });
        const target = openCoreFile(core);
        const word = new Uint8Array(4);
        target.readPhysical(0x20_0000, word);
        target.close();
        expect(word[0]).toBe(i);
      }
    }
    expect((await lab.xl('list')).out).not.toMatch(/ r----- | -b---- /);
  });

  test('killed before the guest ran: xl create says so and nothing is left', async () => {
    const lab = newLab();
    const config = lab.guest('early', new TinyKernel().spin());
    // Reading this takes seconds; it needs no room on the disk.
    truncateSync(lab.path('early.elf'), 4 * 2 ** 30);
    const create = lab.start('create', '-q', config);
    let err = '';
    create.stderr?.on('data', (bytes) => {
      err += bytes;
    });
    const { process: owner } = await lab.until('early', (record) => {
      const pid = record?.process?.pid;
      return pid !== undefined && pid !== create.pid;
    });
    process.kill(owner?.pid ?? 0, 'SIGKILL');
    const [status] = await once(create, 'exit');
    expect([status, err]).toEqual([3, expect.stringContaining('before the guest ran')]);
    expect(lab.registry.list()).toEqual([]);
  });

  test('a full disk: said in xl dmesg, and the memory is kept until there is room', async ({ skip }) => {
    const lab = newLab();
    const disk = lab.path('state');
    mkdirSync(disk);
    // A small file system needs the right to mount; where there is none, there is no such test.
    if (spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', disk]).status !== 0) return skip();
    try {
      const kernel = new TinyKernel().sleepUntil(4e9).shutdown('crash');
      await lab.xl('create', lab.guest('big', kernel, [...KEEP, 'time_lead=0']));
      const { bavail, bsize } = statfsSync(disk);
      writeFileSync(join(disk, 'ballast'), Buffer.alloc(bavail * bsize - 32 * 1024));
      await lab.until(
        'big',
        () =>
          readFileSync(lab.registry.xenLogPath(), 'utf8').includes('No space') ||
          readFileSync(lab.registry.xenLogPath(), 'utf8').includes('ENOSPC'),
      );
      expect((await lab.xl('dmesg')).out).toMatch(
        /d1: core\.elf cannot be written \(ENOSPC.*the memory is kept in process/,
      );
      expect(await letters(lab, 'big')).toBe('---sc-');
      expect(existsSync(lab.registry.files(1).core)).toBe(false);
      expect((await lab.xl('dump-core', 'big', lab.path('elsewhere'))).status).toBe(0);
      expect(readFileSync(lab.path('elsewhere')).subarray(0, 4)).toEqual(Buffer.from('\x7fELF'));
      rmSync(join(disk, 'ballast'));
      await lab.until('big', (record) => record?.preserved === true);

      writeFileSync(join(disk, 'ballast'), Buffer.alloc(1));
      try {
        writeFileSync(join(disk, 'ballast'), Buffer.alloc(2 << 20));
      } catch {
        // Now not one byte is free.
      }
      const { status, err } = await lab.xl('create', lab.guest('late', kernel));
      expect([status === 0, err]).toEqual([false, expect.stringContaining('No space left on device')]);
      expect(lab.registry.list()).toHaveLength(1);
    } finally {
      await lab.endProcesses();
      spawnSync('umount', ['--lazy', disk]);
    }
  });
});

describe('a domain that cannot be made', () => {
  test('of several creates of one name at once, one wins', async () => {
    const lab = newLab();
    const config = lab.guest('one', new TinyKernel().spin());
    const results = await Promise.all(Array.from({ length: 4 }, () => lab.xl('create', '-q', config)));
    expect(results.map(({ status }) => status).sort()).toEqual([0, 3, 3, 3]);
    for (const { status, err } of results)
      expect(err).toContain(status === 0 ? '' : 'Domain with name "one" already exists (domain 1)');
    expect(lab.registry.list()).toHaveLength(1);
  });

  const bad: [string, (lab: XlLab) => string, string][] = [
    ['no PVH note', (lab) => lab.guest('bad', new TinyKernel().elf(false)), 'CONFIG_PVH'],
    [
      'no kernel at all',
      (lab) => lab.guest('bad', Buffer.from('not a kernel, only text '.repeat(100))),
      'neither an ELF file nor a bzImage',
    ],
    ['a truncated ELF', (lab) => lab.guest('bad', new TinyKernel().elf().subarray(0, 200)), 'bad.elf'],
    ['an empty kernel', (lab) => lab.guest('bad', new Uint8Array()), 'zero length file'],
    ['too little memory', (lab) => lab.guest('bad', new TinyKernel(), ['memory=1']), 'memory'],
  ];
  test.each(bad)('%s', async (_, write, message) => {
    const lab = newLab();
    const { status, out, err } = await lab.xl('create', write(lab));
    expect([status, out]).toEqual([3, '']);
    expect(err).toContain(message);
    expect(err).not.toContain('    at ');
    expect(lab.registry.list()).toEqual([]);
    const domains = join(lab.registry.stateDir, 'domains');
    expect(existsSync(domains) ? readdirSync(domains) : []).toEqual([]);
  });

  test('a state directory that cannot be made', async () => {
    const lab = newLab();
    writeFileSync(lab.registry.stateDir, 'a file stands here');
    const { status, err } = await lab.xl('create', lab.guest('bad', new TinyKernel().spin()));
    expect(status).not.toBe(0);
    expect(err).toMatch(/xl: .*(Not a directory|EEXIST)/);
  });
});
