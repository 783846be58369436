// shared_info and the vcpu_info of every vCPU, wherever the guest moved them, in the width that the guest uses.
// Delivers no events: event-channels.ts decides, upcalls.ts interrupts.
// Source: xen/include/public/xen.h, xen-pvh-abi: shared_info
import type { Machine } from '../machine/machine.ts';
import type { Width } from './abi/layout.ts';
import {
  SHARED_INFO_32,
  SHARED_INFO_64,
  type SharedInfoLayout,
  VCPU_INFO_SIZE,
  vcpu_info,
  vcpu_time_info,
  XEN_PVCLOCK_TSC_STABLE_BIT,
} from './abi/xen.ts';

const PAGE = 4096;

export interface SharedInfoState {
  readonly width: Width;
  readonly gfn: number | undefined;
  readonly moved: readonly (number | undefined)[];
}

export class SharedInfo {
  readonly #machine: Machine;
  /** Frame handle of the page. */
  readonly frame: number;
  readonly #wallclockSeconds: number;
  #width: Width = 64;
  #layout: SharedInfoLayout = SHARED_INFO_64;
  #gfn: number | undefined;
  /** Guest-physical address of each registered vcpu_info. */
  #moved: (number | undefined)[];

  /** `wallclockSeconds`: seconds since 1970 at virtual time 0. */
  constructor(machine: Machine, wallclockSeconds: number) {
    this.#machine = machine;
    this.#wallclockSeconds = wallclockSeconds;
    this.#moved = new Array(machine.vcpuCount).fill(undefined);
    this.frame = machine.allocateFrame();
    this.#writeClocks();
  }

  get layout(): SharedInfoLayout {
    return this.#layout;
  }

  /** Where the guest mapped the page, if it did. */
  get gfn(): number | undefined {
    return this.#gfn;
  }

  /** Remembers where add_to_physmap put the page. */
  set gfn(gfn: number | undefined) {
    this.#gfn = gfn;
  }

  /** Xen latches the width of the caller that maps the page or sets the callback. */
  latchWidth(width: Width): void {
    if (width === this.#width) return;
    this.#width = width;
    this.#layout = width === 64 ? SHARED_INFO_64 : SHARED_INFO_32;
    this.#writeClocks();
  }

  #page(): DataView {
    return this.#machine.frameDataView(this.frame);
  }

  #writeClocks(): void {
    const page = this.#page();
    const { wc_version, wc_sec, wc_nsec, wc_sec_hi } = this.#layout;
    page.setUint32(wc_sec, this.#wallclockSeconds, true);
    page.setUint32(wc_nsec, 0, true);
    page.setUint32(wc_sec_hi, Math.floor(this.#wallclockSeconds / 2 ** 32), true);
    page.setUint32(wc_version, 2, true);
    for (let vcpu = 0; vcpu < this.#machine.vcpuCount; vcpu++)
      new Uint8Array(page.buffer, page.byteOffset + vcpu * VCPU_INFO_SIZE + vcpu_info.time).set(timeInfo());
  }

  // --- vcpu_info

  /** Guest-physical address of a vCPU's evtchn_upcall_pending, once the guest can see one. */
  upcallFlag(vcpu: number): number | undefined {
    const moved = this.#moved[vcpu];
    if (moved !== undefined) return moved;
    return this.#gfn === undefined ? undefined : this.#gfn * PAGE + vcpu * VCPU_INFO_SIZE;
  }

  isMoved(vcpu: number): boolean {
    return this.#moved[vcpu] !== undefined;
  }

  /** Moves a vcpu_info with its contents to `gpa`, whose page must be backed. */
  moveVcpuInfo(vcpu: number, gpa: number): void {
    const { byteOffset, buffer } = this.#page();
    const old = new Uint8Array(buffer, byteOffset + vcpu * VCPU_INFO_SIZE, VCPU_INFO_SIZE).slice();
    this.#machine.write(gpa, old);
    this.#moved[vcpu] = gpa;
  }

  /** The vcpu_info's byte at `offset`; 0 when the guest gave its page away. */
  readVcpuInfo(vcpu: number, offset: number): number {
    const moved = this.#moved[vcpu];
    if (moved === undefined) return this.#page().getUint8(vcpu * VCPU_INFO_SIZE + offset);
    return this.#machine.isBacked(Math.floor(moved / PAGE)) ? this.#machine.readU8(moved + offset) : 0;
  }

  writeVcpuInfo(vcpu: number, offset: number, value: number): void {
    const moved = this.#moved[vcpu];
    if (moved === undefined) this.#page().setUint8(vcpu * VCPU_INFO_SIZE + offset, value);
    else if (this.#machine.isBacked(Math.floor(moved / PAGE))) this.#machine.writeU8(moved + offset, value);
  }

  isUpcallPending(vcpu: number): boolean {
    return this.readVcpuInfo(vcpu, vcpu_info.evtchn_upcall_pending) !== 0;
  }

  /** Sets the selector bit of `word`; returns what it was. */
  testAndSetSelector(vcpu: number, word: number): boolean {
    const offset = this.#layout.evtchn_pending_sel + (word >> 3);
    const old = this.readVcpuInfo(vcpu, offset);
    const bit = 1 << (word & 7);
    this.writeVcpuInfo(vcpu, offset, old | bit);
    return (old & bit) !== 0;
  }

  /** Makes the guest look at every port of this vCPU. */
  selectAll(vcpu: number): void {
    const { word, evtchn_pending_sel } = this.#layout;
    for (let i = 0; i < word; i++) this.writeVcpuInfo(vcpu, evtchn_pending_sel + i, 0xff);
  }

  // --- event bitmaps: bit = port, little-endian, so bytes serve both widths

  isPending(port: number): boolean {
    return this.#bit(this.#layout.evtchn_pending, port);
  }

  isMasked(port: number): boolean {
    return this.#bit(this.#layout.evtchn_mask, port);
  }

  setPending(port: number, value: boolean): void {
    this.#setBit(this.#layout.evtchn_pending, port, value);
  }

  setMasked(port: number, value: boolean): void {
    this.#setBit(this.#layout.evtchn_mask, port, value);
  }

  #bit(base: number, port: number): boolean {
    return ((this.#page().getUint8(base + (port >> 3)) >> (port & 7)) & 1) !== 0;
  }

  #setBit(base: number, port: number, value: boolean): void {
    const page = this.#page();
    const place = base + (port >> 3);
    const bit = 1 << (port & 7);
    const old = page.getUint8(place);
    page.setUint8(place, value ? old | bit : old & ~bit);
  }

  snapshot(): SharedInfoState {
    return { width: this.#width, gfn: this.#gfn, moved: [...this.#moved] };
  }

  restore(state: SharedInfoState): void {
    this.#width = state.width;
    this.#layout = state.width === 64 ? SHARED_INFO_64 : SHARED_INFO_32;
    this.#gfn = state.gfn;
    this.#moved = [...state.moved];
  }
}

/** vcpu_time_info of a 1 GHz TSC that started at system time 0 and never stops: it is never written again. */
export function timeInfo(): Uint8Array {
  const bytes = new Uint8Array(vcpu_time_info.size);
  const view = new DataView(bytes.buffer);
  view.setUint32(vcpu_time_info.version, 2, true);
  view.setUint32(vcpu_time_info.tsc_to_system_mul, 0x8000_0000, true);
  view.setInt8(vcpu_time_info.tsc_shift, 1);
  view.setUint8(vcpu_time_info.flags, XEN_PVCLOCK_TSC_STABLE_BIT);
  return bytes;
}
