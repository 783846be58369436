// A file of `xl dump-core` (Xen's or ours) as a Target. Reads on demand: memory use does not follow the file's size.
import { ByteReader, type ByteSource, latin1Of, readInto } from '../../symbols/bytes.ts';
import { type ElfFile, type ElfSection, findSection, isElf, openElf } from '../../symbols/elf/elf-file.ts';
import { type ElfNote, parseNotes } from '../../symbols/elf/notes.ts';
import { FormatError } from '../../symbols/errors.ts';
import { UNKNOWABLE, type Unknowable, XC_CORE_MAGIC_HVM } from '../dump/dump-core.ts';
import { HVM_CPU_SIZE, readVcpu, VCPU_CONTEXT_SIZE } from '../dump/vcpu-context.ts';
import { disjointRuns, framesOf, type Run, RunBuilder, readRuns } from './file-runs.ts';
import { PV_LACKS, pvVcpu, readVcpu32, VCPU_CONTEXT_32_SIZE } from './pv-context.ts';
import type { Target, TargetIdentity, TargetVcpu } from './target.ts';

const PAGE = 4096;
const XEN_ELFNOTE_DUMPCORE_HEADER = 0x2000001;
const XEN_ELFNOTE_DUMPCORE_XEN_VERSION = 0x2000002;
const XEN_ELFNOTE_DUMPCORE_FORMAT_VERSION = 0x2000003;
const XC_CORE_MAGIC_PV = 0xf00febed;

/** HVM_MAX_VCPUS of Xen. */
const MAX_VCPUS = 512;
const TABLE_CHUNK = 8192;
/** Bytes of names of registers. */
const MAX_UNKNOWN = 256;
/** Physical addresses have 52 bits. */
const MAX_FRAME = 2 ** 40;

/** Why a file is no dump-core file; undefined when it is one. */
export function notDumpCore(source: ByteSource): string | undefined {
  if (!isElf(source)) return 'not an ELF file';
  return findSection(openElf(source), '.note.Xen') ? undefined : 'ELF file without a section .note.Xen';
}

function wanted(elf: ElfFile, name: string): ElfSection {
  const section = findSection(elf, name);
  if (!section)
    throw new FormatError(`no section ${name}: not a dump-core file`, { source: elf.source.name });
  return section;
}

function noteBytes(source: ByteSource, notes: readonly ElfNote[], type: number, size: number): Uint8Array {
  const descriptor = notes.find((note) => note.name === 'Xen' && note.type === type)?.descriptor;
  if (!descriptor || descriptor.length < size)
    throw new FormatError(`dump-core note 0x${type.toString(16)} is missing or short`, {
      source: source.name,
    });
  return descriptor;
}

interface DumpCoreHeader {
  /** PV: paravirtualised memory, page tables of machine frames. */
  readonly pv: boolean;
  readonly xenVersion: string;
}

/** Checks that it is a dump of a known version. */
function readHeader(elf: ElfFile): DumpCoreHeader {
  const { source } = elf;
  const section = wanted(elf, '.note.Xen');
  if (section.size > 1 << 16)
    throw new FormatError('notes too large', { source: source.name, offset: section.offset });
  const notes = parseNotes(source.name, source.read(section.offset, section.size));
  const header = new ByteReader(source.name, noteBytes(source, notes, XEN_ELFNOTE_DUMPCORE_HEADER, 32));
  const magic = header.size64();
  if (magic !== XC_CORE_MAGIC_HVM && magic !== XC_CORE_MAGIC_PV)
    throw new FormatError(`dump-core magic 0x${magic.toString(16)}`, { source: source.name });
  const pageSize = header.skip(16).size64();
  if (pageSize !== PAGE) throw new FormatError(`page size ${pageSize}`, { source: source.name });
  const format = new ByteReader(
    source.name,
    noteBytes(source, notes, XEN_ELFNOTE_DUMPCORE_FORMAT_VERSION, 8),
  ).u64();
  if (format >> 32n !== 0n)
    throw new FormatError(`dump-core format ${format >> 32n}.${format & 0xffffffffn}; 0.x is known`, {
      source: source.name,
    });
  const version = new ByteReader(source.name, noteBytes(source, notes, XEN_ELFNOTE_DUMPCORE_XEN_VERSION, 32));
  const [major, minor] = [version.u64(), version.u64()];
  const extra = latin1Of(version.take(16)).replace(/\0.*$/s, '');
  const xenVersion = `${major}.${minor}${extra.replace(/[^\x20-\x7e]/g, '?')}`;
  return { pv: magic === XC_CORE_MAGIC_PV, xenVersion };
}

/** What our own dumps do not know of what they have a place for, each as an absent value. */
function unknownIn(elf: ElfFile): Readonly<Partial<Record<Unknowable, undefined>>> {
  const section = findSection(elf, '.pvh_unknown');
  if (!section || section.size > MAX_UNKNOWN) return {};
  const names = latin1Of(elf.source.read(section.offset, section.size)).split(' ');
  return Object.fromEntries(UNKNOWABLE.flatMap((name) => (names.includes(name) ? [[name, undefined]] : [])));
}

function readVcpus(elf: ElfFile, pv: boolean, lacks: string[]): TargetVcpu[] {
  const { source } = elf;
  const section = wanted(elf, '.xen_prstatus');
  const narrow = pv && section.entrySize === VCPU_CONTEXT_32_SIZE;
  const size = narrow ? VCPU_CONTEXT_32_SIZE : VCPU_CONTEXT_SIZE;
  const count = Math.floor(section.size / size);
  if (count > MAX_VCPUS)
    throw new FormatError(`${count} vCPUs`, { source: source.name, offset: section.offset });
  const extra = findSection(elf, '.pvh_hvm_context');
  const hvm = extra?.size === count * HVM_CPU_SIZE ? extra : undefined;
  if (pv) lacks.push(...PV_LACKS);
  else if (!hvm) lacks.push('EFER, IDTR, GDTR, TR and MSRs: not in a dump-core file of Xen');
  const unknown = unknownIn(elf);
  const absent = Object.keys(unknown).join(', ');
  if (absent !== '') lacks.push(`${absent}: not known where this file was made`);
  return Array.from({ length: count }, (_, id) => {
    const context = source.read(section.offset + id * size, size);
    if (narrow) return { id, ...readVcpu32(context) };
    if (pv) return { id, ...pvVcpu(readVcpu(context)) };
    const record = hvm && source.read(hvm.offset + id * HVM_CPU_SIZE, HVM_CPU_SIZE);
    const { registers, online } = readVcpu(context, record);
    return { id, online, registers: { ...registers, ...unknown } };
  });
}

/** Where a frame table keeps the number by which the guest's page tables know a frame. */
interface FrameTable {
  readonly section: string;
  readonly entrySize: number;
  readonly at: number;
  readonly ascending: boolean;
}

const FRAMES_HVM: FrameTable = { section: '.xen_pfn', entrySize: 8, at: 0, ascending: true };
/** Entries { pfn, gmfn }: the page tables of a PV guest hold machine frames. */
const FRAMES_PV: FrameTable = { section: '.xen_p2m', entrySize: 16, at: 8, ascending: false };

/** Reads the table in pieces into runs. Entries of all ones are unused slots. */
function tableRuns(elf: ElfFile, table: FrameTable): Run[] {
  const { source } = elf;
  const section = wanted(elf, table.section);
  const pages = wanted(elf, '.xen_pages');
  const slots = Math.min(Math.floor(section.size / table.entrySize), Math.floor(pages.size / PAGE));
  const builder = new RunBuilder();
  const chunk = new Uint8Array(TABLE_CHUNK * table.entrySize);
  // Neighbours are counted here: of a million frames the builder sees ten runs.
  let [first, firstSlot, held] = [-1, 0, 0];
  const endRun = (): boolean =>
    held === 0 || builder.add(first * PAGE, held * PAGE, pages.offset + firstSlot * PAGE);
  for (let slot = 0; slot < slots; slot += TABLE_CHUNK) {
    const count = Math.min(TABLE_CHUNK, slots - slot);
    const bytes = chunk.subarray(0, count * table.entrySize);
    readInto(source, section.offset + slot * table.entrySize, bytes);
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    for (let index = 0; index < count; index++) {
      const at = index * table.entrySize + table.at;
      const high = view.getUint32(at + 4, true);
      if (high === 0xffffffff) continue;
      const frame = high * 2 ** 32 + view.getUint32(at, true);
      if (frame === first + held && slot + index === firstSlot + held && frame < MAX_FRAME) {
        held++;
        continue;
      }
      const possible = frame < MAX_FRAME && (!table.ascending || frame >= first + held);
      if (!possible || !endRun())
        throw new FormatError(`frame number 0x${frame.toString(16)} out of order`, {
          source: source.name,
          offset: section.offset + slot * table.entrySize + at,
        });
      [first, firstSlot, held] = [frame, slot + index, 1];
    }
  }
  endRun();
  const runs = builder.end();
  return table.ascending ? runs : disjointRuns(runs);
}

/** Target over an opened dump-core file. Use openDumpCore. */
class DumpCoreTarget implements Target {
  readonly kind: string;
  readonly description: string;
  readonly identity: TargetIdentity;
  readonly vcpus: readonly TargetVcpu[];
  readonly lacks: readonly string[];
  readonly #readConsole: () => Uint8Array | undefined;
  readonly #source: ByteSource;
  readonly #runs: readonly Run[];
  readonly #release: () => void;

  constructor(elf: ElfFile, options: DumpCoreOptions) {
    const lacks = [...(options.lacks ?? [])];
    const { pv, xenVersion } = readHeader(elf);
    this.kind = options.kind ?? 'dump-core';
    this.description = options.description ?? `dump-core file ${elf.source.name}`;
    this.vcpus = readVcpus(elf, pv, lacks);
    this.identity = { xenVersion, ...options.identity };
    this.#readConsole = options.readConsole ?? (() => undefined);
    if (!options.readConsole) lacks.push('console: not in a dump-core file');
    this.lacks = lacks;
    this.#source = elf.source;
    this.#runs = tableRuns(elf, pv ? FRAMES_PV : FRAMES_HVM);
    this.#release = options.release ?? (() => undefined);
  }

  get frames(): readonly (readonly [number, number])[] {
    return framesOf(this.#runs);
  }

  get console(): Uint8Array | undefined {
    return this.#readConsole();
  }

  readPhysical(address: number, into: Uint8Array): void {
    readRuns(this.#source, this.#runs, address, into);
  }

  close(): void {
    this.#release();
  }
}

/** What a caller knows beside the file: a preserved domain has a name, a domid and a console log. */
export interface DumpCoreOptions {
  readonly kind?: string;
  readonly description?: string;
  readonly identity?: TargetIdentity;
  readonly readConsole?: () => Uint8Array | undefined;
  /** What else is known to be missing. */
  readonly lacks?: readonly string[];
  /** Called once by close(). */
  readonly release?: () => void;
}

/**
 * Opens a dump-core file as a Target.
 * @throws FormatError when it is none, or its tables contradict its size.
 */
export function openDumpCore(source: ByteSource, options: DumpCoreOptions = {}): Target {
  return new DumpCoreTarget(openElf(source), options);
}
