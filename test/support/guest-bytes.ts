// Guest memory that a test makes: one range of zeros to write into; everything else is not mapped.
import { MemoryFault } from '../../symbols/errors.ts';
import type { MemorySource } from '../../symbols/memory.ts';

export class GuestBytes implements MemorySource {
  readonly #base: bigint;
  readonly #bytes: Uint8Array;

  /** Whole pages, as a guest's memory is. */
  constructor(base: bigint, pages: number) {
    this.#base = base;
    this.#bytes = new Uint8Array(pages * 4096);
  }

  /** A part of it to write into. */
  view(address: bigint, size: number): DataView {
    return new DataView(this.#bytes.buffer, Number(address - this.#base), size);
  }

  read(address: bigint, into: Uint8Array): void {
    const at = Number(address - this.#base);
    if (at < 0 || at + into.length > this.#bytes.length)
      throw new MemoryFault(
        'virtual',
        at < 0 ? address : this.#base + BigInt(this.#bytes.length),
        'not mapped',
      );
    into.set(this.#bytes.subarray(at, at + into.length));
  }
}

/** Layouts of a test's own structures: `type.member` to offset and size, `type` to its size. */
export function layoutsFrom(
  members: Readonly<Record<string, readonly [offset: number, size: number]>>,
  sizes: Readonly<Record<string, number>> = {},
): {
  source: string;
  sizeOf(type: string): number | undefined;
  offsetOf(type: string, member: string): number | undefined;
  memberOf(type: string, member: string): { offset: number; size: number } | undefined;
} {
  const memberOf = (type: string, member: string) => {
    const [offset, size] = members[`${type}.${member}`] ?? [];
    return offset === undefined || size === undefined ? undefined : { offset, size };
  };
  return {
    source: 'the test',
    sizeOf: (type) => sizes[type],
    offsetOf: (type, member) => memberOf(type, member)?.offset,
    memberOf,
  };
}
