// How a vCPU learns that its upcall_pending is set: the global callback vector, or a vector of its own in its LAPIC.
// Source: xen/include/public/hvm/params.h (HVM_PARAM_CALLBACK_IRQ), hvm_op.h (HVMOP_set_evtchn_upcall_vector)
import type { Machine } from '../machine/machine.ts';
import { vcpu_info } from './abi/xen.ts';
import type { SharedInfo } from './shared-info.ts';

export interface UpcallState {
  readonly callbackVector: number | undefined;
  readonly vectors: readonly (number | undefined)[];
  readonly lapics: readonly boolean[];
}

export class Upcalls {
  readonly #machine: Machine;
  readonly #shared: SharedInfo;
  #callbackVector: number | undefined;
  #vectors: (number | undefined)[];
  /** Whether each LAPIC was enabled when it was last looked at. */
  #lapics: boolean[];

  constructor(machine: Machine, shared: SharedInfo) {
    this.#machine = machine;
    this.#shared = shared;
    this.#vectors = new Array(machine.vcpuCount).fill(undefined);
    this.#lapics = new Array(machine.vcpuCount).fill(false);
  }

  /** The vector that every vCPU takes, beside its LAPIC; undefined switches that off. */
  setCallbackVector(vector: number | undefined): void {
    this.#callbackVector = vector;
    this.placesChanged();
  }

  /** The vector that this vCPU takes through its LAPIC. */
  setVcpuVector(vcpu: number, vector: number): void {
    this.#vectors[vcpu] = vector;
    if (this.#shared.isUpcallPending(vcpu)) this.#interrupt(vcpu);
  }

  /** To be called when shared_info or a vcpu_info got a new place. */
  placesChanged(): void {
    for (let vcpu = 0; vcpu < this.#machine.vcpuCount; vcpu++) {
      const flagGpa = this.#shared.upcallFlag(vcpu);
      const vector = this.#callbackVector;
      this.#machine.setInterruptLine(
        vcpu,
        vector === undefined || flagGpa === undefined ? undefined : { flagGpa, vector },
      );
    }
  }

  /** Sets upcall_pending and interrupts on its rising edge. The line of the callback vector follows the flag itself. */
  markPending(vcpu: number): void {
    if (this.#shared.isUpcallPending(vcpu)) return;
    this.#shared.writeVcpuInfo(vcpu, vcpu_info.evtchn_upcall_pending, 1);
    this.#interrupt(vcpu);
  }

  /**
   * A disabled LAPIC takes no vector: as Xen does it, one that was enabled since the last look gets it then.
   * To be called between slices.
   */
  checkLapics(): void {
    for (let vcpu = 0; vcpu < this.#lapics.length; vcpu++) {
      if (this.#vectors[vcpu] === undefined) continue;
      const enabled = this.#machine.isLapicEnabled(vcpu);
      if (enabled && !this.#lapics[vcpu] && this.#shared.isUpcallPending(vcpu)) this.#interrupt(vcpu);
      this.#lapics[vcpu] = enabled;
    }
  }

  #interrupt(vcpu: number): void {
    const vector = this.#vectors[vcpu];
    if (vector !== undefined) this.#machine.lapicInterrupt(vcpu, vector);
  }

  snapshot(): UpcallState {
    return { callbackVector: this.#callbackVector, vectors: [...this.#vectors], lapics: [...this.#lapics] };
  }

  restore(state: UpcallState): void {
    this.#callbackVector = state.callbackVector;
    this.#vectors = [...state.vectors];
    this.#lapics = [...state.lapics];
    this.placesChanged();
  }
}
