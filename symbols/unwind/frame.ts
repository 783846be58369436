// What a trace is made of, whoever made it. Data only.
import type { KnownRegisters } from './row.ts';

/**
 * How a frame was found, best first: by the vCPU's own registers (its instruction, and the caller of an instruction that
 * returns), unwind tables, frame pointers, a word that looked like code.
 */
export type FrameOrigin = 'registers' | 'orc' | 'cfi' | 'fp' | 'scan';

export interface Frame {
  /** Instruction or return address. */
  readonly address: bigint;
  /** Where the address lay; undefined for the registers. */
  readonly stackAddress?: bigint | undefined;
  readonly how: FrameOrigin;
  /** True when the address itself is meant (it was interrupted there, or would have gone on there); false when it lies behind a call. */
  readonly exact?: boolean;
  /** Registers as they are in this frame, as far as unwinding knows them. */
  readonly registers?: KnownRegisters;
  /** Name of the stack that the frame was found on, where stacks are known. */
  readonly stack?: string | undefined;
  /** Why the frame may be wrong though the tables led to it. */
  readonly doubt?: 'not behind a call';
}

/** A step of a trace: a frame, or a stack word that is none, or the place where the stack could not be read any more. */
export type TraceStep =
  | { readonly kind: 'frame'; readonly frame: Frame }
  | {
      readonly kind: 'word';
      readonly at: bigint;
      readonly value: bigint;
      readonly role: 'data' | 'in frame' | 'saved frame pointer';
    }
  | { readonly kind: 'unreadable'; readonly at: bigint };
