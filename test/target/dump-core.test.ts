import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type DumpImage, writeDumpCore } from '../../core/dump/dump-core.ts';
import { notDumpCore, openDumpCore } from '../../core/target/dump-core.ts';
import { memorySource } from '../../symbols/bytes.ts';
import { openElf } from '../../symbols/elf/elf-file.ts';
import { FormatError, MemoryFault } from '../../symbols/errors.ts';
import { registersWith, STOPPED_KERNEL } from '../support/registers.ts';
import { SparseFile } from '../support/sparse-file.ts';

const registers = { ...STOPPED_KERNEL, dr6: 0xffff0ff0n };
const page = (fill: number) => new Uint8Array(4096).fill(fill);
const image: DumpImage = {
  vcpus: [
    { id: 0, online: true, registers },
    { id: 1, online: false, registers: registersWith({}) },
  ],
  sharedInfo: page(7),
  xen: { major: 4, minor: 17, extra: '.0-pvh' },
  frames: [
    [0, page(1)],
    [1, undefined],
    [2, page(0)],
    [3, page(3)],
    [0x100, page(4)],
    [0xfeff8, page(5)],
  ],
};
const write = (from: DumpImage) => {
  const file = new SparseFile();
  expect(writeDumpCore(file, from)).toBe(file.size);
  return file;
};
const byteAt = (target: ReturnType<typeof openDumpCore>, address: number) => {
  const into = new Uint8Array(1);
  target.readPhysical(address, into);
  return into[0];
};

describe('what we write, we read', () => {
  const file = write(image);
  const target = openDumpCore(file);
  test('registers, with those that Xen leaves out', () => {
    expect(target.vcpus.map(({ id, online }) => [id, online])).toEqual([
      [0, true],
      [1, false],
    ]);
    expect(target.vcpus[0]?.registers).toMatchObject(registers);
    expect(target.lacks).toEqual(['console: not in a dump-core file']);
  });
  test('identity', () => {
    expect(target.identity.xenVersion).toBe('4.17.0-pvh');
  });
  test.each([
    [0, 1],
    [0x1000, 0],
    [0x2fff, 0],
    [0x3000, 3],
    [0x100fff, 4],
    [0xfeff8000, 5],
  ])('byte at physical %i', (address, value) => {
    expect(byteAt(target, address)).toBe(value);
  });
  test('frames that are not there are faults, not zeros', () => {
    expect(target.frames).toEqual([
      [0, 4],
      [0x100, 1],
      [0xfeff8, 1],
    ]);
    expect(() => byteAt(target, 0x4000)).toThrow(MemoryFault);
    expect(() => target.readPhysical(0x3fff, new Uint8Array(2))).toThrow(
      'physical 0000000000004000: not in dump',
    );
  });
  test('pages of zeros are holes', () => {
    expect(file.stored).toBeLessThan(file.size - 2 * 4096);
  });
  test('sections are in Xen order and the extra one is last', () => {
    expect(openElf(file).sections.map(({ name }) => name)).toEqual([
      '',
      '.shstrtab',
      '.note.Xen',
      '.xen_prstatus',
      '.xen_shared_info',
      '.xen_pages',
      '.xen_pfn',
      '.pvh_hvm_context',
    ]);
  });
});

test('what was not known is not known again, nothing beside is lost', () => {
  const partial = write({ ...image, unknown: ['cr2', 'dr0'] });
  expect(openElf(partial).sections.at(-1)?.name).toBe('.pvh_unknown');
  const { vcpus, lacks } = openDumpCore(partial);
  const { cr2, cr3, dr0, efer, gdtr, rip } = vcpus[0]?.registers ?? {};
  expect([cr2, dr0, efer, gdtr]).toEqual([undefined, undefined, undefined, undefined]);
  expect([rip, cr3]).toEqual([registers.rip, registers.cr3]);
  expect(lacks).toEqual(
    expect.arrayContaining([expect.stringContaining('EFER'), 'cr2, dr0: not known where this file was made']),
  );
});

test('same image, same bytes', () => {
  const [a, b] = [write(image), write(image)];
  expect(Buffer.compare(a.read(0, a.size), b.read(0, b.size))).toBe(0);
});

test('user mode: the base in use is gs_base_user, as Xen writes it', () => {
  const user = registersWith({
    ...registers,
    cs: { selector: 0x33 },
    gs: { selector: 0, base: 5n },
    kernel_gs_base: 6n,
  });
  const target = openDumpCore(write({ ...image, vcpus: [{ id: 0, online: true, registers: user }] }));
  expect(target.vcpus[0]?.registers?.gs.base).toBe(5n);
  expect(target.vcpus[0]?.registers?.kernel_gs_base).toBe(6n);
});

describe('hostile files', () => {
  const small = write({
    ...image,
    frames: [
      [0, page(1)],
      [5, page(2)],
    ],
  });
  const original = small.read(0, small.size);
  test('cut at any of 200 places: FormatError or a target', () => {
    for (let step = 0; step < 200; step++) {
      const cut = memorySource('cut', original.subarray(0, Math.floor((original.length * step) / 200)));
      try {
        openDumpCore(cut);
      } catch (error) {
        expect(error).toBeInstanceOf(FormatError);
      }
    }
  });
  test('mutated bytes: FormatError, MemoryFault or a value', () => {
    const change = fc.tuple(fc.nat(0x800), fc.integer({ min: 0, max: 255 }));
    fc.assert(
      fc.property(fc.array(change, { minLength: 1, maxLength: 8 }), (changes) => {
        const bytes = original.slice();
        for (const [offset, value] of changes) bytes[offset] = value;
        try {
          const source = memorySource('x', bytes);
          if (notDumpCore(source) === undefined) byteAt(openDumpCore(source), 0x5000);
        } catch (error) {
          expect(error instanceof FormatError || error instanceof MemoryFault).toBe(true);
        }
      }),
      { numRuns: 2000, seed: 2 },
    );
  });
});
