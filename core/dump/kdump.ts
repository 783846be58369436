// Writes a guest as a kdump-compressed file (makedumpfile 1.7.2 diskdump_mod.h, version 6), pages packed by zlib. kdump-header.ts of
// core/target reads it. Pages of zeros share one block. Same image, same bytes.
import { deflateSync } from 'node:zlib';
import { PvhError } from '../../symbols/errors.ts';
import type { VmcoreSummary } from './elf-vmcore.ts';
import { type DumpSink, Gatherer } from './sink.ts';
import { isZeros, PAGE, pagesOf, type VmcoreImage } from './vmcore-image.ts';
import { vmcoreNotes } from './vmcore-notes.ts';

const DUMP_DH_COMPRESSED_ZLIB = 1;
const DESCRIPTOR_SIZE = 24;
/** Fields of kdump_sub_header. */
const SUB_HEADER_SIZE = 104;
/** 16 TiB of guest memory, as far as the reader goes. */
const MAX_PAGES = 2 ** 32;
const UTSNAME = 12;
const UTSNAME_SIZE = 6 * 65;
const FAST = 1;

const blocks = (size: number): number => Math.ceil(size / PAGE);

/** Sets bits that ascend, in a bitmap of the file; blocks without any are holes. */
class BitmapWriter {
  readonly #sink: DumpSink;
  readonly #start: number;
  readonly #block = new Uint8Array(PAGE);
  #number = -1;

  constructor(sink: DumpSink, start: number) {
    this.#sink = sink;
    this.#start = start;
  }

  set(bit: number): void {
    const number = Math.floor(bit / (PAGE * 8));
    if (number !== this.#number) {
      this.flush();
      this.#number = number;
      this.#block.fill(0);
    }
    const at = Math.floor(bit / 8) % PAGE;
    this.#block[at] = (this.#block[at] ?? 0) | (1 << (bit % 8));
  }

  flush(): void {
    if (this.#number >= 0) this.#sink.write(this.#start + this.#number * PAGE, this.#block.slice());
  }
}

interface Layout {
  readonly maxPfn: number;
  readonly subHeaderBlocks: number;
  readonly bitmapBlocks: number;
  readonly noteOffset: number;
  readonly vmcoreinfo: { readonly offset: number; readonly size: number };
}

function headers(image: VmcoreImage, notes: Uint8Array, layout: Layout, written: number): Uint8Array {
  const bytes = new Uint8Array(2 * PAGE);
  const view = new DataView(bytes.buffer);
  const words = (at: number, ...values: number[]): void =>
    values.forEach((value, index) => {
      view.setUint32(at + index * 4, value, true);
    });
  bytes.set(Buffer.from('KDUMP   '));
  words(8, 6);
  // crash wants the machine's name, libkdumpfile (drgn) all but the domain's.
  bytes.set(Buffer.from('x86_64'), UTSNAME + 4 * 65);
  if (image.utsname) bytes.set(image.utsname.subarray(0, UTSNAME_SIZE), UTSNAME);
  const shortPfn = Math.min(layout.maxPfn, 0xffff_ffff);
  words(424, DUMP_DH_COMPRESSED_ZLIB, PAGE, layout.subHeaderBlocks, layout.bitmapBlocks, shortPfn);
  words(444, 0, 0, written, image.crashedCpu ?? 0, Math.max(1, image.cpus.length));

  const long = (at: number, value: number | bigint): void =>
    view.setBigUint64(PAGE + at, BigInt.asUintN(64, BigInt(value)), true);
  long(0, image.physicalBase ?? 0n);
  if (layout.vmcoreinfo.size > 0) {
    long(32, layout.vmcoreinfo.offset);
    long(40, layout.vmcoreinfo.size);
  }
  long(48, layout.noteOffset);
  long(56, notes.length);
  long(96, layout.maxPfn);
  return bytes;
}

/** Page data, in the order in which it comes; descriptors tell where. */
class PageWriter {
  readonly #descriptors: Gatherer;
  readonly #data: Gatherer;
  #descriptorAt: number;
  #dataAt: number;
  #zero: Uint8Array | undefined;

  constructor(sink: DumpSink, descriptors: number, data: number) {
    this.#descriptors = new Gatherer(sink);
    this.#data = new Gatherer(sink);
    this.#descriptorAt = descriptors;
    this.#dataAt = data;
  }

  get end(): number {
    return this.#dataAt;
  }

  write(page: Uint8Array): void {
    if (!isZeros(page)) this.#describe(this.#put(page));
    else {
      this.#zero ??= this.#put(page).slice();
      this.#describe(this.#zero);
    }
  }

  flush(): void {
    this.#descriptors.flush();
    this.#data.flush();
  }

  /** @returns the descriptor. */
  #put(page: Uint8Array): Uint8Array {
    const packed = deflateSync(page, { level: FAST });
    const stored = packed.length < PAGE ? packed : page;
    this.#data.write(this.#dataAt, stored);
    const descriptor = new Uint8Array(DESCRIPTOR_SIZE);
    const view = new DataView(descriptor.buffer);
    view.setBigUint64(0, BigInt(this.#dataAt), true);
    view.setUint32(8, stored.length, true);
    view.setUint32(12, stored === packed ? DUMP_DH_COMPRESSED_ZLIB : 0, true);
    this.#dataAt += stored.length;
    return descriptor;
  }

  #describe(descriptor: Uint8Array): void {
    this.#descriptors.write(this.#descriptorAt, descriptor);
    this.#descriptorAt += DESCRIPTOR_SIZE;
  }
}

/** Where the text of VMCOREINFO stands: at the end of the notes. */
function vmcoreinfoPlace(image: VmcoreImage, noteOffset: number, noteSize: number): Layout['vmcoreinfo'] {
  const size = image.vmcoreinfo?.length ?? 0;
  return { offset: noteOffset + noteSize - ((size + 3) & ~3), size };
}

/** Writes the whole file. @throws PvhError for memory above 16 TiB. */
export function writeKdump(sink: DumpSink, image: VmcoreImage): VmcoreSummary {
  const { frames } = image.memory;
  const [first, count] = frames.at(-1) ?? [0, 0];
  const maxPfn = first + count;
  if (maxPfn > MAX_PAGES) throw new PvhError('E2BIG', 'memory above 16 TiB: a kdump file would not be read');
  const notes = vmcoreNotes(image, false).all;
  const noteOffset = PAGE + SUB_HEADER_SIZE;
  const subHeaderBlocks = blocks(SUB_HEADER_SIZE + notes.length);
  const bitmapSize = blocks(Math.ceil(maxPfn / 8)) * PAGE;
  const bitmapOffset = (1 + subHeaderBlocks) * PAGE;
  const layout: Layout = {
    maxPfn,
    subHeaderBlocks,
    bitmapBlocks: (2 * bitmapSize) / PAGE,
    noteOffset,
    vmcoreinfo: vmcoreinfoPlace(image, noteOffset, notes.length),
  };
  const listed = frames.reduce((sum, [, frameCount]) => sum + frameCount, 0);
  const descriptors = bitmapOffset + 2 * bitmapSize;
  const exists = new BitmapWriter(sink, bitmapOffset);
  const dumped = new BitmapWriter(sink, bitmapOffset + bitmapSize);
  const pages = new PageWriter(sink, descriptors, descriptors + listed * DESCRIPTOR_SIZE);
  let written = 0;
  for (const { gfn, bytes } of pagesOf(image.memory)) {
    exists.set(gfn);
    if (!bytes) continue;
    dumped.set(gfn);
    pages.write(bytes);
    written++;
  }
  exists.flush();
  dumped.flush();
  pages.flush();
  sink.write(0, headers(image, notes, layout, written));
  sink.write(noteOffset, notes);
  return { size: pages.end, unreadable: listed - written, cut: 0 };
}
