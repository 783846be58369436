// The grant table of version 1: its frames and how many there are. Maps no grants: no backend of ours needs one yet.
// Source: xen/include/public/grant_table.h
import type { Machine } from '../machine/machine.ts';
import { GTF_permit_access, grant_entry_v1 } from './abi/grant-table.ts';

/** libxl's default of max_grant_frames. */
export const MAX_GRANT_FRAMES = 64;

export interface GrantTableState {
  readonly frames: readonly number[];
}

export class GrantTable {
  readonly #machine: Machine;
  #frames: number[] = [];

  constructor(machine: Machine) {
    this.#machine = machine;
    this.frame(0);
  }

  get frameCount(): number {
    return this.#frames.length;
  }

  /** The frame of that index, growing the table up to it; undefined beyond the limit. */
  frame(index: number): number | undefined {
    if (index >= MAX_GRANT_FRAMES) return undefined;
    while (this.#frames.length <= index) this.#frames.push(this.#machine.allocateFrame());
    return this.#frames[index];
  }

  /** Fills one of the reserved entries, as the toolstack does for the rings of domain 0. */
  reserve(reference: number, domid: number, gfn: number): void {
    const [first] = this.#frames;
    if (first === undefined) return;
    const table = this.#machine.frameDataView(first);
    const at = reference * grant_entry_v1.size;
    table.setUint16(at + grant_entry_v1.flags, GTF_permit_access, true);
    table.setUint16(at + grant_entry_v1.domid, domid, true);
    table.setUint32(at + grant_entry_v1.frame, gfn, true);
  }

  snapshot(): GrantTableState {
    return { frames: [...this.#frames] };
  }

  restore(state: GrantTableState): void {
    this.#frames = [...state.frames];
  }
}
