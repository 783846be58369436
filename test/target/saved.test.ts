// Saved domains, made by a writer after Xen's documents of the format: headers in all their combinations, copies of pages, both kinds of
// guest, and what happens where a file ends too early or contradicts itself.
import { describe, expect, test } from 'vitest';
import { writeVcpuContext } from '../../core/dump/vcpu-context.ts';
import { openDumpFile } from '../../core/target/dump-file.ts';
import type { Target } from '../../core/target/target.ts';
import { VirtualMemory } from '../../core/target/virtual-memory.ts';
import { memorySource } from '../../symbols/bytes.ts';
import { FormatError, MemoryFault } from '../../symbols/errors.ts';
import { tablePage } from '../support/page-table.ts';
import { registersWith, STOPPED_KERNEL } from '../support/registers.ts';
import {
  hvmContextRecord,
  pageDataRecord,
  SAVED_RECORDS,
  type SavedInput,
  savedRecord,
  writeSaved,
} from '../support/saved-writer.ts';

const page = (fill: number) => new Uint8Array(4096).fill(fill);
const registers = { ...STOPPED_KERNEL, dr7: 0x400n };
const pages = pageDataRecord([
  { pfn: 1, bytes: page(1) },
  { pfn: 2, bytes: page(2) },
  { pfn: 0x100, bytes: page(4) },
]);
const context = hvmContextRecord([registers, undefined]);
const open = (bytes: Uint8Array): Target => openDumpFile(memorySource('image', bytes), () => undefined);
const saved = (input: SavedInput): Target => open(writeSaved(input));

function byteAt(target: Target, address: number): number | undefined {
  const into = new Uint8Array(1);
  target.readPhysical(address, into);
  return into[0];
}

describe('a PVH guest', () => {
  test.each([
    ['xl', 3, 'web'],
    ['xl', 2, 'web'],
    ['libxl', 3, undefined],
    ['nothing', 2, undefined],
  ] as const)('around libxc: %s, version %i', (around, version, name) => {
    const target = saved({ around, version, records: [pages, context] });
    expect(target.kind).toBe('saved');
    expect(target.identity).toMatchObject({ xenVersion: '4.17' });
    expect(target.identity.name).toBe(name);
    expect(target.frames).toEqual([
      [1, 2],
      [0x100, 1],
    ]);
    expect([0x1000, 0x2fff, 0x100fff].map((at) => byteAt(target, at))).toEqual([1, 2, 4]);
    expect(() => byteAt(target, 0x3000)).toThrow(MemoryFault);
    expect(target.lacks).toEqual(['console: not in a saved domain']);
  });

  test('all registers of the vCPU that was up, and of the other why not', () => {
    const { vcpus } = saved({ records: [pages, context] });
    expect(vcpus[0]).toMatchObject({ id: 0, online: true, registers });
    expect(vcpus[1]).toMatchObject({ id: 1, online: false, missing: expect.stringContaining('it was down') });
  });

  test('a later copy of a page replaces the earlier one, whatever lies between', () => {
    const target = saved({
      records: [
        savedRecord(SAVED_RECORDS.STATIC_DATA_END),
        pageDataRecord([1, 2, 3, 4].map((pfn) => ({ pfn, bytes: page(pfn) }))),
        savedRecord(SAVED_RECORDS.TSC_INFO, new Uint8Array(21)),
        pageDataRecord([3, 2].map((pfn) => ({ pfn, bytes: page(0x10 + pfn) }))),
        pageDataRecord([{ pfn: 4 }, { pfn: 9 }]),
        context,
      ],
    });
    expect(target.frames).toEqual([[1, 3]]);
    expect([1, 2, 3].map((gfn) => byteAt(target, gfn * 4096))).toEqual([1, 0x12, 0x13]);
    expect(() => byteAt(target, 0x4000)).toThrow(MemoryFault);
  });

  test('a checkpoint ends the image: what follows is of later on', () => {
    const later = pageDataRecord([{ pfn: 1, bytes: page(9) }]);
    const target = saved({ records: [pages, context, savedRecord(SAVED_RECORDS.CHECKPOINT), later] });
    expect(byteAt(target, 0x1000)).toBe(1);
  });

  test('optional records are skipped, mandatory ones that are not known are named', () => {
    const strangers = [0x80000001, 0x77].map((type) => savedRecord(type, page(1)));
    const { lacks } = saved({ records: [pages, ...strangers, context] });
    expect(lacks).toContain('records of types that are not known: 0x77');
  });

  test.each(['', '{', '[]', 'null', '{"c_info":{"name":5}}'])('configuration %j has no name', (config) => {
    expect(saved({ config, records: [pages, context] }).identity.name).toBeUndefined();
  });
});

const word = (value: number): Uint8Array => Uint8Array.from([value, 0, 0, 0, 0, 0, 0, 0]);
const pvVcpu = (id: number, bytes: Uint8Array) =>
  savedRecord(SAVED_RECORDS.X86_PV_VCPU_BASIC, Buffer.concat([word(id), bytes]));

describe('a PV guest', () => {
  test('64-bit: page tables of pseudo-physical frames', () => {
    const rip = 0xffffffff81000010n;
    const pv = registersWith({ rip, cr0: 8n, cr3: 0x900000n, cr4: 0x2660n, cs: { selector: 0xe033 } });
    const target = saved({
      pv: true,
      records: [
        savedRecord(SAVED_RECORDS.X86_PV_INFO, Uint8Array.from([8, 4, 0, 0, 0, 0, 0, 0])),
        pageDataRecord([
          { pfn: 0x10, bytes: page(7) },
          { pfn: 0x750, type: 3, bytes: tablePage({ 510: 0x751067n }) },
          { pfn: 0x751, type: 2, bytes: tablePage({ 8: 0x752067n }) },
          { pfn: 0x752, type: 1, bytes: tablePage({ 0: 0x10067n }) },
          { pfn: 0x900, type: 12, bytes: tablePage({ 511: 0x750067n }) },
        ]),
        pvVcpu(0, writeVcpuContext(pv, true)),
      ],
    });
    const [vcpu] = target.vcpus;
    expect(vcpu).toMatchObject({ id: 0, online: true, registers: { rip, cr3: 0x900000n } });
    const into = new Uint8Array(1);
    if (vcpu?.registers) new VirtualMemory(target, vcpu.registers).read(rip, into);
    expect(into[0]).toBe(7);
    expect(target.lacks.join('\n')).toMatch(/EFER, descriptor tables and MSRs/);
  });

  test('32-bit', () => {
    const bytes = new Uint8Array(2800);
    const view = new DataView(bytes.buffer);
    view.setUint32(512, 1 << 5, true);
    view.setUint32(516 + 8 * 4, 0xc1000123, true);
    const info = savedRecord(SAVED_RECORDS.X86_PV_INFO, Uint8Array.from([4, 3, 0, 0, 0, 0, 0, 0]));
    const { vcpus } = saved({ pv: true, records: [info, pages, pvVcpu(0, bytes), pvVcpu(1, page(0))] });
    expect(vcpus.map(({ id, online }) => [id, online])).toEqual([
      [0, true],
      [1, false],
    ]);
    expect(vcpus[0]?.registers?.rip).toBe(0xc1000123n);
  });

  test('a short record is a vCPU without registers', () => {
    const { vcpus } = saved({ pv: true, records: [pages, pvVcpu(3, new Uint8Array(2800))] });
    expect(vcpus).toMatchObject([{ id: 3, missing: 'its record is short: 2800 bytes' }]);
  });
});

describe('cut off', () => {
  const bytes = writeSaved({ records: [pages, context] });
  const pagesAt = Buffer.from(bytes).indexOf(pages);
  const contextAt = Buffer.from(bytes).indexOf(context);

  test('before the first page: an error with its place', () => {
    for (const end of [20, 48, 60, 140, 160, 190, pagesAt, pagesAt + 4, pagesAt + 24, pagesAt + 40])
      expect(() => open(bytes.subarray(0, end)), `cut at ${end}`).toThrow(FormatError);
    expect(() => open(bytes.subarray(0, pagesAt + 40))).toThrow(
      `saved domain without a page of memory (image at offset 0x${(pagesAt + 40).toString(16)})`,
    );
  });
  test('in the pages: those that are there can be read', () => {
    const end = pagesAt + 8 + 8 + 24 + 4096 + 10;
    const target = open(bytes.subarray(0, end));
    expect(target.frames).toEqual([[1, 1]]);
    expect(byteAt(target, 0x2009)).toBe(2);
    expect(() => byteAt(target, 0x200a)).toThrow(MemoryFault);
    expect(target.vcpus).toEqual([]);
    expect(target.lacks).toEqual([
      `memory and registers: the file is cut off at 0x${end.toString(16)}, what came behind is missing`,
      'registers: the file has no vCPU',
      'console: not in a saved domain',
    ]);
  });
  test('in a page that was sent again: the earlier copy does not stand for it', () => {
    const again = pageDataRecord([{ pfn: 2, bytes: page(9) }]);
    const whole = writeSaved({ records: [pages, again, context] });
    const end = Buffer.from(whole).indexOf(again) + 8 + 16 + 100;
    const target = open(whole.subarray(0, end));
    expect(byteAt(target, 0x2063)).toBe(9);
    expect(() => byteAt(target, 0x2064)).toThrow(MemoryFault);
    expect(target.lacks[0]).toMatch(
      /pages were sent more than once, and what is there of one may be an earlier copy/,
    );
  });
  test.each([
    ['before the vCPU', 8 + 32 + 8, 0],
    ['in the vCPU', 8 + 32 + 8 + 500, 0],
    ['behind the vCPU', 8 + 32 + 8 + 1032, 1],
  ])('in the state: %s', (_, length, count) => {
    const target = open(bytes.subarray(0, contextAt + length));
    expect(target.vcpus).toHaveLength(count);
    expect(target.lacks[0]).toMatch(/^memory and registers: the file is cut off/);
    expect(target.frames).toHaveLength(2);
  });
  test('behind the state: all but the end mark is there', () => {
    const target = open(bytes.subarray(0, contextAt + context.length));
    expect(target.vcpus).toHaveLength(2);
    expect(target.lacks[0]).toMatch(/cut off/);
  });
});

/** The bytes with 32-bit words replaced. */
function patched(bytes: Uint8Array, words: Readonly<Record<number, number>>): Uint8Array {
  const copy = bytes.slice();
  const view = new DataView(copy.buffer, copy.byteOffset);
  for (const [at, value] of Object.entries(words)) view.setUint32(Number(at), value, true);
  return copy;
}

describe('contradictions', () => {
  const bytes = writeSaved({ around: 'nothing', records: [pages, context] });
  const HEADERS = 40;
  test.each([
    [
      'format version',
      { 12: 0x09000000 },
      'saved domain of format 9; 2 and 3 are known (image at offset 0xc)',
    ],
    ['byte order', { 16: 0x0100 }, 'saved by a big-endian machine'],
    ['kind of guest', { 24: 4 }, 'saved guest of type 4'],
    ['page size', { 28: 13 }, 'pages of 2^13 bytes'],
    ['record size', { [HEADERS + 4]: 0x7fffffff }, 'record of 0x7fffffff bytes'],
    ['count', { [HEADERS + 8]: 0x7fffffff }, 'record of 0x3020 bytes, 0x400000000 wanted'],
    ['fewer pages', { [HEADERS + 8]: 2 }, 'pages of 0x2018 bytes in a record of another size'],
    ['type of page', { [HEADERS + 20]: 0x50000000 }, 'frame 0x1 of type 5'],
    ['frame', { [HEADERS + 20]: 0xfffff }, 'frame 0xfffff00000001 of type 0'],
    ['state', { [HEADERS + pages.length + 16]: 1 }, 'HVM context of another format'],
    ['record of the state', { [HEADERS + pages.length + 12]: 0xfffff }, 'HVM record of 0xfffff bytes'],
  ])('%s', (_, words, message) => {
    expect(() => open(patched(bytes, words))).toThrow(FormatError);
    expect(() => open(patched(bytes, words))).toThrow(message);
  });
  test('an image of before Xen 4.6', () => {
    const old = patched(writeSaved({ records: [pages, context] }), { 36: 1 });
    expect(() => open(old)).toThrow('image of xl save of Xen before 4.6: restore it and save it again');
  });
});
