// The symbol table of an ELF file (.symtab) as a SymbolTable, with the letters and the order of `nm -n`.
import { FormatError } from '../errors.ts';
import { orderByAddress, type SymbolColumns, SymbolTable } from '../symbol-table.ts';
import {
  SHF_ALLOC,
  SHF_EXECINSTR,
  SHF_WRITE,
  SHN_ABS,
  SHN_COMMON,
  SHN_UNDEF,
  SHN_XINDEX,
  SHT_NOBITS,
  SHT_SYMTAB,
  STB_GLOBAL,
  STB_GNU_UNIQUE,
  STB_LOCAL,
  STB_WEAK,
  STT_FILE,
  STT_GNU_IFUNC,
  STT_OBJECT,
  STT_SECTION,
} from './constants.ts';
import type { ElfFile, ElfSection } from './elf-file.ts';

/** The largest kernels have 300,000 symbols in 8 MB, and 20 MB of names. */
const MAX_SECTION = 512 << 20;

/** Lower-case letter of nm(1) for symbols of a section, by its flags (GNU binutils 2.40). */
function sectionLetter(section: ElfSection | undefined): string {
  if (!section) return '?';
  if ((section.flags & SHF_EXECINSTR) !== 0) return 't';
  if (section.type === SHT_NOBITS) return 'b';
  const readOnly = (section.flags & SHF_WRITE) === 0;
  if ((section.flags & SHF_ALLOC) !== 0) return readOnly ? 'r' : 'd';
  return readOnly ? 'n' : '?';
}

/** Section letters by section number, as character codes. */
const lettersOf = (elf: ElfFile): Uint8Array =>
  Uint8Array.from(elf.sections, (section) => sectionLetter(section).charCodeAt(0));

const code = (letter: string): number => letter.charCodeAt(0);

/** Letter of one symbol, as nm decides it; 0 for symbols that nm does not list. */
function symbolLetter(info: number, shndx: number, sectionLetters: Uint8Array): number {
  const type = info & 0xf;
  const binding = info >>> 4;
  if (type === STT_SECTION || type === STT_FILE || shndx === SHN_UNDEF) return 0;
  if (shndx === SHN_COMMON) return code('C');
  if (type === STT_GNU_IFUNC) return code('i');
  if (binding === STB_WEAK) return code(type === STT_OBJECT ? 'V' : 'W');
  if (binding === STB_GNU_UNIQUE) return code('u');
  if (binding !== STB_LOCAL && binding !== STB_GLOBAL) return code('?');
  const lower = shndx === SHN_ABS ? code('a') : (sectionLetters[shndx] ?? code('?'));
  return binding === STB_GLOBAL && lower >= code('a') ? lower - 0x20 : lower;
}

/** Names are at most 511 bytes (KSYM_NAME_LEN); longer ones count as equal. */
const MAX_COMPARED = 1024;
/** Bytes that all comparisons together may look at; a kernel takes some million. Then the rest keep their order. */
const MAX_ALL_COMPARED = 1 << 28;

/** Puts runs of equal addresses into byte order of their names, as nm -n does in the C locale. */
function orderTiesByName(order: Uint32Array, columns: SymbolColumns): void {
  const { low, high, names, nameStarts } = columns;
  let room = MAX_ALL_COMPARED;
  const compare = (a: number, b: number): number => {
    if (room < 0) return 0;
    let [left, right] = [nameStarts[a] ?? 0, nameStarts[b] ?? 0];
    const stop = left + MAX_COMPARED;
    while (left < stop && names[left] === names[right] && (names[left] ?? 0) !== 0) {
      left++;
      right++;
    }
    room -= left + MAX_COMPARED - stop;
    return (names[left] ?? 0) - (names[right] ?? 0);
  };
  for (let start = 0; start < order.length; ) {
    const row = order[start] ?? 0;
    let end = start + 1;
    while (end < order.length && low[order[end] ?? 0] === low[row] && high[order[end] ?? 0] === high[row])
      end++;
    if (end - start > 1) order.subarray(start, end).sort(compare);
    start = end;
  }
}

/** The symbols that nm lists, in the order of the file. */
function readRows(elf: ElfFile, bytes: Uint8Array): Omit<SymbolColumns, 'names'> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const wide = elf.bits === 64;
  const entrySize = wide ? 24 : 16;
  const rows = Math.floor(bytes.length / entrySize);
  const low = new Uint32Array(rows);
  const high = new Uint32Array(rows);
  const sizes = new Uint32Array(rows);
  const letters = new Uint8Array(rows);
  const nameStarts = new Uint32Array(rows);
  const sectionLetters = lettersOf(elf);
  // In a relocatable file a symbol counts from its section.
  const bases = elf.type === 'rel' ? elf.sections.map(({ address }) => address) : [];
  let count = 0;
  // Entry 0 is reserved.
  for (let row = 1; row < rows; row++) {
    const at = row * entrySize;
    const shndx = view.getUint16(at + (wide ? 6 : 14), true);
    // A kernel has fewer than 65280 sections, so SHN_XINDEX does not occur in one.
    const letter = symbolLetter(
      view.getUint8(at + (wide ? 4 : 12)),
      shndx === SHN_XINDEX ? SHN_UNDEF : shndx,
      sectionLetters,
    );
    if (letter === 0) continue;
    low[count] = view.getUint32(at + (wide ? 8 : 4), true);
    high[count] = wide ? view.getUint32(at + 12, true) : 0;
    const base = bases[shndx];
    if (base !== undefined && base !== 0n) {
      const value = base + (BigInt(high[count] ?? 0) << 32n) + BigInt(low[count] ?? 0);
      low[count] = Number(value & 0xffffffffn);
      high[count] = Number((value >> 32n) & 0xffffffffn);
    }
    // A size beyond 4 GiB is nonsense in a symbol; it is cut.
    sizes[count] = view.getUint32(at + (wide ? 16 : 8), true);
    letters[count] = letter;
    nameStarts[count++] = view.getUint32(at, true);
  }
  return {
    low: low.subarray(0, count),
    high: high.subarray(0, count),
    sizes: sizes.subarray(0, count),
    letters: letters.subarray(0, count),
    nameStarts: nameStarts.subarray(0, count),
  };
}

/**
 * Reads .symtab and its strings, and nothing else of the file; undefined when it is stripped.
 * @throws FormatError when the table is malformed.
 */
export function readSymbolTable(elf: ElfFile): SymbolTable | undefined {
  const section = elf.sections.find(({ type }) => type === SHT_SYMTAB);
  if (!section) return undefined;
  const strings = elf.sections[section.link];
  const place = { source: elf.source.name, offset: section.offset };
  if (!strings) throw new FormatError('.symtab names no string table', place);
  if (section.size > MAX_SECTION || strings.size > MAX_SECTION)
    throw new FormatError('.symtab too large', place);
  const columns: SymbolColumns = {
    ...readRows(elf, elf.source.read(section.offset, section.size)),
    names: elf.source.read(strings.offset, strings.size),
  };
  const order = orderByAddress(columns.low, columns.high);
  orderTiesByName(order, columns);
  return new SymbolTable(elf.source.name, columns, order);
}
