// Gives the sections of a relocatable file (.ko, .o) addresses of their own, so that one number tells a place in it: the same ones
// each time, in the order of the file. Where a guest has loaded a module is the matter of its module list.
import { SHF_ALLOC } from './constants.ts';
import type { ElfFile } from './elf-file.ts';

/** Not 0: an address of 0 is none. */
const FIRST = 0x10000n;
/** A section's own alignment is a page at most in a module. */
const STEP = 0x1000n;

/** The same file with its loaded sections behind each other; any other file as it is. */
export function layOutSections(elf: ElfFile): ElfFile {
  if (elf.type !== 'rel') return elf;
  let next = FIRST;
  const sections = elf.sections.map((section) => {
    if ((section.flags & SHF_ALLOC) === 0) return section;
    const address = next;
    next += ((BigInt(section.size) + STEP - 1n) / STEP + 1n) * STEP;
    return { ...section, address };
  });
  return { ...elf, sections };
}
