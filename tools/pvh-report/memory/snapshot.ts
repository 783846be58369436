// A Target whose frames are read once and kept, with a note of those that were asked for. Decides nothing: choose-frames.ts does.
import type { Target } from '../../../core/target/target.ts';
import { MemoryFault } from '../../../symbols/errors.ts';

export const PAGE = 4096;
/** 256 MiB: what is read beyond is neither kept nor noted. */
const MAX_KEPT = 1 << 16;
/** Shorter reads try one frame after the other for the note that is VMCOREINFO: the frames that have none are of no use. */
const MIN_NOTED = 64;

/** How often each frame was asked for. */
export interface Notes {
  /** Alone: page tables, stacks, structures. In the order in which they were asked for first. */
  readonly single: Set<number>;
  /** Together with its neighbours: tables of names and types, and whatever is searched through. */
  readonly together: Map<number, number>;
}

export class Snapshot implements Target {
  readonly #target: Target;
  readonly #pages = new Map<number, Uint8Array>();
  #notes: Notes = { single: new Set(), together: new Map() };

  constructor(target: Target) {
    this.#target = target;
  }

  get kind(): string {
    return this.#target.kind;
  }
  get description(): string {
    return this.#target.description;
  }
  get identity(): Target['identity'] {
    return this.#target.identity;
  }
  get vcpus(): Target['vcpus'] {
    return this.#target.vcpus;
  }
  get lacks(): Target['lacks'] {
    return this.#target.lacks;
  }
  get paging(): Target['paging'] {
    return this.#target.paging;
  }
  get frames(): Target['frames'] {
    return this.#target.frames;
  }

  /** Forgets what was asked for. @returns what it was. */
  takeNotes(): Notes {
    const notes = this.#notes;
    this.#notes = { single: new Set(), together: new Map() };
    return notes;
  }

  /** A frame that was read. */
  page(gfn: number): Uint8Array | undefined {
    return this.#pages.get(gfn);
  }

  readPhysical(address: number, into: Uint8Array): void {
    const first = Math.floor(address / PAGE);
    const count = Math.floor((address + into.length - 1) / PAGE) - first + 1;
    if (into.length < MIN_NOTED || this.#pages.size + count > MAX_KEPT) {
      this.#target.readPhysical(address, into);
      return;
    }
    this.#load(first, count);
    for (let gfn = first; gfn < first + count; gfn++) {
      const page = this.#pages.get(gfn) ?? this.#loadOne(gfn, Math.max(address, gfn * PAGE));
      const offset = gfn * PAGE - address;
      into.set(page.subarray(Math.max(0, -offset), into.length - offset), Math.max(0, offset));
      if (count === 1) this.#notes.single.add(gfn);
      else this.#notes.together.set(gfn, (this.#notes.together.get(gfn) ?? 0) + 1);
    }
  }

  /** Frames that follow each other in one read, where all are there. */
  #load(first: number, count: number): void {
    if (count === 1) return;
    for (let gfn = first; gfn < first + count; gfn++) {
      if (this.#pages.has(gfn)) continue;
      const bytes = new Uint8Array((first + count - gfn) * PAGE);
      try {
        this.#target.readPhysical(gfn * PAGE, bytes);
      } catch (error) {
        if (error instanceof MemoryFault) return;
        throw error;
      }
      for (let at = 0; at < bytes.length; at += PAGE)
        this.#pages.set(gfn + at / PAGE, bytes.subarray(at, at + PAGE));
      return;
    }
  }

  #loadOne(gfn: number, asked: number): Uint8Array {
    const bytes = new Uint8Array(PAGE);
    try {
      this.#target.readPhysical(gfn * PAGE, bytes);
    } catch (error) {
      if (!(error instanceof MemoryFault)) throw error;
      throw new MemoryFault('physical', BigInt(asked), error.reason);
    }
    this.#pages.set(gfn, bytes);
    return bytes;
  }

  close(): void {
    this.#pages.clear();
  }
}
