// Runstate accounting of each vCPU, and the copy of it in guest memory.
// Source: xen/include/public/vcpu.h (vcpu_runstate_info)
import type { Machine } from '../machine/machine.ts';
import type { Width } from './abi/layout.ts';
import { RUNSTATE_offline, RUNSTATE_running, vcpu_runstate_info } from './abi/vcpu.ts';

interface Runstate {
  readonly state: number;
  /** ns. */
  readonly since: number;
  /** ns spent in each of the four states before `since`. */
  readonly times: readonly [number, number, number, number];
  /** Linear address of the guest's copy, and the width of its layout. */
  readonly area?: { readonly address: bigint; readonly width: Width } | undefined;
}

export interface RunstatesState {
  readonly vcpus: readonly Runstate[];
}

export class Runstates {
  readonly #machine: Machine;
  #vcpus: Runstate[];

  constructor(machine: Machine) {
    this.#machine = machine;
    this.#vcpus = Array.from({ length: machine.vcpuCount }, (_, vcpu) => ({
      state: vcpu === 0 ? RUNSTATE_running : RUNSTATE_offline,
      since: 0,
      times: [0, 0, 0, 0],
    }));
  }

  /** Registers the guest's copy and writes it; false when the address is bad. */
  register(vcpu: number, address: bigint, width: Width, now: number): boolean {
    const runstate = this.#vcpus[vcpu];
    if (runstate === undefined) return false;
    if (!this.#machine.writeVirtual(vcpu, address, this.record(vcpu, width, now))) return false;
    this.#vcpus[vcpu] = { ...runstate, area: { address, width } };
    return true;
  }

  /** Accounts a change of state; the guest's copy follows if it is mapped at present. */
  set(vcpu: number, state: number, now: number): void {
    const old = this.#vcpus[vcpu];
    if (old === undefined || old.state === state) return;
    const [running, runnable, blocked, offline] = old.times.map((time, i) =>
      i === old.state ? time + now - old.since : time,
    );
    this.#vcpus[vcpu] = {
      ...old,
      state,
      since: now,
      times: [running ?? 0, runnable ?? 0, blocked ?? 0, offline ?? 0],
    };
    if (old.area === undefined) return;
    // No vCPU runs meanwhile, so XEN_RUNSTATE_UPDATE (VMASST_TYPE_runstate_update_flag) could be seen by none.
    this.#machine.writeVirtual(vcpu, old.area.address, this.record(vcpu, old.area.width, now));
  }

  /** vcpu_runstate_info as of `now`. */
  record(vcpu: number, width: Width, now: number): Uint8Array {
    const layout = vcpu_runstate_info[width];
    const runstate = this.#vcpus[vcpu];
    const bytes = new Uint8Array(layout.size);
    if (runstate === undefined) return bytes;
    const view = new DataView(bytes.buffer);
    view.setInt32(layout.state, runstate.state, true);
    view.setBigUint64(layout.state_entry_time, BigInt(Math.trunc(runstate.since)), true);
    runstate.times.forEach((time, i) => {
      const total = i === runstate.state ? time + now - runstate.since : time;
      view.setBigUint64(layout.time + 8 * i, BigInt(Math.trunc(total)), true);
    });
    return bytes;
  }

  snapshot(): RunstatesState {
    return { vcpus: [...this.#vcpus] };
  }

  restore(state: RunstatesState): void {
    this.#vcpus = [...state.vcpus];
  }
}
