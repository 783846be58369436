// What a debugger is shown of a guest beside its registers and memory. Whoever serves a target tells it: core knows no kernels.
import type { Target, TargetVcpu } from '../target/target.ts';

/** A vCPU in the debugger's list of threads. */
export interface VcpuNames {
  /** Of the task that runs there, when it is known. */
  readonly name?: string | undefined;
  /** A few words: which vCPU, which task, that it is offline or panicked. */
  readonly text: string;
}

/** A file that is nowhere but here. */
export interface GdbFile {
  readonly path: string;
  /** Loaded as a library, at the addresses that it says itself. Of its sections only one is for memory. */
  readonly isLibrary: boolean;
  readonly bytes: Uint8Array;
}

export interface GdbGuest {
  readonly target: Target;
  /** Id of the vCPU at which the debugger looks first. */
  readonly firstVcpu: number;
  /** Where the first segment of the kernel's file lies in this guest; undefined when it is not known. */
  readonly textSegment?: bigint | undefined;
  /** Files that a debugger can read; the libraries among them it loads when it connects. */
  readonly files?: readonly GdbFile[] | undefined;
  namesOf(vcpu: TargetVcpu): VcpuNames;
  /** Text that a `monitor` command prints; of any length, any words. */
  monitor(command: string, vcpu: TargetVcpu): string;
}
