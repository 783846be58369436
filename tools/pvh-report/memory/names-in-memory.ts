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

/** The target without some of its frames. */
const without = (snapshot: Snapshot, gone: ReadonlySet<number>): Target => ({
  kind: snapshot.kind,
  description: snapshot.description,
  identity: snapshot.identity,
  vcpus: snapshot.vcpus,
  lacks: snapshot.lacks,
  paging: snapshot.paging,
  frames: snapshot.frames,
  readPhysical(address, into) {
    for (let at = address; at < address + into.length; at += PAGE)
      if (gone.has(Math.floor(at / PAGE))) throw new MemoryFault('physical', BigInt(at), 'not in dump');
    snapshot.readPhysical(address, into);
  },
  close: () => undefined,
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
    const kept = new Set<number>();
    for (let address = (end - BigInt(size)) & ~0xfffn; address < end; address += BigInt(PAGE)) {
      const physical = attempt(() => memory.translate(address)).value;
      if (physical !== undefined && frames.has(physical / PAGE)) kept.add(physical / PAGE);
    }
    const gone = new Set([...frames].filter((gfn) => !kept.has(gfn) && !single.has(gfn)));
    const reduced = kernelMemory(without(snapshot, gone));
    if (reduced && same(table, findKallsyms(reduced))) {
      snapshot.takeNotes();
      const searched = new Map([...gone].map((gfn) => [gfn, together.get(gfn) ?? 0]));
      return { frames: new Set([...kept, ...single]), searched };
    }
  }
  snapshot.takeNotes();
  return { frames: new Set([...frames, ...single]), searched: new Map() };
}
