// Line tables (DWARF 5 §6.2, versions 2 to 5): header and program to rows in order of their places. Opens no source file.
import { FormatError } from '../errors.ts';
import * as dw from './constants.ts';
import { Cursor } from './cursor.ts';
import { readValue, type UnitShape } from './form.ts';
import type { Places } from './places.ts';
import { lastAtOrBelow } from './places.ts';
import type { DebugSections } from './sections.ts';

/** The largest unit of a kernel has 100,000 rows. */
const MAX_ROWS = 1 << 22;
const MAX_TABLE = 64 << 20;
const FIRST_ROWS = 1 << 11;
/** Directories or files of one table; link-time optimisation makes some ten thousand. */
const MAX_FILES = 1 << 18;

/** A directory or file: its text is read when it is asked for. */
interface FileEntry {
  readonly name: () => string;
  readonly directory: number;
}

interface LineHeader extends UnitShape {
  readonly minLength: number;
  readonly lineBase: number;
  readonly lineRange: number;
  /** Operand counts of the standard opcodes, from opcode 1 on at index 1. */
  readonly operands: readonly number[];
  readonly directories: readonly FileEntry[];
  readonly files: readonly FileEntry[];
}

/** Rows as columns, in ascending order of place. A row holds up to the next one; `files` is NO_ROW where no code was described. */
export interface Rows {
  readonly places: Float64Array;
  readonly files: Int32Array;
  readonly lines: Uint32Array;
  readonly columns: Uint32Array;
}

export const NO_ROW = -1;

const rowsOf = (count: number): Rows => ({
  places: new Float64Array(count),
  files: new Int32Array(count),
  lines: new Uint32Array(count),
  columns: new Uint32Array(count),
});

/** The first `count` rows, with room for `capacity`. */
function resized(rows: Rows, count: number, capacity: number): Rows {
  const copy = rowsOf(capacity);
  copy.places.set(rows.places.subarray(0, count));
  copy.files.set(rows.files.subarray(0, count));
  copy.lines.set(rows.lines.subarray(0, count));
  copy.columns.set(rows.columns.subarray(0, count));
  return copy;
}

/** Line table of one unit. */
export class LineTable {
  readonly rows: Rows;
  /** Bytes that were read for it. */
  readonly size: number;
  readonly #header: LineHeader | undefined;
  readonly #compDir: string;
  readonly #paths = new Map<number, string | undefined>();

  constructor(rows: Rows, size: number, header: LineHeader | undefined, compDir: string) {
    this.rows = rows;
    this.size = size;
    this.#header = header;
    this.#compDir = compDir;
  }

  /** Index of the row at a place; NO_ROW when there is none. */
  at(place: number): number {
    const row = lastAtOrBelow(this.rows.places, place);
    return (this.rows.files[row] ?? NO_ROW) === NO_ROW ? NO_ROW : row;
  }

  /** Path of a file by its number: compilation directory, include directory and name, as far as each is relative. */
  path(file: number): string | undefined {
    if (!this.#paths.has(file)) this.#paths.set(file, this.#makePath(file));
    return this.#paths.get(file);
  }

  /** A path that cannot be read is not known. */
  #makePath(file: number): string | undefined {
    try {
      return this.#joinedPath(file);
    } catch (error) {
      if (error instanceof FormatError) return undefined;
      throw error;
    }
  }

  #joinedPath(file: number): string | undefined {
    if (!this.#header) return undefined;
    const { version, files, directories } = this.#header;
    // Before version 5 files and directories count from 1, and directory 0 is the compilation directory.
    const entry = files[version >= 5 ? file : file - 1];
    if (!entry) return undefined;
    const compDir = version >= 5 ? (directories[0]?.name() ?? this.#compDir) : this.#compDir;
    const directory =
      entry.directory === 0 ? undefined : directories[version >= 5 ? entry.directory : entry.directory - 1];
    return join(compDir, join(directory?.name() ?? '', entry.name()));
  }
}

/** A line table that has nothing, for units without one. */
export const emptyLineTable = (): LineTable => new LineTable(rowsOf(0), 0, undefined, '');

function join(directory: string, name: string): string {
  if (name.startsWith('/') || directory === '') return name;
  return name === '' ? directory : `${directory.replace(/\/$/, '')}/${name}`;
}

/**
 * Reads the line table at an offset of .debug_line (DW_AT_stmt_list).
 * @param compDir DW_AT_comp_dir of the unit: tables before version 5 do not have it.
 * @throws FormatError when it is malformed or unbelievably large.
 */
export function readLineTable(
  sections: DebugSections,
  offset: number,
  addressSize: number,
  compDir: string,
): LineTable {
  const section = sections.get('.debug_line');
  const lengths = new Cursor(
    section.name,
    section.read(offset, Math.min(12, section.size - offset)),
    0,
    offset,
  );
  let length = lengths.u32();
  const offsetSize = length === 0xffffffff ? 8 : 4;
  if (offsetSize === 8) length = lengths.u64();
  if (length > MAX_TABLE) throw lengths.error(`line table of 0x${length.toString(16)} bytes`);
  const start = offset + lengths.offset;
  const cursor = new Cursor('.debug_line', section.read(start, length), 0, start);
  const header = readHeader(cursor, sections, offsetSize, addressSize);
  const program = new LineProgram(header, sections.places);
  program.run(cursor);
  return new LineTable(program.finish(), length, header, compDir);
}

function readHeader(
  cursor: Cursor,
  sections: DebugSections,
  offsetSize: 4 | 8,
  unitAddressSize: number,
): LineHeader {
  const version = cursor.u16();
  if (version < 2 || version > 5) throw cursor.error(`line table of version ${version}`);
  let addressSize = unitAddressSize;
  if (version >= 5) {
    addressSize = cursor.u8();
    cursor.skip(1); // segment selector size
  }
  if (addressSize !== 4 && addressSize !== 8) throw cursor.error(`addresses of ${addressSize} bytes`);
  const headerLength = cursor.word(offsetSize);
  const program = cursor.offset + headerLength;
  const minLength = cursor.u8();
  if (version >= 4) cursor.skip(1); // maximum operations per instruction: 1 but for VLIW
  cursor.skip(1); // default_is_stmt: every row counts here
  const lineBase = cursor.i8();
  const lineRange = cursor.u8();
  if (lineRange === 0) throw cursor.error('line range of 0');
  const opcodeBase = cursor.u8();
  const operands = [0];
  while (operands.length < opcodeBase) operands.push(cursor.u8());
  const shape = { version, offsetSize, addressSize } as const;
  const names = version >= 5 ? readNames(cursor, sections, shape) : readOldNames(cursor);
  cursor.seek(program);
  return { ...shape, minLength, lineBase, lineRange, operands, ...names };
}

type Names = Pick<LineHeader, 'directories' | 'files'>;

function checkCount(entries: readonly FileEntry[], cursor: Cursor): void {
  if (entries.length === MAX_FILES) throw cursor.error('too many files');
}

function readOldNames(cursor: Cursor): Names {
  const directories: FileEntry[] = [];
  for (let name = cursor.text(); name !== ''; name = cursor.text()) {
    checkCount(directories, cursor);
    directories.push({ name: () => name, directory: 0 });
  }
  const files: FileEntry[] = [];
  for (let name = cursor.text(); name !== ''; name = cursor.text()) {
    checkCount(files, cursor);
    files.push({ name: () => name, directory: cursor.uleb() });
    cursor.skipLeb(); // time
    cursor.skipLeb(); // size
  }
  return { directories, files };
}

function readNames(cursor: Cursor, sections: DebugSections, shape: UnitShape): Names {
  const directories = readEntries(cursor, sections, shape);
  return { directories, files: readEntries(cursor, sections, shape) };
}

/** A directory or file table of version 5 (§6.2.4.1). */
function readEntries(cursor: Cursor, sections: DebugSections, shape: UnitShape): FileEntry[] {
  const formats: [content: number, form: number][] = [];
  for (let count = cursor.u8(); count > 0; count--) formats.push([cursor.uleb(), cursor.uleb()]);
  const entries: FileEntry[] = [];
  for (let count = cursor.uleb(); count > 0; count--) {
    checkCount(entries, cursor);
    const start = cursor.offset;
    let name = () => '';
    let directory = 0;
    for (const [content, form] of formats) {
      const value = readValue(cursor, form, 0, shape, sections.places);
      if (content === dw.DW_LNCT_path) name = () => pathText(cursor, sections, form, value);
      else if (content === dw.DW_LNCT_directory_index) directory = value;
    }
    if (cursor.offset === start) throw cursor.error('file entries without content');
    entries.push({ name, directory });
  }
  return entries;
}

function pathText(cursor: Cursor, sections: DebugSections, form: number, value: number): string {
  if (form === dw.DW_FORM_string) return new Cursor(cursor.name, cursor.bytes, value).text();
  if (form === dw.DW_FORM_line_strp) return sections.text('.debug_line_str', value);
  if (form === dw.DW_FORM_strp) return sections.text('.debug_str', value);
  throw cursor.error(`path of form 0x${form.toString(16)}`);
}

/** The state machine of §6.2.2 with its rows. Sequences that are not of code (dropped functions start at 0) leave none. */
class LineProgram {
  readonly #header: LineHeader;
  readonly #places: Places;
  #rows: Rows = rowsOf(FIRST_ROWS);
  #count = 0;
  /** First row of each sequence; the last row of one is its end. */
  readonly #sequences: number[] = [];
  #sequence = 0;
  #place = 0;
  #file = 1;
  #line = 1;
  #column = 0;

  constructor(header: LineHeader, places: Places) {
    this.#header = header;
    this.#places = places;
  }

  run(cursor: Cursor): void {
    const { operands, lineBase, lineRange, minLength } = this.#header;
    const opcodeBase = operands.length;
    while (cursor.remaining > 0) {
      const opcode = cursor.u8();
      if (opcode >= opcodeBase) {
        const adjusted = opcode - opcodeBase;
        this.#place += Math.floor(adjusted / lineRange) * minLength;
        this.#line += lineBase + (adjusted % lineRange);
        this.#emit(this.#file, cursor);
      } else if (opcode === 0) this.#extended(cursor);
      else this.#standard(opcode, cursor);
    }
  }

  #standard(opcode: number, cursor: Cursor): void {
    const { operands, lineRange, minLength } = this.#header;
    switch (opcode) {
      case dw.DW_LNS_copy:
        this.#emit(this.#file, cursor);
        return;
      case dw.DW_LNS_advance_pc:
        this.#place += cursor.uleb() * minLength;
        return;
      case dw.DW_LNS_advance_line:
        this.#line += cursor.sleb();
        return;
      case dw.DW_LNS_set_file:
        this.#file = cursor.uleb();
        return;
      case dw.DW_LNS_set_column:
        this.#column = cursor.uleb();
        return;
      case dw.DW_LNS_const_add_pc:
        this.#place += Math.floor((255 - operands.length) / lineRange) * minLength;
        return;
      case dw.DW_LNS_fixed_advance_pc:
        this.#place += cursor.u16();
        return;
      default:
        // Flags of a row that nobody here asks for, and opcodes of later versions.
        for (let count = operands[opcode] ?? 0; count > 0; count--) cursor.skipLeb();
    }
  }

  #extended(cursor: Cursor): void {
    const length = cursor.uleb();
    const next = cursor.offset + length;
    const opcode = length === 0 ? 0 : cursor.u8();
    if (opcode === dw.DW_LNE_end_sequence) this.#endSequence(cursor);
    else if (opcode === dw.DW_LNE_set_address) this.#place = this.#places.read(cursor, length === 5 ? 4 : 8);
    cursor.seek(next);
  }

  /** Of rows at one place the last one counts: it is of the instruction, the earlier ones are views of it. */
  #emit(file: number, cursor: Cursor): void {
    const last = this.#count - 1;
    if (last < this.#sequence || this.#rows.places[last] !== this.#place) this.#grow(cursor);
    const row = this.#count - 1;
    const { places, files, lines, columns } = this.#rows;
    places[row] = this.#place;
    files[row] = file;
    lines[row] = this.#line;
    columns[row] = this.#column;
  }

  #grow(cursor: Cursor): void {
    if (this.#count === MAX_ROWS) throw cursor.error('too many rows');
    const capacity = this.#rows.places.length;
    if (this.#count === capacity) this.#rows = resized(this.#rows, capacity, capacity * 2);
    this.#count++;
  }

  #endSequence(cursor: Cursor): void {
    this.#emit(NO_ROW, cursor);
    if (this.#places.isCode(this.#rows.places[this.#sequence] ?? 0)) this.#sequences.push(this.#sequence);
    else this.#count = this.#sequence;
    this.#sequence = this.#count;
    this.#place = 0;
    this.#file = 1;
    this.#line = 1;
    this.#column = 0;
  }

  /** Rows of all ended sequences in order. Where two overlap the one that starts first counts. */
  finish(): Rows {
    const { places, files, lines, columns } = this.#rows;
    const bounds = this.#sequences.map(
      (start, index) => [start, this.#sequences[index + 1] ?? this.#sequence] as const,
    );
    bounds.sort(([a], [b]) => (places[a] ?? 0) - (places[b] ?? 0));
    const sorted = rowsOf(this.#sequence);
    let to = -1;
    for (const [start, end] of bounds) {
      for (let row = start; row < end; row++) {
        const place = places[row] ?? 0;
        if (to >= 0 && place < (sorted.places[to] ?? 0)) continue;
        if (to < 0 || sorted.places[to] !== place) to++;
        sorted.places[to] = place;
        sorted.files[to] = files[row] ?? NO_ROW;
        sorted.lines[to] = lines[row] ?? 0;
        sorted.columns[to] = columns[row] ?? 0;
      }
    }
    return to + 1 === this.#sequence ? sorted : resized(sorted, to + 1, to + 1);
  }
}
