// One row of the CPUID table. What the leaves say is told by core/cpu/cpuid-leaves.ts.

/** Answer of CPUID for one leaf; `subleaf` -1 answers every ECX. */
export interface CpuidLeaf {
  readonly leaf: number;
  readonly subleaf: number;
  readonly eax: number;
  readonly ebx: number;
  readonly ecx: number;
  readonly edx: number;
}
