// What the writers of memory dumps (elf-vmcore.ts, kdump.ts) are given: a guest as the tools of Linux expect it, and its pages one by one.
import { MemoryFault } from '../../symbols/errors.ts';
import type { VcpuRegisters } from '../machine/registers.ts';

export const PAGE = 4096;

/** One CPU, by the guest's number of it. */
export interface VmcoreCpu {
  /** Absent when they are not known: its note is then empty, so that the others keep their places. */
  readonly registers?: VcpuRegisters | undefined;
  /** Of the task that it runs: debuggers find its registers by it. */
  readonly pid: number;
}

/** Guest-virtual addresses that lie in guest-physical memory. */
export interface VirtualRange {
  readonly virtual: bigint;
  readonly physical: number;
  readonly length: number;
}

/** Physical memory, as Target has it. */
export interface PhysicalFrames {
  readPhysical(address: number, into: Uint8Array): void;
  /** Ascending, non-overlapping [first gfn, count] runs. */
  readonly frames: readonly (readonly [number, number])[];
}

export interface VmcoreImage {
  readonly cpus: readonly VmcoreCpu[];
  readonly memory: PhysicalFrames;
  /** Text of the VMCOREINFO note. */
  readonly vmcoreinfo?: string | undefined;
  /** struct new_utsname of a Linux guest: six texts of 65 bytes. */
  readonly utsname?: Uint8Array | undefined;
  /** Physical address of the kernel image's mapping less its virtual one. */
  readonly physicalBase?: bigint | undefined;
  /** CPU that panicked. */
  readonly crashedCpu?: number | undefined;
  /** Virtual address at which the kernel sees physical 0, where it has all memory mapped in one piece. */
  readonly directMap?: bigint | undefined;
  /** More mappings than the direct one, by importance. */
  readonly mappings: readonly VirtualRange[];
}

const CHUNK = 256;

/**
 * The pages of all frames, ascending. `bytes` is undefined for a frame that cannot be read although the source lists it; it is good
 * until the next page is asked for.
 */
export function* pagesOf(
  memory: Pick<PhysicalFrames, 'readPhysical'> & { readonly frames: Iterable<readonly [number, number]> },
): Generator<{ readonly gfn: number; readonly bytes: Uint8Array | undefined }> {
  const chunk = new Uint8Array(CHUNK * PAGE);
  // A view each costs more than what is done with most pages.
  const pages = Array.from({ length: CHUNK }, (_, index) => chunk.subarray(index * PAGE, (index + 1) * PAGE));
  for (const [first, count] of memory.frames)
    for (let gfn = first; gfn < first + count; gfn += CHUNK) {
      const length = Math.min(CHUNK, first + count - gfn);
      const whole = tryRead(memory, gfn, chunk.subarray(0, length * PAGE));
      for (let index = 0; index < length; index++) {
        const bytes = pages[index] as Uint8Array; // index is below CHUNK
        const good = whole || tryRead(memory, gfn + index, bytes);
        yield { gfn: gfn + index, bytes: good ? bytes : undefined };
      }
    }
}

function tryRead(memory: Pick<PhysicalFrames, 'readPhysical'>, gfn: number, into: Uint8Array): boolean {
  try {
    memory.readPhysical(gfn * PAGE, into);
    return true;
  } catch (error) {
    if (error instanceof MemoryFault) return false;
    throw error;
  }
}

export const isZeroPage = (bytes: Uint8Array): boolean => Buffer.compare(bytes, ZEROS) === 0;
const ZEROS = new Uint8Array(PAGE);
