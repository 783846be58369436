// ELF files: headers, sections, notes, symbols, and looking names up.
import { memorySource } from '../../../symbols/bytes.ts';
import { openElf, readSection } from '../../../symbols/elf/elf-file.ts';
import { readNotes } from '../../../symbols/elf/notes.ts';
import { readSymbolTable } from '../../../symbols/elf/symtab.ts';
import { FormatError } from '../../../symbols/errors.ts';
import { fileBuildId } from '../../../symbols/kernel/identity.ts';
import { formatSymbol, Symbolizer } from '../../../symbols/symbolizer.ts';
import { note, writeElf } from '../../support/elf-writer.ts';
import { sampleElf, sectionBytes } from '../sample.ts';
import type { FuzzTarget } from '../target.ts';

const TEXT = 0xffffffff80100000n;
const SYMBOL = 24;

function seeds(): Uint8Array[] {
  const sample = sampleElf();
  const symbols = sectionBytes(sample, '.symtab', 48 * SYMBOL);
  const strings = sectionBytes(sample, '.strtab');
  const buildId = note(
    'GNU',
    3,
    Uint8Array.from({ length: 20 }, (_, index) => index * 7),
  );
  const xen = note('Xen', 18, Uint8Array.of(0, 0, 0x10, 0));
  const text = { name: '.text', flags: 6, address: TEXT, data: sectionBytes(sample, '.text', 512) };
  const symtab = [
    { name: '.symtab', type: 2, data: symbols, link: 4, info: 8, entrySize: SYMBOL },
    { name: '.strtab', type: 3, data: strings },
  ];
  const notes = { name: '.notes', type: 7, flags: 2, data: new Uint8Array([...buildId, ...xen]) };
  // Symbols of 16 bytes: the same numbers, in the order that 32-bit files have them.
  const narrow = new Uint8Array((symbols.length / SYMBOL) * 16);
  for (let row = 0; row * SYMBOL < symbols.length; row++) {
    const from = symbols.subarray(row * SYMBOL, (row + 1) * SYMBOL);
    narrow.set(from.subarray(0, 4), row * 16);
    narrow.set(from.subarray(8, 12), row * 16 + 4);
    narrow.set(from.subarray(16, 20), row * 16 + 8);
    narrow.set(from.subarray(4, 8), row * 16 + 12);
  }
  return [
    writeElf({ sections: [text, notes, ...symtab], entry: TEXT }),
    writeElf({
      sections: [text, notes, { ...symtab[0], name: '.symtab', data: narrow }, ...symtab.slice(1)],
      bits: 32,
    }),
    writeElf({
      segments: [
        { type: 4, data: notes.data },
        { type: 1, virtualAddress: TEXT, data: text.data },
      ],
    }),
  ];
}

export const ELF: FuzzTarget = {
  name: 'elf',
  seeds,
  run: (bytes) => {
    const elf = openElf(memorySource('fuzz', bytes));
    let read = elf.sections.length + elf.segments.length;
    for (const section of elf.sections) {
      // What is said of one section says nothing of the others.
      try {
        read += readSection(elf, section).length > 0 ? 1 : 0;
      } catch (error) {
        if (!(error instanceof FormatError)) throw error;
      }
    }
    if (fileBuildId(elf) !== undefined) read++;
    read += readNotes(elf).length;
    const table = readSymbolTable(elf);
    if (!table) return read;
    const symbolizer = new Symbolizer(table);
    for (let index = 0; index < Math.min(table.length, 6); index++) {
      const hit = symbolizer.symbolize(table.address(index) + 3n);
      if (hit && formatSymbol(hit).length > 0) read++;
      if (table.addressOf(table.name(index)) !== undefined) read++;
    }
    return read;
  },
};
