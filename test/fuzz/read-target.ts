// Reads what there is to read of a Target: frames, registers, memory through page tables, all that is mapped.
import type { Target } from '../../core/target/target.ts';
import { VirtualMemory } from '../../core/target/virtual-memory.ts';
import { FormatError, MemoryFault } from '../../symbols/errors.ts';

const PAGE = 4096;
const GIB = 1n << 30n;
const MAX_MAPPED = 600;

/** @param image where a kernel's image begins. @returns how many readings went well. */
export function readTarget(target: Target, image: bigint): number {
  let read = 0;
  const page = new Uint8Array(PAGE);
  const attempt = (act: () => void): void => {
    try {
      act();
      read++;
    } catch (error) {
      if (!(error instanceof MemoryFault || error instanceof FormatError)) throw error;
    }
  };
  for (const [gfn] of target.frames.slice(0, 16)) attempt(() => target.readPhysical(gfn * PAGE, page));
  for (const { registers } of target.vcpus.slice(0, 4)) {
    if (!registers) continue;
    const memory = new VirtualMemory(target, registers);
    for (const address of [registers.rip, registers.rsp, registers.gs.base ?? 0n, image + 0x20_0ff0n])
      attempt(() => memory.read(address, page));
    let mapped = 0;
    attempt(() => {
      for (const { address } of memory.mapped(image, image + GIB)) {
        if (mapped++ % 128 === 0) attempt(() => memory.read(address, page));
        if (mapped > MAX_MAPPED) break;
      }
    });
  }
  return read;
}
