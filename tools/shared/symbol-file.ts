// Opens what a user gives as symbols: a vmlinux ELF or a System.map. Says why when it is neither.
import { closeSync, openSync, readSync, statSync } from 'node:fs';
import { FileSource } from '../../core/host/file-source.ts';
import { type ByteSource, memorySource } from '../../symbols/bytes.ts';
import { type ElfFile, isElf, openElf } from '../../symbols/elf/elf-file.ts';
import { readSymbolTable } from '../../symbols/elf/symtab.ts';
import { FormatError } from '../../symbols/errors.ts';
import { parseSystemMap } from '../../symbols/kernel/system-map.ts';
import type { SymbolTable } from '../../symbols/symbol-table.ts';

export interface SymbolFile {
  readonly path: string;
  readonly table: SymbolTable;
  /** Set when it is an ELF file; readable until close(). */
  readonly elf?: ElfFile | undefined;
  /** What a user should know although it goes on. */
  readonly warnings: readonly string[];
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

function open(path: string): ByteSource & { close(): void } {
  const status = statSync(path);
  if (status.isFile() || status.isDirectory()) return new FileSource(path);
  return { ...readStream(path), close: () => undefined };
}

/** @throws the system's error when it cannot be opened, PvhError for a folder, FormatError for an ELF file without symbols. */
export function openSymbolFile(path: string): SymbolFile {
  const source = open(path);
  try {
    if (isElf(source)) {
      const elf = openElf(source);
      const table = readSymbolTable(elf);
      if (!table || table.length === 0)
        throw new FormatError(
          'no symbols in it (.symtab is missing: stripped); give the vmlinux with debug information',
          {
            source: path,
          },
        );
      return { path, table, elf, warnings: [], close: () => source.close() };
    }
    const { table, stub } = parseSystemMap(source);
    const warnings = [];
    if (stub !== undefined) warnings.push(`${path} is a stub: ${stub}`);
    else if (table.length === 0) warnings.push(`no symbols in ${path}`);
    source.close();
    return { path, table, warnings, close: () => undefined };
  } catch (error) {
    source.close();
    throw error;
  }
}
