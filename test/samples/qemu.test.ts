// The samples outside Xen: boot path, exceptions and secondary vCPUs on an emulator that is not ours.
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { firstMissing, readExpected } from '../support/expected.ts';

const qemu = 'qemu-system-x86_64';
const folder = (name: string) => fileURLToPath(new URL(`../../samples/${name}`, import.meta.url));

describe.runIf(spawnSync(qemu, ['--version']).status === 0)('under qemu without Xen', () => {
  test.each([
    'panic',
    'null-dereference',
    'bug-ud2',
    'stack-overflow',
    'triple-fault',
    'jump-bad-address',
    'corrupted-page-table',
    'crash-on-vcpu1',
    'deep-call-chain',
  ])('%s says what it should', (name) => {
    const { stdout, stderr } = spawnSync(
      qemu,
      [
        ...['-accel', 'tcg', '-cpu', 'max', '-smp', '2', '-m', '64', '-nodefaults', '-display', 'none'],
        ...['-no-reboot', '-debugcon', 'stdio', '-device', 'isa-debug-exit,iobase=0xf4,iosize=1'],
        ...['-kernel', `${folder(name)}/vmlinux`],
      ],
      { encoding: 'utf8', timeout: 60_000, stdio: ['ignore', 'pipe', 'pipe'] },
    );
    const console = readExpected(`${folder(name)}/expected.txt`).find(
      (section) => section.subject === 'console',
    );
    expect(firstMissing(console?.lines ?? ['a [console] section'], stdout), stdout + stderr).toBeUndefined();
  });
});
