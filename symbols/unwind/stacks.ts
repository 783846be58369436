// The stacks that a vCPU can be on, as ranges: which one an address is on, and whether one has overflowed. Finds none by itself.

/** A stack from its lowest byte to behind its highest. */
export interface StackRange {
  /** As Linux prints it between angle brackets: TASK, IRQ, SOFTIRQ, NMI, #DF, #DB, #MC, #VC, #VC2; ENTRY. */
  readonly name: string;
  readonly low: bigint;
  readonly high: bigint;
  /** Where the stack pointer of the stack that was left for this one is kept. */
  readonly link?: bigint;
  /** Where the registers of user mode lie while the kernel works for it: likeliest first. */
  readonly userRegisters?: readonly bigint[];
}

/** Below every stack of Linux lies at least one page that is not mapped. */
const GUARD = 4096n;

/** Bytes that an exception needs to be delivered: an aligned frame with an error code. */
const EXCEPTION_ROOM = 64n;

/** The stack that a slot lies in. */
export function stackAt(stacks: readonly StackRange[], address: bigint): StackRange | undefined {
  return stacks.find(({ low, high }) => address >= low && address < high);
}

/** The stack that a stack pointer belongs to: an empty stack's points behind it, an overflown one's into the guard page. */
export function stackOf(stacks: readonly StackRange[], rsp: bigint): StackRange | undefined {
  return (
    stackAt(stacks, rsp) ??
    stacks.find(({ high }) => rsp === high) ??
    stacks.find(({ low }) => rsp >= low - GUARD && rsp < low)
  );
}

export interface StackOverflow {
  readonly stack: StackRange;
  readonly rsp: bigint;
}

/**
 * @param faulted true when an exception could not be delivered at this stack pointer (it came on the #DF stack): then too little
 * room is an overflow already.
 */
export function overflowAt(
  stacks: readonly StackRange[],
  rsp: bigint,
  faulted: boolean,
): StackOverflow | undefined {
  const room = faulted ? EXCEPTION_ROOM : 0n;
  const stack = stacks.find(({ low }) => rsp >= low - GUARD && (rsp < low || rsp - low < room));
  return stack && { stack, rsp };
}
