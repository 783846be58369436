// Real bytes that seeds are cut from: a sample kernel's ELF file, and a core of a Debian kernel under Xen.
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import { decompress } from 'fzstd';
import { memorySource } from '../../symbols/bytes.ts';
import { type ElfFile, findSection, openElf, readSection } from '../../symbols/elf/elf-file.ts';

const file = (path: string): Uint8Array =>
  new Uint8Array(readFileSync(fileURLToPath(new URL(`../../${path}`, import.meta.url))));

/** samples/deep-call-chain/vmlinux: gcc, DWARF 5, .debug_frame, 55 KiB. */
export const sampleElf = (): ElfFile =>
  openElf(memorySource('vmlinux', file('samples/deep-call-chain/vmlinux')));

/** The first `size` bytes of a section of an ELF file. */
export function sectionBytes(
  elf: ElfFile,
  name: string,
  size: number = Number.POSITIVE_INFINITY,
): Uint8Array {
  const section = findSection(elf, name);
  if (!section) throw new Error(`no section ${name} in ${elf.source.name}`);
  return readSection(elf, section).slice(0, Math.min(size, section.size));
}

/** Pages of a Debian 6.1 guest that panicked by sysrq, as Xen 4.17 dumped it. */
export const goldenCore = (): Uint8Array =>
  new Uint8Array(gunzipSync(file('test/golden/xen-4.17/core.sysrq1.reduced.gz')));

/** The System.map of that kernel. */
export const goldenSystemMap = (): Uint8Array => decompress(file('test/golden/xen-4.17/System.map.zst'));

/** A file of test/fuzz/seeds. */
export const seedFile = (name: string): Uint8Array => file(`test/fuzz/seeds/${name}`);
