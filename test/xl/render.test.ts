// The tables of xl against what Xen 4.17's xl printed (test/golden/xen-4.17). Domain-0's rows are taken out: there is none here.
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import type { DomainRecord } from '../../core/domain/record.ts';
import { registerDump } from '../../core/domain/register-dump.ts';
import type { VcpuRegisters } from '../../core/machine/registers.ts';
import { longListJson } from '../../tools/xl/json.ts';
import {
  duration,
  type ListColumns,
  renderList,
  renderUptime,
  renderVcpuList,
  stateLetters,
} from '../../tools/xl/render.ts';
import { domainRecord } from '../support/domain-record.ts';

const golden = (name: string): string =>
  readFileSync(new URL(`../golden/xen-4.17/${name}`, import.meta.url), 'utf8')
    .split('\n')
    .filter((line) => !line.includes('Domain-0'))
    .join('\n');

const crashed = { state: 'shutdown', shutdownReason: 'crash' } as const;
const seconds = (...values: readonly number[]): DomainRecord['vcpus'] =>
  values.map((value, id) => ({ id, online: true, seconds: value }));

const sysrq1 = domainRecord({ ...crashed, name: 'sysrq1', paused: true, vcpus: seconds(13.3) });
const sysrq2 = domainRecord({
  ...crashed,
  domid: 22,
  name: 'sysrq2',
  uuid: 'f89109c9-646d-499c-8ac0-3d91b41d12a5',
  vcpus: [
    { id: 0, online: true, seconds: 7.6 },
    { id: 1, online: false, seconds: 2.4 },
  ],
});
const idle2 = domainRecord({
  domid: 31,
  name: 'idle2',
  uuid: '85b8a0ec-5a7e-4a59-ac2e-f89bafe6555e',
  vcpus: seconds(7.95, 2.65),
});

// By then idle2 had given memory back and lost a vCPU.
const ballooned = { ...idle2, idle: true, memoryKiB: 114688, vcpus: seconds(10.6) };

describe('xl list', () => {
  const rows: [string, ListColumns, readonly DomainRecord[]][] = [
    ['idle2/xl-list-v-paused.out', { verbose: true }, [sysrq1, sysrq2, { ...idle2, paused: true }]],
    ['idle2/xl-list-Z.out', { context: true }, [sysrq1, sysrq2, ballooned]],
    ['idle2/xl-list-c.out', { cpupool: true }, [sysrq1, sysrq2, ballooned]],
    ['idle2/xl-list-n.out', { numa: true }, [sysrq1, sysrq2, ballooned]],
    [
      'halt/xl-list-v-after.out',
      { verbose: true },
      [
        { ...sysrq1, paused: false },
        domainRecord({
          domid: 20,
          name: 'halt',
          uuid: '3f847ce4-6e3b-4f90-acd3-c1fac9a8185b',
          state: 'shutdown',
          shutdownReason: 'poweroff',
          vcpus: [{ id: 0, online: false, seconds: 8.7 }],
        }),
      ],
    ],
  ];
  test.each(rows)('%s', (file, columns, records) => {
    // The times of idle2 differ from capture to capture.
    const timeless = (text: string): string => text.replace(/( [-rb][-b].{4}) +\d+\.\d/g, '$1 T');
    expect(timeless(renderList(records, columns))).toBe(timeless(golden(file)));
  });

  test('the time column', () => {
    const text = renderList([domainRecord({ ...crashed, name: 'sysrq1', vcpus: seconds(13.3) })]);
    expect(text.split('\n')[1]).toBe(
      'sysrq1                                       1   128     1     ---sc-      13.3',
    );
  });

  const states: [string, Partial<DomainRecord>][] = [
    ['r-----', {}],
    ['-b----', { idle: true }],
    ['--p---', { paused: true }],
    ['-bp---', { paused: true, idle: true }],
    ['---s--', { state: 'shutdown', shutdownReason: 'poweroff' }],
    ['---sr-', { state: 'shutdown', shutdownReason: 'reboot' }],
    ['---ss-', { state: 'shutdown', shutdownReason: 'suspend' }],
    ['---sc-', { state: 'shutdown', shutdownReason: 'crash' }],
    ['---sw-', { state: 'shutdown', shutdownReason: 'watchdog' }],
    ['---sS-', { state: 'shutdown', shutdownReason: 'soft_reset' }],
    ['--psc-', { state: 'shutdown', shutdownReason: 'crash', paused: true }],
    ['------', { state: 'creating' }],
    ['lost--', { state: 'lost', idle: true }],
  ];
  test.each(states)('state %s', (letters, change) => {
    expect(stateLetters(domainRecord(change))).toBe(letters);
  });

  test('-l', () => {
    expect(longListJson([domainRecord({ ...crashed, name: 'sysrq1' })])).toBe(
      golden('sysrq1/xl-list-l-crashed.out'),
    );
  });
});

describe('other tables', () => {
  test('xl vcpu-list of a domain that has shut down', () => {
    const off = domainRecord({
      domid: 20,
      name: 'halt',
      state: 'shutdown',
      shutdownReason: 'poweroff',
      vcpus: [{ id: 0, online: false, seconds: 8.7 }],
    });
    expect(renderVcpuList([off])).toBe(golden('halt/xl-vcpu-list-after.out'));
  });

  test('xl vcpu-list of all', () => {
    const live = domainRecord({
      domid: 31,
      name: 'idle2',
      idle: true,
      vcpus: [
        { id: 0, online: true, seconds: 8.5 },
        { id: 1, online: false, seconds: 3.3 },
      ],
    });
    expect(renderVcpuList([{ ...sysrq1, paused: false }, sysrq2, live])).toBe(
      golden('idle2/xl-vcpu-list-all.out'),
    );
  });

  test('xl uptime', () => {
    const now = new Date('2026-11-22T10:48:28Z');
    const ago = (s: number): string => new Date(now.getTime() - s * 1000).toISOString();
    const records = [
      { ...sysrq1, createdAt: ago(31 * 60 + 5) },
      { ...sysrq2, createdAt: ago(9 * 60 + 53) },
      { ...idle2, createdAt: ago(57) },
    ];
    expect(renderUptime(records, now, false)).toBe(golden('idle2/xl-uptime.out'));
    const clock = (text: string): string => text.replace(/^ \d\d:\d\d:\d\d/gm, ' HH:MM:SS');
    expect(clock(renderUptime(records, now, true))).toBe(clock(golden('idle2/xl-uptime-s.out')));
  });

  test.each([
    [5, ' 0:00:05'],
    [3 * 3600 + 4 * 60 + 5, ' 3:04:05'],
    [86400 + 36_000, '1 day, 10:00:00'],
    [2 * 86400 + 61, '2 days,  0:01:01'],
  ])('%d seconds', (value, text) => {
    expect(duration(value, true)).toBe(text);
  });

  test('the register block in xl dmesg', () => {
    const segment = (selector: number): { selector: number } => ({ selector });
    const registers = {
      rip: 0xffffffffc020108bn,
      rflags: 0x246n,
      rax: 0n,
      rbx: 0xffffffffc0206000n,
      rcx: 0n,
      rdx: 0n,
      rsi: 0xffffffffc0202072n,
      rdi: 0xffff8880061be8d0n,
      rbp: 0xefbed00011111111n,
      rsp: 0xffffc90000607c68n,
      r8: 0n,
      r9: 0xffffc90000607b98n,
      r10: 3n,
      r11: 0xffffffff82ad2328n,
      r12: 0xffff8880061be8d0n,
      r13: 0x18n,
      r14: 0n,
      r15: 0n,
      cr0: 0x80050033n,
      cr2: 0n,
      cr3: 0x4f3e000n,
      cr4: 0x1106b0n,
      cs: segment(0x10),
      ss: segment(0x18),
      ds: segment(0),
      es: segment(0),
      fs: { selector: 0, base: 0x21fb83c0n },
      gs: { selector: 0, base: 0xffff888007a00000n },
      kernel_gs_base: 0n,
    } satisfies VcpuRegisters;
    const text = golden('tf-dmesg/xl-dmesg.out');
    const block = text.slice(text.indexOf('(XEN) *** Dumping Dom68'));
    // Another version, and another physical CPU.
    const ours = registerDump(68, 0, registers)
      .map((line) => `(XEN) ${line}\n`)
      .join('')
      .replace(/Xen-4\.17\S+/, 'Xen-4.17.7')
      .replace(/CPU: {4}0/, 'CPU:    1');
    expect(ours.trimEnd()).toBe(block.trimEnd());
  });
});
