// Relocatable files (ET_REL: .ko, .o): gives sections their addresses and applies relocations to a section's bytes. Links nothing.
import { FormatError } from '../errors.ts';
import { SHF_ALLOC, SHN_ABS, SHN_COMMON, SHN_UNDEF, SHT_RELA } from './constants.ts';
import { type ElfFile, type ElfSection, readSection } from './elf-file.ts';

/** Address of a section that nobody placed: above all code. Relocations against it give this value, too. */
const UNPLACED = 0xffff_ffff_ffff_ffffn;

const MAX_TABLE = 256 << 20;

/**
 * The same file with its sections at these addresses (a module's: /sys/module/NAME/sections, or its list in guest memory).
 * What is loaded and not in the map is nowhere: nothing is found in it.
 */
export function placeSections(elf: ElfFile, addresses: ReadonlyMap<string, bigint>): ElfFile {
  const sections = elf.sections.map((section) =>
    (section.flags & SHF_ALLOC) === 0
      ? section
      : { ...section, address: addresses.get(section.name) ?? UNPLACED },
  );
  return { ...elf, sections };
}

/** Width in bytes and whether the place itself is subtracted. Source: x86-64 psABI table 4.9; what debug data has. */
const KINDS: ReadonlyMap<number, readonly [width: 4 | 8, relative: boolean]> = new Map([
  [1, [8, false]], // R_X86_64_64
  [2, [4, true]], // R_X86_64_PC32
  [10, [4, false]], // R_X86_64_32
  [11, [4, false]], // R_X86_64_32S
  [24, [8, true]], // R_X86_64_PC64
]);

/**
 * Content of a section, relocated when the file is relocatable.
 * @throws FormatError when the tables are damaged or of another machine than x86-64.
 */
export function readRelocated(elf: ElfFile, section: ElfSection): Uint8Array {
  const bytes = readSection(elf, section);
  if (elf.type !== 'rel') return bytes;
  const table = elf.sections.find(({ type, info }) => type === SHT_RELA && info === section.index);
  const symbols = table && elf.sections[table.link];
  if (!table || !symbols) return bytes;
  const place = { source: elf.source.name, offset: table.offset };
  if (elf.machine !== 'amd64') throw new FormatError(`relocations of ${elf.machine}`, place);
  if (table.size > MAX_TABLE || symbols.size > MAX_TABLE)
    throw new FormatError('relocation table too large', place);
  return apply(bytes.slice(), section, viewOf(readSection(elf, table)), addressesOf(elf, symbols));
}

const viewOf = (bytes: Uint8Array): DataView =>
  new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

/** Address of each symbol; undefined for those of other files and of sections that lie nowhere. */
function addressesOf(elf: ElfFile, symbols: ElfSection): (index: number) => bigint | undefined {
  const view = viewOf(readSection(elf, symbols));
  return (index) => {
    const at = index * 24;
    if (at + 24 > view.byteLength) return undefined;
    const shndx = view.getUint16(at + 6, true);
    const value = view.getBigUint64(at + 8, true);
    if (shndx === SHN_ABS) return value;
    if (shndx === SHN_UNDEF || shndx === SHN_COMMON) return undefined;
    const base = elf.sections[shndx]?.address;
    return base === undefined || base === UNPLACED ? undefined : base + value;
  };
}

function apply(
  bytes: Uint8Array,
  section: ElfSection,
  table: DataView,
  addressOf: (index: number) => bigint | undefined,
): Uint8Array {
  const view = viewOf(bytes);
  for (let at = 0; at + 24 <= table.byteLength; at += 24) {
    const kind = KINDS.get(table.getUint32(at + 8, true));
    const offset = table.getBigUint64(at, true);
    if (!kind || offset > BigInt(bytes.length - kind[0])) continue;
    const [width, relative] = kind;
    const address = addressOf(table.getUint32(at + 12, true));
    let value = UNPLACED;
    if (address !== undefined) {
      value = address + table.getBigInt64(at + 16, true);
      if (relative) value -= section.address + offset;
    }
    if (width === 8) view.setBigUint64(Number(offset), BigInt.asUintN(64, value), true);
    else view.setUint32(Number(offset), Number(BigInt.asUintN(32, value)), true);
  }
  return bytes;
}
