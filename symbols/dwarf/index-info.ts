// Lines and inlined functions by address out of a debug index: some reads of a few bytes a lookup. Makes no index: index-file.ts does.
import type { ByteSource } from '../bytes.ts';
import { textUntilNul } from '../bytes.ts';
import type { ElfFile } from '../elf/elf-file.ts';
import { FormatError } from '../errors.ts';
import { Cursor } from './cursor.ts';
import {
  BLOCK_INTERVALS,
  BLOCK_ROW,
  COLUMN_CHANGES,
  type Extent,
  FILE_CHANGES,
  LINE_CHANGES,
  MAX_BLOCK,
  readTables,
  SCOPE_CHANGES,
  SCOPE_WORDS,
} from './index-format.ts';
import { MAX_DEPTH } from './inline.ts';
import type { DebugInfo, SourceFrame } from './source-frame.ts';
import { supplementWarnings } from './supplement.ts';

/** The block table of a kernel has 1 MB, its strings 3 MB. */
const MAX_TABLE = 64 << 20;
const MAX_TEXTS = 1 << 14;

/** What holds from one address on. Numbers count from 1, 0 is none. */
interface Interval {
  scope: number;
  file: number;
  line: number;
  column: number;
}

export class IndexInfo implements DebugInfo {
  readonly warnings: readonly string[];
  readonly #index: ByteSource;
  readonly #starts: BigUint64Array;
  /** Two a block: where it is, where its unit's scope records are. */
  readonly #offsets: Uint32Array;
  readonly #files: DataView;
  readonly #strings: Extent;
  /** Names and paths by their offset. */
  readonly #texts = new Map<number, string>();

  /** @throws FormatError when the index is damaged, of another version or of another file. */
  constructor(elf: ElfFile, index: ByteSource) {
    const { blocks, files, strings } = readTables(elf, index);
    if (blocks.size > MAX_TABLE || files.size > MAX_TABLE || blocks.size % BLOCK_ROW !== 0)
      throw new FormatError('debug index with an impossible table', { source: index.name });
    const count = blocks.size / BLOCK_ROW;
    const bytes = index.read(blocks.offset, blocks.size).slice();
    this.#starts = new BigUint64Array(bytes.buffer, 0, count);
    this.#offsets = new Uint32Array(bytes.buffer, count * 8, count * 2);
    const fileBytes = index.read(files.offset, files.size);
    this.#files = new DataView(fileBytes.buffer, fileBytes.byteOffset, fileBytes.byteLength);
    this.#strings = strings;
    this.#index = index;
    this.warnings = supplementWarnings(elf);
  }

  /** @throws FormatError when the index is damaged where the answer should be. */
  lookup(address: bigint): readonly SourceFrame[] {
    const block = this.#blockAt(address);
    if (block < 0) return [];
    const interval = this.#intervalAt(block, Number(address - (this.#starts[block] ?? 0n)));
    if (interval.scope === 0 && interval.file === 0) return [];
    const frames: SourceFrame[] = [];
    let { scope, file, line, column } = interval;
    for (;;) {
      const record = this.#scope(block, scope);
      frames.push({
        function: record && this.#text(record.getUint32(4, true)),
        file: this.#path(file),
        line: line || undefined,
        column: column || undefined,
      });
      scope = record?.getUint32(0, true) ?? 0;
      if (!record || scope === 0) return frames;
      if (frames.length > MAX_DEPTH) throw this.#damaged('scopes nested too deep');
      file = record.getUint32(8, true);
      line = record.getUint32(12, true);
      column = record.getUint32(16, true);
    }
  }

  #blockAt(address: bigint): number {
    let low = 0;
    let high = this.#starts.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#starts[middle] ?? 0n) <= address) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }

  /** The interval that holds `distance` bytes behind the block's start. */
  #intervalAt(block: number, distance: number): Interval {
    const offset = this.#offsets[block * 2] ?? 0;
    const size = Math.min(MAX_BLOCK, this.#index.size - offset);
    if (size <= 0) throw this.#damaged('block outside the index');
    const cursor = new Cursor(this.#index.name, this.#index.read(offset, size), 0, offset);
    const count = cursor.u8();
    if (count > BLOCK_INTERVALS) throw cursor.error(`block of ${count} intervals`);
    const interval: Interval = { scope: 0, file: 0, line: 0, column: 0 };
    for (let at = 0, left = count; left > 0; left--) {
      const head = cursor.u8();
      at += head >>> 4 || cursor.uleb();
      if (at > distance) break;
      if (head & SCOPE_CHANGES) interval.scope += cursor.sleb();
      if (head & FILE_CHANGES) interval.file += cursor.sleb();
      if (head & LINE_CHANGES) interval.line += cursor.sleb();
      if (head & COLUMN_CHANGES) interval.column = cursor.uleb();
    }
    return interval;
  }

  #scope(block: number, scope: number): DataView | undefined {
    if (scope === 0) return undefined;
    const size = SCOPE_WORDS * 4;
    const bytes = this.#index.read((this.#offsets[block * 2 + 1] ?? 0) + (scope - 1) * size, size);
    return new DataView(bytes.buffer, bytes.byteOffset, size);
  }

  #path(file: number): string | undefined {
    if (file === 0) return undefined;
    const at = (file - 1) * 4;
    if (!(at >= 0 && at + 4 <= this.#files.byteLength)) throw this.#damaged('no such file');
    return this.#text(this.#files.getUint32(at, true));
  }

  /** Text of the string table; offset 0 is none. */
  #text(offset: number): string | undefined {
    if (offset === 0) return undefined;
    const known = this.#texts.get(offset);
    if (known !== undefined) return known;
    const rest = this.#strings.size - offset;
    if (rest <= 0) throw this.#damaged('text outside the index');
    let bytes = this.#index.read(this.#strings.offset + offset, Math.min(rest, 256));
    if (!bytes.includes(0)) bytes = this.#index.read(this.#strings.offset + offset, Math.min(rest, 1 << 16));
    const text = textUntilNul(bytes, 0);
    if (this.#texts.size < MAX_TEXTS) this.#texts.set(offset, text);
    return text;
  }

  #damaged(message: string): FormatError {
    return new FormatError(`debug index is damaged: ${message}`, { source: this.#index.name });
  }
}
