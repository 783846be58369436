// Which guest frames are RAM, which show a frame of Xen's, and which are holes; the domain's page count.
// Source: xen/include/public/memory.h
import { type Machine, MachineError } from '../machine/machine.ts';

const PAGE = 4096;
/** 52 bits of physical address. */
const MAX_GFN = 2 ** 40;
/** Pages beyond the machine's RAM; the machine has room for twice as many mapped frames. */
const MAX_EXTRA = 0x2000;

export interface PhysmapState {
  readonly pages: number;
  readonly spare: readonly number[];
  readonly extra: readonly (readonly [number, number])[];
  readonly shown: readonly (readonly [number, number])[];
}

export class Physmap {
  readonly #machine: Machine;
  readonly maxPages: number;
  #pages: number;
  /** Frames that were populated beyond RAM once and are free again. */
  #spare: number[] = [];
  /** gfn -> frame populated beyond RAM. */
  #extra = new Map<number, number>();
  /** Frame of Xen's -> gfn where the guest sees it. */
  #shown = new Map<number, number>();

  constructor(machine: Machine, maxPages: number) {
    this.#machine = machine;
    this.#pages = machine.ramBytes / PAGE;
    this.maxPages = Math.max(maxPages, this.#pages);
  }

  /** Pages of RAM that the domain holds now. */
  get pages(): number {
    return this.#pages;
  }

  isGfn(gfn: bigint): boolean {
    return gfn < BigInt(MAX_GFN);
  }

  /** True when `gfn` is RAM that was populated beyond the machine's. */
  isExtra(gfn: number): boolean {
    return this.#extra.has(gfn);
  }

  /** Makes `gfn` refer to a frame of Xen's, in place of what was there; the frame leaves its former gfn. */
  show(gfn: number, frame: number): void {
    const former = this.#shown.get(frame);
    if (former === gfn) return;
    if (former !== undefined) this.#machine.removePage(former);
    this.discard(gfn);
    this.#machine.mapFrame(gfn, frame);
    this.#shown.set(frame, gfn);
  }

  /** Leaves a hole at `gfn`; false when it was one. RAM that was there is lost to the domain. */
  discard(gfn: number): boolean {
    if (!this.#machine.isBacked(gfn)) return false;
    const frame = this.#machine.mappedFrame(gfn);
    const extra = this.#extra.get(gfn);
    if (frame === undefined || extra !== undefined) this.#pages--;
    if (extra !== undefined) {
      this.#extra.delete(gfn);
      this.#spare.push(extra);
    } else if (frame !== undefined) this.#shown.delete(frame);
    this.#machine.removePage(gfn);
    return true;
  }

  /** Puts a zeroed page at the hole `gfn`; false when it is none, or the domain has all its pages. */
  populate(gfn: number): boolean {
    if (this.#machine.isBacked(gfn) || this.#pages >= this.maxPages) return false;
    if (gfn < this.#machine.ramBytes / PAGE) this.#machine.restorePage(gfn);
    else if (!this.#populateBeyondRam(gfn)) return false;
    this.#pages++;
    return true;
  }

  #populateBeyondRam(gfn: number): boolean {
    if (this.#extra.size >= MAX_EXTRA) return false;
    let frame: number | undefined;
    try {
      frame = this.#spare.pop() ?? this.#machine.allocateFrame();
      this.#machine.frameView(frame).fill(0);
      this.#machine.mapFrame(gfn, frame);
    } catch (error) {
      if (!(error instanceof MachineError)) throw error;
      if (frame !== undefined) this.#spare.push(frame);
      return false;
    }
    this.#extra.set(gfn, frame);
    return true;
  }

  snapshot(): PhysmapState {
    return {
      pages: this.#pages,
      spare: [...this.#spare],
      extra: [...this.#extra],
      shown: [...this.#shown],
    };
  }

  restore(state: PhysmapState): void {
    this.#pages = state.pages;
    this.#spare = [...state.spare];
    this.#extra = new Map(state.extra);
    this.#shown = new Map(state.shown);
  }
}
