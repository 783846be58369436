// Note records of ELF sections and segments (gABI), and the two that name a kernel: build-id and Xen's. Interprets no other.
import { ByteReader, hexOf, latin1Of } from '../bytes.ts';
import { FormatError } from '../errors.ts';
import { PT_NOTE, SHT_NOTE } from './constants.ts';
import type { ElfFile } from './elf-file.ts';

export interface ElfNote {
  readonly name: string;
  readonly type: number;
  readonly descriptor: Uint8Array;
}

/** xen/include/public/elfnote.h: entry point of a PVH kernel, physical. */
export const XEN_ELFNOTE_PHYS32_ENTRY = 18;
/** GNU notes, type 3. */
const NT_GNU_BUILD_ID = 3;

const align4 = (value: number): number => (value + 3) & ~3;

/**
 * Splits note bytes into records; names lose their NUL. Alignment is 4 (what Linux, Xen and GNU ld write).
 * @throws FormatError when a record leaves the bytes.
 */
export function parseNotes(source: string, bytes: Uint8Array): ElfNote[] {
  const reader = new ByteReader(source, bytes);
  const notes: ElfNote[] = [];
  while (reader.remaining >= 12) {
    const nameSize = reader.u32();
    const descriptorSize = reader.u32();
    const type = reader.u32();
    const name = latin1Of(reader.take(nameSize)).replace(/\0.*$/s, '');
    reader.skip(Math.min(align4(nameSize) - nameSize, reader.remaining));
    const descriptor = reader.take(descriptorSize);
    reader.skip(Math.min(align4(descriptorSize) - descriptorSize, reader.remaining));
    notes.push({ name, type, descriptor });
  }
  return notes;
}

/** Larger note areas exist in no kernel or core file. */
const MAX_NOTES = 1 << 20;

/** All notes of a file: of its PT_NOTE segments, or of its SHT_NOTE sections when it has none. */
export function readNotes(elf: ElfFile): ElfNote[] {
  const segments = elf.segments.filter((segment) => segment.type === PT_NOTE && segment.fileSize > 0);
  const areas = segments.length
    ? segments.map((segment) => ({ offset: segment.offset, size: segment.fileSize }))
    : elf.sections.filter((section) => section.type === SHT_NOTE);
  let total = 0;
  return areas.flatMap(({ offset, size }) => {
    total += size;
    if (total > MAX_NOTES)
      throw new FormatError(`notes of 0x${total.toString(16)} bytes`, { source: elf.source.name, offset });
    return parseNotes(elf.source.name, elf.source.read(offset, size));
  });
}

/** GNU build-id in lower-case hex, as `file` and `readelf -n` print it. */
export function buildIdOf(notes: readonly ElfNote[]): string | undefined {
  const note = notes.find(({ name, type }) => name === 'GNU' && type === NT_GNU_BUILD_ID);
  return note && note.descriptor.length > 0 ? hexOf(note.descriptor) : undefined;
}

/** Note of Xen's namespace by type (XEN_ELFNOTE_*). */
export function xenNote(notes: readonly ElfNote[], type: number): Uint8Array | undefined {
  return notes.find((note) => note.name === 'Xen' && note.type === type)?.descriptor;
}
