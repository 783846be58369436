// kdump-compressed files made by a writer; real ones are in qemu.test.ts.
import { deflateSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { openDumpFile } from '../../core/target/dump-file.ts';
import { memorySource } from '../../symbols/bytes.ts';
import { FormatError, MemoryFault } from '../../symbols/errors.ts';
import { flatten, type KdumpInput, type KdumpPage, writeKdump } from '../support/kdump-writer.ts';
import { prstatusNote, qemuNote, vmcoreinfoNote } from '../support/vmcore-notes.ts';

const page = (pfn: number): KdumpPage => ({ pfn, flags: 0, bytes: new Uint8Array(4096).fill(pfn) });
const zlibPage = (pfn: number): KdumpPage => ({
  ...page(pfn),
  flags: 1,
  bytes: deflateSync(page(pfn).bytes),
});
const notes = qemuNote({ 16: 0xffffffff81000000n });
const openBytes = (bytes: Uint8Array) => openDumpFile(memorySource('dump', bytes), () => undefined);
const open = (input: KdumpInput) => openBytes(writeKdump(input));
const byteAt = (target: ReturnType<typeof open>, address: number) => {
  const into = new Uint8Array(1);
  target.readPhysical(address, into);
  return into[0];
};
const faultAt = (target: ReturnType<typeof open>, address: number): unknown => {
  try {
    return byteAt(target, address);
  } catch (error) {
    return error;
  }
};

/** Frames around the places where the rank table starts anew (every 32768 frames). */
const FAR = [0, 1, 31, 32, 33, 32767, 32768, 32769, 40000, 65535, 65536];

describe.each([64, 32] as const)('headers of %i bits', (bits) => {
  test('pages are found by their rank, whatever lies between them', () => {
    const target = open({ bits, notes, maxPfn: 70000, pages: FAR.map(zlibPage) });
    for (const pfn of FAR) expect(byteAt(target, pfn * 4096 + 77)).toBe(pfn & 0xff);
    expect(target.frames).toEqual([
      [0, 2],
      [31, 3],
      [32767, 3],
      [40000, 1],
      [65535, 2],
    ]);
    expect(target.vcpus).toHaveLength(1);
  });
});

test('pages that were filtered are faults with the reason, never zeros', () => {
  const target = open({ notes, dumpLevel: 31, pages: [page(1), page(4)], filtered: [2, 3] });
  expect(faultAt(target, 0x2000)).toMatchObject({ reason: 'not in dump', space: 'physical' });
  expect(String(faultAt(target, 0x2000))).toContain('left out by dump level 31: zero pages, page cache');
  expect(String(faultAt(target, 0x5000))).toContain('no such frame');
  expect(target.lacks.join('\n')).toContain('2 frames were left out by dump level 31');
});
test('QEMU writes a dump level and leaves nothing out', () => {
  expect(open({ notes, dumpLevel: 1, pages: [page(1)] }).lacks.join('\n')).not.toContain('left out');
});
test('a page that an incomplete dump lost', () => {
  const bytes = writeKdump({ notes, status: 9, pages: [page(1), page(2)] });
  new DataView(bytes.buffer).setBigUint64(4 * 4096 + 24, 0n, true);
  const target = openBytes(bytes);
  expect(byteAt(target, 0x1000)).toBe(1);
  expect(String(faultAt(target, 0x2000))).toContain('not in dump (lost: the dump is incomplete)');
  expect(target.lacks.join('\n')).toContain('marked as incomplete');
});
test('a damaged page says where in the file, and the others can be read', () => {
  const bytes = writeKdump({ notes, pages: [zlibPage(1), zlibPage(2)] });
  bytes[bytes.length - 2] = (bytes.at(-2) ?? 0) ^ 0xff;
  const target = openBytes(bytes);
  expect(byteAt(target, 0x1000)).toBe(1);
  expect(String(faultAt(target, 0x2000))).toMatch(/read error \(zlib page is damaged \(dump at offset 0x/);
});
test('one part of a split dump', () => {
  const target = open({ notes, split: [3, 5], pages: [1, 2, 3, 4, 5].map(page) });
  expect([byteAt(target, 0x3000), byteAt(target, 0x4000)]).toEqual([3, 4]);
  expect(String(faultAt(target, 0x2000))).toContain('in another part of the split dump');
  expect(target.frames).toEqual([[3, 2]]);
});
test("page tables of a dump that Linux made come out of its VMCOREINFO, or the header's phys_base", () => {
  const lines = ['SYMBOL(swapper_pg_dir)=ffffffff82000000'];
  const own = Buffer.concat([prstatusNote({ 16: 5n }), vmcoreinfoNote(lines)]);
  const bytes = writeKdump({ notes: own, pages: [page(1)] });
  new DataView(bytes.buffer).setBigInt64(4096, -0x1000000n, true);
  expect(openBytes(bytes).paging).toEqual({ root: 0x1000000, levels: 4 });
});

describe('flattened', () => {
  const whole = writeKdump({ notes, pages: [1, 2, 3].map(zlibPage) });
  const cut = (...at: number[]): [number, Uint8Array][] =>
    at.map((start, index) => [start, whole.subarray(start, at[index + 1] ?? whole.length)]);
  test('pieces in any order, the last one written wins', () => {
    const wrong = new Uint8Array(600).fill(0xee);
    const target = openBytes(flatten([[100, wrong], ...cut(0, 50, 4096, 5000, 16000).reverse()]));
    expect([1, 2, 3].map((pfn) => byteAt(target, pfn * 4096))).toEqual([1, 2, 3]);
  });
  test('without its end mark: what is missing is a fault', () => {
    const end = whole.length - 12;
    const target = openBytes(flatten([[0, whole.subarray(0, end)]], false));
    expect(byteAt(target, 0x1000)).toBe(1);
    expect(faultAt(target, 0x3000)).toBeInstanceOf(MemoryFault);
  });
  test('a piece at no possible place', () => {
    expect(() => openBytes(flatten([[-5, new Uint8Array(9)]]))).toThrow(FormatError);
  });
});

describe('headers that lie', () => {
  const whole = writeKdump({ notes, pages: [page(1)] });
  test.each([
    ['block size', 428, 0xffffffff],
    ['sub header', 432, 0x7fffffff],
    ['bitmaps', 436, 0x7fffffff],
    ['no bitmaps', 436, 0],
    ['pages (64 bits)', 4096 + 96, 0xffffffff],
    ['size of the notes', 4096 + 56, 0xffffff],
    ['place of the notes', 4096 + 48, 0xfffffff],
  ])('%s: FormatError', (_, at, value) => {
    const bytes = whole.slice();
    new DataView(bytes.buffer).setUint32(at, value, true);
    expect(() => openBytes(bytes)).toThrow(FormatError);
  });
  test('page descriptors: MemoryFault', () => {
    for (const [at, value] of [
      [0, 0xffffffff],
      [8, 0],
      [8, 0xffffffff],
    ] as const) {
      const bytes = whole.slice();
      new DataView(bytes.buffer).setUint32(4 * 4096 + at, value, true);
      expect(faultAt(openBytes(bytes), 0x1000)).toMatchObject({ reason: 'read error' });
    }
  });
});
