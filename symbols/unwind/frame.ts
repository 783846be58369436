// What a trace is made of, whoever made it. Data only.

/** How a frame was found, best first: the vCPU's own registers, unwind tables, frame pointers, a word that looked like code. */
export type FrameOrigin = 'registers' | 'orc' | 'cfi' | 'fp' | 'scan';

export interface Frame {
  /** Instruction or return address. */
  readonly address: bigint;
  /** Where the address lay; undefined for the registers. */
  readonly stackAddress?: bigint | undefined;
  readonly how: FrameOrigin;
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
