// Makes a small dump-core file out of a large one: the same headers and vCPU contexts, and only the frames that are wanted.
import type { ByteSource } from '../../symbols/bytes.ts';
import { findSection, openElf } from '../../symbols/elf/elf-file.ts';

const PAGE = 4096;
const ALIGN = (value: number): number => Math.ceil(value / PAGE) * PAGE;

/** @param keep guest frame numbers; those that the file does not have are left out. */
export function reduceCore(source: ByteSource, keep: ReadonlySet<number>): Uint8Array {
  const elf = openElf(source);
  const section = (name: string) => {
    const found = findSection(elf, name);
    if (!found) throw new Error(`no ${name}`);
    return found;
  };
  const pages = section('.xen_pages');
  const pfns = section('.xen_pfn');
  const names = section('.shstrtab');
  const table = new BigUint64Array(source.read(pfns.offset, pfns.size).slice().buffer);
  const kept = [...table.entries()].filter(([, gfn]) => keep.has(Number(gfn)));

  const pfnOffset = ALIGN(pages.offset) + kept.length * PAGE;
  const nameOffset = pfnOffset + kept.length * 8;
  const bytes = new Uint8Array(nameOffset + names.size);
  bytes.set(source.read(0, pages.offset));
  kept.forEach(([slot], index) => {
    bytes.set(source.read(pages.offset + slot * PAGE, PAGE), pages.offset + index * PAGE);
  });
  bytes.set(new Uint8Array(BigUint64Array.from(kept, ([, gfn]) => gfn).buffer), pfnOffset);
  bytes.set(source.read(names.offset, names.size), nameOffset);

  const view = new DataView(bytes.buffer);
  const place = (index: number, offset: number, size: number) => {
    view.setBigUint64(64 + index * 64 + 24, BigInt(offset), true);
    view.setBigUint64(64 + index * 64 + 32, BigInt(size), true);
  };
  place(pages.index, pages.offset, kept.length * PAGE);
  place(pfns.index, pfnOffset, kept.length * 8);
  place(names.index, nameOffset, names.size);
  // nr_pages of the header note: behind the first note (16 bytes), its own header (16), magic and nr_vcpus.
  view.setBigUint64(section('.note.Xen').offset + 48, BigInt(kept.length), true);
  return bytes;
}
