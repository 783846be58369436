// Writes small ELF files for tests: header, segments, sections, .shstrtab. Not a linker.

export interface SectionInput {
  readonly name: string;
  readonly type?: number;
  readonly flags?: number;
  readonly address?: bigint;
  readonly data: Uint8Array;
  readonly link?: number;
  readonly info?: number;
  readonly entrySize?: number;
}

export interface SegmentInput {
  readonly type: number;
  readonly virtualAddress?: bigint;
  readonly physicalAddress?: bigint;
  readonly data: Uint8Array;
  readonly memorySize?: number;
}

export interface ElfInput {
  readonly bits?: 32 | 64;
  readonly type?: number;
  readonly machine?: number;
  readonly entry?: bigint;
  readonly sections?: readonly SectionInput[];
  readonly segments?: readonly SegmentInput[];
}

const ascii = (text: string): Uint8Array => new TextEncoder().encode(text);

/** Bytes of an ELF file; section 0 (null) and .shstrtab (last) are added. Without sections there is no section table. */
export function writeElf(input: ElfInput): Uint8Array {
  const bits = input.bits ?? 64;
  const wide = bits === 64;
  const [ehsize, phentsize, shentsize] = wide ? [64, 56, 64] : [52, 32, 40];
  const segments = input.segments ?? [];
  const named: SectionInput[] = input.sections
    ? [
        { name: '', type: 0, data: new Uint8Array(0) },
        ...input.sections,
        { name: '.shstrtab', type: 3, data: new Uint8Array(0) },
      ]
    : [];
  const names = ascii(named.map((section) => `${section.name}\0`).join(''));
  const sections = named.map((section, index) =>
    index > 0 && index === named.length - 1 ? { ...section, data: names } : section,
  );

  let at = ehsize + segments.length * phentsize + sections.length * shentsize;
  const place = (length: number) => {
    at = (at + 15) & ~15;
    const start = at;
    at += length;
    return start;
  };
  const segmentOffsets = segments.map((segment) => place(segment.data.length));
  const sectionOffsets = sections.map((section) => place(section.data.length));
  const bytes = new Uint8Array(at);
  const view = new DataView(bytes.buffer);
  let cursor = 0;
  const half = (value: number) => {
    view.setUint16(cursor, value, true);
    cursor += 2;
  };
  const word = (value: number) => {
    view.setUint32(cursor, value, true);
    cursor += 4;
  };
  const native = (value: bigint | number) => {
    if (wide) view.setBigUint64(cursor, BigInt(value), true);
    else view.setUint32(cursor, Number(value), true);
    cursor += wide ? 8 : 4;
  };

  bytes.set([0x7f, 0x45, 0x4c, 0x46, wide ? 2 : 1, 1, 1]);
  cursor = 16;
  half(input.type ?? 2);
  half(input.machine ?? (wide ? 62 : 3));
  word(1);
  native(input.entry ?? 0n);
  native(segments.length ? ehsize : 0);
  native(sections.length ? ehsize + segments.length * phentsize : 0);
  word(0);
  for (const value of [ehsize, phentsize, segments.length, shentsize, sections.length]) half(value);
  half(Math.max(sections.length - 1, 0));

  segments.forEach((segment, index) => {
    const offset = segmentOffsets[index] ?? 0;
    bytes.set(segment.data, offset);
    word(segment.type);
    if (wide) word(7);
    native(offset);
    native(segment.virtualAddress ?? 0n);
    native(segment.physicalAddress ?? segment.virtualAddress ?? 0n);
    native(segment.data.length);
    native(segment.memorySize ?? segment.data.length);
    if (!wide) word(7);
    native(1);
  });
  let nameOffset = 0;
  sections.forEach((section, index) => {
    const offset = sectionOffsets[index] ?? 0;
    bytes.set(section.data, offset);
    word(nameOffset);
    nameOffset += section.name.length + 1;
    word(section.type ?? 1);
    native(section.flags ?? 0);
    native(section.address ?? 0n);
    native(offset);
    native(section.data.length);
    word(section.link ?? 0);
    word(section.info ?? 0);
    native(1);
    native(section.entrySize ?? 0);
  });
  return bytes;
}

/** One ELF note record, name with NUL, both parts padded to 4. */
export function note(name: string, type: number, descriptor: Uint8Array): Uint8Array {
  const padded = (length: number) => (length + 3) & ~3;
  const nameBytes = ascii(`${name}\0`);
  const bytes = new Uint8Array(12 + padded(nameBytes.length) + padded(descriptor.length));
  new DataView(bytes.buffer).setUint32(0, nameBytes.length, true);
  new DataView(bytes.buffer).setUint32(4, descriptor.length, true);
  new DataView(bytes.buffer).setUint32(8, type, true);
  bytes.set(nameBytes, 12);
  bytes.set(descriptor, 12 + padded(nameBytes.length));
  return bytes;
}
