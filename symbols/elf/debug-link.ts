// Names of separate debug files that an ELF file carries: .gnu_debuglink and .gnu_debugaltlink. Looks for no file.
import { ByteReader, hexOf } from '../bytes.ts';
import { type ElfFile, findSection, readSection } from './elf-file.ts';

/** A path and a CRC, both short. */
const MAX_LINK = 0x10000;

function linkReader(elf: ElfFile, name: string): ByteReader | undefined {
  const section = findSection(elf, name);
  if (!section || section.size > MAX_LINK) return undefined;
  return new ByteReader(`${elf.source.name} ${name}`, readSection(elf, section));
}

/**
 * File name of the debug file and the CRC-32 of its content (GDB manual, "Separate Debug Files").
 * @throws FormatError when the section is malformed.
 */
export function readDebugLink(elf: ElfFile): { readonly file: string; readonly crc: number } | undefined {
  const reader = linkReader(elf, '.gnu_debuglink');
  if (!reader) return undefined;
  const file = reader.cstring();
  reader.seek((reader.offset + 3) & ~3);
  return { file, crc: reader.u32() };
}

/**
 * Path and build-id of the file that dwz moved shared debug data into.
 * @throws FormatError when the section is malformed.
 */
export function readDebugAltLink(
  elf: ElfFile,
): { readonly file: string; readonly buildId: string } | undefined {
  const reader = linkReader(elf, '.gnu_debugaltlink');
  if (!reader) return undefined;
  const file = reader.cstring();
  return { file, buildId: hexOf(reader.take(reader.remaining)) };
}
