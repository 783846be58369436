// The stack of the vCPU that panicked in the golden core, with the ORC entries that lead over it: a real trace in 5 KiB.
import { openDumpCore } from '../../core/target/dump-core.ts';
import { VirtualMemory } from '../../core/target/virtual-memory.ts';
import { memorySource } from '../../symbols/bytes.ts';
import { parseSystemMap } from '../../symbols/kernel/system-map.ts';
import type { MemorySource } from '../../symbols/memory.ts';
import { orcFromMemory } from '../../symbols/unwind/orc.ts';
import { type UnwindStart, unwind } from '../../symbols/unwind/unwinder.ts';
import { goldenCore, goldenSystemMap } from './sample.ts';

export interface OrcEntry {
  readonly address: bigint;
  readonly entry: Uint8Array;
}

export interface GoldenStack {
  readonly start: UnwindStart;
  readonly orc: readonly OrcEntry[];
  /** Bytes from the stack pointer on. */
  readonly stack: Uint8Array;
}

const ORC_ENTRY = 6;
const MAX_STACK = 4096;

/** Memory that keeps the last ORC entry that was read. */
class Listener implements MemorySource {
  readonly #memory: MemorySource;
  last: Uint8Array = new Uint8Array(ORC_ENTRY);

  constructor(memory: MemorySource) {
    this.#memory = memory;
  }

  read(address: bigint, into: Uint8Array): void {
    this.#memory.read(address, into);
    if (into.length === ORC_ENTRY) this.last = into.slice();
  }
}

export function goldenStack(): GoldenStack {
  const target = openDumpCore(memorySource('core', goldenCore()));
  const { table } = parseSystemMap(memorySource('System.map', goldenSystemMap()));
  const registers = target.vcpus[0]?.registers;
  if (!registers) throw new Error('no registers');
  const memory = new VirtualMemory(target, registers);
  const listener = new Listener(memory);
  const rows = orcFromMemory(listener, (name) => table.addressOf(name));
  if (!rows) throw new Error('no ORC tables');
  const start: UnwindStart = { rip: registers.rip, registers };
  const isCode = (address: bigint): boolean => address > 0xffffffff81000000n;
  const entries = new Map<bigint, Uint8Array>();
  let top = registers.rsp;
  for (const step of unwind({ memory, rows: [rows], isCode }, start)) {
    if (step.kind !== 'frame') continue;
    // Both look-ups, so that the table serves whichever the unwinder asks.
    for (const address of [step.frame.address - 1n, step.frame.address])
      if (rows.find(address)) entries.set(address, listener.last);
    if (step.frame.stackAddress !== undefined) top = step.frame.stackAddress;
  }
  // The page of the last return address is the last of the stack.
  const stack = new Uint8Array(Math.min(Number((top | 0xfffn) + 1n - registers.rsp), MAX_STACK));
  memory.read(registers.rsp, stack);
  const orc = [...entries].map(([address, entry]) => ({ address, entry }));
  return { start, orc: orc.sort((a, b) => (a.address < b.address ? -1 : 1)), stack };
}
