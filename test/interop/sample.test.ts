// A guest that is not Linux in gdb: it sees what each CPU maps.
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { Host } from '../kernel/guest.ts';
import { hasProgram } from '../support/compile.ts';
import { INTERRUPTED } from '../support/gdb.ts';
import { gdbSteps, gdbTraces } from './debuggers.ts';

const sample = fileURLToPath(new URL('../../samples/crash-on-vcpu1/', import.meta.url));
const xl = fileURLToPath(new URL('../../dist/tools/bin/xl.js', import.meta.url));

test.runIf(hasProgram('gdb') || process.env['CI'] === 'true')('crash-on-vcpu1', async () => {
  using host = new Host();
  execFileSync(process.execPath, [xl, 'create', '-q', 'guest.cfg'], {
    cwd: sample,
    env: { ...process.env, PVH_STATE_DIR: host.stateDir },
  });
  const domid = Number(host.ok('xl', 'domid', 'crash-on-vcpu1'));
  await host.untilShutdown(domid);
  const dump = join(host.stateDir, 'guest.vmcore');
  const vmlinux = join(sample, 'vmlinux');
  const { status, stdout, stderr } = host.run(
    'pvh-report',
    'export',
    '-s',
    vmlinux,
    '-o',
    dump,
    String(domid),
  );
  expect([status, stdout]).toEqual([0, `${dump}\n`]);
  expect(stderr).toContain(
    `gdb -ex 'symbol-file ${vmlinux}' -ex 'core-file ${dump}' -ex 'thread apply all bt'\n`,
  );
  const [waiting = [], crashed = []] = gdbTraces(gdbSteps(stderr));
  expect(waiting.slice(-4)).toEqual(['wait_for_result', 'sample_main', 'start', 'start64']);
  // gdb knows the frame of a trap, and goes on below it.
  const tables = host.run(
    'pvh-report',
    'export',
    '-q',
    '-o',
    dump,
    '--gdb-unwinding',
    `${dump}.unwind`,
    String(domid),
  );
  expect([tables.status, tables.stdout]).toEqual([2, '']);
  expect(tables.stderr).toContain('the guest has no ORC tables');
  const below = ['average', 'compute', 'start_secondary', 'start64'];
  expect(crashed.slice(-8)).toEqual(['shutdown', 'die', 'trap', INTERRUPTED, ...below]);
});

test('what cannot be exported, and where to', () => {
  using host = new Host();
  const fails = (...args: string[]): string => {
    const { status, stdout, stderr } = host.run('pvh-report', 'export', ...args);
    expect([status, stdout]).toEqual([2, '']);
    return stderr;
  };
  expect(fails('nobody')).toBe(
    'pvh-report: no domain and no dump file \'nobody\'; "xl list" shows the domains\n',
  );
  expect(fails(join(sample, 'guest.cfg'))).toContain('no dump that can be read');
  expect(fails('--format', 'zip', 'nobody')).toContain('Allowed choices are elf, kdump');
});
