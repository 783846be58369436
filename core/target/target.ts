// Target: one guest as a debugger sees it. Read only, synchronous, consistent (a live domain is snapshotted first).
import type { VcpuRegisters } from '../machine/registers.ts';

/** One vCPU of a target: its registers, or why there are none. */
export interface TargetVcpu {
  readonly id: number;
  /** False for a vCPU that is down (xenctx prints `vcpuN offline`). */
  readonly online: boolean;
  /** Absent when they could not be read; `missing` says why. */
  readonly registers?: VcpuRegisters;
  readonly missing?: string;
}

/** What is known of the guest beside registers and memory; `undefined` is "this source does not know". */
export interface TargetIdentity {
  readonly domid?: number | undefined;
  readonly name?: string | undefined;
  readonly uuid?: string | undefined;
  /** Xen version of the host as major.minor.extra, for example `4.17.5`. */
  readonly xenVersion?: string | undefined;
}

/** Tables that map the kernel's half of the address space. */
export interface KernelPaging {
  /** Guest-physical address of the top table. */
  readonly root: number;
  readonly levels: 4 | 5;
}

export interface Target {
  /** For example `preserved`, `live`, `dump-core`. */
  readonly kind: string;
  /** One sentence for messages: kind and where it came from. */
  readonly description: string;
  readonly identity: TargetIdentity;
  readonly vcpus: readonly TargetVcpu[];
  /** What this source cannot know, in words: `EFER: not in a dump-core file`. */
  readonly lacks: readonly string[];
  /**
   * Fills `into` from guest-physical `address` (bytes, below 2^52).
   * @throws MemoryFault at the first byte that the source does not hold; `into` is then undefined.
   */
  readPhysical(address: number, into: Uint8Array): void;
  /**
   * Fills `into` from `address` as vCPU `vcpu` sees it: only where the source walks the page tables itself and does not give them.
   * @throws MemoryFault at the first byte that it cannot read; `into` is then undefined.
   */
  readonly readVirtual?: ((vcpu: number, address: bigint, into: Uint8Array) => void) | undefined;
  /** The kernel's page tables, where the vCPUs have no CR3 and the source knows them all the same. */
  readonly paging?: KernelPaging | undefined;
  /** Ascending, non-overlapping [first gfn, count] runs of the frames held. */
  readonly frames: readonly (readonly [number, number])[];
  /** Bytes that the guest's console wrote, when the source keeps them. */
  readonly console?: Uint8Array | undefined;
  /** Releases files; reading afterwards throws. */
  close(): void;
}
