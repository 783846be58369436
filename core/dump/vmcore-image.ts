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

type Memory = Pick<PhysicalFrames, 'readPhysical'> & { readonly frames: Iterable<readonly [number, number]> };

/**
 * All frames, ascending, as many at once as lie together, up to 1 MiB. `bytes` is undefined for one frame that cannot be read although
 * the source lists it; it is good until the next ones are asked for.
 */
export function* chunksOf(
  memory: Memory,
): Generator<{ readonly gfn: number; readonly count: number; readonly bytes: Uint8Array | undefined }> {
  const buffer = new Uint8Array(CHUNK * PAGE);
  for (const [first, length] of memory.frames)
    for (let gfn = first; gfn < first + length; gfn += CHUNK) {
      const count = Math.min(CHUNK, first + length - gfn);
      const bytes = buffer.subarray(0, count * PAGE);
      if (tryRead(memory, gfn, bytes)) yield { gfn, count, bytes };
      else
        for (let index = 0; index < count; index++) {
          const page = buffer.subarray(0, PAGE);
          yield { gfn: gfn + index, count: 1, bytes: tryRead(memory, gfn + index, page) ? page : undefined };
        }
    }
}

/** The same one by one. */
export function* pagesOf(
  memory: Memory,
): Generator<{ readonly gfn: number; readonly bytes: Uint8Array | undefined }> {
  for (const { gfn, count, bytes } of chunksOf(memory))
    for (let index = 0; index < count; index++)
      yield { gfn: gfn + index, bytes: bytes?.subarray(index * PAGE, (index + 1) * PAGE) };
}

function tryRead(memory: Memory, gfn: number, into: Uint8Array): boolean {
  try {
    memory.readPhysical(gfn * PAGE, into);
    return true;
  } catch (error) {
    if (error instanceof MemoryFault) return false;
    throw error;
  }
}

/** @param bytes at most 1 MiB. */
export const isZeros = (bytes: Uint8Array): boolean =>
  Buffer.compare(bytes, ZEROS.subarray(0, bytes.length)) === 0;
const ZEROS = new Uint8Array(CHUNK * PAGE);
