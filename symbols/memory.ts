// Guest-virtual memory as symbols/ sees it, and words out of it.
import { MemoryFault } from './errors.ts';

export interface MemorySource {
  /**
   * Fills `into` from virtual `address` on.
   * @throws MemoryFault at the first byte that cannot be read.
   */
  read(address: bigint, into: Uint8Array): void;
}

/** Whether all of `into` could be read; if not, it has anything. */
export function tryReadInto(memory: MemorySource, address: bigint, into: Uint8Array): boolean {
  try {
    memory.read(address, into);
    return true;
  } catch (error) {
    if (error instanceof MemoryFault) return false;
    throw error;
  }
}

/** Bytes at an address; undefined when one of them cannot be read. The caller has bounded the length. */
export function tryRead(memory: MemorySource, address: bigint, length: number): Uint8Array | undefined {
  const bytes = new Uint8Array(length);
  return tryReadInto(memory, address, bytes) ? bytes : undefined;
}

/** Memory that can also tell where something is mapped. */
export interface MappedMemory extends MemorySource {
  /** Mapped ranges of start..end in ascending order; neighbours are not joined. Reading them can fail all the same. */
  mapped(start: bigint, end: bigint): Iterable<{ readonly address: bigint; readonly length: number }>;
}

/** Width of a stack slot in bytes: long mode, protected mode, real mode. */
export type WordSize = 8 | 4 | 2;

const PAGE = 4096n;

/** Reads words and bytes one by one, out of the page read last. What cannot be read is undefined and told once a page. */
export class WordReader {
  readonly wordSize: WordSize;
  readonly #memory: MemorySource;
  readonly #onFault: (fault: MemoryFault) => void;
  readonly #page = new Uint8Array(Number(PAGE));
  #base: bigint | undefined;
  #fault: MemoryFault | undefined;

  constructor(memory: MemorySource, wordSize: WordSize, onFault: (fault: MemoryFault) => void) {
    this.#memory = memory;
    this.wordSize = wordSize;
    this.#onFault = onFault;
  }

  byte(address: bigint): number | undefined {
    const at = BigInt.asUintN(64, address);
    const base = at & ~(PAGE - 1n);
    if (base !== this.#base) this.#load(base);
    return this.#fault ? undefined : this.#page[Number(at - base)];
  }

  /** A little-endian word; undefined when one of its bytes cannot be read. */
  word(address: bigint): bigint | undefined {
    let value = 0n;
    for (let index = 0; index < this.wordSize; index++) {
      const byte = this.byte(address + BigInt(index));
      if (byte === undefined) return undefined;
      value |= BigInt(byte) << BigInt(index * 8);
    }
    return value;
  }

  #load(base: bigint): void {
    this.#base = base;
    this.#fault = undefined;
    try {
      this.#memory.read(base, this.#page);
    } catch (error) {
      if (!(error instanceof MemoryFault)) throw error;
      this.#fault = error;
      this.#onFault(error);
    }
  }
}
