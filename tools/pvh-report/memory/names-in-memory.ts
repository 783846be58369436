// The frames in which a guest's kernel keeps its own names, without those that are only searched on the way to them.
import type { Target } from '../../../core/target/target.ts';
import { inLongMode, VirtualMemory } from '../../../core/target/virtual-memory.ts';
import { MemoryFault } from '../../../symbols/errors.ts';
import { findKallsyms } from '../../../symbols/kernel/kallsyms.ts';
import { attempt } from '../../../symbols/kernel/linux-memory.ts';
import type { MappedMemory } from '../../../symbols/memory.ts';
import type { SymbolTable } from '../../../symbols/symbol-table.ts';
import { PAGE, type Snapshot } from './snapshot.ts';

/**
 * The tables lie together (linux scripts/kallsyms.c), those of a large kernel in 5 MB, and the search ends at them: so much of its
 * end is tried.
 */
const TRIED: readonly number[] = [4 << 20, 8 << 20, 16 << 20];

export interface NamesInMemory {
  /** The frames without which the names are not found. */
  readonly frames: ReadonlySet<number>;
  /** How often the search reads frames that are of no use otherwise. */
  readonly searched: ReadonlyMap<number, number>;
}

/** Through the page tables of the first vCPU that is up, as learnKernel looks at a guest. */
export function kernelMemory(target: Target): VirtualMemory | undefined {
  const up = target.vcpus.flatMap(({ online, registers }) => (online && registers ? [registers] : []));
  const registers = up.find(inLongMode) ?? up[0];
  return registers && new VirtualMemory(target, registers);
}

/** Of the guest's memory, the end of its image, as if nothing else were there; what is read below is not. */
const endOf = (memory: VirtualMemory, start: bigint): MappedMemory => ({
  read(address, into) {
    if (address < start) throw new MemoryFault('virtual', address, 'not in dump');
    memory.read(address, into);
  },
  *mapped(from, to) {
    for (const { address, length } of memory.mapped(from, to)) {
      const cut = address < start ? Number(start - address) : 0;
      if (cut < length) yield { address: address + BigInt(cut), length: length - cut };
    }
  },
});

const bytesOf = ({ buffer, byteOffset, byteLength }: ArrayBufferView): Uint8Array =>
  new Uint8Array(buffer, byteOffset, byteLength);

function same(a: SymbolTable, b: SymbolTable | undefined): boolean {
  if (b?.length !== a.length) return false;
  const pairs = [
    [a.columns.addresses, b.columns.addresses],
    [a.columns.names, b.columns.names],
  ] as const;
  return pairs.every(([left, right]) => Buffer.compare(bytesOf(left), bytesOf(right)) === 0);
}

/** @returns undefined when the guest has no names of its own that can be found. */
export function namesInMemory(snapshot: Snapshot): NamesInMemory | undefined {
  const memory = kernelMemory(snapshot);
  if (!memory) return undefined;
  snapshot.takeNotes();
  let end = 0n;
  const watched: MappedMemory = {
    read(address, into) {
      memory.read(address, into);
      const last = address + BigInt(into.length);
      if (last > end) end = last;
    },
    mapped: (start, stop) => memory.mapped(start, stop),
  };
  const table = findKallsyms(watched);
  const { single, together } = snapshot.takeNotes();
  if (!table) return undefined;
  const frames = new Set(together.keys());
  for (const size of TRIED) {
    const start = (end - BigInt(size)) & ~0xfffn;
    if (!same(table, findKallsyms(endOf(memory, start)))) continue;
    const kept = new Set<number>(single);
    for (let address = start; address < end; address += BigInt(PAGE)) {
      const physical = attempt(() => memory.translate(address)).value;
      if (physical !== undefined && frames.has(physical / PAGE)) kept.add(physical / PAGE);
    }
    snapshot.takeNotes();
    const searched = [...together].filter(([gfn]) => !kept.has(gfn));
    return { frames: kept, searched: new Map(searched) };
  }
  snapshot.takeNotes();
  return { frames: new Set([...frames, ...single]), searched: new Map() };
}
