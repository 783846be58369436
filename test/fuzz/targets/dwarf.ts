// Debug information: units, line tables, inlined functions, ranges; compressed sections and relocatable files too.
import { inflateSync } from 'node:zlib';
import { memorySource } from '../../../symbols/bytes.ts';
import { openDebugInfo } from '../../../symbols/dwarf/debug-info.ts';
import { SHF_EXECINSTR } from '../../../symbols/elf/constants.ts';
import { openElf } from '../../../symbols/elf/elf-file.ts';
import { placeSections } from '../../../symbols/elf/relocate.ts';
import { seedFile } from '../sample.ts';
import type { FuzzTarget } from '../target.ts';

const MODULE = 0xffffffffc0000000n;
/** Look-ups of one section. */
const LOOKUPS = 12;
const MAX_SECTIONS = 6;

export const DWARF: FuzzTarget = {
  name: 'dwarf',
  seeds: () =>
    ['gcc-dwarf5.elf', 'gcc-dwarf4.elf', 'gcc-dwarf5-zlib.elf', 'clang-dwarf5.elf', 'gcc-dwarf5.o'].map(
      seedFile,
    ),
  run: (bytes) => {
    const zlib = (stream: Uint8Array, maxBytes: number): Uint8Array =>
      inflateSync(stream, { maxOutputLength: Math.max(1, maxBytes) });
    const opened = openElf(memorySource('fuzz', bytes), { zlib });
    const code = opened.sections.filter(({ flags }) => (flags & SHF_EXECINSTR) !== 0).slice(0, MAX_SECTIONS);
    const addresses = new Map(code.map(({ name }, index) => [name, MODULE + BigInt(index * 0x1000)]));
    const elf = opened.type === 'rel' ? placeSections(opened, addresses) : opened;
    const info = openDebugInfo(elf);
    if (!info) return 0;
    let read = 0;
    for (const { index } of code) {
      const section = elf.sections[index];
      if (!section) continue;
      const step = Math.max(1, Math.floor(Math.min(section.size, 0x1000) / LOOKUPS));
      for (let at = 0; at < LOOKUPS; at++)
        read += info.lookup(section.address + BigInt(at * step)).filter(({ line }) => line).length;
    }
    return read;
  },
};
