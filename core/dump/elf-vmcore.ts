// Writes a guest as an ELF memory dump, as /proc/vmcore and QEMU's dump-guest-memory are: notes, and segments that give physical
// memory its virtual addresses. A debugger that walks no page tables (gdb) sees the kernel through these.
//
// A page is in the file once, however many segments show it. Pages of zeros are holes. Same image, same bytes.
import { PvhError } from '../../symbols/errors.ts';
import { type DumpSink, Gatherer } from './sink.ts';
import { isZeros, PAGE, pagesOf, type VirtualRange, type VmcoreImage } from './vmcore-image.ts';
import { vmcoreNotes } from './vmcore-notes.ts';

const EHDR_SIZE = 64;
const PHDR_SIZE = 56;
const PT_LOAD = 1;
const PT_NOTE = 4;
/** As many as symbols/elf reads; an ELF file has no more than 0xfffe without tricks. */
const MAX_SEGMENTS = 0x8000;
/** Room for what frames that cannot be read split. */
const SPARE_SEGMENTS = 256;
/**
 * Where memory stands that has no virtual address: no address of an x86 CPU begins like this, so that nothing is found there that
 * the guest would not find.
 */
const NOWHERE = 1n << 63n;
/** Physical addresses end there. */
const NO_MEMORY = 2n ** 52n;

/** Frames that follow each other in memory and in the file. */
interface HeldRun {
  readonly start: number;
  length: number;
  readonly offset: number;
}

interface LoadSegment {
  readonly virtual: bigint;
  readonly physical: number;
  readonly length: number;
  readonly offset: number;
}

/** What a written file does not have. */
export interface VmcoreSummary {
  /** Bytes of the file. */
  readonly size: number;
  /** Frames that could not be read. */
  readonly unreadable: number;
  /** Mappings for which there was no room. */
  readonly cut: number;
}

/** Streams the frames into the file from `start` on, each at the place of its number in order. */
function writePages(sink: DumpSink, start: number, image: VmcoreImage): { runs: HeldRun[]; end: number } {
  const gatherer = new Gatherer(sink);
  const runs: HeldRun[] = [];
  let offset = start;
  let run: HeldRun | undefined;
  for (const { gfn, bytes } of pagesOf(image.memory)) {
    if (!bytes) {
      run = undefined;
      continue;
    }
    if (!isZeros(bytes)) gatherer.write(offset, bytes);
    if (run && run.start + run.length === gfn * PAGE) run.length += PAGE;
    else {
      run = { start: gfn * PAGE, length: PAGE, offset };
      runs.push(run);
    }
    offset += PAGE;
  }
  gatherer.flush();
  // A hole at the end would make the file too short.
  if (offset > start) sink.write(offset - 1, lastByte(image, runs));
  return { runs, end: offset };
}

function lastByte({ memory }: VmcoreImage, runs: readonly HeldRun[]): Uint8Array {
  const byte = new Uint8Array(1);
  const last = runs.at(-1);
  if (last) memory.readPhysical(last.start + last.length - 1, byte);
  return byte;
}

/** The parts of a mapping that the file has. */
function* held(
  { virtual, physical, length }: VirtualRange,
  runs: readonly HeldRun[],
): Generator<LoadSegment> {
  let low = 0;
  let high = runs.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const run = runs[middle];
    if (run && run.start + run.length <= physical) low = middle + 1;
    else high = middle;
  }
  const end = physical + length;
  for (let run = runs[low]; run && run.start < end; run = runs[++low]) {
    const from = Math.max(run.start, physical);
    const to = Math.min(run.start + run.length, end);
    const skipped = BigInt(from - physical);
    yield {
      virtual: virtual + skipped,
      physical: from,
      length: to - from,
      offset: run.offset + from - run.start,
    };
  }
}

/** Where notes are in the file. */
interface NoteArea {
  readonly offset: number;
  readonly size: number;
}

function header(notes: NoteArea, gdbNotes: NoteArea, loads: readonly LoadSegment[]): Uint8Array {
  const count = 1 + loads.length + (gdbNotes.size > 0 ? 1 : 0);
  const bytes = new Uint8Array(EHDR_SIZE + count * PHDR_SIZE);
  const view = new DataView(bytes.buffer);
  bytes.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  view.setUint16(16, 4, true); // ET_CORE
  view.setUint16(18, 62, true); // EM_X86_64
  view.setUint32(20, 1, true);
  view.setBigUint64(32, BigInt(EHDR_SIZE), true);
  [EHDR_SIZE, PHDR_SIZE, count, 64, 0, 0].forEach((value, index) => {
    view.setUint16(52 + index * 2, value, true);
  });
  const segment = (index: number, type: number, flags: number, words: readonly (bigint | number)[]): void => {
    const at = EHDR_SIZE + index * PHDR_SIZE;
    view.setUint32(at, type, true);
    view.setUint32(at + 4, flags, true);
    words.forEach((word, place) => {
      view.setBigUint64(at + 8 + place * 8, BigInt(word), true);
    });
  };
  segment(0, PT_NOTE, 0, [notes.offset, 0, 0, notes.size, notes.size, 0]);
  // crash takes a file for a kdump by the alignment 0 that Linux writes; flags: read, write, execute.
  for (const [index, { virtual, physical, length, offset }] of loads.entries())
    segment(index + 1, PT_LOAD, 7, [offset, virtual, physical, length, length, 0]);
  // crash takes every segment but the first for memory: this one, for memory where there is none.
  if (gdbNotes.size > 0) segment(count - 1, PT_NOTE, 0, [gdbNotes.offset, 0, NO_MEMORY, gdbNotes.size, 0, 0]);
  return bytes;
}

/**
 * Writes the whole file.
 * @throws PvhError when the frames lie in more pieces than an ELF file has segments.
 */
export function writeElfVmcore(sink: DumpSink, image: VmcoreImage): VmcoreSummary {
  const { all, gdb } = vmcoreNotes(image, true);
  const { frames } = image.memory;
  const wanted = 2 + frames.length + image.mappings.length + SPARE_SEGMENTS;
  const room = Math.min(wanted, MAX_SEGMENTS);
  const notes = { offset: EHDR_SIZE + room * PHDR_SIZE, size: all.length };
  const gdbNotes = { offset: notes.offset + notes.size, size: gdb.length };
  const start = Math.ceil((gdbNotes.offset + gdbNotes.size) / PAGE) * PAGE;
  const { runs, end } = writePages(sink, start, image);
  if (runs.length > room - 2)
    throw new PvhError(
      'E2BIG',
      `memory lies in ${runs.length} pieces, an ELF file has room for ${room - 2}: export it as kdump`,
    );
  const direct = image.directMap ?? NOWHERE;
  const physical = runs.map(({ start: at, length, offset }) => ({
    virtual: BigInt.asUintN(64, direct + BigInt(at)),
    physical: at,
    length,
    offset,
  }));
  const virtual = image.mappings.flatMap((mapping) => [...held(mapping, runs)]);
  const loads = [...physical, ...virtual].slice(0, room - 2);
  sink.write(0, header(notes, gdbNotes, loads));
  sink.write(notes.offset, all);
  sink.write(gdbNotes.offset, gdb);
  const listed = frames.reduce((sum, [, count]) => sum + count, 0);
  const written = runs.reduce((sum, { length }) => sum + length, 0) / PAGE;
  return { size: end, unreadable: listed - written, cut: physical.length + virtual.length - loads.length };
}
