import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { memorySource } from '../../../symbols/bytes.ts';
import { findSection, openElf, readSection } from '../../../symbols/elf/elf-file.ts';
import { buildIdOf, readNotes, XEN_ELFNOTE_PHYS32_ENTRY, xenNote } from '../../../symbols/elf/notes.ts';
import { FormatError } from '../../../symbols/errors.ts';
import { note, writeElf } from '../../support/elf-writer.ts';

const text = Uint8Array.of(0x90, 0xc3);
const notes = Buffer.concat([
  note('Xen', XEN_ELFNOTE_PHYS32_ENTRY, Uint8Array.of(0, 0, 0, 1)),
  note('GNU', 3, Uint8Array.of(0xab, 0x0c)),
]);
const kernel = (bits: 32 | 64) =>
  writeElf({
    bits,
    entry: 0x1000000n,
    sections: [
      { name: '.text', flags: 6, address: bits === 64 ? 0xffffffff823e01c0n : 0x823e01c0n, data: text },
    ],
    segments: [
      { type: 1, virtualAddress: 0x81000000n, physicalAddress: 0x1000000n, data: text, memorySize: 64 },
      { type: 4, data: notes },
    ],
  });

describe.each([32, 64] as const)('ELF%d', (bits) => {
  const elf = openElf(memorySource('kernel', kernel(bits)));
  test('header', () => {
    expect(elf).toMatchObject({
      bits,
      type: 'exec',
      machine: bits === 64 ? 'amd64' : '386',
      entry: 0x1000000n,
    });
  });
  test('a section keeps its exact 64-bit address', () => {
    const section = findSection(elf, '.text');
    expect(section?.address).toBe(bits === 64 ? 0xffffffff823e01c0n : 0x823e01c0n);
    expect(section && readSection(elf, section)).toEqual(text);
    expect(elf.sections.map(({ name }) => name)).toEqual(['', '.text', '.shstrtab']);
  });
  test('segments', () => {
    expect(elf.segments[0]).toMatchObject({
      type: 1,
      physicalAddress: 0x1000000n,
      fileSize: 2,
      memorySize: 64,
    });
  });
  test('notes', () => {
    expect(xenNote(readNotes(elf), XEN_ELFNOTE_PHYS32_ENTRY)).toEqual(Uint8Array.of(0, 0, 0, 1));
    expect(buildIdOf(readNotes(elf))).toBe('ab0c');
  });
});

test('a file without a section table has segments only', () => {
  const elf = openElf(memorySource('x', writeElf({ segments: [{ type: 1, data: text }] })));
  expect(elf.sections).toEqual([]);
  expect(elf.segments).toHaveLength(1);
});

test('reading touches headers and names only', () => {
  const bytes = writeElf({ sections: [{ name: '.huge', data: new Uint8Array(1 << 20) }] });
  const source = memorySource('x', bytes);
  let read = 0;
  openElf({
    ...source,
    read(offset, length) {
      read += length;
      return source.read(offset, length);
    },
  });
  expect(read).toBeLessThan(1024);
});

test.each([
  ['empty', new Uint8Array(0)],
  ['magic only', Uint8Array.of(0x7f, 0x45, 0x4c, 0x46)],
  ['text', new TextEncoder().encode('ffffffff81000000 T _text\n')],
])('%s is a FormatError', (_, bytes) => {
  expect(() => openElf(memorySource('x', bytes))).toThrow(FormatError);
});

test('mutated headers give a file or a FormatError', () => {
  const original = kernel(64);
  const change = fc.tuple(fc.nat(original.length - 1), fc.integer({ min: 0, max: 255 }));
  fc.assert(
    fc.property(fc.array(change, { minLength: 1, maxLength: 12 }), (changes) => {
      const bytes = original.slice();
      for (const [offset, value] of changes) bytes[offset] = value;
      try {
        const elf = openElf(memorySource('x', bytes));
        readNotes(elf);
        for (const section of elf.sections) readSection(elf, section);
      } catch (error) {
        expect(error).toBeInstanceOf(FormatError);
      }
    }),
    { numRuns: 2000, seed: 1 },
  );
});
