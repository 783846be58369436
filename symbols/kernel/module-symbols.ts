// The symbol table that a module keeps in memory (linux kernel/module/kallsyms.c). Finds no module.
import { FormatError } from '../errors.ts';
import { orderByAddress, SymbolTable } from '../symbol-table.ts';
import type { LinuxMemory } from './linux-memory.ts';

/** amdgpu, the largest module, has 40,000. */
const MAX_SYMBOLS = 1 << 20;
const ELF_SYMBOL = 24;
const SHN_UNDEF = 0;
const MAX_NAMES = 32 << 20;
/** KSYM_NAME_LEN. */
const MAX_NAME = 512;
/** Bytes of the tables of all modules together: hostile ones can all name the same. A distribution's kernel with all loaded has 50 MB. */
const MAX_ALL = 256 << 20;
const LETTER_ABSOLUTE = 'A'.charCodeAt(0);

interface Range {
  readonly base: bigint;
  readonly size: number;
}

/** What the tables of a guest's modules may still take. */
export interface SymbolRoom {
  bytes: number;
}
export const symbolRoom = (): SymbolRoom => ({ bytes: MAX_ALL });

/**
 * Symbols in the order of the module's table, without sizes: as for the kernel, a symbol reaches to the next one. Each range ends
 * with a nameless absolute symbol, so that its last one ends there.
 * @throws FormatError or MemoryFault when they cannot be read.
 */
export function readModuleSymbols(
  linux: LinuxMemory,
  module: bigint,
  name: string,
  ranges: readonly Range[],
  room: SymbolRoom,
): SymbolTable {
  const kallsyms = linux.u64(module, 'module', 'kallsyms');
  const count = linux.u32(kallsyms, 'mod_kallsyms', 'num_symtab');
  if (count > MAX_SYMBOLS) throw new FormatError(`module ${name} with ${count} symbols`);
  room.bytes -= count * ELF_SYMBOL;
  if (room.bytes < 0) throw new FormatError('modules with too many symbols');
  const bytes = linux.reader.bytes(linux.u64(kallsyms, 'mod_kallsyms', 'symtab'), count * ELF_SYMBOL);
  // Letters of their own since 5.2 (1c7651f43777); before, they replaced the symbols' info.
  const letters = linux.has('mod_kallsyms', 'typetab')
    ? linux.reader.bytes(linux.u64(kallsyms, 'mod_kallsyms', 'typetab'), count)
    : Uint8Array.from({ length: count }, (_, index) => bytes[index * ELF_SYMBOL + 4] ?? 0);
  const view = new DataView(bytes.buffer);
  const rows: Row[] = [];
  for (let index = 0; index < count; index++) {
    const at = index * ELF_SYMBOL;
    const nameAt = view.getUint32(at, true);
    if (view.getUint16(at + 6, true) === SHN_UNDEF || nameAt === 0) continue;
    rows.push({ address: view.getBigUint64(at + 8, true), letter: letters[index] ?? 0, name: nameAt });
  }
  const names = namesOf(linux, linux.u64(kallsyms, 'mod_kallsyms', 'strtab'), rows, room);
  // Name 0 is the empty one in every ELF string table.
  for (const { base, size } of ranges)
    rows.push({ address: base + BigInt(size), letter: LETTER_ABSOLUTE, name: 0 });
  return tableOf(`module ${name}`, rows, names);
}

interface Row {
  readonly address: bigint;
  readonly letter: number;
  /** Offset in the string table. */
  readonly name: number;
}

/** The string table has no length of its own: it ends with the last name. */
function namesOf({ reader }: LinuxMemory, start: bigint, rows: readonly Row[], room: SymbolRoom): Uint8Array {
  const last = rows.reduce((most, { name }) => Math.max(most, name), 0);
  room.bytes -= last;
  if (last > MAX_NAMES || room.bytes < 0) throw new FormatError(`symbol names of ${last} bytes`);
  const names = new Uint8Array(last + MAX_NAME);
  reader.read(start, names.subarray(0, last));
  const tail = new TextEncoder().encode(reader.text(start + BigInt(last), MAX_NAME - 1));
  names.set(tail.subarray(0, MAX_NAME - 1), last);
  return names;
}

function tableOf(source: string, rows: readonly Row[], names: Uint8Array): SymbolTable {
  const low = Uint32Array.from(rows, ({ address }) => Number(address & 0xffff_ffffn));
  const high = Uint32Array.from(rows, ({ address }) => Number(address >> 32n));
  const columns = {
    low,
    high,
    letters: Uint8Array.from(rows, ({ letter }) => letter),
    nameStarts: Uint32Array.from(rows, ({ name }) => name),
    names,
  };
  return new SymbolTable(source, columns, orderByAddress(low, high));
}
