// What the stash keeps beside a file: the packed symbol table and the index of its debug information. The first byte says which.
import { memorySource } from '../../../symbols/bytes.ts';
import { openDebugInfo } from '../../../symbols/dwarf/debug-info.ts';
import { writeDebugIndex } from '../../../symbols/dwarf/index-file.ts';
import { type ElfFile, findSection, openElf } from '../../../symbols/elf/elf-file.ts';
import { readSymbolTable } from '../../../symbols/elf/symtab.ts';
import { packSymbols, unpackSymbols } from '../../../symbols/symbol-columns.ts';
import { Symbolizer } from '../../../symbols/symbolizer.ts';
import { seedFile } from '../sample.ts';
import type { FuzzTarget } from '../target.ts';

const TABLE = 0;
const INDEX = 1;

let opened: ElfFile | undefined; // of one file, the same for all inputs
const elf = (): ElfFile => {
  opened ??= openElf(memorySource('small', seedFile('gcc-dwarf5.elf')));
  return opened;
};

function readTable(bytes: Uint8Array): number {
  const table = unpackSymbols(bytes, 'fuzz');
  const symbolizer = new Symbolizer(table);
  let read = 0;
  for (let index = 0; index < Math.min(table.length, 8); index++) {
    if (symbolizer.symbolize(table.address(index) + 1n)) read++;
    if (table.addressOf(table.name(index)) !== undefined) read++;
  }
  return read;
}

function readIndex(bytes: Uint8Array): number {
  const info = openDebugInfo(elf(), memorySource('index', bytes));
  const text = findSection(elf(), '.text');
  let read = 0;
  if (info && text)
    for (let at = 0; at < text.size; at += 12) read += info.lookup(text.address + BigInt(at)).length;
  return read;
}

export const STASH: FuzzTarget = {
  name: 'stash',
  seeds: () => {
    const table = readSymbolTable(elf());
    if (!table) throw new Error('no symbols');
    return [
      Uint8Array.of(TABLE, ...packSymbols(table)),
      Uint8Array.of(INDEX, ...[...writeDebugIndex(elf())].flatMap((piece) => [...piece])),
    ];
  },
  run: ([kind, ...rest]) => {
    const bytes = Uint8Array.from(rest);
    return kind === TABLE ? readTable(bytes) : readIndex(bytes);
  },
};
