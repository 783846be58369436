// The symbol stash: ELF files kept by their build-id, packed but readable at any place, with what makes them quick to use beside
// them. An entry is a folder that appears whole or not at all.
import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import { crc32 } from 'node:zlib';
import { BlockedGzipSource, writeBlockedGzip } from '../../core/host/blocked-gzip.ts';
import { hostCodecs } from '../../core/host/codecs.ts';
import { FileSource } from '../../core/host/file-source.ts';
import { NewFile, replaceFile } from '../../core/host/files.ts';
import { withLock } from '../../core/host/lock.ts';
import { isAlive } from '../../core/host/process-identity.ts';
import type { ByteSource } from '../../symbols/bytes.ts';
import { type DebugInfo, openDebugInfo } from '../../symbols/dwarf/debug-info.ts';
import { writeDebugIndex } from '../../symbols/dwarf/index-file.ts';
import { type ElfFile, isElf, openElf } from '../../symbols/elf/elf-file.ts';
import { layOutSections } from '../../symbols/elf/lay-out.ts';
import { FormatError, PvhError } from '../../symbols/errors.ts';
import { isBzImage } from '../../symbols/kernel/bzimage.ts';
import { packSymbols, unpackSymbols } from '../../symbols/symbol-columns.ts';
import type { SymbolTable } from '../../symbols/symbol-table.ts';
import { describeElf, isBuildId, parseEntry, renderEntry, type StashEntry } from './stash-entry.ts';
import { stateDirectory } from './state-dir.ts';
import {
  type OpenSource,
  openSymbolFile,
  openSymbolSource,
  type SymbolFile,
  tableOfElf,
} from './symbol-file.ts';

/** PVH_STASH_DIR, else `stash` in the state directory. */
export function stashDirectory(env: Readonly<Record<string, string | undefined>>): string {
  return env['PVH_STASH_DIR'] || join(stateDirectory(env), 'stash');
}

/** `there`: the same file was. `better`: another file of this build was, and it has more in it, so it stays. */
export type Stashed = 'new' | 'replaced' | 'there' | 'better';

/** Called now and then with the bytes done and to do. */
type OnProgress = (done: number, total: number) => void;

const UNFINISHED = /^\.(?:new|old)\.(\d+)\./;

let lastTemporary = 0; // only makes names unique within this process

const files = (folder: string) => ({
  entry: join(folder, 'entry.json'),
  elf: join(folder, 'elf.gz'),
  blocks: join(folder, 'elf.gz.gzi'),
  table: join(folder, 'symbols'),
  lines: join(folder, 'debug-index'),
});

const worth = ({ debug, symbols }: StashEntry): number => (debug ? 2 : 0) + (symbols > 0 ? 1 : 0);

const isAbsent = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ENOTDIR');

export class Stash {
  readonly folder: string;

  /** The folder is made when something is first put into it. */
  constructor(folder: string) {
    this.folder = folder;
  }

  /** All whole entries, by release, name and build-id; `damaged` gets what cannot be read. */
  list(damaged: (problem: Error) => void = () => undefined): StashEntry[] {
    const entries = this.#names()
      .filter(isBuildId)
      .flatMap((name) => {
        try {
          return this.find(name) ?? [];
        } catch (error) {
          if (!(error instanceof PvhError)) throw error;
          damaged(error);
          return [];
        }
      });
    const key = ({ release = '', name, buildId }: StashEntry): string => `${release}\0${name}\0${buildId}`;
    return entries.sort((a, b) => (key(a) < key(b) ? -1 : 1));
  }

  /** @throws FormatError when the entry is damaged. */
  find(buildId: string): StashEntry | undefined {
    if (!isBuildId(buildId)) return undefined;
    const path = files(this.#folderOf(buildId)).entry;
    try {
      const entry = parseEntry(readFileSync(path, 'utf8'), path);
      if (entry.buildId !== buildId) throw new FormatError(`build-id ${entry.buildId}`, { source: path });
      return entry;
    } catch (error) {
      if (isAbsent(error)) return undefined;
      throw error;
    }
  }

  /** The build-ids that begin with some digits. */
  match(start: string): string[] {
    return this.#names().filter((name) => isBuildId(name) && name.startsWith(start.toLowerCase()));
  }

  /** Bytes that the entry takes on the disk. */
  room(buildId: string): number {
    const folder = this.#folderOf(buildId);
    return readdirSync(folder).reduce((sum, name) => sum + statSync(join(folder, name)).size, 0);
  }

  /** The file itself, bit for bit as it was. */
  content(entry: StashEntry): OpenSource {
    const { elf, blocks } = files(this.#folderOf(entry.buildId));
    const packed = new FileSource(elf);
    try {
      const index = new FileSource(blocks);
      try {
        const source = new BlockedGzipSource(packed, index, entry.size);
        return {
          name: source.name,
          size: source.size,
          read: (offset, length) => source.read(offset, length),
          close: () => packed.close(),
        };
      } finally {
        index.close();
      }
    } catch (error) {
      packed.close();
      throw error;
    }
  }

  /** Opens an entry as openSymbolFile opens a file. @throws FormatError when it is damaged. */
  open(entry: StashEntry): SymbolFile {
    const source = this.content(entry);
    try {
      const elf = layOutSections(openElf(source, hostCodecs));
      const warnings: string[] = [];
      const table = this.#keptTable(entry) ?? tableOfElf(elf, entry.name, warnings);
      const path = `${entry.name} (stashed)`;
      const lines = this.#keptLines(entry, elf);
      const close = (): void => {
        lines?.close();
        source.close();
      };
      const debugInfo = lines?.debugInfo ?? openDebugInfo(elf);
      warnings.push(...(debugInfo?.warnings ?? []));
      return { path, table, elf, buildId: entry.buildId, debugInfo, warnings, close };
    } catch (error) {
      source.close();
      throw error;
    }
  }

  /**
   * Puts a file into the stash.
   * @param name under which it is listed: where the file came from.
   * @throws FormatError when it is no ELF file or has no build-id, the system's error when it cannot be written (ENOSPC).
   */
  async add(
    path: string,
    onProgress: OnProgress = () => undefined,
    name: string = basename(path),
  ): Promise<{ readonly entry: StashEntry; readonly how: Stashed }> {
    const file = openForStash(path);
    try {
      const present = this.#presentOrDamaged(file.buildId);
      if (present && present.size === file.source.size && present.sha256 === digestOf(file.source))
        return { entry: present, how: 'there' };
      mkdirSync(this.folder, { recursive: true, mode: 0o700 });
      this.#sweep();
      const scratch = this.#hidden('new');
      try {
        mkdirSync(scratch, { mode: 0o700 });
        const entry = await fillEntry(scratch, file, name, onProgress);
        return { entry, how: await withLock(this.#lock, () => this.#publish(scratch, entry)) };
      } finally {
        rmSync(scratch, { recursive: true, force: true });
      }
    } finally {
      file.close();
    }
  }

  /** @returns false when there is no such entry. */
  async remove(buildId: string): Promise<boolean> {
    if (!isBuildId(buildId) || !this.#names().includes(buildId)) return false;
    return withLock(this.#lock, () => {
      this.#discard(buildId);
      return true;
    });
  }

  /** Reads everything of an entry. @throws FormatError that says what is damaged. */
  verify(entry: StashEntry): void {
    const source = this.content(entry);
    try {
      const digest = digestOf(source);
      if (digest !== entry.sha256)
        throw new FormatError(`SHA-256 is ${digest}, ${entry.sha256} expected`, { source: source.name });
    } finally {
      source.close();
    }
    const { lines } = files(this.#folderOf(entry.buildId));
    if (entry.linesCrc !== undefined && crc32(readFileSync(lines)) !== entry.linesCrc)
      throw new FormatError('the kept index of source lines is damaged', { source: lines });
    if (!this.#keptTable(entry))
      throw new FormatError('the kept symbol table is damaged', {
        source: files(this.#folderOf(entry.buildId)).table,
      });
  }

  get #lock(): string {
    return join(this.folder, '.lock');
  }

  #folderOf(buildId: string): string {
    return join(this.folder, buildId);
  }

  #hidden(kind: 'new' | 'old'): string {
    return join(this.folder, `.${kind}.${process.pid}.${++lastTemporary}`);
  }

  #names(): string[] {
    try {
      return readdirSync(this.folder);
    } catch (error) {
      if (isAbsent(error)) return [];
      throw error;
    }
  }

  /** The table as it was kept; undefined when it is damaged. */
  #keptTable({ buildId, tableCrc, name }: StashEntry): SymbolTable | undefined {
    try {
      const bytes = readFileSync(files(this.#folderOf(buildId)).table);
      return crc32(bytes) === tableCrc ? unpackSymbols(bytes, name) : undefined;
    } catch (error) {
      if (error instanceof FormatError || isAbsent(error)) return undefined;
      throw error;
    }
  }

  /** Lines by the kept index; undefined when there is none or it is damaged. */
  #keptLines(
    { buildId }: StashEntry,
    elf: ElfFile,
  ): { debugInfo: DebugInfo | undefined; close(): void } | undefined {
    let index: FileSource;
    try {
      index = new FileSource(files(this.#folderOf(buildId)).lines);
    } catch (error) {
      if (isAbsent(error)) return undefined;
      throw error;
    }
    try {
      return { debugInfo: openDebugInfo(elf, index), close: () => index.close() };
    } catch (error) {
      index.close();
      if (error instanceof FormatError) return undefined;
      throw error;
    }
  }

  /** An entry that is damaged may be written anew. */
  #presentOrDamaged(buildId: string): StashEntry | undefined {
    try {
      return this.find(buildId);
    } catch (error) {
      if (error instanceof FormatError) return undefined;
      throw error;
    }
  }

  /** Moves a finished entry to its name. The lock is held. */
  #publish(scratch: string, entry: StashEntry): Stashed {
    const present = this.#presentOrDamaged(entry.buildId);
    if (present?.sha256 === entry.sha256) return 'there';
    if (present && worth(present) > worth(entry)) return 'better';
    const replaces = this.#names().includes(entry.buildId);
    if (replaces) this.#discard(entry.buildId);
    renameSync(scratch, this.#folderOf(entry.buildId));
    return replaces ? 'replaced' : 'new';
  }

  #discard(buildId: string): void {
    const hidden = this.#hidden('old');
    renameSync(this.#folderOf(buildId), hidden);
    rmSync(hidden, { recursive: true, force: true });
  }

  /** Removes what processes have left that were killed. */
  #sweep(): void {
    for (const name of this.#names()) {
      const pid = UNFINISHED.exec(name)?.[1];
      if (pid !== undefined && !isAlive({ pid: Number(pid), startTime: '' }))
        rmSync(join(this.folder, name), { recursive: true, force: true });
    }
  }
}

interface StashableFile extends SymbolFile {
  readonly buildId: string;
  readonly source: OpenSource;
}

/** What somebody gave who gave no ELF file, and what to do. */
const whyNotKept = (source: ByteSource): string =>
  `${isBzImage(source) ? 'a bzImage, which has no source lines' : 'not an ELF file'}: keep the vmlinux of this build instead ` +
  '(Debian: package linux-image-RELEASE-dbg)';

/** @throws FormatError for what cannot be kept by build-id. */
function openForStash(path: string): StashableFile {
  const source = openSymbolSource(path);
  try {
    if (!isElf(source)) throw new FormatError(whyNotKept(source), { source: path });
    const file = openSymbolFile(path);
    const { buildId } = file;
    if (buildId !== undefined && isBuildId(buildId))
      return {
        ...file,
        buildId,
        source,
        close() {
          file.close();
          source.close();
        },
      };
    file.close();
    throw new FormatError('no build-id in it (linked without --build-id)', { source: path });
  } catch (error) {
    source.close();
    throw error;
  }
}

const DIGEST_PIECE = 1 << 20;

function digestOf(source: OpenSource): string {
  const digest = createHash('sha256');
  for (let offset = 0; offset < source.size; offset += DIGEST_PIECE)
    digest.update(source.read(offset, Math.min(DIGEST_PIECE, source.size - offset)));
  return digest.digest('hex');
}

/**
 * Debug information that cannot be read is no reason not to keep the file.
 * @returns CRC-32 of the index; undefined when there is none.
 */
function writeLines(path: string, elf: ElfFile): number | undefined {
  const file = new NewFile(path);
  try {
    let size = 0;
    let crc = 0;
    for (const piece of writeDebugIndex(elf)) {
      file.write(size, piece);
      size += piece.length;
      crc = crc32(piece, crc);
    }
    file.commit();
    return crc;
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    return undefined;
  } finally {
    file.abort();
  }
}

/** Writes all files of an entry into a folder; each is on the disk when this returns. */
async function fillEntry(
  folder: string,
  { source, elf, table, buildId, debugInfo }: StashableFile,
  name: string,
  onProgress: OnProgress,
): Promise<StashEntry> {
  if (!elf) throw new FormatError('not an ELF file', { source: source.name });
  const paths = files(folder);
  const digest = createHash('sha256');
  const packed = new NewFile(paths.elf);
  let done = 0;
  try {
    const { index } = await writeBlockedGzip(source, packed, (content) => {
      digest.update(content);
      done += content.length;
      onProgress(done, source.size);
    });
    packed.commit();
    replaceFile(paths.blocks, index);
  } finally {
    packed.abort();
  }
  const linesCrc = debugInfo && writeLines(paths.lines, elf);
  const symbols = packSymbols(table);
  replaceFile(paths.table, symbols);
  const entry: StashEntry = {
    buildId,
    name,
    ...describeElf(elf, table),
    size: source.size,
    sha256: digest.digest('hex'),
    tableCrc: crc32(symbols),
    ...(linesCrc !== undefined && { linesCrc }),
  };
  replaceFile(paths.entry, renderEntry(entry));
  return entry;
}
