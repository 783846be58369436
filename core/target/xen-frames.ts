// Memory of a domain of a real Xen host, mapped on demand in blocks and copied. Keeps a bounded number of blocks.
import { MemoryFault, PvhError } from '../../symbols/errors.ts';
import type { XenControl, XenDomain } from './xen-control.ts';

const PAGE = 4096;
/** Frames that are mapped at once: neighbours are mostly wanted too, and a mapping costs more than a page. */
const BLOCK_FRAMES = 32;
/** 32 MiB. */
const CACHED_BLOCKS = 256;
/** Frames asked for at once when it is only wanted which there are. */
const PROBE_FRAMES = 1024;
/** In a hole only every eighth frame is asked for: what the toolstack puts there (ACPI tables, special pages) begins at one. */
const HOLE_STEP = 8;

type Block = readonly (Uint8Array | undefined)[];

export class XenFrames {
  readonly #control: XenControl;
  readonly #domain: XenDomain;
  /** Block number to its pages, oldest use first. */
  readonly #blocks = new Map<number, Block>();
  #runs: readonly (readonly [number, number])[] | undefined;

  constructor(control: XenControl, domain: XenDomain) {
    this.#control = control;
    this.#domain = domain;
  }

  /** Target.readPhysical. */
  read(address: number, into: Uint8Array): void {
    for (let done = 0; done < into.length; ) {
      const at = address + done;
      const within = at % PAGE;
      const length = Math.min(into.length - done, PAGE - within);
      const page = this.#page((at - within) / PAGE, at);
      into.set(page.subarray(within, within + length), done);
      done += length;
    }
  }

  /** Target.frames: asked for when first wanted, as it takes a hypercall a frame. Of a PV guest nobody knows them. */
  get runs(): readonly (readonly [number, number])[] {
    this.#runs ??= this.#domain.hvm ? this.#findRuns() : [];
    return this.#runs;
  }

  #page(frame: number, address: number): Uint8Array {
    const number = Math.floor(frame / BLOCK_FRAMES);
    const page = this.#block(number, address)[frame % BLOCK_FRAMES];
    if (page === undefined) throw new MemoryFault('physical', BigInt(address), 'not present');
    return page;
  }

  #block(number: number, address: number): Block {
    let block = this.#blocks.get(number);
    if (block === undefined) {
      block = this.#copy(number, address);
      const [oldest] = this.#blocks.keys();
      if (oldest !== undefined && this.#blocks.size >= CACHED_BLOCKS) this.#blocks.delete(oldest);
    } else this.#blocks.delete(number);
    this.#blocks.set(number, block);
    return block;
  }

  #copy(number: number, address: number): Block {
    const frames = Array.from({ length: BLOCK_FRAMES }, (_, index) => number * BLOCK_FRAMES + index);
    try {
      return this.#control.copyFrames(this.#domain.domid, frames);
    } catch (error) {
      if (!(error instanceof PvhError)) throw error;
      throw new MemoryFault('physical', BigInt(address), 'read error', error.message);
    }
  }

  /** Looks at every frame up to the last one, at fewer of them where there are none, until all pages of the domain are found. */
  #findRuns(): (readonly [number, number])[] {
    const { domid, pages } = this.#domain;
    const last = this.#control.lastFrame(domid);
    const runs: [number, number][] = [];
    let found = 0;
    const add = (frame: number): void => {
      const run = runs.at(-1);
      if (run && run[0] + run[1] === frame) run[1]++;
      else runs.push([frame, 1]);
      found++;
    };
    let step = 1;
    for (let first = 0; first <= last && found < pages; ) {
      const count = Math.min(PROBE_FRAMES, Math.ceil((last - first + 1) / step));
      const frames = Array.from({ length: count }, (_, index) => first + index * step);
      const have = this.#control.haveFrames(domid, frames);
      const hit = have.indexOf(true);
      if (step > 1 && hit >= 0) {
        // The hole ends here: once more, closely.
        first += hit * step;
        step = 1;
        continue;
      }
      for (const [index, frame] of frames.entries()) if (have[index]) add(frame);
      first += count * step;
      step = hit < 0 ? HOLE_STEP : 1;
    }
    return runs;
  }
}
