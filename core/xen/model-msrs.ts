// Model-specific registers of AMD that kernels look at without asking CPUID first. Fixed values; writes change nothing.
// Source: AMD PPR for family 19h, "MSRs - MSRC001_0xxx"; what Xen 4.17 lets a guest see of them

const AMD: ReadonlyMap<number, bigint> = new Map([
  [0x8b, 0n], // patch level
  [0xc0010010, 0n], // SYSCFG
  [0xc0010015, 1n << 24n], // HWCR: the TSC counts at the P0 frequency
  [0xc001001f, 0n], // NB_CFG
  [0xc0011029, 1n << 1n], // DE_CFG: LFENCE serializes
]);

/** Undefined when the vendor's processors have no such register, which is a general protection fault. */
export function modelMsr(vendor: 'GenuineIntel' | 'AuthenticAMD', index: number): bigint | undefined {
  return vendor === 'AuthenticAMD' ? AMD.get(index) : undefined;
}
