// The true call chain of a guest: which stack slots hold return addresses that are still to be returned to, as the CPU told when it
// made the calls. Knows nothing of the guest, of its symbols or of unwind tables.
//
// What holds of every x86 kernel, and is all that is used:
// - a stack grows down, so that whatever transfers control with the stack pointer at A ends every frame below A of that stack;
// - stacks have a page without one beside them, so that neighbouring pages are one stack;
// - no frame is a page long, so that a step down into the next page finds nothing alive there.
// A stack pointer that moved to another stack by itself either went to a thread's (it has frames, or is returned on without a call:
// a first run) or to an empty one (interrupt stacks, entry from user mode), which then remembers where it was entered from.
import {
  TRANSFER_CALL,
  TRANSFER_EVENT,
  TRANSFER_FAR_RETURN,
  TRANSFER_IRET,
  TRANSFER_RETURN,
  TRANSFER_RING_CHANGE,
  TRANSFER_USER,
} from '../../core/cpu/layout.ts';
import type { TransferListener } from '../../core/machine/machine.ts';

/** Addresses here are signed numbers, exact for canonical ones. */
type Address = number;

/** No place on any kernel stack: the code there is the user's. */
const USER: Address = 1;
const PAGE = 4096;
/** No chain of a kernel is longer; stacks have four pages. */
const MAX_LINKS = 10_000;

/** What lies at a place of a stack. */
interface Slot {
  readonly at: Address;
  /** Where execution goes on; undefined: whatever is there (a word that a far return left on top). */
  readonly address: Address | undefined;
  /** True for an exception frame: `address` is an instruction, not behind a call. */
  readonly event: boolean;
  /** Where the stack of what comes next starts, when it is not just above: the interrupted stack pointer, or where a switch left. */
  readonly next: Address | undefined;
}

/** A place of the chain, innermost first. */
interface ChainLink {
  readonly address: bigint;
  /** Where it lay; undefined for the first. */
  readonly at: bigint | undefined;
  /** True when it is the instruction itself, false when it is behind a call. */
  readonly exact: boolean;
}

export interface CallChain {
  readonly links: readonly ChainLink[];
  /** Where the outermost call was made from: the start of a kernel thread, or user mode. */
  readonly end: 'thread' | 'user';
}

export interface RecorderState {
  readonly pages: ReadonlyMap<number, readonly Slot[]>;
  readonly last: readonly Address[];
  readonly origins: ReadonlyMap<number, Address>;
}

const pageOf = (address: Address): number => Math.floor(address / PAGE);
const copyOf = (pages: ReadonlyMap<number, readonly Slot[]>): Map<number, Slot[]> =>
  new Map([...pages].map(([page, slots]) => [page, [...slots]]));
const unsigned = (address: Address): bigint => BigInt.asUintN(64, BigInt(address));

export class CallRecorder {
  /** Live slots by page, highest first. */
  #pages: Map<number, Slot[]> = new Map();
  /** Where each vCPU used its stack last. */
  #last: Address[] = [];
  /** Page of the outermost call of a stack -> where that stack was entered from. */
  #origins: Map<number, Address> = new Map();

  /** For Machine.create. */
  readonly listener: TransferListener = (vcpu, kind, at, address, rsp) => {
    switch (kind) {
      case TRANSFER_CALL:
        return this.#call(vcpu, at, address);
      case TRANSFER_RETURN:
        return this.#return(vcpu, at, address);
      case TRANSFER_EVENT:
        this.#settle(vcpu, rsp - 1);
        return this.#push(vcpu, { at, address, event: true, next: rsp });
      case TRANSFER_EVENT + TRANSFER_USER:
        return this.#push(vcpu, { at, address, event: true, next: USER });
      case TRANSFER_IRET:
        this.#settle(vcpu, at + 39);
        this.#last[vcpu] = rsp;
        return;
      case TRANSFER_IRET + TRANSFER_USER:
        this.#settle(vcpu, at + 39);
        this.#last[vcpu] = USER;
        return;
      case TRANSFER_FAR_RETURN:
        // Linux enters its first C function of a CPU so, with a return address pushed by hand (v6.1 arch/x86/kernel/head_64.S).
        if (this.#settle(vcpu, at - 1).at(-1)?.at !== at)
          this.#push(vcpu, { at, address: undefined, event: false, next: undefined });
        return;
      case TRANSFER_RING_CHANGE:
        this.#last[vcpu] = USER;
        return;
      default:
        throw new Error(`transfer of kind ${kind}`);
    }
  };

  /** Everything at and below `at` of this stack is over. @returns the live slots of its page. */
  #settle(vcpu: number, at: Address): Slot[] {
    const page = pageOf(at);
    let slots = this.#pages.get(page);
    if (slots === undefined) {
      slots = [];
      this.#pages.set(page, slots);
    }
    if (page === pageOf(this.#last[vcpu] ?? USER) - 1) slots.length = 0;
    for (let top = slots.at(-1); top !== undefined && top.at <= at; top = slots.at(-1)) slots.pop();
    this.#last[vcpu] = at;
    return slots;
  }

  #push(vcpu: number, slot: Slot): void {
    this.#settle(vcpu, slot.at).push(slot);
  }

  #call(vcpu: number, at: Address, address: Address): void {
    const last = this.#last[vcpu] ?? USER;
    const slots = this.#settle(vcpu, at);
    const outermost = slots.length === 0 && !this.#hasFrames(pageOf(at) + 1);
    slots.push({ at, address, event: false, next: outermost ? this.#enter(last, at) : undefined });
  }

  /** The stack at `at` is in use with nothing on it, after `last`. @returns where it was entered from. */
  #enter(last: Address, at: Address): Address | undefined {
    const page = pageOf(at);
    if (Math.abs(pageOf(last) - page) <= 1) return this.#origins.get(page);
    const from = this.#enteredFrom(last);
    if (from === undefined) this.#origins.delete(page);
    else this.#origins.set(page, from);
    return from;
  }

  /** Entry stacks are left for a thread's while the user's frame is on them; the next entry overwrites it. */
  #enteredFrom(last: Address): Address | undefined {
    if (last === USER) return USER;
    // The lower half is where a kernel boots before it runs where it is linked: it left that for good.
    if (last >= 0) return undefined;
    const [slot] = this.#above(last);
    return slot?.event && slot.next === USER ? USER : last;
  }

  #return(vcpu: number, at: Address, target: Address): void {
    const slots = this.#settle(vcpu, at - 1);
    const top = slots.at(-1);
    // Linux's error_entry moves its return address down to make room (v6.1 arch/x86/entry/entry_64.S): a call that is over, too.
    if (top !== undefined && (top.at === at || (!top.event && top.address === target))) slots.pop();
    // To where nobody called from, with nothing around it: the first run of a thread, maybe on a stack of one that is dead.
    const forged = top?.address !== target;
    if (forged && slots.length === 0 && !this.#hasFrames(pageOf(at) + 1)) this.#origins.delete(pageOf(at));
    this.#last[vcpu] = at;
  }

  /** True when something is alive in `page` or above it on its stack. */
  #hasFrames(page: number): boolean {
    const slots = this.#pages.get(page);
    return slots !== undefined && (slots.length > 0 || this.#hasFrames(page + 1));
  }

  /** Live slots at and above `from` of its stack, lowest first. */
  *#above(from: Address): Generator<Slot> {
    const first = pageOf(from);
    // A stack pointer that ran off its stack points into the page below.
    for (let page = first; page === first || this.#pages.has(page); page++)
      for (const slot of (this.#pages.get(page) ?? []).toReversed()) if (slot.at >= from) yield slot;
  }

  /**
   * The chain of `vcpu`, which stands at `rip` with `rsp`.
   * @param word reads guest memory.
   * @throws Error when a slot does not hold what the call put there: then the record is not the truth.
   */
  chain(vcpu: number, rip: bigint, rsp: bigint, word: (address: bigint) => bigint | undefined): CallChain {
    const links: ChainLink[] = [{ address: rip, at: undefined, exact: true }];
    let from: Address | undefined = Number(BigInt.asIntN(64, rsp));
    const [innermost] = this.#above(from);
    if (innermost === undefined) from = this.#enter(this.#last[vcpu] ?? USER, from - 8);
    while (from !== undefined) {
      if (from === USER) return { links, end: 'user' };
      let next: Address | undefined;
      for (const slot of this.#above(from)) {
        const at = unsigned(slot.at);
        const found = word(at);
        if (found === undefined || (slot.address !== undefined && found !== unsigned(slot.address)))
          throw new Error(`${at.toString(16)} holds ${found?.toString(16)}: a call put something else there`);
        const user = slot.event && slot.next === USER;
        if (!user) links.push({ address: found, at, exact: slot.event });
        if (links.length > MAX_LINKS) throw new Error('the recorded chain goes in circles');
        next = slot.next;
        if (next !== undefined) break;
      }
      from = next;
    }
    return { links, end: 'thread' };
  }

  snapshot(): RecorderState {
    return { pages: copyOf(this.#pages), last: [...this.#last], origins: new Map(this.#origins) };
  }

  restore({ pages, last, origins }: RecorderState): void {
    this.#pages = copyOf(pages);
    this.#last = [...last];
    this.#origins = new Map(origins);
  }
}
