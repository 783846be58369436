// Memory behind a gdb stub: physical where the stub has a mode for it (QEMU: Qqemu.PhyMemMode), else as a vCPU sees it.
// The guest stands still, so what was read once is kept.
import type { GdbClient } from '../gdb/client.ts';
import { hexToBytes } from '../gdb/packet.ts';

const PAGE = 4096;
/** 16 MiB, of all spaces of one stub. */
const CACHED_PAGES = 4096;
/** Longer reads do not go through the cache: they would only turn it over. */
const CACHED_LENGTH = 16 * PAGE;
/** Pages asked for at once. */
const BATCH = 64;

/** One space of addresses that the stub reads: page by page, from a cache or in batches. */
export class StubSpace {
  readonly #client: GdbClient;
  /** Makes the stub read this space. */
  readonly #enter: () => void;
  readonly #chunk: number;
  readonly #cached: number;
  /** By page number; oldest use first. Undefined: it cannot be read. */
  readonly #pages = new Map<bigint, Uint8Array | undefined>();

  /** @param spaces how many share the cache. */
  constructor(client: GdbClient, enter: () => void, spaces = 1) {
    this.#client = client;
    this.#enter = enter;
    this.#cached = Math.ceil(CACHED_PAGES / spaces);
    // As gdb has it: two characters a byte, nothing left for the frame.
    this.#chunk = Math.min(PAGE, 2 ** Math.floor(Math.log2(client.packetSize / 2)));
  }

  /** @returns where the first byte is that cannot be read; undefined when all were. */
  read(address: bigint, into: Uint8Array): bigint | undefined {
    const first = address / BigInt(PAGE);
    const last = (address + BigInt(into.length) - 1n) / BigInt(PAGE);
    for (let from = first; from <= last; from += BigInt(BATCH)) {
      const count = Math.min(BATCH, Number(last - from) + 1);
      const pages = this.#read(from, count, into.length <= CACHED_LENGTH);
      for (const [index, page] of pages.entries()) {
        const start = (from + BigInt(index)) * BigInt(PAGE);
        if (!page) return start > address ? start : address;
        const offset = Number(start - address);
        into.set(page.subarray(Math.max(0, -offset), into.length - offset), Math.max(0, offset));
      }
    }
    return undefined;
  }

  #read(first: bigint, count: number, keep: boolean): (Uint8Array | undefined)[] {
    const numbers = Array.from({ length: count }, (_, index) => first + BigInt(index));
    const absent = numbers.filter((number) => !this.#pages.has(number));
    const fetched = new Map(this.#fetch(absent).map((page, index) => [absent[index], page]));
    return numbers.map((number) => {
      const page = fetched.has(number) ? fetched.get(number) : this.#pages.get(number);
      if (keep) this.#keep(number, page);
      return page;
    });
  }

  #keep(number: bigint, page: Uint8Array | undefined): void {
    this.#pages.delete(number);
    const [oldest] = this.#pages.size >= this.#cached ? this.#pages.keys() : [];
    if (oldest !== undefined) this.#pages.delete(oldest);
    this.#pages.set(number, page);
  }

  #fetch(numbers: readonly bigint[]): (Uint8Array | undefined)[] {
    if (numbers.length === 0) return [];
    this.#enter();
    const parts = PAGE / this.#chunk;
    const questions = numbers.flatMap((number) =>
      Array.from({ length: parts }, (_, part) => {
        const address = number * BigInt(PAGE) + BigInt(part * this.#chunk);
        return `m${address.toString(16)},${this.#chunk.toString(16)}`;
      }),
    );
    const answers = this.#client.askAll(questions);
    return numbers.map((_, index) => this.#joined(answers.slice(index * parts, (index + 1) * parts)));
  }

  /** A page out of its pieces. A piece that is short ends where memory does; pages have no such end. */
  #joined(answers: readonly string[]): Uint8Array | undefined {
    const page = new Uint8Array(PAGE);
    for (const [part, answer] of answers.entries()) {
      const bytes = answer.startsWith('E') ? undefined : hexToBytes(answer);
      if (bytes?.length !== this.#chunk) return undefined;
      page.set(bytes, part * this.#chunk);
    }
    return page;
  }
}

/**
 * The first byte of a read that no frame holds; undefined when frames hold all of it.
 * @param frames ascending, neighbours joined.
 */
export function firstAbsent(
  frames: readonly (readonly [number, number])[],
  address: number,
  length: number,
): number | undefined {
  if (length === 0) return undefined;
  let low = 0;
  let high = frames.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((frames[middle]?.[0] ?? 0) * PAGE <= address) low = middle + 1;
    else high = middle;
  }
  const [first, count] = frames[low - 1] ?? [0, 0];
  const behind = (first + count) * PAGE;
  if (behind <= address) return address;
  return behind < address + length ? behind : undefined;
}
