// The debug sections of one ELF file as random-access bytes, whatever they are: plain, compressed, relocatable. Parses none.
import { type ByteSource, memorySource, sliceSource, textUntilNul } from '../bytes.ts';
import { SHF_ALLOC, SHF_COMPRESSED, SHT_NOBITS } from '../elf/constants.ts';
import { type ElfFile, type ElfSection, findSection } from '../elf/elf-file.ts';
import { placeSections, readRelocated } from '../elf/relocate.ts';
import { FormatError } from '../errors.ts';
import { AbbrevTables } from './abbrev.ts';
import { Places } from './places.ts';

/** Sections that have to be in memory whole (compressed, relocatable): the largest module has 60 MB of .debug_info. */
const MAX_IN_MEMORY = 512 << 20;
/** Names of C++ and Rust functions reach some KiB. */
const MAX_TEXT = 1 << 16;
const TEXT_STEP = 128;

/** A separate debug file has other sections without content, a stripped one has debug sections without. */
const isDebugSection = ({ type, size, flags }: ElfSection): boolean =>
  type !== SHT_NOBITS && size > 0 && (flags & SHF_ALLOC) === 0;

/** Opened once per file; plain sections are read in pieces, never whole. */
export class DebugSections {
  readonly elf: ElfFile;
  readonly places: Places;
  readonly abbrevs: AbbrevTables = new AbbrevTables();
  /** Entries of range lists that were read so far: many units can name one list. */
  rangeEntries = 0;
  /** Sections, none, or why they cannot be opened: to find that out can take unpacking them. */
  readonly #opened = new Map<string, ByteSource | FormatError | undefined>();

  constructor(elf: ElfFile) {
    // Of a relocatable file that nobody placed only .text can be told: all its sections would start at 0.
    const unplaced = elf.type === 'rel' && elf.sections.every(({ address }) => address === 0n);
    this.elf = unplaced ? placeSections(elf, new Map([['.text', 0n]])) : elf;
    this.places = new Places(this.elf);
  }

  has(name: string): boolean {
    const section = findSection(this.elf, name);
    return section !== undefined && isDebugSection(section);
  }

  /** @throws FormatError when it lies outside the file or cannot be unpacked. */
  find(name: string): ByteSource | undefined {
    if (!this.#opened.has(name)) this.#opened.set(name, this.#tryOpen(name));
    const opened = this.#opened.get(name);
    if (opened instanceof FormatError) throw opened;
    return opened;
  }

  /** @throws FormatError when there is none, too. */
  get(name: string): ByteSource {
    const section = this.find(name);
    if (!section) throw new FormatError(`no section ${name}`, { source: this.elf.source.name });
    return section;
  }

  /** Text at an offset of a string section. @throws FormatError when the section ends before it does. */
  text(section: string, offset: number): string {
    const source = this.get(section);
    for (let step = TEXT_STEP; ; step *= 8) {
      const bytes = source.read(offset, Math.min(step, source.size - offset));
      const end = bytes.indexOf(0);
      if (end >= 0) return textUntilNul(bytes, 0);
      if (step >= MAX_TEXT || bytes.length < step)
        throw new FormatError('text without an end', { source: source.name, offset });
    }
  }

  #tryOpen(name: string): ByteSource | FormatError | undefined {
    try {
      return this.#open(name);
    } catch (error) {
      if (error instanceof FormatError) return error;
      throw error;
    }
  }

  #open(name: string): ByteSource | undefined {
    const { elf } = this;
    const section = findSection(elf, name);
    if (!section || !isDebugSection(section)) return undefined;
    const title = `${elf.source.name} ${name}`;
    if (elf.type !== 'rel' && (section.flags & SHF_COMPRESSED) === 0)
      return sliceSource(elf.source, title, section.offset, section.size);
    if (section.size > MAX_IN_MEMORY) throw new FormatError('section too large', { source: title });
    return memorySource(title, readRelocated(elf, section));
  }
}
