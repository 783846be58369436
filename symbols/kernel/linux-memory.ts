// A Linux guest's memory with its names and layouts: variables by symbol, members by type. Every collector of this room reads through it.
import type { AddressOf } from '../address.ts';
import { FormatError, MemoryFault } from '../errors.ts';
import type { MemorySource } from '../memory.ts';
import { GuestReader } from './guest-reader.ts';
import type { MemberPlace, TypeLayouts } from './type-layouts.ts';

/** What is not known is thrown as a FormatError that names it: the callers turn it into the reason. */
export class LinuxMemory {
  readonly reader: GuestReader;
  readonly layouts: TypeLayouts | undefined;
  readonly #addressOf: AddressOf;
  readonly #addresses = new Map<string, bigint | undefined>();

  constructor(memory: MemorySource, addressOf: AddressOf, layouts: TypeLayouts | undefined) {
    this.reader = memory instanceof GuestReader ? memory : new GuestReader(memory);
    this.layouts = layouts;
    this.#addressOf = addressOf;
  }

  /** Run-time address of a symbol, or undefined. A table is asked once. */
  find(symbol: string): bigint | undefined {
    if (!this.#addresses.has(symbol)) this.#addresses.set(symbol, this.#addressOf(symbol));
    return this.#addresses.get(symbol);
  }

  /** The first of these symbols that the kernel has. @throws FormatError when it has none. */
  address(...symbols: readonly string[]): bigint {
    for (const symbol of symbols) {
      const address = this.find(symbol);
      if (address !== undefined) return address;
    }
    throw new FormatError(`no symbol ${symbols.join(' nor ')}`);
  }

  /** Place of a member. @throws FormatError when no layout tells it. */
  place(type: string, member: string): MemberPlace {
    const place = this.layouts?.memberOf(type, member);
    if (!place)
      throw new FormatError(
        this.layouts
          ? `no ${type}.${member} in ${this.layouts.source}`
          : `no BTF and no VMCOREINFO to find ${type}.${member} with`,
      );
    return place;
  }

  offset(type: string, member: string): bigint {
    return BigInt(this.place(type, member).offset);
  }

  has(type: string, member: string): boolean {
    return this.layouts?.offsetOf(type, member) !== undefined;
  }

  size(type: string): number {
    const size = this.layouts?.sizeOf(type);
    if (size === undefined) throw new FormatError(`no size of ${type}`);
    return size;
  }

  /** A number of 4 bytes, or of fewer where a kernel has made the member smaller (task_struct.on_cpu: one byte in 7.3). */
  u32(object: bigint, type: string, member: string): number {
    const { offset, size } = this.place(type, member);
    const width = size === 1 || size === 2 ? size : 4;
    return Number(this.reader.unsigned(object + BigInt(offset), width));
  }
  u64(object: bigint, type: string, member: string): bigint {
    return this.reader.u64(object + this.offset(type, member));
  }

  /** A number as wide as the member is; of 8 bytes where the layouts do not tell. */
  number(object: bigint, type: string, member: string): bigint {
    const { offset, size = 8 } = this.place(type, member);
    if (size !== 1 && size !== 2 && size !== 4 && size !== 8)
      throw new FormatError(`${type}.${member} of ${size} bytes is no number`);
    return this.reader.unsigned(object + BigInt(offset), size);
  }
}

/** A list that does not come back to its head, or cannot be read any more. */
export interface ListDamage {
  /** The link at which it ends. */
  readonly address: bigint;
  readonly reason: string;
}

/**
 * Links of a circular `struct list_head`, without the head.
 * @param limit more links than these are damage.
 * @param onDamage is told why the list ended early; the links before are good.
 */
export function* walkList(
  { reader }: LinuxMemory,
  head: bigint,
  limit: number,
  onDamage: (damage: ListDamage) => void,
): Generator<bigint> {
  const seen = new Set<bigint>([head]);
  for (let link = head; ; ) {
    const next = attempt(() => reader.u64(link));
    if (next.value === undefined) return onDamage({ address: link, reason: next.missing });
    if (next.value === head) return;
    if (seen.has(next.value))
      return onDamage({ address: link, reason: 'it comes back to a link, not to its head' });
    if (seen.size > limit) return onDamage({ address: link, reason: `more than ${limit} links` });
    link = next.value;
    seen.add(link);
    yield link;
  }
}

/** A value or the reason why there is none. */
export type Known<T> =
  | { readonly value: T; readonly missing?: undefined }
  | { readonly value?: undefined; readonly missing: string };

/** Runs a reading: what memory or the kernel's build does not give becomes the reason. */
export function attempt<T extends {}>(read: () => T): Known<T> {
  try {
    return { value: read() };
  } catch (error) {
    if (error instanceof FormatError || error instanceof MemoryFault) return { missing: error.message };
    throw error;
  }
}
