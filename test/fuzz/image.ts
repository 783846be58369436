// Bytes as guest memory: mapped from one address on, a MemoryFault everywhere else.
import { MemoryFault } from '../../symbols/errors.ts';
import type { MappedMemory } from '../../symbols/memory.ts';

export class Image implements MappedMemory {
  readonly #address: bigint;
  readonly #bytes: Uint8Array;

  constructor(address: bigint, bytes: Uint8Array) {
    this.#address = address;
    this.#bytes = bytes;
  }

  read(address: bigint, into: Uint8Array): void {
    const at = BigInt.asUintN(64, address - this.#address);
    if (at >= BigInt(this.#bytes.length)) throw new MemoryFault('virtual', address, 'not mapped');
    const part = this.#bytes.subarray(Number(at), Number(at) + into.length);
    if (part.length < into.length)
      throw new MemoryFault('virtual', address + BigInt(part.length), 'not mapped');
    into.set(part);
  }

  *mapped(start: bigint, end: bigint): Generator<{ address: bigint; length: number }> {
    if (this.#address >= start && this.#address < end)
      yield { address: this.#address, length: this.#bytes.length };
  }
}
