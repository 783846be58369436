// Records for tests: a plain running domain, changed as the test says.
import type { DomainRecord } from '../../core/domain/record.ts';

export function domainRecord(change: Partial<DomainRecord> = {}): DomainRecord {
  return {
    schema: 1,
    domid: 1,
    name: 'guest',
    uuid: 'd31fd777-6930-4506-a150-7718bb5770d7',
    state: 'running',
    paused: false,
    idle: false,
    memoryKiB: 131072,
    vcpus: [{ id: 0, online: true, seconds: 0 }],
    virtualNanoseconds: 0,
    createdAt: '2026-11-22T10:00:00.000Z',
    kernel: { path: '/root/vmlinuz', sha256: '' },
    ramdisk: { path: '/root/domu-initrd.gz', sha256: '' },
    cmdline: 'console=hvc0 crash=sysrq',
    seed: 0,
    wallclock: { seconds: 0, source: 'fixed' },
    actions: {
      on_poweroff: 'preserve',
      on_reboot: 'preserve',
      on_watchdog: 'preserve',
      on_crash: 'preserve',
      on_soft_reset: 'soft-reset',
    },
    preserved: false,
    ...change,
  };
}
