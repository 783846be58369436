// Guest addresses: how they are printed, and where Linux has its image. Guest-virtual ones are bigints in 0..2^64-1, guest-physical
// ones numbers below 2^52.

/** 16 lower-case hex digits without a prefix, as Xen prints addresses and registers: the only way to print one. */
export const hex16 = (value: bigint): string => BigInt.asUintN(64, value).toString(16).padStart(16, '0');

/** Address of a symbol by its name; undefined when there is none. Whether of the file or at run time is the giver's matter. */
export type AddressOf = (name: string) => bigint | undefined;

/**
 * Where x86-64 Linux maps its image: __START_KERNEL_map, and KERNEL_IMAGE_SIZE, 1 GiB at most, above it
 * (arch/x86/include/asm/page_64_types.h). KASLR moves the image within.
 */
export const KERNEL_IMAGE_START = 0xffffffff80000000n;
export const KERNEL_IMAGE_END = 0xffffffffc0000000n;
