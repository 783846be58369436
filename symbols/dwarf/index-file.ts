// Writes a debug index: everything that lookups by address need, so that they need no DWARF. Reads none: index-info.ts does.
import type { ElfFile } from '../elf/elf-file.ts';
import { FormatError } from '../errors.ts';
import { type Cover, NOTHING } from './cover.ts';
import {
  BLOCK_INTERVALS,
  COLUMN_CHANGES,
  encodeHeader,
  encodeTrailer,
  FILE_CHANGES,
  HEADER_SIZE,
  LINE_CHANGES,
  SCOPE_CHANGES,
  SCOPE_WORDS,
  SHORT_STEP,
} from './index-format.ts';
import { NO_ROW } from './line.ts';
import type { Places } from './places.ts';
import { DebugSections } from './sections.ts';
import type { UnitCode } from './unit-code.ts';
import { UnitMap } from './unit-map.ts';
import { UnitSet } from './unit-set.ts';

/** Offsets of blocks and scopes are u32. */
const MAX_BODY = 0xffff_ffff;
/** What all units may take to decode: many may name one large table. A kernel takes some ten million. */
const MAX_WORK = 1 << 27;
/** Names and paths; a kernel has 3 MB. They can overlap where they are. */
const MAX_STRINGS = 256 << 20;

/**
 * The bytes of an index, piece by piece: for a 6.1 kernel 30 MB.
 * @throws FormatError when the file has no debug information or too much. Units that cannot be read are left out.
 */
export function* writeDebugIndex(elf: ElfFile): Generator<Uint8Array> {
  const sections = new DebugSections(elf);
  if (!sections.has('.debug_info'))
    throw new FormatError('no debug information', { source: elf.source.name });
  const units = new UnitSet(sections);
  const writer = new IndexWriter(sections.places);
  yield encodeHeader(elf);
  const map = new UnitMap(units).byUnit();
  let work = 0;
  for (const { offset } of units.headers()) {
    const own = map.get(offset);
    const code = own && units.code(offset);
    if (!code) continue;
    work += code.work;
    if (work + sections.abbrevs.read + sections.rangeEntries > MAX_WORK)
      throw new FormatError('too much debug information', { source: elf.source.name });
    yield writer.unit(code, own);
  }
  yield* writer.tables();
}

/** Bytes that grow. */
class Buffer {
  #bytes = new Uint8Array(1 << 14);
  length = 0;

  push(byte: number): void {
    if (this.length === this.#bytes.length) {
      const larger = new Uint8Array(this.length * 2);
      larger.set(this.#bytes);
      this.#bytes = larger;
    }
    this.#bytes[this.length++] = byte;
  }
  u32(value: number): void {
    for (let shift = 0; shift < 32; shift += 8) this.push(value >>> shift);
  }
  uleb(value: number): void {
    for (; value >= 0x80; value = Math.floor(value / 0x80)) this.push((value % 0x80) + 0x80);
    this.push(value);
  }
  sleb(value: number): void {
    for (; value < -0x40 || value >= 0x40; value = Math.floor(value / 0x80)) this.push((value & 0x7f) | 0x80);
    this.push(value & 0x7f);
  }
  /** Sets a byte that was pushed before. */
  patch(at: number, byte: number): void {
    this.#bytes[at] = byte;
  }
  bytes(): Uint8Array {
    return this.#bytes.slice(0, this.length);
  }
}

/** Texts, each kept once, by their offset; offset 0 is none. */
class Strings {
  readonly buffer = new Buffer();
  readonly #offsets = new Map<string, number>();

  constructor() {
    this.buffer.push(0);
  }

  offset(text: string | undefined): number {
    if (text === undefined) return 0;
    const known = this.#offsets.get(text);
    if (known !== undefined) return known;
    const offset = this.buffer.length;
    if (offset + text.length >= MAX_STRINGS) throw new FormatError('too many names for an index');
    for (let i = 0; i < text.length; i++) this.buffer.push(text.charCodeAt(i));
    this.buffer.push(0);
    this.#offsets.set(text, offset);
    return offset;
  }
}

class IndexWriter {
  readonly #places: Places;
  readonly #strings = new Strings();
  /** Numbers of paths, from 1 on, and where in the strings each is. */
  readonly #files = new Map<string, number>();
  readonly #fileOffsets: number[] = [];
  readonly #starts: number[] = [];
  readonly #blockOffsets: number[] = [];
  readonly #scopeOffsets: number[] = [];
  #written = HEADER_SIZE;

  constructor(places: Places) {
    this.#places = places;
  }

  /** Scope records and blocks of one unit. */
  unit(code: UnitCode, own: Cover): Uint8Array {
    const scopes = new ScopeRecords(code, (path) => this.#file(path), this.#strings);
    const blocks = new BlockEncoder();
    for (const { place, row, scope } of intervalsOf(code, own)) {
      const { rows } = code.lines;
      const known = row !== NO_ROW;
      blocks.add(
        place,
        scopes.number(scope),
        known ? scopes.file(rows.files[row] ?? 0) : 0,
        known ? (rows.lines[row] ?? 0) : 0,
        known ? (rows.columns[row] ?? 0) : 0,
      );
    }
    const records = scopes.buffer.bytes();
    blocks.starts.forEach((start, index) => {
      this.#starts.push(start);
      this.#blockOffsets.push(this.#written + records.length + (blocks.offsets[index] ?? 0));
      this.#scopeOffsets.push(this.#written);
    });
    const bytes = new Uint8Array(records.length + blocks.buffer.length);
    bytes.set(records);
    bytes.set(blocks.buffer.bytes(), records.length);
    this.#written += bytes.length;
    if (this.#written > MAX_BODY) throw new FormatError('too much debug information for an index');
    return bytes;
  }

  *tables(): Generator<Uint8Array> {
    const starts = this.#starts;
    // The sort is stable: of two blocks with one start the later unit's is found.
    const order = Uint32Array.from(starts.keys()).sort((a, b) => (starts[a] ?? 0) - (starts[b] ?? 0));
    const addresses = BigUint64Array.from(order, (block) => this.#places.address(starts[block] ?? 0));
    const offsets = new Uint32Array(order.length * 2);
    order.forEach((block, index) => {
      offsets[index * 2] = this.#blockOffsets[block] ?? 0;
      offsets[index * 2 + 1] = this.#scopeOffsets[block] ?? 0;
    });
    const files = Uint32Array.from(this.#fileOffsets);
    const strings = this.#strings.buffer.bytes();
    const extent = (offset: number, size: number) => ({ offset, size });
    const blocksAt = this.#written;
    const filesAt = blocksAt + addresses.byteLength + offsets.byteLength;
    const stringsAt = filesAt + files.byteLength;
    yield new Uint8Array(addresses.buffer);
    yield new Uint8Array(offsets.buffer);
    yield new Uint8Array(files.buffer);
    yield strings;
    yield encodeTrailer({
      blocks: extent(blocksAt, filesAt - blocksAt),
      files: extent(filesAt, files.byteLength),
      strings: extent(stringsAt, strings.length),
    });
  }

  #file(path: string | undefined): number {
    if (path === undefined) return 0;
    const known = this.#files.get(path);
    if (known !== undefined) return known;
    this.#fileOffsets.push(this.#strings.offset(path));
    this.#files.set(path, this.#files.size + 1);
    return this.#files.size;
  }
}

/** The scopes of a unit that have code, numbered from 1 on in the order in which they are met, parents first. */
class ScopeRecords {
  readonly buffer = new Buffer();
  readonly #code: UnitCode;
  readonly #fileNumber: (path: string | undefined) => number;
  readonly #strings: Strings;
  readonly #numbers = new Map<number, number>([[NOTHING, 0]]);
  /** By number in the unit's line table. */
  readonly #files = new Map<number, number>();

  constructor(code: UnitCode, fileNumber: (path: string | undefined) => number, strings: Strings) {
    this.#code = code;
    this.#fileNumber = fileNumber;
    this.#strings = strings;
  }

  number(scope: number): number {
    const { parents, callFiles, callLines, callColumns } = this.#code.scopes;
    const open: number[] = [];
    for (let at = scope; !this.#numbers.has(at); at = parents[at] ?? NOTHING) open.push(at);
    for (let at = open.pop(); at !== undefined; at = open.pop()) {
      const parent = parents[at] ?? NOTHING;
      this.buffer.u32(this.#numbers.get(parent) ?? 0);
      this.buffer.u32(this.#strings.offset(this.#code.name(at)));
      this.buffer.u32(parent === NOTHING ? 0 : this.file(callFiles[at] ?? 0));
      this.buffer.u32(callLines[at] ?? 0);
      this.buffer.u32(callColumns[at] ?? 0);
      this.#numbers.set(at, this.buffer.length / (SCOPE_WORDS * 4));
    }
    return this.#numbers.get(scope) ?? 0;
  }

  file(number: number): number {
    const known = this.#files.get(number);
    if (known !== undefined) return known;
    const file = this.#fileNumber(this.#code.lines.path(number));
    this.#files.set(number, file);
    return file;
  }
}

/** Blocks of one unit. Intervals come in ascending order of place. */
class BlockEncoder {
  readonly buffer = new Buffer();
  /** Place and offset in the buffer of each block. */
  readonly starts: number[] = [];
  readonly offsets: number[] = [];
  #count = BLOCK_INTERVALS;
  #place = 0;
  #scope = 0;
  #file = 0;
  #line = 0;
  #column = 0;

  add(place: number, scope: number, file: number, line: number, column: number): void {
    const { buffer } = this;
    // Over a hole a new block is shorter than the distance, and keeps what is in the hole apart.
    const resumes = this.#scope === 0 && this.#file === 0;
    if (this.#count === BLOCK_INTERVALS || resumes) this.#begin(place);
    else if (scope === this.#scope && file === this.#file && line === this.#line && column === this.#column)
      return;
    buffer.patch(this.offsets.at(-1) ?? 0, ++this.#count);
    const step = place - this.#place;
    const isShort = step > 0 && step <= SHORT_STEP;
    buffer.push(
      (scope === this.#scope ? 0 : SCOPE_CHANGES) +
        (file === this.#file ? 0 : FILE_CHANGES) +
        (line === this.#line ? 0 : LINE_CHANGES) +
        (column === this.#column ? 0 : COLUMN_CHANGES) +
        (isShort ? step * 16 : 0),
    );
    if (!isShort) buffer.uleb(step);
    if (scope !== this.#scope) buffer.sleb(scope - this.#scope);
    if (file !== this.#file) buffer.sleb(file - this.#file);
    if (line !== this.#line) buffer.sleb(line - this.#line);
    if (column !== this.#column) buffer.uleb(column);
    this.#place = place;
    this.#scope = scope;
    this.#file = file;
    this.#line = line;
    this.#column = column;
  }

  #begin(place: number): void {
    this.starts.push(place);
    this.offsets.push(this.buffer.length);
    this.buffer.push(0);
    this.#count = 0;
    this.#place = place;
    this.#scope = 0;
    this.#file = 0;
    this.#line = 0;
    this.#column = 0;
  }
}

interface Interval {
  readonly place: number;
  readonly row: number;
  readonly scope: number;
}

/**
 * Line rows and scopes of a unit as one sequence: each interval starts where one of the two changes. What is not the unit's own (the
 * room before functions that can be patched lies in a line sequence, yet in no unit) has neither.
 */
function* intervalsOf({ lines: { rows }, scopes: { cover } }: UnitCode, own: Cover): Generator<Interval> {
  let row = 0;
  let span = 0;
  let part = 0;
  let scope = NOTHING;
  let line = NO_ROW;
  let isOwn = false;
  const never = Number.POSITIVE_INFINITY;
  while (row < rows.places.length || span < cover.starts.length || part < own.starts.length) {
    const place = Math.min(rows.places[row] ?? never, cover.starts[span] ?? never, own.starts[part] ?? never);
    if (rows.places[row] === place) {
      line = rows.files[row] === NO_ROW ? NO_ROW : row;
      row++;
    }
    if (cover.starts[span] === place) scope = cover.values[span++] ?? NOTHING;
    // One part may end where the next begins.
    while (own.starts[part] === place) isOwn = own.values[part++] !== NOTHING;
    yield isOwn ? { place, row: line, scope } : { place, row: NO_ROW, scope: NOTHING };
  }
}
