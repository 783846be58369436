// Who a kernel is: the build-id and the release, in a file and in a guest's memory. Compares nothing: tools/shared/identity.ts does.

import type { AddressOf } from '../address.ts';
import { latin1Of } from '../bytes.ts';
import { SHF_ALLOC, SHT_NOTE } from '../elf/constants.ts';
import type { ElfFile } from '../elf/elf-file.ts';
import { buildIdOf, parseNotes, readNotes } from '../elf/notes.ts';
import { FormatError } from '../errors.ts';
import { type MemorySource, tryRead } from '../memory.ts';

/** A kernel's notes are some 500 bytes. */
const MAX_NOTES = 1 << 16;
/** Sections of them: a kernel has three. Each is looked for at every place where the kernel could be. */
const MAX_NOTE_SECTIONS = 16;

/** GNU build-id of the file, lower-case hex; undefined when it was linked without. */
export const fileBuildId = (elf: ElfFile): string | undefined => buildIdOf(readNotes(elf));

/** Build-id among the notes in `length` bytes at an address; undefined when there is none, or no notes. */
export function buildIdAt(memory: MemorySource, address: bigint, length: number): string | undefined {
  const bytes = length > 0 && length <= MAX_NOTES ? tryRead(memory, address, length) : undefined;
  try {
    return bytes && buildIdOf(parseNotes('guest memory', bytes));
  } catch (error) {
    if (error instanceof FormatError) return undefined;
    throw error;
  }
}

/**
 * Build-id in guest memory at the addresses where this file has its notes, moved by `slide`. Undefined when there is none:
 * another kernel, one that runs elsewhere, or memory that cannot be read.
 */
export function guestBuildId(elf: ElfFile, memory: MemorySource, slide = 0n): string | undefined {
  const sections = elf.sections.filter(({ type, flags }) => type === SHT_NOTE && (flags & SHF_ALLOC) !== 0);
  for (const { address, size } of sections.slice(0, MAX_NOTE_SECTIONS)) {
    const id = buildIdAt(memory, address + slide, size);
    if (id !== undefined) return id;
  }
  return undefined;
}

/** Where a kernel has its notes: include/asm-generic/vmlinux.lds.h, NOTES. */
export function notesRange(addressOf: AddressOf): { address: bigint; size: number } | undefined {
  const address = addressOf('__start_notes');
  const stop = addressOf('__stop_notes');
  return address === undefined || stop === undefined ? undefined : { address, size: Number(stop - address) };
}

/** Build-id of the kernel whose symbols `addressOf` knows where they are. */
export function runningBuildId(memory: MemorySource, addressOf: AddressOf): string | undefined {
  const notes = notesRange(addressOf);
  return notes && buildIdAt(memory, notes.address, notes.size);
}

const BANNER = 'Linux version ';
const MAX_RELEASE = 64;

/** The release in a kernel's banner at `address`, `6.1.0-56-cloud-amd64`; undefined when there is no banner. */
export function releaseAt(memory: MemorySource, address: bigint): string | undefined {
  const bytes = tryRead(memory, address, BANNER.length + MAX_RELEASE + 1);
  const text = bytes && latin1Of(bytes);
  // What `uname -r` can be; it becomes part of file names.
  const release = text?.startsWith(BANNER)
    ? /^[\w.+~-]+(?= )/.exec(text.slice(BANNER.length))?.[0]
    : undefined;
  return release?.startsWith('.') ? undefined : release;
}

/** The release of the kernel whose symbols `addressOf` knows where they are. */
export function runningRelease(memory: MemorySource, addressOf: AddressOf): string | undefined {
  const banner = addressOf('linux_banner');
  return banner === undefined ? undefined : releaseAt(memory, banner);
}
