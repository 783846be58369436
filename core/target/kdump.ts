// A kdump-compressed file (QEMU's kdump-zlib, makedumpfile -c, -l, -p, -z) as a Target. Pages are unpacked when they are read;
// pages that were left out are MemoryFaults that say so.
import { ByteReader, type ByteSource, latin1Of } from '../../symbols/bytes.ts';
import { type ElfNote, parseNotes } from '../../symbols/elf/notes.ts';
import { FormatError, MemoryFault } from '../../symbols/errors.ts';
import type { VmcoreinfoLines } from '../../symbols/kernel/vmcoreinfo-lines.ts';
import { FrameBitmap } from './kdump-bitmap.ts';
import { KDUMP_SIGNATURE, type KdumpHeader, readKdumpHeader, STATUS_INCOMPLETE } from './kdump-header.ts';
import { unpackPage } from './kdump-page.ts';
import type { KernelPaging, Target, TargetIdentity, TargetVcpu } from './target.ts';
import { vmcoreFacts, vmcoreinfoOf } from './vmcore-notes.ts';
import { parseVmcoreinfo } from './vmcoreinfo.ts';

const DESCRIPTOR_SIZE = 24;
const MAX_NOTES = 1 << 20;
const MAX_VMCOREINFO = 1 << 16;
const CACHED_PAGES = 64;
/** So many are looked at to tell whether the file is whole. */
const LAST_DESCRIPTORS = 64;

const signatureOf = (source: ByteSource): string => latin1Of(source.read(0, Math.min(8, source.size)));

/** Why a file is no kdump-compressed one; undefined when it is. */
export function notKdump(source: ByteSource): string | undefined {
  const signature = signatureOf(source);
  if (signature === KDUMP_SIGNATURE) return undefined;
  if (signature === 'DISKDUMP') return 'diskdump of before 2006, which this does not read';
  return 'no signature KDUMP';
}

function notesOf(source: ByteSource, { notes }: KdumpHeader): ElfNote[] {
  if (notes.size > MAX_NOTES)
    throw new FormatError(`notes of 0x${notes.size.toString(16)} bytes`, {
      source: source.name,
      offset: notes.offset,
    });
  return parseNotes(source.name, source.read(notes.offset, notes.size));
}

/** Older files keep the note's text apart. */
function separateVmcoreinfo(source: ByteSource, { vmcoreinfo }: KdumpHeader): VmcoreinfoLines | undefined {
  if (vmcoreinfo.size === 0 || vmcoreinfo.size > MAX_VMCOREINFO) return undefined;
  return parseVmcoreinfo(source.read(vmcoreinfo.offset, vmcoreinfo.size));
}

/** What `dump_level` left out, in makedumpfile's words. */
const LEFT_OUT: readonly (readonly [bit: number, words: string])[] = [
  [1, 'zero pages'],
  [2, 'page cache'],
  [4, 'private page cache'],
  [8, 'user pages'],
  [16, 'free pages'],
];

function leftOut(level: number): string {
  return LEFT_OUT.filter(([bit]) => (level & bit) !== 0)
    .map(([, words]) => words)
    .join(', ');
}

/** Target over an opened file. Use openKdump. */
class KdumpTarget implements Target {
  readonly kind = 'kdump';
  readonly description: string;
  readonly identity: TargetIdentity = {};
  readonly vcpus: readonly TargetVcpu[];
  readonly lacks: readonly string[];
  readonly paging: KernelPaging | undefined;
  readonly #source: ByteSource;
  readonly #header: KdumpHeader;
  readonly #exists: FrameBitmap;
  readonly #dumped: FrameBitmap;
  readonly #release: () => void;
  /** Descriptors that belong to other parts of a split dump. */
  #before: number | undefined;
  #frames: (readonly [number, number])[] | undefined;
  /** Unpacked blocks by number, oldest use first. */
  readonly #blocks = new Map<number, Uint8Array>();

  constructor(source: ByteSource, release: () => void, missing: readonly string[]) {
    const header = readKdumpHeader(source);
    const notes = notesOf(source, header);
    const info = vmcoreinfoOf(notes) ?? separateVmcoreinfo(source, header);
    const facts = vmcoreFacts(notes, header.bits, header.physBase, info);
    const lacks = [...missing, ...facts.lacks];
    if ((header.status & STATUS_INCOMPLETE) !== 0)
      lacks.push('memory: the dump is marked as incomplete, pages are lost');
    if (header.firstPfn > 0 || header.endPfn < header.maxPfn)
      lacks.push(
        `memory: one part of a split dump, frames 0x${header.firstPfn.toString(16)} to 0x${header.endPfn.toString(16)}; makedumpfile --reassemble joins the parts`,
      );
    this.description = `kdump file ${source.name}`;
    this.vcpus = facts.vcpus;
    this.paging = facts.paging;
    this.#source = source;
    this.#header = header;
    this.#exists = new FrameBitmap(source, header.bitmapOffset, header.maxPfn);
    this.#dumped = new FrameBitmap(source, header.bitmapOffset + header.bitmapSize, header.maxPfn);
    this.#release = release;
    // QEMU writes a dump level, and leaves nothing out.
    const gone = this.#exists.rank(header.maxPfn) - this.#dumped.rank(header.maxPfn);
    if (gone > 0)
      lacks.push(
        `memory: ${gone} frames were left out by dump level ${header.dumpLevel}: ${leftOut(header.dumpLevel)}`,
      );
    if (this.#isCutOff()) lacks.push('memory: the file is cut off, the last of its pages are missing');
    this.lacks = lacks;
  }

  get frames(): readonly (readonly [number, number])[] {
    const { firstPfn, endPfn, blockSize } = this.#header;
    const scale = blockSize / 4096;
    this.#frames ??= this.#dumped
      .runs(firstPfn, endPfn)
      .map(([first, count]) => [first * scale, count * scale] as const);
    return this.#frames;
  }

  readPhysical(address: number, into: Uint8Array): void {
    const { blockSize } = this.#header;
    for (let done = 0; done < into.length; ) {
      const at = address + done;
      const number = Math.floor(at / blockSize);
      const within = at - number * blockSize;
      const length = Math.min(into.length - done, blockSize - within);
      into.set(this.#block(number, at).subarray(within, within + length), done);
      done += length;
    }
  }

  close(): void {
    this.#blocks.clear();
    this.#release();
  }

  #block(number: number, at: number): Uint8Array {
    const cached = this.#blocks.get(number);
    if (cached) {
      this.#blocks.delete(number);
      this.#blocks.set(number, cached);
      return cached;
    }
    const block = this.#unpack(number, at);
    const [oldest] = this.#blocks.size >= CACHED_PAGES ? this.#blocks.keys() : [];
    if (oldest !== undefined) this.#blocks.delete(oldest);
    this.#blocks.set(number, block);
    return block;
  }

  /** @throws MemoryFault when the page is not there, or damaged. */
  #unpack(number: number, at: number): Uint8Array {
    let place: number | undefined;
    try {
      const { firstPfn, endPfn } = this.#header;
      if (!this.#dumped.has(number)) throw this.#absent(number, at);
      if (number < firstPfn || number >= endPfn)
        throw new MemoryFault('physical', BigInt(at), 'not in dump', 'in another part of the split dump');
      place = this.#descriptorOf(number);
      return this.#unpackFrom(place, at);
    } catch (error) {
      if (!(error instanceof FormatError)) throw error;
      throw new MemoryFault('physical', BigInt(at), 'read error', error.message);
    }
  }

  /** Where the descriptor of a page is, or would be. */
  #descriptorOf(number: number): number {
    const { firstPfn, descriptorsOffset } = this.#header;
    this.#before ??= firstPfn === 0 ? 0 : this.#dumped.rank(firstPfn);
    return descriptorsOffset + (this.#dumped.rank(number) - this.#before) * DESCRIPTOR_SIZE;
  }

  /** Pages lie in the order of their descriptors, but for those that share one. */
  #isCutOff(): boolean {
    const { endPfn, descriptorsOffset } = this.#header;
    const end = this.#descriptorOf(endPfn);
    if (end > this.#source.size) return true;
    const start = Math.max(descriptorsOffset, end - LAST_DESCRIPTORS * DESCRIPTOR_SIZE);
    const descriptors = new ByteReader(this.#source.name, this.#source.read(start, end - start), start);
    while (descriptors.remaining >= DESCRIPTOR_SIZE) {
      const [offset, size] = [descriptors.u64(), descriptors.u32()];
      if (offset + BigInt(size) > BigInt(this.#source.size)) return true;
      descriptors.skip(12);
    }
    return false;
  }

  #unpackFrom(place: number, at: number): Uint8Array {
    const { blockSize } = this.#header;
    const descriptor = new ByteReader(this.#source.name, this.#source.read(place, DESCRIPTOR_SIZE), place);
    const offset = descriptor.size64();
    const size = descriptor.u32();
    const flags = descriptor.u32();
    if (offset === 0)
      throw new MemoryFault('physical', BigInt(at), 'not in dump', 'lost: the dump is incomplete');
    if (size === 0 || size > blockSize) throw descriptor.error(`a page of ${size} bytes`);
    try {
      return unpackPage(this.#source.read(offset, size), flags, blockSize);
    } catch (cause) {
      if (!(cause instanceof FormatError) || cause.source !== undefined) throw cause;
      throw new FormatError(cause.message, { source: this.#source.name, offset, cause });
    }
  }

  #absent(number: number, at: number): MemoryFault {
    const filtered = this.#exists.has(number);
    const level = this.#header.dumpLevel;
    const detail = filtered ? `left out by dump level ${level}: ${leftOut(level)}` : 'no such frame';
    return new MemoryFault('physical', BigInt(at), 'not in dump', detail);
  }
}

/**
 * Opens a kdump-compressed file.
 * @param release called once by close().
 * @param missing what is known to be missing before the file is looked into.
 * @throws FormatError when it is none, or damaged.
 */
export function openKdump(
  source: ByteSource,
  release: () => void = () => undefined,
  missing: readonly string[] = [],
): Target {
  const refusal = notKdump(source);
  if (refusal !== undefined) throw new FormatError(refusal, { source: source.name });
  return new KdumpTarget(source, release, missing);
}
