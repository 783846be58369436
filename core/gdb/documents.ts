// XML documents that a debugger reads beside the target description: the list of threads, the memory map.
import type { PagingLevels } from '../target/virtual-memory.ts';
import type { GdbGuest } from './guest.ts';

const PAGE = 4096;
/** Runs of frames in a memory map; a target with more is told as one run with holes, which reading finds. */
const MAX_RUNS = 1 << 16;

const ENTITIES: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' };

/** Text of a guest inside an XML document, in which control characters and what is not ASCII do not belong. */
export const xmlText = (text: string): string =>
  text.replace(/[^ -~]/g, '?').replace(/[&<>"]/g, (character) => ENTITIES[character] ?? '?');

/** Thread ids of gdb begin at 1: 0 means any thread. */
export const threadOf = (vcpu: number): number => vcpu + 1;

/** gdb manual, "Thread List Format". */
export function threadList(guest: GdbGuest): string {
  const threads = guest.target.vcpus.map((vcpu) => {
    const { name, text } = guest.namesOf(vcpu);
    const named = name === undefined ? '' : ` name="${xmlText(name)}"`;
    return `<thread id="${threadOf(vcpu.id).toString(16)}" core="${vcpu.id}"${named}>${xmlText(text)}</thread>\n`;
  });
  return `<?xml version="1.0"?>\n<threads>\n${threads.join('')}</threads>\n`;
}

/** gdb manual, "Memory Map Format". @param regions start and length. */
function memoryMap(type: 'ram' | 'rom', regions: readonly (readonly [bigint, bigint])[]): string {
  const lines = regions.map(
    ([start, length]) =>
      `<memory type="${type}" start="0x${start.toString(16)}" length="0x${length.toString(16)}"/>\n`,
  );
  return `<?xml version="1.0"?>\n<!DOCTYPE memory-map PUBLIC "+//IDN gnu.org//DTD GDB Memory Map V1.0//EN" "http://sourceware.org/gdb/gdb-memory-map.dtd">\n<memory-map>\n${lines.join('')}</memory-map>\n`;
}

/** The frames that the target holds. */
export function physicalMap(frames: GdbGuest['target']['frames']): string {
  const [first, last] = [frames[0], frames.at(-1)];
  const runs =
    frames.length > MAX_RUNS && first && last ? [[first[0], last[0] + last[1] - first[0]] as const] : frames;
  return memoryMap(
    'ram',
    runs.map(([gfn, count]) => [BigInt(gfn * PAGE), BigInt(count * PAGE)]),
  );
}

/** Bits of a virtual address in each paging mode. */
const ADDRESS_BITS: Readonly<Record<PagingLevels, bigint>> = { 0: 52n, 2: 32n, 3: 32n, 4: 48n, 5: 57n };

/**
 * All addresses that can be mapped at all, read only. What is mapped differs from thread to thread, and gdb asks for the map once:
 * reading finds out.
 */
export function virtualMap(levels: PagingLevels): string {
  const bits = ADDRESS_BITS[levels];
  if (levels < 4) return memoryMap('rom', [[0n, 1n << bits]]);
  const half = 1n << (bits - 1n);
  return memoryMap('rom', [
    [0n, half],
    [(1n << 64n) - half, half],
  ]);
}

/** gdb manual, "Library List Format". For gdb a section's address there is by how much it has moved. */
export function libraryList({ files = [] }: GdbGuest): string {
  const libraries = files
    .filter(({ isLibrary }) => isLibrary)
    .map(({ path }) => `<library name="${xmlText(path)}"><section address="0x0"/></library>\n`);
  return `<?xml version="1.0"?>\n<library-list>\n${libraries.join('')}</library-list>\n`;
}
