// The only way to print a guest address. Guest-virtual ones are bigints in 0..2^64-1, guest-physical ones numbers below 2^52.

/** 16 lower-case hex digits without a prefix, as Xen prints addresses and registers. */
export const hex16 = (value: bigint): string => BigInt.asUintN(64, value).toString(16).padStart(16, '0');
