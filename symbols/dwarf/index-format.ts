// The layout of a debug index: what index-file.ts writes and index-info.ts reads. Holds no data itself.
//
// header | for each unit: scope records, blocks | block table | file table | strings | trailer
//
// A block describes up to BLOCK_INTERVALS intervals of code; one interval has one line row and one innermost scope. A scope record
// says how a function is called and where it was inlined. All numbers are little-endian.
import { ByteReader, type ByteSource, latin1Of } from '../bytes.ts';
import type { ElfFile } from '../elf/elf-file.ts';
import { findSection } from '../elf/elf-file.ts';
import { buildIdOf, readNotes } from '../elf/notes.ts';
import { FormatError } from '../errors.ts';

/** To be raised with every change of the layout or of what lookups answer. */
const VERSION = 1;
const MAGIC = 'pvh-dwix';

/** Header: magic, version, length of the identity, identity. */
export const HEADER_SIZE = 96;
const MAX_IDENTITY = 80;
/** Trailer: where and how long the tables are, as u64 pairs; magic. */
const TRAILER_SIZE = 56;

export const BLOCK_INTERVALS = 64;
/** A block of 64 intervals whose numbers are all of full length. */
export const MAX_BLOCK = 2048;
/** Row of the block table: u64 address, u32 offset of the block, u32 offset of its unit's scope records. */
export const BLOCK_ROW = 16;
/** Scope record: u32 each: number of the parent, name, file and line and column of the call; the numbers count from 1, 0 is none. */
export const SCOPE_WORDS = 5;

/** First byte of an interval: what of it differs from the interval before (nothing, at the start of a block), and how long that was. */
export const SCOPE_CHANGES = 1;
export const FILE_CHANGES = 2;
export const LINE_CHANGES = 4;
export const COLUMN_CHANGES = 8;
/** In the upper 4 bits; 0: as LEB128 behind. */
export const SHORT_STEP = 15;

/** Where a table is, and its size in bytes. */
export interface Extent {
  readonly offset: number;
  readonly size: number;
}

export interface IndexTables {
  readonly blocks: Extent;
  readonly files: Extent;
  readonly strings: Extent;
}

/** What an index is of: the build-id, or without one what else tells files apart. */
function identityOf(elf: ElfFile): string {
  const buildId = buildIdOf(readNotes(elf));
  if (buildId !== undefined) return `build-id ${buildId}`.slice(0, MAX_IDENTITY);
  const sizes = ['.text', '.debug_info', '.debug_line'].map((name) => findSection(elf, name)?.size ?? 0);
  return `sizes ${elf.source.size} ${sizes.join(' ')}`;
}

const ascii = (text: string): Uint8Array => new TextEncoder().encode(text);

export function encodeHeader(elf: ElfFile): Uint8Array {
  const bytes = new Uint8Array(HEADER_SIZE);
  const identity = ascii(identityOf(elf));
  const view = new DataView(bytes.buffer);
  bytes.set(ascii(MAGIC));
  view.setUint32(8, VERSION, true);
  view.setUint32(12, identity.length, true);
  bytes.set(identity, 16);
  return bytes;
}

export function encodeTrailer({ blocks, files, strings }: IndexTables): Uint8Array {
  const bytes = new Uint8Array(TRAILER_SIZE);
  const view = new DataView(bytes.buffer);
  [blocks, files, strings].forEach(({ offset, size }, index) => {
    view.setBigUint64(index * 16, BigInt(offset), true);
    view.setBigUint64(index * 16 + 8, BigInt(size), true);
  });
  bytes.set(ascii(MAGIC), TRAILER_SIZE - 8);
  return bytes;
}

/**
 * Checks that `index` is a whole index of this very file.
 * @throws FormatError when it is not.
 */
export function readTables(elf: ElfFile, index: ByteSource): IndexTables {
  const wrong = (what: string): FormatError => new FormatError(what, { source: index.name });
  if (index.size < HEADER_SIZE + TRAILER_SIZE) throw wrong('not a debug index, or cut off');
  const header = encodeHeader(elf);
  const found = index.read(0, HEADER_SIZE);
  const differs = header.findIndex((byte, at) => byte !== found[at]);
  if (differs >= 0 && differs < 8) throw wrong('not a debug index');
  if (differs >= 8 && differs < 12) throw wrong('debug index of another version');
  if (differs >= 12) throw wrong('debug index of another file');
  const start = index.size - TRAILER_SIZE;
  const reader = new ByteReader(index.name, index.read(start, TRAILER_SIZE), start);
  const extent = (): Extent => {
    const table = { offset: reader.size64(), size: reader.size64() };
    if (table.offset > start || table.size > start - table.offset)
      throw reader.error('table outside the index');
    return table;
  };
  const tables = { blocks: extent(), files: extent(), strings: extent() };
  if (latin1Of(reader.take(8)) !== MAGIC) throw wrong('debug index is cut off');
  return tables;
}
