// What CPUID offers: one bit for each feature that is implemented, and the leaves that say so. An opcode row names the feature
// it needs (`if:` in the opcode tables); one that is not offered raises #UD. Knows nothing of Xen's leaves.
import { PHYSICAL_BITS } from './layout.ts';

/** Answer of CPUID for one leaf; `subleaf` -1 answers every ECX. */
export interface CpuidLeaf {
  readonly leaf: number;
  readonly subleaf: number;
  readonly eax: number;
  readonly ebx: number;
  readonly ecx: number;
  readonly edx: number;
  /** EBX is the number of the vCPU that asks. */
  readonly vcpuInEbx?: boolean;
}

export type CpuVendor = 'GenuineIntel' | 'AuthenticAMD';

type Place = readonly [leaf: number, register: 'eax' | 'ebx' | 'ecx' | 'edx', bit: number];

/** Where CPUID shows each feature (SDM vol 2A, CPUID; APM vol 3, appendix E). All subleaves here are 0. */
export const FEATURE_PLACES = {
  sse3: [1, 'ecx', 0],
  pclmulqdq: [1, 'ecx', 1],
  ssse3: [1, 'ecx', 9],
  cx16: [1, 'ecx', 13],
  sse41: [1, 'ecx', 19],
  sse42: [1, 'ecx', 20],
  x2apic: [1, 'ecx', 21],
  movbe: [1, 'ecx', 22],
  popcnt: [1, 'ecx', 23],
  aes: [1, 'ecx', 25],
  rdrand: [1, 'ecx', 30],
  hypervisor: [1, 'ecx', 31],
  fpu: [1, 'edx', 0],
  de: [1, 'edx', 2],
  pse: [1, 'edx', 3],
  tsc: [1, 'edx', 4],
  msr: [1, 'edx', 5],
  pae: [1, 'edx', 6],
  cx8: [1, 'edx', 8],
  apic: [1, 'edx', 9],
  sep: [1, 'edx', 11],
  pge: [1, 'edx', 13],
  cmov: [1, 'edx', 15],
  pat: [1, 'edx', 16],
  clflush: [1, 'edx', 19],
  mmx: [1, 'edx', 23],
  fxsr: [1, 'edx', 24],
  sse: [1, 'edx', 25],
  sse2: [1, 'edx', 26],
  htt: [1, 'edx', 28],
  arat: [6, 'eax', 2],
  fsgsbase: [7, 'ebx', 0],
  bmi1: [7, 'ebx', 3],
  fdp_excptn_only: [7, 'ebx', 6],
  smep: [7, 'ebx', 7],
  bmi2: [7, 'ebx', 8],
  erms: [7, 'ebx', 9],
  zero_fcs_fds: [7, 'ebx', 13],
  rdseed: [7, 'ebx', 18],
  adx: [7, 'ebx', 19],
  smap: [7, 'ebx', 20],
  clflushopt: [7, 'ebx', 23],
  clwb: [7, 'ebx', 24],
  rdpid: [7, 'ecx', 22],
  fsrm: [7, 'edx', 4],
  arch_capabilities: [7, 'edx', 29],
  lahf: [0x80000001, 'ecx', 0],
  lzcnt: [0x80000001, 'ecx', 5],
  prefetchw: [0x80000001, 'ecx', 8],
  syscall: [0x80000001, 'edx', 11],
  nx: [0x80000001, 'edx', 20],
  pdpe1gb: [0x80000001, 'edx', 26],
  rdtscp: [0x80000001, 'edx', 27],
  lm: [0x80000001, 'edx', 29],
  invariant_tsc: [0x80000007, 'edx', 8],
} as const;

export type CpuFeature = keyof typeof FEATURE_PLACES;

/** Every feature that the core implements. */
export const IMPLEMENTED_FEATURES: readonly CpuFeature[] = Object.keys(FEATURE_PLACES) as CpuFeature[]; // as const keys

export interface CpuidOptions {
  readonly vendor: CpuVendor;
  readonly vcpus: number;
  /** Features to hide. */
  readonly without?: readonly CpuFeature[];
}

/**
 * Family 6, model 0x36, stepping 1: an in-order Atom. Linux counts it as not speculating (cpu_vuln_whitelist in
 * arch/x86/kernel/cpu/common.c), so no mitigation slows the guest down against attacks that an interpreter does not know.
 */
const INTEL_SIGNATURE = 0x00030661;
/** Family 0x1a. */
const AMD_SIGNATURE = 0x00b00f00;
const BRAND = 'pvh-report virtual CPU @ 1.00GHz';

const ascii = (text: string, at: number): number =>
  [0, 1, 2, 3].reduce((word, i) => word | ((text.charCodeAt(at + i) || 0) << (8 * i)), 0) >>> 0;

/** Bits that must be the same in 0x80000001 edx as in 1 edx on AMD. */
const AMD_COPY = 0x0183f3ff;

/** The leaves of the CPU itself; the hypervisor's leaves come from its own room. Machine patches the APIC ids. */
export function cpuidLeaves(options: CpuidOptions): CpuidLeaf[] {
  const { vendor, vcpus } = options;
  const amd = vendor === 'AuthenticAMD';
  const hidden = new Set<string>(options.without ?? []);
  if (amd) hidden.add('arch_capabilities');
  if (vcpus === 1) hidden.add('htt');
  const bits = (leaf: number, register: Place[1]): number =>
    IMPLEMENTED_FEATURES.filter((name) => !hidden.has(name))
      .map((name): Place => FEATURE_PLACES[name])
      .filter((place) => place[0] === leaf && place[1] === register)
      .reduce((word, place) => word | (1 << place[2]), 0) >>> 0;
  const row = (leaf: number, subleaf: number, eax = 0, ebx = 0, ecx = 0, edx = 0): CpuidLeaf => ({
    leaf,
    subleaf,
    eax: eax >>> 0,
    ebx: ebx >>> 0,
    ecx: ecx >>> 0,
    edx: edx >>> 0,
  });
  const name = ascii(vendor, 0);
  const signature = amd ? AMD_SIGNATURE : INTEL_SIGNATURE;
  const coreShift = 1 + Math.ceil(Math.log2(vcpus));
  const rows = [
    row(0, -1, 0xb, name, ascii(vendor, 8), ascii(vendor, 4)),
    row(1, -1, signature, 0x0800 | (vcpus << 16), bits(1, 'ecx'), bits(1, 'edx')),
    // 0xff: no descriptors here, see leaf 4.
    row(2, -1, 0x00ffff01),
    row(4, 0, 0x121, cacheShape(8), 63),
    row(4, 1, 0x122, cacheShape(8), 63),
    row(4, 2, 0x143, cacheShape(16), 1023),
    row(6, -1, bits(6, 'eax')),
    row(7, 0, 0, bits(7, 'ebx'), bits(7, 'ecx'), bits(7, 'edx')),
    // APIC ids are twice the vCPU number: one bit of the id is the (only) thread, the rest the core.
    row(0xb, 0, 1, 1, 0x100),
    row(0xb, 1, coreShift, vcpus, 0x201),
    row(0xb, 2, 0, 0, 2),
    row(0x80000000, -1, 0x80000008, amd ? name : 0, amd ? ascii(vendor, 8) : 0, amd ? ascii(vendor, 4) : 0),
    row(
      0x80000001,
      -1,
      amd ? signature : 0,
      0,
      bits(0x80000001, 'ecx'),
      bits(0x80000001, 'edx') | (amd ? bits(1, 'edx') & AMD_COPY : 0),
    ),
    ...[0, 1, 2].map((i) => {
      const word = (k: number): number => ascii(BRAND, 16 * i + 4 * k);
      return row(0x80000002 + i, -1, word(0), word(1), word(2), word(3));
    }),
    row(0x80000006, -1, 0, 0, 0x04006040),
    row(0x80000007, -1, 0, 0, 0, bits(0x80000007, 'edx')),
    row(0x80000008, -1, (48 << 8) | PHYSICAL_BITS, 0, amd ? vcpus - 1 : 0),
  ];
  return amd ? rows.filter(({ leaf }) => leaf !== 2 && leaf !== 4) : rows;
}

/** EBX of leaf 4: 64-byte lines, one partition, `ways` ways. */
const cacheShape = (ways: number): number => ((ways - 1) << 22) | 63;
