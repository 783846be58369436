// A stock Debian kernel with two busy vCPUs, typed at, paused, dumped and crashed from outside: run again from its report.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { changed } from '../pvh-report/support.ts';
import { debianArchive, debianKernel } from '../support/debian.ts';
import { busyboxInitramfs, INIT_PROLOGUE } from '../support/initramfs.ts';
import { type } from '../support/typing.ts';
import { Host } from './guest.ts';

const INIT = `${INIT_PROLOGUE}
echo 1 >/proc/sys/kernel/sysrq
while :; do :; done &
(while :; do usleep 100; done) &
echo READY
exec sh </dev/console >/dev/console 2>&1
`;

const sleep = (ms: number): Promise<void> => new Promise((wake) => setTimeout(wake, ms));

test.runIf(debianArchive)(
  'Debian 6.1, two vCPUs: the same end, and another one with another seed',
  {
    timeout: 400_000,
  },
  async () => {
    using host = new Host();
    const ramdisk = join(host.stateDir, 'initrd.gz');
    writeFileSync(ramdisk, busyboxInitramfs(INIT));
    const kernel = debianKernel('linux-image-cloud-amd64').vmlinuz;
    const domid = host.create('guest', {
      kernel: `"${kernel}"`,
      ramdisk: `"${ramdisk}"`,
      memory: '256',
      vcpus: '2',
      on_crash: '"preserve"',
      extra: '"console=hvc0"',
      wallclock: '"host"',
    });
    while (!host.console(domid).includes('READY')) await sleep(200);
    await type(host, domid, 'cat /proc/inter', 'rupts\r');
    host.ok('xl', 'pause', 'guest');
    await type(host, domid, 'echo $((6*7))$$\r');
    host.ok('xl', 'dump-core', 'guest', join(host.stateDir, 'middle.core'));
    host.ok('xl', 'unpause', 'guest');
    while (!/^42\d+$/m.test(host.console(domid))) await sleep(200);
    host.ok('xl', 'sysrq', 'guest', 'c');
    expect(await host.untilShutdown(domid)).toBe('---sc-');
    const report = join(host.stateDir, 'guest.tar.gz');
    host.ok('pvh-report', 'collect', '-q', '-o', report, 'guest');
    const same = host.run('pvh-report', 'replay', '-q', report);
    expect(same.stdout).toMatch(
      /^same: crash at instruction \d+, as recorded\n {2}equal: 2 vCPUs, \d{3} lines of console, \d{4} frames of memory; 4 inputs given\n$/,
    );
    expect(same.status).toBe(0);

    const tampered = await changed(report, join(host.stateDir, 'tampered.tar.gz'), {
      'guest.cfg': (text) => `${text}seed = 99\n`,
    });
    const other = host.run('pvh-report', 'replay', '-q', tampered);
    expect(other.stdout).toMatch(/^different: seed .*\n +seed 0 \/ 99\n +input 1 \(console\) instruction/);
    expect(other.status).toBe(1);
  },
);
