// A file of `xl dump-core` (Xen's or ours) as a Target. Reads on demand: memory use does not follow the file's size.
import { ByteReader, type ByteSource } from '../../symbols/bytes.ts';
import { type ElfFile, type ElfSection, findSection, isElf, openElf } from '../../symbols/elf/elf-file.ts';
import { type ElfNote, parseNotes } from '../../symbols/elf/notes.ts';
import { FormatError, MemoryFault } from '../../symbols/errors.ts';
import { XC_CORE_MAGIC_HVM } from '../dump/dump-core.ts';
import { HVM_CPU_SIZE, readVcpu, VCPU_CONTEXT_SIZE } from '../dump/vcpu-context.ts';
import type { Target, TargetIdentity, TargetVcpu } from './target.ts';

const PAGE = 4096;
const XEN_ELFNOTE_DUMPCORE_HEADER = 0x2000001;
const XEN_ELFNOTE_DUMPCORE_XEN_VERSION = 0x2000002;
const XEN_ELFNOTE_DUMPCORE_FORMAT_VERSION = 0x2000003;
const XC_CORE_MAGIC_PV = 0xf00febed;

/** HVM_MAX_VCPUS of Xen. */
const MAX_VCPUS = 512;
/** A real guest has some ten runs of frames; this bounds the memory that a hostile file can take. */
const MAX_RUNS = 1 << 20;
const PFN_CHUNK = 8192;

/** Frames gfn..gfn+count-1 are the page slots from `slot` on. */
interface Run {
  readonly gfn: number;
  count: number;
  readonly slot: number;
}

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

/** Checks that it is an HVM or PVH dump of a known version; the result is Xen's version text. */
function readHeader(elf: ElfFile): string {
  const { source } = elf;
  const section = wanted(elf, '.note.Xen');
  if (section.size > 1 << 16)
    throw new FormatError('notes too large', { source: source.name, offset: section.offset });
  const notes = parseNotes(source.name, source.read(section.offset, section.size));
  const header = new ByteReader(source.name, noteBytes(source, notes, XEN_ELFNOTE_DUMPCORE_HEADER, 32));
  const magic = header.size64();
  if (magic === XC_CORE_MAGIC_PV)
    throw new FormatError('dump of a PV guest; only PVH and HVM guests are supported', {
      source: source.name,
    });
  if (magic !== XC_CORE_MAGIC_HVM)
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
  const extra = new TextDecoder('latin1').decode(version.take(16)).replace(/\0.*$/s, '');
  return `${major}.${minor}${extra.replace(/[^\x20-\x7e]/g, '?')}`;
}

function readVcpus(elf: ElfFile, lacks: string[]): TargetVcpu[] {
  const { source } = elf;
  const section = wanted(elf, '.xen_prstatus');
  const count = Math.floor(section.size / VCPU_CONTEXT_SIZE);
  if (count > MAX_VCPUS)
    throw new FormatError(`${count} vCPUs`, { source: source.name, offset: section.offset });
  const extra = findSection(elf, '.pvh_hvm_context');
  const hvm = extra?.size === count * HVM_CPU_SIZE ? extra : undefined;
  if (!hvm) lacks.push('EFER, IDTR, GDTR, TR and MSRs: not in a dump-core file of Xen');
  return Array.from({ length: count }, (_, id) => {
    const context = source.read(section.offset + id * VCPU_CONTEXT_SIZE, VCPU_CONTEXT_SIZE);
    const record = hvm && source.read(hvm.offset + id * HVM_CPU_SIZE, HVM_CPU_SIZE);
    return { id, ...readVcpu(context, record) };
  });
}

/** Reads .xen_pfn in pieces into runs. Entries of all ones are unused slots. */
function readRuns(elf: ElfFile): Run[] {
  const { source } = elf;
  const section = wanted(elf, '.xen_pfn');
  const pages = wanted(elf, '.xen_pages');
  const slots = Math.min(Math.floor(section.size / 8), Math.floor(pages.size / PAGE));
  const runs: Run[] = [];
  let last: Run | undefined;
  for (let slot = 0; slot < slots; slot += PFN_CHUNK) {
    const count = Math.min(PFN_CHUNK, slots - slot);
    const bytes = source.read(section.offset + slot * 8, count * 8);
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    for (let index = 0; index < count; index++) {
      const high = view.getUint32(index * 8 + 4, true);
      const gfn = high * 2 ** 32 + view.getUint32(index * 8, true);
      if (high === 0xffffffff) continue;
      const end = last ? last.gfn + last.count : 0;
      if (last && gfn === end && slot + index === last.slot + last.count) {
        last.count++;
        continue;
      }
      if (gfn < end || gfn >= 2 ** 40 || runs.length === MAX_RUNS)
        throw new FormatError(`frame number 0x${gfn.toString(16)} out of order`, {
          source: source.name,
          offset: section.offset + (slot + index) * 8,
        });
      last = { gfn, count: 1, slot: slot + index };
      runs.push(last);
    }
  }
  return runs;
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
  readonly #pages: ElfSection;
  readonly #runs: readonly Run[];
  readonly #release: () => void;

  constructor(elf: ElfFile, options: DumpCoreOptions) {
    const lacks: string[] = [];
    const xenVersion = readHeader(elf);
    this.kind = options.kind ?? 'dump-core';
    this.description = options.description ?? `dump-core file ${elf.source.name}`;
    this.vcpus = readVcpus(elf, lacks);
    this.identity = { xenVersion, ...options.identity };
    this.#readConsole = options.readConsole ?? (() => undefined);
    if (!options.readConsole) lacks.push('console: not in a dump-core file');
    this.lacks = lacks;
    this.#source = elf.source;
    this.#pages = wanted(elf, '.xen_pages');
    this.#runs = readRuns(elf);
    this.#release = options.release ?? (() => undefined);
  }

  get frames(): readonly (readonly [number, number])[] {
    return this.#runs.map(({ gfn, count }) => [gfn, count] as const);
  }

  get console(): Uint8Array | undefined {
    return this.#readConsole();
  }

  readPhysical(address: number, into: Uint8Array): void {
    let done = 0;
    while (done < into.length) {
      const at = address + done;
      const gfn = Math.floor(at / PAGE);
      const run = this.#find(gfn);
      if (!run) throw new MemoryFault('physical', BigInt(at), 'not in dump');
      const within = at - run.gfn * PAGE;
      const length = Math.min(into.length - done, run.count * PAGE - within);
      into.set(this.#source.read(this.#pages.offset + run.slot * PAGE + within, length), done);
      done += length;
    }
  }

  close(): void {
    this.#release();
  }

  #find(gfn: number): Run | undefined {
    let low = 0;
    let high = this.#runs.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#runs[middle]?.gfn ?? 0) <= gfn) low = middle + 1;
      else high = middle;
    }
    const run = this.#runs[low - 1];
    return run && gfn < run.gfn + run.count ? run : undefined;
  }
}

/** What a caller knows beside the file: a preserved domain has a name, a domid and a console log. */
export interface DumpCoreOptions {
  readonly kind?: string;
  readonly description?: string;
  readonly identity?: TargetIdentity;
  readonly readConsole?: () => Uint8Array | undefined;
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
