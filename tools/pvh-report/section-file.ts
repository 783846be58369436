// An ELF file for debuggers: sections and no segments. Holds no code: that is in the guest's memory.

interface FileSection {
  readonly name: string;
  readonly type: number;
  readonly flags?: number;
  readonly address?: bigint;
  /** Absent for what only has a size. */
  readonly bytes?: Uint8Array;
  readonly size?: number;
}

const HEADER = 64;
const SECTION = 64;
const ALIGN = 8;
const EM_X86_64 = 62;

export const SHT_PROGBITS = 1;
const SHT_STRTAB = 3;
export const SHT_NOBITS = 8;
/** SHF_ALLOC and SHF_EXECINSTR. */
export const SHF_CODE = 0x6;

const align = (value: number): number => Math.ceil(value / ALIGN) * ALIGN;

/** System V ABI, chapter 4. @param type ET_EXEC 2, ET_DYN 3. @param sections in the order of their indexes, from 1. */
export function writeSectionFile(type: 2 | 3, sections: readonly FileSection[]): Uint8Array {
  const names = ['', ...sections.map(({ name }) => name), '.shstrtab'];
  const strings = new TextEncoder().encode(names.map((name) => `${name}\0`).join(''));
  const all: FileSection[] = [...sections, { name: '.shstrtab', type: SHT_STRTAB, bytes: strings }];
  const starts: number[] = [];
  let end = HEADER;
  for (const { bytes } of all) {
    starts.push(end);
    end = align(end + (bytes?.length ?? 0));
  }
  const file = new Uint8Array(end + SECTION * (all.length + 1));
  const view = new DataView(file.buffer);
  file.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  view.setUint16(16, type, true);
  view.setUint16(18, EM_X86_64, true);
  view.setUint32(20, 1, true);
  view.setBigUint64(40, BigInt(end), true);
  view.setUint16(52, HEADER, true);
  view.setUint16(58, SECTION, true);
  view.setUint16(60, all.length + 1, true);
  view.setUint16(62, all.length, true);
  let name = 1;
  for (const [index, section] of all.entries()) {
    const { bytes, size = bytes?.length ?? 0, flags = 0, address = 0n } = section;
    const start = starts[index] ?? 0;
    if (bytes) file.set(bytes, start);
    const at = end + SECTION * (index + 1);
    view.setUint32(at, name, true);
    view.setUint32(at + 4, section.type, true);
    view.setBigUint64(at + 8, BigInt(flags), true);
    view.setBigUint64(at + 16, address, true);
    view.setBigUint64(at + 24, BigInt(start), true);
    view.setBigUint64(at + 32, BigInt(size), true);
    view.setBigUint64(at + 48, 1n, true);
    name += new TextEncoder().encode(section.name).length + 1;
  }
  return file;
}
