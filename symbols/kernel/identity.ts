// Whether an ELF file is the kernel that runs in a guest: the build-id in the file against the one in the guest's memory.
import { SHF_ALLOC, SHT_NOTE } from '../elf/constants.ts';
import type { ElfFile } from '../elf/elf-file.ts';
import { buildIdOf, parseNotes, readNotes } from '../elf/notes.ts';
import { FormatError, MemoryFault } from '../errors.ts';
import type { MemorySource } from '../memory.ts';

/** A kernel's notes are some 500 bytes. */
const MAX_NOTES = 1 << 16;

/** GNU build-id of the file, lower-case hex; undefined when it was linked without. */
export const fileBuildId = (elf: ElfFile): string | undefined => buildIdOf(readNotes(elf));

/**
 * Build-id in guest memory at the addresses where this file has its notes (not shifted: PVH kernels run where they are
 * linked). Undefined when there is no build-id there: another kernel, or memory that cannot be read.
 */
export function guestBuildId(elf: ElfFile, memory: MemorySource): string | undefined {
  for (const section of elf.sections) {
    const loaded = section.type === SHT_NOTE && (section.flags & SHF_ALLOC) !== 0;
    if (!loaded || section.size > MAX_NOTES) continue;
    try {
      const bytes = new Uint8Array(section.size);
      memory.read(section.address, bytes);
      const id = buildIdOf(parseNotes('guest memory', bytes));
      if (id !== undefined) return id;
    } catch (error) {
      if (!(error instanceof MemoryFault || error instanceof FormatError)) throw error;
    }
  }
  return undefined;
}
