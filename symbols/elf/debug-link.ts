// Names of separate debug files that an ELF file carries: .gnu_debuglink, .gnu_debugaltlink and .debug_sup. Looks for no file.
import { ByteReader, hexOf } from '../bytes.ts';
import { uleb } from '../leb128.ts';
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
 * Path and build-id of the file that dwz moved shared debug data into: the GNU section, or that of DWARF 5 (§7.3.6).
 * @throws FormatError when the section is malformed.
 */
export function readDebugAltLink(
  elf: ElfFile,
): { readonly file: string; readonly buildId: string } | undefined {
  const gnu = linkReader(elf, '.gnu_debugaltlink');
  if (gnu) return { file: gnu.cstring(), buildId: hexOf(gnu.take(gnu.remaining)) };
  const reader = linkReader(elf, '.debug_sup');
  // A version, and whether it is the supplementary file itself.
  if (reader?.skip(2).u8() !== 0) return undefined;
  const file = reader.cstring();
  return { file, buildId: hexOf(reader.take(uleb(reader))) };
}
