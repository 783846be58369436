// Numbers and texts out of guest memory, through a few pages kept. Knows no structure.
import { textUntilNul } from '../bytes.ts';
import { MemoryFault } from '../errors.ts';
import type { MemorySource } from '../memory.ts';

const PAGE = 4096;
const CACHED_PAGES = 32;
/** Word widths that a structure's member can have. */
export type Width = 1 | 2 | 4 | 8;

/** Little-endian reads at any address; all throw MemoryFault at the first byte that cannot be read. */
export class GuestReader implements MemorySource {
  readonly #memory: MemorySource;
  /** Page address to its bytes or to why there are none; oldest use first. */
  readonly #pages = new Map<bigint, DataView | MemoryFault>();

  constructor(memory: MemorySource) {
    this.#memory = memory;
  }

  read(address: bigint, into: Uint8Array): void {
    this.#memory.read(BigInt.asUintN(64, address), into);
  }

  /** `length` bytes; the caller has bounded the length. */
  bytes(address: bigint, length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    this.read(address, bytes);
    return bytes;
  }

  u8(address: bigint): number {
    return Number(this.unsigned(address, 1));
  }
  u32(address: bigint): number {
    return Number(this.unsigned(address, 4));
  }
  i32(address: bigint): number {
    return this.u32(address) | 0;
  }
  u64(address: bigint): bigint {
    return this.unsigned(address, 8);
  }

  unsigned(address: bigint, width: Width): bigint {
    const at = Number(address & 0xfffn);
    if (at + width > PAGE) return viewOf(this.bytes(address, width), width);
    const page = this.#page(address - BigInt(at));
    if (page instanceof MemoryFault) throw new MemoryFault('virtual', address, page.reason);
    if (width === 8) return page.getBigUint64(at, true);
    return BigInt(
      width === 4 ? page.getUint32(at, true) : width === 2 ? page.getUint16(at, true) : page.getUint8(at),
    );
  }

  /** Text up to a NUL, at most `limit` bytes: as much of it as can be read; throws when not even its first byte can. */
  text(address: bigint, limit: number): string {
    const bytes = new Uint8Array(limit);
    for (let done = 0; done < limit; ) {
      const at = address + BigInt(done);
      const size = Math.min(limit - done, PAGE - Number(at & 0xfffn));
      try {
        this.read(at, bytes.subarray(done, done + size));
      } catch (error) {
        if (!(error instanceof MemoryFault) || done === 0) throw error;
        break;
      }
      if (bytes.subarray(done, done + size).includes(0)) break;
      done += size;
    }
    return textUntilNul(bytes, 0);
  }

  #page(base: bigint): DataView | MemoryFault {
    const address = BigInt.asUintN(64, base);
    let page = this.#pages.get(address);
    if (page) this.#pages.delete(address);
    else {
      page = this.#load(address);
      const [oldest] = this.#pages.size >= CACHED_PAGES ? this.#pages.keys() : [];
      if (oldest !== undefined) this.#pages.delete(oldest);
    }
    this.#pages.set(address, page);
    return page;
  }

  #load(address: bigint): DataView | MemoryFault {
    const bytes = new Uint8Array(PAGE);
    try {
      this.#memory.read(address, bytes);
      return new DataView(bytes.buffer);
    } catch (error) {
      if (error instanceof MemoryFault) return error;
      throw error;
    }
  }
}

function viewOf(bytes: Uint8Array, width: Width): bigint {
  let value = 0n;
  for (let index = width - 1; index >= 0; index--) value = (value << 8n) | BigInt(bytes[index] ?? 0);
  return value;
}
