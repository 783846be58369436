// What fires by time: single-shot and periodic timers of each vCPU, and the domain's watchdogs. In ns of virtual time.
// Source: xen/include/public/vcpu.h, sched.h
import { NR_DOMAIN_WATCHDOG_TIMERS } from './abi/sched.ts';

interface Periodic {
  readonly period: number;
  readonly next: number;
}

export interface TimerState {
  readonly singleShot: readonly (number | undefined)[];
  readonly periodic: readonly (Periodic | undefined)[];
  readonly watchdogs: readonly (number | undefined)[];
}

export interface Due {
  /** vCPUs whose VIRQ_TIMER is due, ascending. */
  readonly vcpus: readonly number[];
  readonly watchdog: boolean;
}

/** Some 36 years: later than that is never. A deadline must stay a number that virtual time can hold. */
const NEVER = 2 ** 60;

/** Absolute ns of a guest's argument; undefined when it will never be reached. */
export const deadline = (ns: bigint): number | undefined => (ns < BigInt(NEVER) ? Number(ns) : undefined);

export class Timers {
  #singleShot: (number | undefined)[];
  #periodic: (Periodic | undefined)[];
  #watchdogs: (number | undefined)[] = new Array(NR_DOMAIN_WATCHDOG_TIMERS).fill(undefined);

  constructor(vcpus: number) {
    this.#singleShot = new Array(vcpus).fill(undefined);
    this.#periodic = new Array(vcpus).fill(undefined);
  }

  /** `undefined` stops it. */
  setSingleShot(vcpu: number, at: number | undefined): void {
    this.#singleShot[vcpu] = at;
  }

  setPeriodic(vcpu: number, period: number | undefined, now: number): void {
    this.#periodic[vcpu] = period === undefined ? undefined : { period, next: now + period };
  }

  /** Arms a free watchdog; its id (from 1 on), or undefined when there is none. */
  startWatchdog(at: number): number | undefined {
    const slot = this.#watchdogs.indexOf(undefined);
    if (slot < 0) return undefined;
    this.#watchdogs[slot] = at;
    return slot + 1;
  }

  /** Moves or stops a running watchdog; false when it does not run. */
  setWatchdog(id: number, at: number | undefined): boolean {
    if (this.#watchdogs[id - 1] === undefined) return false;
    this.#watchdogs[id - 1] = at;
    return true;
  }

  next(): number | undefined {
    let next: number | undefined;
    const consider = (at: number | undefined): void => {
      if (at !== undefined && (next === undefined || at < next)) next = at;
    };
    this.#singleShot.forEach(consider);
    for (const each of this.#periodic) consider(each?.next);
    this.#watchdogs.forEach(consider);
    return next;
  }

  /** Takes what is due; periodic timers that missed ticks fire once. */
  takeDue(now: number): Due {
    const vcpus: number[] = [];
    for (let vcpu = 0; vcpu < this.#singleShot.length; vcpu++) {
      const periodic = this.#periodic[vcpu];
      const shot = (this.#singleShot[vcpu] ?? Infinity) <= now;
      const tick = periodic !== undefined && periodic.next <= now;
      if (shot) this.#singleShot[vcpu] = undefined;
      if (tick) {
        const missed = Math.floor((now - periodic.next) / periodic.period);
        this.#periodic[vcpu] = { ...periodic, next: periodic.next + (missed + 1) * periodic.period };
      }
      if (shot || tick) vcpus.push(vcpu);
    }
    return { vcpus, watchdog: this.#watchdogs.some((at) => at !== undefined && at <= now) };
  }

  snapshot(): TimerState {
    return {
      singleShot: [...this.#singleShot],
      periodic: [...this.#periodic],
      watchdogs: [...this.#watchdogs],
    };
  }

  restore(state: TimerState): void {
    this.#singleShot = [...state.singleShot];
    this.#periodic = [...state.periodic];
    this.#watchdogs = [...state.watchdogs];
  }
}
