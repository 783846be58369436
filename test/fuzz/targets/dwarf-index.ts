// Debug indexes: made of damaged debug information, and damaged themselves.
import { hostCodecs } from '../../../core/host/codecs.ts';
import { memorySource } from '../../../symbols/bytes.ts';
import { openDebugInfo } from '../../../symbols/dwarf/debug-info.ts';
import { writeDebugIndex } from '../../../symbols/dwarf/index-file.ts';
import { SHF_EXECINSTR } from '../../../symbols/elf/constants.ts';
import { type ElfFile, isElf, openElf } from '../../../symbols/elf/elf-file.ts';
import { FormatError } from '../../../symbols/errors.ts';
import { seedFile } from '../sample.ts';
import type { FuzzTarget } from '../target.ts';

const FILES = ['gcc-dwarf5.elf', 'clang-dwarf5.elf', 'gcc-dwarf4.elf'];
const LOOKUPS = 24;

const open = (bytes: Uint8Array): ElfFile => openElf(memorySource('fuzz', bytes), hostCodecs);
const indexOf = (elf: ElfFile): Uint8Array => new Uint8Array(Buffer.concat([...writeDebugIndex(elf)]));

/** Frames found in the first code section; the reader says what is damaged where it is asked for. */
function lookUp(elf: ElfFile, index: Uint8Array): number {
  const info = openDebugInfo(elf, memorySource('index', index));
  const code = elf.sections.find(({ flags }) => (flags & SHF_EXECINSTR) !== 0);
  if (!info || !code) return 0;
  let read = 0;
  for (let at = 0; at < LOOKUPS; at++) {
    try {
      read += info.lookup(code.address + BigInt(at * 7)).length;
    } catch (error) {
      if (!(error instanceof FormatError)) throw error;
    }
  }
  return read;
}

export const DWARF_INDEX: FuzzTarget = {
  name: 'dwarf-index',
  seeds: () => [...FILES.map(seedFile), indexOf(open(seedFile(FILES[0] ?? '')))],
  run: (bytes) => {
    if (!isElf(memorySource('fuzz', bytes))) return lookUp(open(seedFile(FILES[0] ?? '')), bytes);
    const elf = open(bytes);
    return lookUp(elf, indexOf(elf));
  },
};
