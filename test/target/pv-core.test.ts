// Dump-core files of PV guests, made by a writer after xen/tools/libs/ctrl/xc_core.c: p2m pairs, and records of both widths.
import { describe, expect, test } from 'vitest';
import { writeVcpuContext } from '../../core/dump/vcpu-context.ts';
import { openDumpCore } from '../../core/target/dump-core.ts';
import { VirtualMemory } from '../../core/target/virtual-memory.ts';
import { memorySource } from '../../symbols/bytes.ts';
import { FormatError, MemoryFault } from '../../symbols/errors.ts';
import { note, writeElf } from '../support/elf-writer.ts';
import { tablePage } from '../support/page-table.ts';
import { registersWith } from '../support/registers.ts';

const words = (...values: (number | bigint)[]): Uint8Array =>
  new Uint8Array(BigUint64Array.from(values, BigInt).buffer);
const UNUSED = 0xffff_ffff_ffff_ffffn;

/** @param pages machine frame to its bytes, in the order of the pseudo-physical frames. */
function pvCore(
  context: Uint8Array,
  pages: readonly (readonly [mfn: number | bigint, bytes: Uint8Array])[],
): Uint8Array {
  const version = new Uint8Array(1280);
  version.set(words(4, 17));
  const notes = Buffer.concat([
    note('Xen', 0x2000001, words(0xf00febed, 1, pages.length, 4096)),
    note('Xen', 0x2000002, version),
    note('Xen', 0x2000003, words(1)),
  ]);
  return writeElf({
    type: 4,
    sections: [
      { name: '.note.Xen', type: 7, data: notes },
      { name: '.xen_prstatus', data: context, entrySize: context.length },
      { name: '.xen_pages', data: Buffer.concat(pages.map(([, bytes]) => bytes)) },
      {
        name: '.xen_p2m',
        data: words(...pages.flatMap(([mfn], pfn) => [mfn === UNUSED ? UNUSED : pfn, mfn])),
      },
    ],
  });
}
const open = (bytes: Uint8Array) => openDumpCore(memorySource('core', bytes));

describe('64-bit', () => {
  const rip = 0xffffffff81000010n;
  // CR0 as Xen keeps it for a PV guest: TS alone.
  const registers = registersWith({ rip, cr0: 8n, cr3: 0x900000n, cr4: 0x2660n, cs: { selector: 0xe033 } });
  const pages = [
    [0x900, tablePage({ 511: 0x750067n })],
    [0x123456, new Uint8Array(4096).fill(7)],
    [0x750, tablePage({ 510: 0x751067n })],
    [0x751, tablePage({ 8: 0x752067n })],
    [UNUSED, new Uint8Array(4096)],
    [0x752, tablePage({ 0: 0x123456067n })],
  ] as const;
  const target = open(pvCore(writeVcpuContext(registers, true), pages));
  test('page tables of machine frames lead to the pages', () => {
    const [vcpu] = target.vcpus;
    expect(vcpu?.registers).toMatchObject({ rip, cr3: 0x900000n });
    expect(vcpu?.registers?.cr0).toBeUndefined();
    const into = new Uint8Array(1);
    if (vcpu?.registers) new VirtualMemory(target, vcpu.registers).read(rip, into);
    expect(into[0]).toBe(7);
  });
  test('frames are machine frames in order, and it says so', () => {
    expect(target.frames).toEqual([
      [0x750, 3],
      [0x900, 1],
      [0x123456, 1],
    ]);
    expect(target.lacks.join('\n')).toContain('machine addresses');
    expect(() => target.readPhysical(0, new Uint8Array(1))).toThrow(MemoryFault);
  });
});

describe('32-bit', () => {
  const context = new Uint8Array(2800);
  const view = new DataView(context.buffer);
  const MFN = 0x123456;
  view.setUint32(512, 1 << 5, true);
  [11, 12, 13, 14, 15, 16, 17].forEach((value, index) => {
    view.setUint32(516 + index * 4, value, true);
  });
  view.setUint32(516 + 8 * 4, 0xc1000123, true);
  view.setUint16(516 + 9 * 4, 0xe019, true);
  view.setUint32(516 + 11 * 4, 0xc2003000, true);
  // xen_pfn_to_cr3: bits above 4 GiB are in the low twelve.
  view.setUint32(2716 + 12, ((MFN << 12) | (MFN >>> 20)) >>> 0, true);
  const pages = [
    [MFN, tablePage({ 3: 0x200001n })],
    [0x200, tablePage({ 8: 0x300067n })],
    [0x300, tablePage({ 0: 0x400067n })],
    [0x400, new Uint8Array(4096).fill(5)],
  ] as const;
  const target = open(pvCore(context, pages));
  test('registers, and memory through PAE tables above 4 GiB', () => {
    const [vcpu] = target.vcpus;
    expect(vcpu).toMatchObject({
      online: true,
      registers: {
        ...{ rbx: 11n, rax: 17n, rip: 0xc1000123n, rsp: 0xc2003000n, cr3: 0x123456000n },
        cs: { selector: 0xe019 },
      },
    });
    const into = new Uint8Array(1);
    if (vcpu?.registers) {
      const memory = new VirtualMemory(target, vcpu.registers);
      expect(memory.levels).toBe(3);
      memory.read(0xc1000123n, into);
    }
    expect(into[0]).toBe(5);
  });
  test('an impossible machine frame', () => {
    expect(() => open(pvCore(context, [[1n << 45n, new Uint8Array(4096)]]))).toThrow(FormatError);
  });
});
