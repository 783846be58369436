// The supplementary file, into which dwz moved the names that several debug files share (DWARF 5 §7.3.6). It is not read: says so.
import { readDebugAltLink } from '../elf/debug-link.ts';
import type { ElfFile } from '../elf/elf-file.ts';
import { FormatError } from '../errors.ts';

const MAX_NAME = 200;

/** Sentences for the user; none for a file that has all of its names itself. */
export function supplementWarnings(elf: ElfFile): string[] {
  let name: string | undefined;
  try {
    name = readDebugAltLink(elf)?.file;
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    name = '';
  }
  if (name === undefined) return [];
  const shown = name.slice(0, MAX_NAME).replace(/[^\x20-\x7e]/g, '?') || 'a file that it does not tell';
  return [
    `${elf.source.name}: dwz moved names of functions into ${shown}, which is not read: ` +
      'inlined functions without a name are shown as ?',
  ];
}
