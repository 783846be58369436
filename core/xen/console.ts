// The backend of the PV console: drains what the guest writes, feeds it what the host types.
// Source: xen/include/public/io/console.h
import { xencons_interface as page } from './abi/io-console.ts';
import { type RingLayout, ringPut, ringTake, ringUsed } from './ring.ts';

const OUT: RingLayout = {
  buffer: page.out,
  size: page.out_size,
  cons: page.out_cons,
  prod: page.out_prod,
};
const IN: RingLayout = { buffer: page.in, size: page.in_size, cons: page.in_cons, prod: page.in_prod };

/** Input that a guest does not read is dropped beyond this. */
const MAX_INPUT = 64 * 1024;

export interface ConsoleState {
  readonly input: Uint8Array;
}

export class ConsoleRing {
  readonly #page: () => DataView;
  readonly #onOutput: (bytes: Uint8Array) => void;
  #input = new Uint8Array();

  /** `page` gives a live view of the ring's frame. */
  constructor(ringPage: () => DataView, onOutput: (bytes: Uint8Array) => void) {
    this.#page = ringPage;
    this.#onOutput = onOutput;
  }

  /** Moves bytes both ways; true when the guest has to be told. */
  pump(): boolean {
    const view = this.#page();
    const used = ringUsed(view, OUT);
    if (used !== undefined && used > 0) this.#onOutput(ringTake(view, OUT, used));
    // The guest waits for room only when the ring was full; other notifications would be spurious to it.
    const wasFull = used === OUT.size;
    const typed = ringPut(view, IN, this.#input);
    this.#input = this.#input.slice(typed);
    return wasFull || typed > 0;
  }

  /** Queues bytes for the guest; pump() moves them. */
  type(bytes: Uint8Array): void {
    const joined = new Uint8Array(Math.min(MAX_INPUT, this.#input.length + bytes.length));
    joined.set(this.#input);
    joined.set(bytes.subarray(0, joined.length - this.#input.length), this.#input.length);
    this.#input = joined;
  }

  snapshot(): ConsoleState {
    return { input: this.#input.slice() };
  }

  restore(state: ConsoleState): void {
    this.#input = state.input.slice();
  }
}
