// Dump files that were cut, damaged or made to hurt: a typed error or a partial answer, soon, and with bounded memory.
import { deflateSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { writeDumpCore } from '../../core/dump/dump-core.ts';
import { openDumpFile } from '../../core/target/dump-file.ts';
import type { Target } from '../../core/target/target.ts';
import { VirtualMemory } from '../../core/target/virtual-memory.ts';
import { type ByteSource, checkRange, memorySource } from '../../symbols/bytes.ts';
import { FormatError, MemoryFault } from '../../symbols/errors.ts';
import { writeElf } from '../support/elf-writer.ts';
import { flatten, writeKdump } from '../support/kdump-writer.ts';
import { registersWith } from '../support/registers.ts';
import { hvmContextRecord, pageDataRecord, writeSaved } from '../support/saved-writer.ts';
import { SparseFile } from '../support/sparse-file.ts';
import { prstatusNote, qemuNote, vmcoreinfoNote } from '../support/vmcore-notes.ts';

const page = (fill: number) => new Uint8Array(4096).fill(fill);
const qemu = qemuNote({ 16: 0xffffffff81000000n, 48: 0x80050033n, 51: 0x1000n, 52: 0x20n });
const linux = Buffer.concat([
  prstatusNote({ 16: 0xffffffff81000000n }),
  vmcoreinfoNote(['SYMBOL(swapper_pg_dir)=ffffffff80001000', 'NUMBER(phys_base)=0']),
]);
const core = new SparseFile();
writeDumpCore(core, {
  vcpus: [0, 1].map((id) => ({ id, online: true, registers: registersWith({ rip: 0x1010n }) })),
  xen: { major: 4, minor: 17, extra: '' },
  frames: [1, 2, 5].map((gfn) => [gfn, page(gfn)] as const),
});
const elf = (notes: Uint8Array): Uint8Array =>
  writeElf({
    type: 4,
    segments: [
      { type: 4, data: notes },
      { type: 1, physicalAddress: 0x1000n, data: page(1) },
      { type: 1, physicalAddress: 0x2000n, data: page(2) },
    ],
  });
const kdump = writeKdump({
  notes: linux,
  dumpLevel: 31,
  filtered: [5],
  pages: [1, 2, 3].map((pfn) => ({ pfn, flags: 1, bytes: deflateSync(page(pfn)) })),
});
const saved = writeSaved({
  records: [
    pageDataRecord([1, 2].map((pfn) => ({ pfn, bytes: page(pfn) }))),
    pageDataRecord([{ pfn: 2, bytes: page(3) }, { pfn: 5 }]),
    hvmContextRecord([registersWith({ rip: 0x1010n, rsp: 0x2ff0n }), undefined]),
  ],
});
/** Where the first record of pages is: behind two headers of libxc. */
const SAVED_PAGES = Buffer.from(saved).indexOf('XENF') - 8 + 40;
/** Pages of it are replaced up to there. */
const SAVED_STATE = SAVED_PAGES + 2 * 8 + 2 * (8 + 2 * 8) + 3 * 4096;
const files: [string, Uint8Array][] = [
  ['dump-core', core.read(0, core.size)],
  ['ELF of QEMU', elf(qemu)],
  ['ELF of Linux', elf(linux)],
  ['kdump', kdump],
  ['saved domain', saved],
  [
    'flattened ELF',
    flatten([
      [0, elf(linux).subarray(0, 6000)],
      [6000, elf(linux).subarray(6000)],
      [0, elf(linux).subarray(0, 64)],
    ]),
  ],
  [
    'flattened kdump',
    flatten([
      [0, kdump.subarray(0, 5000)],
      [5000, kdump.subarray(5000)],
    ]),
  ],
];

/** Does all that a tool does. @returns what it threw; undefined when nothing. */
function use(source: ByteSource): unknown {
  try {
    const target = openDumpFile(source, () => undefined);
    expect(target.lacks.length).toBeGreaterThan(0);
    let end = 0;
    for (const [gfn, count] of target.frames) {
      expect(gfn).toBeGreaterThanOrEqual(end);
      end = gfn + count;
    }
    const into = new Uint8Array(8192);
    for (const { registers } of target.vcpus.slice(0, 4)) {
      const reads = [() => target.readPhysical(0x1ffe, into)];
      if (registers) reads.push(() => new VirtualMemory(target, registers).read(registers.rip, into));
      for (const read of reads)
        try {
          read();
        } catch (error) {
          if (!(error instanceof MemoryFault)) throw error;
        }
    }
  } catch (error) {
    return error;
  }
  return undefined;
}

/** What each of the first frames holds: of those that can be read. */
function contentOf(target: Target): Map<number, string> {
  const content = new Map<number, string>();
  const into = new Uint8Array(4096);
  for (let gfn = 0; gfn < 16; gfn++)
    try {
      target.readPhysical(gfn * 4096, into);
      content.set(gfn, Buffer.from(into).toString('hex'));
    } catch (error) {
      if (!(error instanceof MemoryFault)) throw error;
    }
  return content;
}

describe.each(files)('%s', (_, bytes) => {
  test('whole', () => {
    expect(use(memorySource('dump', bytes))).toBeUndefined();
  });
  test('cut anywhere: an error with file and place, or all that is there and a word on the rest', () => {
    const intact = openDumpFile(memorySource('dump', bytes), () => undefined);
    const [whole, vcpus] = [contentOf(intact), intact.vcpus.length];
    for (let end = 0; end < bytes.length; end += 24) {
      const cut = memorySource('dump', bytes.subarray(0, end));
      const error = use(cut);
      if (error === undefined) {
        const target = openDumpFile(cut, () => undefined);
        const content = contentOf(target);
        const mayBeOld = bytes === saved && end < SAVED_STATE;
        for (const [gfn, held] of content)
          if (!mayBeOld) expect(held === whole.get(gfn), `frame ${gfn} cut at ${end}`).toBe(true);
        if (content.size < whole.size || target.vcpus.length < vcpus)
          expect(target.lacks.join('\n'), `cut at ${end}`).toContain('cut off');
      } else {
        expect(error).toBeInstanceOf(FormatError);
        const { source, offset, message } = error as FormatError; // as the line above says
        expect(source, message).toMatch(/^dump/);
        expect(offset !== undefined || /no dump that can be read/.test(message), message).toBe(true);
      }
    }
  });
  test('3000 mutations', () => {
    const interesting = fc.constantFrom(0, 1, 0x7f, 0x80, 0xff);
    const place = fc.oneof(fc.nat(0x2ff), fc.integer({ min: 4096, max: 0x1200 }), fc.nat(bytes.length - 1));
    const change = fc.tuple(place, fc.oneof(interesting, fc.nat(255)));
    fc.assert(
      fc.property(fc.array(change, { minLength: 1, maxLength: 6 }), (changes) => {
        const damaged = bytes.slice();
        for (const [at, value] of changes) if (at < damaged.length) damaged[at] = value;
        const error = use(memorySource('dump', damaged));
        if (error !== undefined) expect(error).toBeInstanceOf(FormatError);
      }),
      { numRuns: 3000, seed: 6 },
    );
  });
});

/** A file of 2^50 bytes: some at its start, else zeros. Keeps the largest piece that was asked for. */
class HugeFile implements ByteSource {
  readonly name = 'huge';
  readonly size: number = 2 ** 50;
  readonly #start: Uint8Array;
  largest = 0;
  total = 0;

  constructor(start: Uint8Array) {
    this.#start = start;
  }

  read(offset: number, length: number): Uint8Array {
    checkRange(this.name, this.size, offset, length);
    this.largest = Math.max(this.largest, length);
    this.total += length;
    const bytes = new Uint8Array(length);
    if (offset < this.#start.length) bytes.set(this.#start.subarray(offset, offset + length));
    return bytes;
  }
}

test.each([
  [
    'kdump bitmaps',
    kdump,
    [
      [436, 0x7ffffffe],
      [440, 0x3fffffff],
      [4096 + 96, 0x3fffffff],
    ],
  ],
  ['kdump notes', kdump, [[4096 + 60, 0xff]]],
  ['ELF notes', elf(qemu), [[64 + 32 + 4, 0xff]]],
  [
    'ELF memory',
    elf(qemu),
    [
      [64 + 56 + 32 + 4, 0xff],
      [64 + 56 + 40 + 4, 0xff],
    ],
  ],
  ['saved configuration', saved, [[44, 0xffffffff]]],
  [
    'saved pages',
    saved,
    [
      [SAVED_PAGES + 4, 0x7ffffff],
      [SAVED_PAGES + 8, 0xfffffe],
    ],
  ],
  [
    'ELF section headers',
    elf(qemu),
    [
      [40, 4096],
      [56, 0xffff],
      [60, 0xffffffff],
    ],
  ],
] as const)('sizes that a sparse file of 2^50 bytes could back: %s', (_, bytes, words) => {
  const start = bytes.slice();
  for (const [at, value] of words) new DataView(start.buffer).setUint32(at, value, true);
  const file = new HugeFile(start);
  const error = use(file);
  if (error !== undefined) expect(error).toBeInstanceOf(FormatError);
  expect(file.largest).toBeLessThanOrEqual(16 << 20);
  expect(file.total).toBeLessThanOrEqual(1 << 30);
});
