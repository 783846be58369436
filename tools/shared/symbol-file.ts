// Opens what a user gives as symbols: a vmlinux, a module, a bzImage, a System.map or a copy of /proc/kallsyms, packed or not. Says
// why when it is none of them. Where such files may lie is the matter of symbol-search.ts.
import { closeSync, openSync, readSync, statSync } from 'node:fs';
import { hostCodecs } from '../../core/host/codecs.ts';
import { FileSource } from '../../core/host/file-source.ts';
import { type ByteSource, memorySource } from '../../symbols/bytes.ts';
import { type DebugInfo, openDebugInfo } from '../../symbols/dwarf/debug-info.ts';
import { type ElfFile, isElf, openElf } from '../../symbols/elf/elf-file.ts';
import { layOutSections } from '../../symbols/elf/lay-out.ts';
import { readSymbolTable } from '../../symbols/elf/symtab.ts';
import { FormatError } from '../../symbols/errors.ts';
import { isBzImage, unpackBzImage } from '../../symbols/kernel/bzimage.ts';
import { elfMemory } from '../../symbols/kernel/elf-memory.ts';
import { fileBuildId } from '../../symbols/kernel/identity.ts';
import { findKallsyms } from '../../symbols/kernel/kallsyms.ts';
import { parseSystemMap } from '../../symbols/kernel/system-map.ts';
import type { SymbolTable } from '../../symbols/symbol-table.ts';
import { packingOf, unpackFile } from './packed-file.ts';

export interface SymbolFile {
  readonly path: string;
  readonly table: SymbolTable;
  /** Set when there is an ELF file; readable until close(). Sections of a module have made-up addresses (layOutSections). */
  readonly elf?: ElfFile | undefined;
  /** GNU build-id in lower-case hex, where the file has one. */
  readonly buildId: string | undefined;
  /** Source lines and inlined functions, by the addresses for which the file is linked. */
  readonly debugInfo?: DebugInfo | undefined;
  /** The line that Debian installs in place of a System.map: it names nothing. */
  readonly isStub?: boolean;
  /** What a user should know although it goes on. */
  readonly warnings: readonly string[];
  close(): void;
}

/** A source that somebody has to close. */
export interface OpenSource extends ByteSource {
  close(): void;
}

/** A pipe (`-s <(zcat System.map.gz)`) is read up to this size. */
const MAX_STREAM = 256 << 20;
const PIECE = 1 << 16;

function readStream(path: string): ByteSource {
  const file = openSync(path, 'r');
  try {
    const pieces: Uint8Array[] = [];
    for (let total = 0; ; ) {
      const piece = new Uint8Array(PIECE);
      const count = readSync(file, piece);
      if (count === 0) return memorySource(path, Buffer.concat(pieces));
      total += count;
      if (total > MAX_STREAM) throw new FormatError(`more than ${MAX_STREAM >> 20} MiB`, { source: path });
      pieces.push(piece.subarray(0, count));
    }
  } finally {
    closeSync(file);
  }
}

const inMemory = (source: ByteSource): OpenSource => ({ ...source, close: () => undefined });

/**
 * The bytes of a symbol file: files by offset; what is packed, pipes, and files that do not tell their size (/proc/kallsyms), whole.
 * @throws as openSymbolFile
 */
export function openSymbolSource(path: string): OpenSource {
  const status = statSync(path);
  const isPlain = status.isDirectory() || (status.isFile() && status.size > 0);
  const source: OpenSource = isPlain ? new FileSource(path) : inMemory(readStream(path));
  let inUse = false;
  try {
    const packing = packingOf(source);
    inUse = packing === undefined;
    return packing === undefined ? source : inMemory(unpackFile(source, packing));
  } finally {
    if (!inUse) source.close();
  }
}

const STRIPPED = 'stripped: names are from the kallsyms inside, without file and line';

/** Symbols of an ELF file: its own, or those that a kernel carries for itself. @throws FormatError when there are none. */
export function tableOfElf(elf: ElfFile, path: string, warnings: string[]): SymbolTable {
  const table = readSymbolTable(elf);
  if (table && table.length > 0) return table;
  const own = findKallsyms(elfMemory(elf));
  if (!own)
    throw new FormatError(
      'no symbols in it (.symtab is missing: stripped); give the vmlinux with debug information',
      { source: path },
    );
  warnings.push(`${path} is ${STRIPPED}`);
  return own;
}

function fromElf(path: string, source: ByteSource, close: () => void): SymbolFile {
  const elf = layOutSections(openElf(source, hostCodecs));
  const warnings: string[] = [];
  const table = tableOfElf(elf, path, warnings);
  const debugInfo = openDebugInfo(elf);
  warnings.push(...(debugInfo?.warnings ?? []));
  return { path, table, elf, buildId: fileBuildId(elf), debugInfo, warnings, close };
}

function fromText(path: string, source: ByteSource): SymbolFile {
  const { table, stub, hidden } = parseSystemMap(source);
  if (hidden)
    throw new FormatError('every address is 0: the kernel hides them (kptr_restrict); copy it as root', {
      source: path,
    });
  const warnings = [];
  if (stub !== undefined) warnings.push(`${path} is a stub: ${stub}`);
  else if (table.length === 0) warnings.push(`no symbols in ${path}`);
  return { path, table, buildId: undefined, isStub: stub !== undefined, warnings, close: () => undefined };
}

/**
 * Opens symbols of any form that is known, by what is in the file and not by its name.
 * @throws the system's error when it cannot be opened, PvhError for a folder, FormatError when there are no symbols in it.
 */
export function openSymbolFile(path: string): SymbolFile {
  const source = openSymbolSource(path);
  let inUse = false;
  try {
    if (isElf(source)) {
      const file = fromElf(path, source, () => source.close());
      inUse = true;
      return file;
    }
    if (isBzImage(source))
      return fromElf(path, memorySource(path, unpackBzImage(source, hostCodecs)), () => undefined);
    return fromText(path, source);
  } finally {
    if (!inUse) source.close();
  }
}
