// Guest addresses as branded types, and the only way to print them. Knows nothing of translation.

declare const space: unique symbol;

/** Guest-virtual address: always 0 <= x < 2^64. */
export type GuestVirtual = bigint & { readonly [space]: 'virtual' };
/** Guest-physical address: an integer below 2^52, so a number holds it exactly. */
export type GuestPhysical = number & { readonly [space]: 'physical' };

/** Wraps any bigint into the 64-bit virtual address space. */
export const guestVirtual = (address: bigint): GuestVirtual => BigInt.asUintN(64, address) as GuestVirtual;

/** @throws RangeError unless 0 <= address < 2^52. */
export function guestPhysical(address: number): GuestPhysical {
  if (!Number.isSafeInteger(address) || address < 0 || address >= 2 ** 52)
    throw new RangeError(`not a guest-physical address: ${address}`);
  return address as GuestPhysical;
}

/** 16 lower-case hex digits without a prefix, as Xen prints addresses and registers. */
export const hex16 = (value: bigint): string => BigInt.asUintN(64, value).toString(16).padStart(16, '0');
