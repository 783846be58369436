// Opens what a user gives as symbols: a vmlinux ELF or a System.map. Says why when it is neither.
import { FileSource } from '../../core/host/file-source.ts';
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

/** @throws PvhError when it cannot be opened, FormatError when it is an ELF file without symbols. */
export function openSymbolFile(path: string): SymbolFile {
  const source = new FileSource(path);
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
