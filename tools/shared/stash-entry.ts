// What is known of a file in the stash: entry.json beside it. Says what an ELF file is, as far as a list of files needs it.

import { hex16 } from '../../symbols/address.ts';
import { latin1Of } from '../../symbols/bytes.ts';
import { SHT_NOBITS } from '../../symbols/elf/constants.ts';
import type { ElfFile } from '../../symbols/elf/elf-file.ts';
import { findSection, readSection } from '../../symbols/elf/elf-file.ts';
import { FormatError } from '../../symbols/errors.ts';
import { elfMemory } from '../../symbols/kernel/elf-memory.ts';
import { notesRange, runningRelease } from '../../symbols/kernel/identity.ts';
import type { SymbolTable } from '../../symbols/symbol-table.ts';
import { asBoolean, asNumber, asObject, asOptional, asString, parseJson } from './json.ts';

const SCHEMA = 'pvh-report-stash/1';

export interface StashEntry {
  /** GNU build-id, lower-case hex. */
  readonly buildId: string;
  /** Name of the file that was stashed, without its folder. */
  readonly name: string;
  readonly kind: 'kernel' | 'module' | 'file';
  /** `uname -r` of a Linux kernel; of a module the one that it was built for. */
  readonly release?: string | undefined;
  /** Where a kernel, run where it is linked, has its notes in memory: 16 hex digits, and bytes. */
  readonly notes?: { readonly address: string; readonly size: number } | undefined;
  /** Whether it has DWARF. */
  readonly debug: boolean;
  readonly symbols: number;
  /** Bytes of the file. */
  readonly size: number;
  readonly sha256: string;
  /** CRC-32 of the kept symbol table. */
  readonly tableCrc: number;
  /** CRC-32 of the kept index of source lines, where there is one. */
  readonly linesCrc?: number | undefined;
}

/** Facts of the file itself. */
export function describeElf(
  elf: ElfFile,
  table: SymbolTable,
): Pick<StashEntry, 'kind' | 'release' | 'notes' | 'debug' | 'symbols'> {
  const info = findSection(elf, '.debug_info');
  const addressOf = (name: string): bigint | undefined => table.addressOf(name);
  const release = runningRelease(elfMemory(elf), addressOf);
  const notes = notesRange(addressOf);
  const isModule = elf.type === 'rel' && findSection(elf, '.gnu.linkonce.this_module') !== undefined;
  const kind = isModule ? 'module' : release === undefined ? 'file' : 'kernel';
  return {
    kind,
    release: isModule ? moduleRelease(elf) : release,
    ...(notes && { notes: { address: hex16(notes.address), size: notes.size } }),
    debug: info !== undefined && info.type !== SHT_NOBITS,
    symbols: table.length,
  };
}

const MAX_MODINFO = 1 << 20;

/** The kernel that a module was built for: the first word of its vermagic (include/linux/vermagic.h). */
function moduleRelease(elf: ElfFile): string | undefined {
  const section = findSection(elf, '.modinfo');
  if (!section || section.size > MAX_MODINFO) return undefined;
  const text = latin1Of(readSection(elf, section));
  return /(?:^|\0)vermagic=([\w.+~-]{1,64})[ \0]/.exec(text)?.[1];
}

const MODULE_FILE = /\.ko(?:\.debug)?(?:\.(?:xz|zst|gz))?$/;

/** Name of a module by the name of its file, in which dashes and underscores are one; undefined for the name of another file. */
export const moduleName = (fileName: string): string | undefined =>
  MODULE_FILE.test(fileName) ? fileName.replace(MODULE_FILE, '').replaceAll('-', '_') : undefined;

/** Build-ids become names of folders. */
export const isBuildId = (text: string): boolean => /^(?:[0-9a-f]{2}){4,64}$/.test(text);

export const renderEntry = (entry: StashEntry): string =>
  `${JSON.stringify({ schema: SCHEMA, ...entry }, undefined, 1)}\n`;

function asNotes(value: unknown, source: string): NonNullable<StashEntry['notes']> {
  const notes = asObject(value, source);
  const address = asString(notes['address'], source);
  if (!/^[0-9a-f]{16}$/.test(address)) throw new FormatError(`address ${address}`, { source });
  return { address, size: asNumber(notes['size'], source) };
}

/** @throws FormatError */
export function parseEntry(text: string, source: string): StashEntry {
  const top = asObject(parseJson(text, source), source);
  if (top['schema'] !== SCHEMA) throw new FormatError(`not of schema ${SCHEMA}`, { source });
  const kind = asString(top['kind'], source);
  const buildId = asString(top['buildId'], source);
  if (kind !== 'kernel' && kind !== 'module' && kind !== 'file')
    throw new FormatError(`kind ${kind}`, { source });
  if (!isBuildId(buildId)) throw new FormatError('no build-id', { source });
  return {
    buildId,
    kind,
    name: asString(top['name'], source),
    release: asOptional(asString, top['release'], source),
    notes: asOptional(asNotes, top['notes'], source),
    debug: asBoolean(top['debug'], source),
    symbols: asNumber(top['symbols'], source),
    size: asNumber(top['size'], source),
    sha256: asString(top['sha256'], source),
    tableCrc: asNumber(top['tableCrc'], source),
    linesCrc: asOptional(asNumber, top['linesCrc'], source),
  };
}
