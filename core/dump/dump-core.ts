// Writes a domain as `xl dump-core` does (format version 0.1, ELF with .xen_* sections and no program headers). Reads none, opens none.
//
// One section more than Xen's: .pvh_hvm_context, an HVM CPU record per entry of .xen_prstatus, because a dump-core file has no
// EFER, IDTR, TR and LSTAR. It comes last, so that the indices and the data of the others are as Xen writes them. Where these are not
// known of all vCPUs, .pvh_unknown is in its place: the registers of .xen_prstatus that are not known either, by name.
// Pages that are all zero become holes of the file. Same image, same bytes.
import { assert } from '../../symbols/errors.ts';
import type { VcpuRegisters } from '../machine/registers.ts';
import { type DumpSink, Gatherer } from './sink.ts';
import { HVM_CPU_SIZE, VCPU_CONTEXT_SIZE, writeHvmCpu, writeVcpuContext } from './vcpu-context.ts';

const PAGE = 4096;

/** Registers of .xen_prstatus that a file may say it does not know. */
export const UNKNOWABLE: readonly Unknowable[] = [
  ...(['cr0', 'cr2', 'cr4', 'kernel_gs_base'] as const),
  ...(['dr0', 'dr1', 'dr2', 'dr3', 'dr6', 'dr7'] as const),
];
export type Unknowable = 'cr0' | 'cr2' | 'cr4' | 'kernel_gs_base' | `dr${0 | 1 | 2 | 3 | 6 | 7}`;

export interface DumpImage {
  readonly vcpus: readonly {
    readonly id: number;
    readonly online: boolean;
    readonly registers: VcpuRegisters;
  }[];
  /** Where no more is known than .xen_prstatus has: what of that is not known of all vCPUs. */
  readonly unknown?: readonly Unknowable[] | undefined;
  /** The shared info frame, 4096 bytes. */
  readonly sharedInfo?: Uint8Array | undefined;
  readonly xen: {
    readonly major: number;
    readonly minor: number;
    /** For example `.0-pvh`, at most 15 characters. */
    readonly extra: string;
  };
  /** Ascending guest frame numbers with their 4096 bytes; `undefined` stands for zeros. With a count: so many frames from that one on. */
  readonly frames: Iterable<readonly [gfn: number, bytes: Uint8Array | undefined, count?: number]>;
}

const XEN_ELFNOTE_DUMPCORE_NONE = 0x2000000;
const XEN_ELFNOTE_DUMPCORE_HEADER = 0x2000001;
const XEN_ELFNOTE_DUMPCORE_XEN_VERSION = 0x2000002;
const XEN_ELFNOTE_DUMPCORE_FORMAT_VERSION = 0x2000003;
export const XC_CORE_MAGIC_HVM = 0xf00febee;

const CAPABILITIES = 'xen-3.0-x86_64 hvm-3.0-x86_32 hvm-3.0-x86_32p hvm-3.0-x86_64 ';

const text = (value: string): Uint8Array => new TextEncoder().encode(value);

function note(type: number, descriptor: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(16 + descriptor.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, 4, true);
  view.setUint32(4, descriptor.length, true);
  view.setUint32(8, type, true);
  bytes.set(text('Xen\0'), 12);
  bytes.set(descriptor, 16);
  return bytes;
}

function words(...values: (number | bigint)[]): Uint8Array {
  return new Uint8Array(BigUint64Array.from(values, BigInt).buffer);
}

/** The same of a million numbers, without a bigint for each. */
function wordsOf(numbers: Float64Array): Uint8Array {
  const halves = new Uint32Array(2 * numbers.length);
  numbers.forEach((number, index) => {
    halves[2 * index] = number % 2 ** 32;
    halves[2 * index + 1] = number / 2 ** 32;
  });
  return new Uint8Array(halves.buffer);
}

/** xen_dumpcore_elfnote_xen_version_desc, 1280 bytes: version, build strings, capabilities, changeset, virt_start, page size. */
function xenVersion(xen: DumpImage['xen']): Uint8Array {
  const bytes = new Uint8Array(1280);
  bytes.set(words(xen.major, xen.minor));
  bytes.set(text(xen.extra).subarray(0, 15), 16);
  bytes.set(text(CAPABILITIES), 176);
  bytes.set(words(0xffff800000000000n, PAGE), 1264);
  return bytes;
}

function notes(image: DumpImage, pages: number): Uint8Array {
  return Buffer.concat([
    note(XEN_ELFNOTE_DUMPCORE_NONE, new Uint8Array(0)),
    note(XEN_ELFNOTE_DUMPCORE_HEADER, words(XC_CORE_MAGIC_HVM, image.vcpus.length, pages, PAGE)),
    note(XEN_ELFNOTE_DUMPCORE_XEN_VERSION, xenVersion(image.xen)),
    note(XEN_ELFNOTE_DUMPCORE_FORMAT_VERSION, words(1)),
  ]);
}

const ZEROS = new Uint8Array(PAGE);

/** Frames between two steps. */
const STEP = 16384;

/** Streams the frames; the result is the gfn of each page slot. */
function* writePages(
  sink: DumpSink,
  start: number,
  frames: DumpImage['frames'],
): Generator<void, Float64Array> {
  const pages = new Gatherer(sink);
  let gfns = new Float64Array(1024);
  let count = 0;
  let due = STEP;
  for (const [gfn, bytes, run = 1] of frames) {
    assert(gfn > (count === 0 ? -1 : (gfns[count - 1] ?? -1)), 'frames of a dump ascend');
    assert(bytes === undefined || bytes.length === run * PAGE, 'a frame has 4096 bytes');
    if (count + run > gfns.length) {
      const larger = new Float64Array(2 * count + run);
      larger.set(gfns);
      gfns = larger;
    }
    const offset = start + count * PAGE;
    if (bytes && run > 1) {
      pages.flush();
      sink.write(offset, bytes);
    } else if (bytes && Buffer.compare(bytes, ZEROS) !== 0) pages.write(offset, bytes);
    for (let index = 0; index < run; index++) gfns[count++] = gfn + index;
    if (count < due) continue;
    due = count + STEP;
    yield;
  }
  pages.flush();
  return gfns.subarray(0, count);
}

interface Section {
  readonly name: string;
  readonly type: number;
  readonly offset: number;
  readonly size: number;
  readonly align: number;
  readonly entrySize: number;
}

const SHT_PROGBITS = 1;
const SHT_STRTAB = 3;
const SHT_NOTE = 7;

function header(sections: readonly Section[]): Uint8Array {
  const bytes = new Uint8Array(64 + sections.length * 64);
  const view = new DataView(bytes.buffer);
  // e_ident: class 64, little-endian, version 1, OS ABI 0, and 1 where the ABI version is, as Xen writes it.
  bytes.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1, 0, 1]);
  view.setUint16(16, 4, true); // ET_CORE
  view.setUint16(18, 62, true); // EM_X86_64
  view.setUint32(20, 1, true);
  view.setBigUint64(40, 64n, true);
  [64, 56, 0, 64, sections.length, 1].forEach((value, index) => {
    view.setUint16(52 + index * 2, value, true);
  });
  let name = 0;
  sections.forEach((section, index) => {
    const at = 64 + index * 64;
    view.setUint32(at, name, true);
    view.setUint32(at + 4, section.type, true);
    view.setBigUint64(at + 24, BigInt(section.offset), true);
    view.setBigUint64(at + 32, BigInt(section.size), true);
    view.setBigUint64(at + 48, BigInt(section.align), true);
    view.setBigUint64(at + 56, BigInt(section.entrySize), true);
    name += section.name.length + 1;
  });
  return bytes;
}

const roundUp = (value: number): number => Math.ceil(value / PAGE) * PAGE;

/** Writes the whole file; the result is its size. */
export function writeDumpCore(sink: DumpSink, image: DumpImage): number {
  const steps = dumpCoreSteps(sink, image);
  for (;;) {
    const { done, value } = steps.next();
    if (done) return value;
  }
}

/**
 * Writes the whole file, streaming the pages, in steps of 64 MiB; the result is the file's size. Bounded memory: 8 bytes a frame.
 * What comes before the pages is written last.
 */
export function* dumpCoreSteps(sink: DumpSink, image: DumpImage): Generator<void, number> {
  const contexts = image.vcpus.map(({ registers, online }) => writeVcpuContext(registers, online));
  const own = image.unknown
    ? { name: '.pvh_unknown', bytes: text(image.unknown.join(' ')), align: 1, entrySize: 0 }
    : {
        name: '.pvh_hvm_context',
        bytes: Buffer.concat(image.vcpus.map(({ registers }) => writeHvmCpu(registers))),
        align: 8,
        entrySize: HVM_CPU_SIZE,
      };
  const sectionCount = image.sharedInfo ? 8 : 7;
  const noteOffset = 64 + sectionCount * 64;
  const noteSize = notes(image, 0).length;
  const statusOffset = noteOffset + noteSize;
  const statusSize = contexts.length * VCPU_CONTEXT_SIZE;
  const infoOffset = statusOffset + statusSize;
  const infoSize = image.sharedInfo ? PAGE : 0;
  const pagesOffset = roundUp(infoOffset + infoSize);

  const gfns = yield* writePages(sink, pagesOffset, image.frames);
  const pfnOffset = pagesOffset + gfns.length * PAGE;
  sink.write(pfnOffset, wordsOf(gfns));
  const ownOffset = pfnOffset + gfns.length * 8;
  sink.write(ownOffset, own.bytes);
  const namesOffset = ownOffset + own.bytes.length;

  const section = (
    name: string,
    type: number,
    offset: number,
    size: number,
    align: number,
    entrySize: number,
  ) => ({
    name,
    type,
    offset,
    size,
    align,
    entrySize,
  });
  const sections = [
    section('', 0, 0, 0, 0, 0),
    section('.shstrtab', SHT_STRTAB, namesOffset, 0, 0, 0),
    section('.note.Xen', SHT_NOTE, noteOffset, noteSize, 0, 0),
    section('.xen_prstatus', SHT_PROGBITS, statusOffset, statusSize, 8, VCPU_CONTEXT_SIZE),
    ...(image.sharedInfo ? [section('.xen_shared_info', SHT_PROGBITS, infoOffset, PAGE, 8, PAGE)] : []),
    section('.xen_pages', SHT_PROGBITS, pagesOffset, gfns.length * PAGE, PAGE, PAGE),
    section('.xen_pfn', SHT_PROGBITS, pfnOffset, gfns.length * 8, 8, 8),
    section(own.name, SHT_PROGBITS, ownOffset, own.bytes.length, own.align, own.entrySize),
  ];
  const names = text(sections.map(({ name }) => `${name}\0`).join(''));
  sink.write(namesOffset, names);
  const complete = sections.map((row) => (row.name === '.shstrtab' ? { ...row, size: names.length } : row));
  sink.write(
    0,
    Buffer.concat([
      header(complete),
      notes(image, gfns.length),
      ...contexts,
      ...(image.sharedInfo ? [image.sharedInfo] : []),
    ]),
  );
  return namesOffset + names.length;
}
