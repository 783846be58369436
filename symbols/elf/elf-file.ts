// The ELF container: header, sections and segments, read sparsely. Reads no section's content by itself.
//
// The package elfy walks the headers. It wants the whole file in one Buffer and keeps 64-bit fields in doubles, so it gets a
// small file made of this one's header, header tables and section names, and the 64-bit fields are read again, exactly.
import elfy from 'elfy';
import { ByteReader, type ByteSource } from '../bytes.ts';
import { FormatError } from '../errors.ts';
import { type ElfCodecs, unpackSection } from './compressed.ts';
import { SHF_COMPRESSED, SHN_XINDEX, SHT_NOBITS } from './constants.ts';

export interface ElfSection {
  readonly index: number;
  readonly name: string;
  /** sh_type */
  readonly type: number;
  readonly flags: number;
  readonly address: bigint;
  readonly offset: number;
  readonly size: number;
  readonly link: number;
  readonly info: number;
  readonly entrySize: number;
}

export interface ElfSegment {
  /** p_type */
  readonly type: number;
  readonly flags: number;
  readonly offset: number;
  readonly virtualAddress: bigint;
  readonly physicalAddress: bigint;
  readonly fileSize: number;
  readonly memorySize: number;
}

/** An opened ELF file. Sections and segments may point outside the file: reading them then throws FormatError. */
export interface ElfFile {
  readonly source: ByteSource;
  readonly bits: 32 | 64;
  /** e_type in elfy's words: `exec`, `dyn`, `core`, `rel`. */
  readonly type: string;
  /** e_machine in elfy's words: `amd64`, `386`. */
  readonly machine: string;
  readonly entry: bigint;
  readonly sections: readonly ElfSection[];
  readonly segments: readonly ElfSegment[];
  /** What unpacks compressed sections. */
  readonly codecs: ElfCodecs;
}

interface Layout {
  readonly headerSize: number;
  readonly phoff: number;
  readonly shoff: number;
  /** Offset of e_phentsize; e_phnum, e_shentsize, e_shnum, e_shstrndx follow it. */
  readonly counts: number;
  readonly phentsize: number;
  readonly shentsize: number;
}

const LAYOUT_32: Layout = { headerSize: 52, phoff: 28, shoff: 32, counts: 42, phentsize: 32, shentsize: 40 };
const LAYOUT_64: Layout = { headerSize: 64, phoff: 32, shoff: 40, counts: 54, phentsize: 56, shentsize: 64 };

/** A kernel has about 80 sections and 30 KiB of names at most; these bounds are for hostile files. */
const MAX_HEADERS = 0x8000;
const MAX_NAMES = 16 << 20;

interface Tables {
  readonly segments: Uint8Array;
  readonly sections: Uint8Array;
  readonly names: Uint8Array;
  readonly namesIndex: number;
}

const field = (reader: ByteReader, bits: 32 | 64): bigint =>
  bits === 64 ? reader.u64() : BigInt(reader.u32());
const size = (reader: ByteReader, bits: 32 | 64): number => (bits === 64 ? reader.size64() : reader.u32());

function readTables(source: ByteSource, header: Uint8Array, bits: 32 | 64, layout: Layout): Tables {
  const reader = new ByteReader(source.name, header);
  const phoff = size(reader.seek(layout.phoff), bits);
  const shoff = size(reader.seek(layout.shoff), bits);
  reader.seek(layout.counts);
  const phentsize = reader.u16();
  const phnum = reader.u16();
  const shentsize = reader.u16();
  let shnum = reader.u16();
  let namesIndex = reader.u16();

  if (phnum > 0 && phentsize !== layout.phentsize)
    throw reader.error(`program headers of ${phentsize} bytes`);
  if (shoff > 0 && (shnum > 0 || namesIndex > 0) && shentsize !== layout.shentsize)
    throw reader.error(`section headers of ${shentsize} bytes`);
  if (shoff > 0 && (shnum === 0 || namesIndex === SHN_XINDEX)) {
    // gABI: counts that do not fit are kept in section header 0.
    const first = sectionFields(
      new ByteReader(source.name, source.read(shoff, layout.shentsize), shoff),
      bits,
    );
    if (shnum === 0) shnum = first.size;
    if (namesIndex === SHN_XINDEX) namesIndex = first.link;
  }
  if (shoff === 0) shnum = 0;
  if (shnum > MAX_HEADERS || phnum > MAX_HEADERS)
    throw reader.error(`too many headers: ${shnum} sections, ${phnum} segments`);

  const sections = source.read(shnum === 0 ? 0 : shoff, shnum * layout.shentsize);
  let names: Uint8Array = new Uint8Array(1);
  if (namesIndex > 0 && namesIndex < shnum) {
    const at = namesIndex * layout.shentsize;
    const section = sectionFields(new ByteReader(source.name, sections, shoff).seek(at), bits);
    if (section.size > MAX_NAMES) throw reader.error(`section names of 0x${section.size.toString(16)} bytes`);
    names = source.read(section.offset, section.size);
  }
  return {
    segments: source.read(phnum === 0 ? 0 : phoff, phnum * layout.phentsize),
    sections,
    names,
    namesIndex,
  };
}

/** Little ELF file with the same headers: header, program headers, section headers and one more for the names, names. */
function compact(header: Uint8Array, tables: Tables, bits: 32 | 64, layout: Layout): Buffer {
  const phoff = layout.headerSize;
  const shoff = phoff + tables.segments.length;
  const extra = shoff + tables.sections.length;
  const names = extra + layout.shentsize;
  const buffer = Buffer.alloc(names + tables.names.length + 1);
  buffer.set(header, 0);
  buffer.set(tables.segments, phoff);
  buffer.set(tables.sections, shoff);
  buffer.set(tables.names, names);
  const word = (value: number, at: number) =>
    bits === 64 ? buffer.writeBigUInt64LE(BigInt(value), at) : buffer.writeUInt32LE(value, at);
  word(phoff, layout.phoff);
  word(shoff, layout.shoff);
  const count = tables.sections.length / layout.shentsize;
  [layout.phentsize, tables.segments.length / layout.phentsize, layout.shentsize, count + 1, count].forEach(
    (value, index) => {
      buffer.writeUInt16LE(value, layout.counts + index * 2);
    },
  );
  buffer.writeUInt32LE(3, extra + 4); // SHT_STRTAB: elfy reads no file without it
  word(names, extra + (bits === 64 ? 24 : 16));
  word(tables.names.length + 1, extra + (bits === 64 ? 32 : 20));
  return buffer;
}

function sectionFields(reader: ByteReader, bits: 32 | 64): Omit<ElfSection, 'index' | 'name'> {
  reader.skip(4);
  const type = reader.u32();
  const flags = Number(field(reader, bits) & 0xffffffffn);
  const address = field(reader, bits);
  const offset = size(reader, bits);
  const length = size(reader, bits);
  const link = reader.u32();
  const info = reader.u32();
  size(reader, bits);
  const entrySize = size(reader, bits);
  return { type, flags, address, offset, size: length, link, info, entrySize };
}

function segmentFields(reader: ByteReader, bits: 32 | 64): ElfSegment {
  const type = reader.u32();
  const early = bits === 64 ? reader.u32() : 0;
  const offset = size(reader, bits);
  const virtualAddress = field(reader, bits);
  const physicalAddress = field(reader, bits);
  const fileSize = size(reader, bits);
  const memorySize = size(reader, bits);
  const flags = bits === 64 ? early : reader.u32();
  size(reader, bits);
  return { type, flags, offset, virtualAddress, physicalAddress, fileSize, memorySize };
}

/** True when the source starts with the ELF magic number. */
export function isElf(source: ByteSource): boolean {
  if (source.size < 4) return false;
  const [a, b, c, d] = source.read(0, 4);
  return a === 0x7f && b === 0x45 && c === 0x4c && d === 0x46;
}

/**
 * Opens a little-endian ELF file: reads its headers and section names only (for a 590 MB vmlinux some KiB).
 * @param codecs for compressed sections; those of zstd need none.
 * @throws FormatError when the headers are not those of an ELF file.
 */
export function openElf(source: ByteSource, codecs: ElfCodecs = {}): ElfFile {
  if (!isElf(source)) throw new FormatError('not an ELF file', { source: source.name });
  const ident = source.read(0, Math.min(source.size, 16));
  const bits = ident[4] === 2 ? 64 : ident[4] === 1 ? 32 : undefined;
  if (bits === undefined) throw new FormatError(`ELF class ${ident[4]}`, { source: source.name, offset: 4 });
  if (ident[5] !== 1)
    throw new FormatError('not a little-endian ELF file', { source: source.name, offset: 5 });
  const layout = bits === 64 ? LAYOUT_64 : LAYOUT_32;
  const header = source.read(0, layout.headerSize);
  const tables = readTables(source, header, bits, layout);
  const elf = walk(compact(header, tables, bits, layout), source);

  const count = tables.sections.length / layout.shentsize;
  const sectionReader = new ByteReader(source.name, tables.sections);
  const sections = elf.body.sections.slice(0, count).map((section, index) => ({
    index,
    name: section.name,
    ...sectionFields(sectionReader.seek(index * layout.shentsize).split(layout.shentsize), bits),
  }));
  const segmentReader = new ByteReader(source.name, tables.segments);
  const segments = elf.body.programs.map(() => segmentFields(segmentReader.split(layout.phentsize), bits));
  const entry = field(new ByteReader(source.name, header).seek(24), bits);
  return {
    source,
    bits,
    type: elf.type ?? 'unknown',
    machine: elf.machine ?? 'unknown',
    entry,
    sections,
    segments,
    codecs,
  };
}

function walk(buffer: Buffer, source: ByteSource): ReturnType<typeof elfy.parse> {
  try {
    return elfy.parse(buffer);
  } catch (cause) {
    throw new FormatError('ELF headers cannot be read', { source: source.name, cause });
  }
}

/** First section with this name. */
export function findSection(elf: ElfFile, name: string): ElfSection | undefined {
  return elf.sections.find((section) => section.name === name);
}

/**
 * Content of a section, unpacked when it is compressed; a NOBITS section has none.
 * @throws FormatError when it is not inside the file, or cannot be unpacked.
 */
export function readSection(elf: ElfFile, section: ElfSection): Uint8Array {
  if (section.type === SHT_NOBITS) return new Uint8Array(0);
  const bytes = elf.source.read(section.offset, section.size);
  if ((section.flags & SHF_COMPRESSED) === 0) return bytes;
  return unpackSection(`${elf.source.name} ${section.name}`, bytes, elf.bits, elf.codecs);
}
