// Runs a domain as a record says that it ran: gives it each input at the place where it came, and goes no further than the record does.
// Knows neither files nor clocks.
import type { Domain, DomainEnd } from './domain.ts';
import type { RecordedInput } from './host-input.ts';
import { messageOf } from './running-domain.ts';

/** Slices between two looks of the caller at the world: about 0.1 s. */
const SLICES_A_TURN = 100;

/** How far the record goes. */
export interface ReplayPlan {
  /** In their order. */
  readonly inputs: readonly RecordedInput[];
  /** Instructions that all vCPUs had retired at the end. */
  readonly instruction: number;
  /** Virtual time of the end. */
  readonly nanoseconds: number;
}

export type ReplayEvent =
  /** Not there yet. */
  | { readonly kind: 'going' }
  /** Where the record ends it runs on. */
  | { readonly kind: 'past' }
  /** It waits for something that will not come. */
  | { readonly kind: 'idle' }
  /** It did not come to the place of the next input. */
  | { readonly kind: 'astray' }
  | DomainEnd;

export class Replay {
  readonly #domain: Domain;
  readonly #plan: ReplayPlan;
  #given = 0;

  /** @param domain as it was built. */
  constructor(domain: Domain, plan: ReplayPlan) {
    this.#domain = domain;
    this.#plan = plan;
  }

  /** Inputs that the guest got. */
  get given(): number {
    return this.#given;
  }

  /** Runs for a moment. */
  run(): ReplayEvent {
    for (let slices = 0; slices < SLICES_A_TURN; slices++) {
      const event = this.#step();
      if (event !== undefined) return event;
    }
    return { kind: 'going' };
  }

  #step(): ReplayEvent | undefined {
    const domain = this.#domain;
    const { inputs, instruction, nanoseconds } = this.#plan;
    const [now, retired, next] = [domain.now(), domain.retired(), inputs[this.#given]];
    if (retired > instruction || now > nanoseconds) return { kind: 'past' };
    if (next !== undefined && (domain.slices > next.slice || now > next.at)) return { kind: 'astray' };
    const isSlice = next?.slice === domain.slices;
    if (!isSlice || now < next.at) return this.#slice(isSlice ? next.at : Number.POSITIVE_INFINITY);
    if (next.instruction !== retired) return { kind: 'astray' };
    domain.input(next.input);
    this.#given++;
    return undefined;
  }

  /** Runs one slice, or an idle guest's time forward to what is due, but not beyond `latest`. */
  #slice(latest: number): ReplayEvent | undefined {
    const event = this.#run();
    if (event.kind === 'shutdown') return event;
    if (event.kind === 'budget') return undefined;
    const until = Math.min(event.until ?? Number.POSITIVE_INFINITY, latest);
    if (until === Number.POSITIVE_INFINITY) return { kind: 'idle' };
    this.#domain.skipTo(until);
    return undefined;
  }

  #run(): ReturnType<Domain['run']> {
    try {
      return this.#domain.run(1);
    } catch (error) {
      return this.#domain.fail(`the runtime failed: ${messageOf(error)}`);
    }
  }
}
