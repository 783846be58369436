// Which frames of a guest go into a report: those that looking at it reads, and the stacks. The same whether symbols were given or
// not, so that they can be added later.
import { VirtualMemory } from '../../../core/target/virtual-memory.ts';
import { KERNEL_IMAGE_END, KERNEL_IMAGE_START } from '../../../symbols/address.ts';
import { tryRead } from '../../../symbols/memory.ts';
import { kernelMemory, namesInMemory } from './names-in-memory.ts';
import { PAGE, type Snapshot } from './snapshot.ts';

/** 48 MiB; a Debian kernel has 8 that are wanted. */
const MAX_FRAMES = 12 << 10;
/** Around each stack pointer: kernel stacks have 16 KiB (linux arch/x86/include/asm/page_64_types.h), those of others may have more. */
const STACK_BELOW = 1n;
const STACK_ABOVE = 16n;
/** Of a kernel without names of its own: its code and data, as far as they are small. */
const MAX_IMAGE = 4 << 20;

export interface ChosenFrames {
  /** Ascending frame numbers. */
  readonly gfns: readonly number[];
  /** How many more were wanted: there is no room for them. */
  readonly leftOut: number;
}

function readStacks(snapshot: Snapshot): void {
  for (const { registers } of snapshot.vcpus) {
    if (!registers) continue;
    const memory = new VirtualMemory(snapshot, registers);
    const start = (registers.rsp >> 12n) - STACK_BELOW;
    for (let page = start; page < start + STACK_BELOW + STACK_ABOVE; page++)
      tryRead(memory, BigInt.asUintN(64, page << 12n), PAGE);
  }
}

function readImage(snapshot: Snapshot): void {
  const memory = kernelMemory(snapshot);
  if (!memory) return;
  let left = MAX_IMAGE;
  for (const { address, length } of memory.mapped(KERNEL_IMAGE_START, KERNEL_IMAGE_END))
    for (let at = 0; at < length; at += PAGE) {
      if (left <= 0) return;
      left -= PAGE;
      tryRead(memory, address + BigInt(at), PAGE);
    }
}

/** @param look looks at the guest as a report does, without a file of symbols. */
export async function chooseFrames(snapshot: Snapshot, look: () => Promise<void>): Promise<ChosenFrames> {
  readStacks(snapshot);
  const stacks = snapshot.takeNotes().single;
  const names = namesInMemory(snapshot);
  await look();
  const { single, together } = snapshot.takeNotes();
  if (!names) readImage(snapshot);
  const image = snapshot.takeNotes().single;
  const read = [...together].filter(([gfn, count]) => count > (names?.searched.get(gfn) ?? 0));
  // What there is no room for is what comes last.
  const wanted = new Set([
    ...stacks,
    ...single,
    ...(names?.frames ?? []),
    ...(names ? read.map(([gfn]) => gfn) : []),
    ...image,
  ]);
  const chosen = [...wanted].filter((gfn) => snapshot.page(gfn) !== undefined).slice(0, MAX_FRAMES);
  return { gfns: chosen.sort((a, b) => a - b), leftOut: Math.max(0, wanted.size - MAX_FRAMES) };
}
