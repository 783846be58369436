// vCPUs that wait inside a hypercall (SCHEDOP_block with interrupts off, SCHEDOP_poll), and what wakes them.
// Source: xen/include/public/sched.h

interface Wait {
  /** Ports of SCHEDOP_poll; empty for SCHEDOP_block. */
  readonly ports: readonly number[];
  /** ns of virtual time. */
  readonly until: number | undefined;
  /** Interrupts that the vCPU's LAPIC had requested at the start: another one wakes it. */
  readonly requests: bigint;
}

export interface WaitState {
  readonly waits: readonly (Wait | undefined)[];
}

export class Waits {
  #waits: (Wait | undefined)[];

  constructor(vcpus: number) {
    this.#waits = new Array(vcpus).fill(undefined);
  }

  start(vcpu: number, ports: readonly number[], until: number | undefined, requests: bigint): void {
    this.#waits[vcpu] = { ports, until, requests };
  }

  isWaiting(vcpu: number): boolean {
    return this.#waits[vcpu] !== undefined;
  }

  wake(vcpu: number): void {
    this.#waits[vcpu] = undefined;
  }

  /** Wakes whoever polls `port`. */
  portPending(port: number): void {
    this.#waits.forEach((wait, vcpu) => {
      if (wait?.ports.includes(port)) this.wake(vcpu);
    });
  }

  /** Wakes the vCPU when `requests` is not what it was at the start of its wait. */
  checkRequests(vcpu: number, requests: bigint): void {
    const wait = this.#waits[vcpu];
    if (wait !== undefined && wait.requests !== requests) this.wake(vcpu);
  }

  next(): number | undefined {
    const times = this.#waits.flatMap((wait) => (wait?.until === undefined ? [] : [wait.until]));
    return times.length === 0 ? undefined : Math.min(...times);
  }

  expire(now: number): void {
    this.#waits.forEach((wait, vcpu) => {
      if (wait?.until !== undefined && wait.until <= now) this.wake(vcpu);
    });
  }

  snapshot(): WaitState {
    return { waits: [...this.#waits] };
  }

  restore(state: WaitState): void {
    this.#waits = [...state.waits];
  }
}
