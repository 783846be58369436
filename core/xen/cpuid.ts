// The CPUID table of a guest: what the CPU implements, Xen's own leaves, and the configuration's filters on both.
// Source: xen/include/public/arch-x86/cpuid.h; xl.cfg(5), key cpuid
import { PvhError } from '../../symbols/errors.ts';
import { type CpuidLeaf, type CpuVendor, cpuidLeaves, FEATURE_PLACES } from '../cpu/features.ts';
import { HYPERCALL_MSR } from './hypercall-page.ts';

const REGISTERS = ['eax', 'ebx', 'ecx', 'edx'] as const;
type Register = (typeof REGISTERS)[number];

/** 32 characters for bits 31 to 0: 0 clears, 1 demands, x k s leave as it is. */
export interface CpuidFilter {
  readonly leaf: number;
  /** Every subleaf when undefined. */
  readonly subleaf: number | undefined;
  readonly register: Register;
  readonly bits: string;
}

export interface GuestCpuidOptions {
  readonly vendor: CpuVendor;
  readonly vcpus: number;
  readonly domid: number;
  readonly version: { readonly major: number; readonly minor: number };
  readonly filters?: readonly CpuidFilter[];
}

/** A `cpuid=` setting that cannot be read, or that asks for what the CPU does not have. */
export class CpuidError extends PvhError {
  constructor(message: string) {
    super('ECPUID', message);
  }
}

const XEN_BASE = 0x4000_0000;
/** Of leaf 4: vCPU id and domain id are there, event upcalls may use a vector of each vCPU's LAPIC. */
const XEN_HVM_CPUID_VCPU_ID_PRESENT = 1 << 3;
const XEN_HVM_CPUID_DOMID_PRESENT = 1 << 4;
const XEN_HVM_CPUID_UPCALL_VECTOR = 1 << 6;
/** Of leaf 3: the TSC is emulated, and it never changes its rate. */
const TSC_EMULATED = 1 << 0;
const HOST_TSC_RELIABLE = 1 << 1;
const RDTSCP_AVAILABLE = 1 << 2;
const TSC_KHZ = 1_000_000;
const CPUID_MTRR = 12;
/** All features by name, those too that are not the CPU's own. */
const PLACES = { ...FEATURE_PLACES, mtrr: [1, 'edx', CPUID_MTRR] } as const;

/** The leaves from 0x40000000 on. */
function xenLeaves({ version, domid }: GuestCpuidOptions): CpuidLeaf[] {
  const row = (leaf: number, subleaf: number, eax: number, ebx = 0, ecx = 0, edx = 0): CpuidLeaf => ({
    leaf: XEN_BASE + leaf,
    subleaf,
    ...{ eax: eax >>> 0, ebx: ebx >>> 0, ecx: ecx >>> 0, edx: edx >>> 0 },
  });
  const present = XEN_HVM_CPUID_VCPU_ID_PRESENT | XEN_HVM_CPUID_DOMID_PRESENT | XEN_HVM_CPUID_UPCALL_VECTOR;
  return [
    // "XenVMMXenVMM"
    row(0, -1, XEN_BASE + 4, 0x566e6558, 0x65584d4d, 0x4d4d566e),
    row(1, -1, (version.major << 16) | version.minor),
    row(2, -1, 1, HYPERCALL_MSR),
    row(3, 0, TSC_EMULATED | HOST_TSC_RELIABLE | RDTSCP_AVAILABLE, 0, TSC_KHZ, 0),
    // TSC to ns: multiply by 2^31 and shift left by 1 - 32.
    row(3, 1, 0, 0, 0x8000_0000, 1),
    row(3, 2, TSC_KHZ),
    { ...row(4, 0, present, 0, domid), vcpuInEbx: true },
  ];
}

/**
 * The table for MachineOptions.cpuid.
 * @throws CpuidError when a filter demands a bit that the CPU does not have.
 */
export function guestCpuid(options: GuestCpuidOptions): CpuidLeaf[] {
  const rows = [...cpuidLeaves(options).map(offerMtrrs), ...xenLeaves(options)];
  return (options.filters ?? []).reduce(applyFilter, rows);
}

/** The MTRRs are not the CPU's but XenSide's. */
const offerMtrrs = (row: CpuidLeaf): CpuidLeaf =>
  row.leaf === 1 ? { ...row, edx: (row.edx | (1 << CPUID_MTRR)) >>> 0 } : row;

function applyFilter(rows: readonly CpuidLeaf[], filter: CpuidFilter): CpuidLeaf[] {
  return rows.map((row) => {
    const concerned =
      row.leaf === filter.leaf &&
      (filter.subleaf === undefined || row.subleaf === -1 || row.subleaf === filter.subleaf);
    if (!concerned) return row;
    let value = row[filter.register];
    [...filter.bits].forEach((character, i) => {
      const bit = 2 ** (31 - i);
      const isSet = Math.floor(value / bit) % 2 === 1;
      if (character === '0' && isSet) value -= bit;
      if (character === '1' && !isSet)
        throw new CpuidError(
          `cpuid: bit ${31 - i} of ${filter.register} in leaf 0x${filter.leaf.toString(16)} is not implemented`,
        );
    });
    return { ...row, [filter.register]: value };
  });
}

/** libxl's names for features, where they differ from ours. */
const ALIASES: Readonly<Record<string, keyof typeof PLACES>> = {
  'sse4.1': 'sse41',
  sse4_1: 'sse41',
  'sse4.2': 'sse42',
  sse4_2: 'sse42',
  cmpxchg16: 'cx16',
  cmpxchg8: 'cx8',
  aesni: 'aes',
  sysenter: 'sep',
  clfsh: 'clflush',
  lahfsahf: 'lahf',
  lahf_lm: 'lahf',
  abm: 'lzcnt',
  '3dnowprefetch': 'prefetchw',
  sysret: 'syscall',
  page1gb: 'pdpe1gb',
  invtsc: 'invariant_tsc',
  'arch-caps': 'arch_capabilities',
};

/** Names that libxl knows and this CPU never has: hiding them changes nothing. */
const NEVER_OFFERED: ReadonlySet<string> = new Set(
  `3dnow 3dnowext acpi altmovcr8 amd-stibp avx avx-ifma avx-vnni avx2 avx512-4fmaps avx512-4vnniw avx512-bf16
   avx512-bitalg avx512-vbmi2 avx512-vnni avx512-vpopcntdq avx512bw avx512cd avx512dq avx512er avx512f avx512ifma
   avx512pf avx512vbmi avx512vl btc-no cldemote clzero cmplegacy cmpxchg16b cmt cntxid core-caps cr8_legacy
   cx16b cx8b dca ds dscpl dtes64 est extapic f16c ffxsr fma fma4 fxsr_opt hle ia64 ibpb ibrs ibrs-all ibrsb ibs
   invpcid l1d-flush lwp mca mce md-clear misalignsse mmxext monitor movdir64b movdiri mpx nodeid nscb ospke
   osvw osxsave pbe pcid pdcm perfctr_core perfctr_nb pku pqe prefetchwt1 pse36 psfd psn rtm serialize sha skinit
   smx ss ssbd sse4a stibp svm tbm tm tm2 topoext tsc_adjust tscdeadline tsxldtrk umip vaes virt-ssbd vme vmx
   vpclmulqdq waitpkg wbnoinvd wdt xop xsave xtpr`.split(/\s+/),
);

const REGISTER_BITS = 32;
const oneBit = (bit: number, value: string): string =>
  `${'x'.repeat(REGISTER_BITS - 1 - bit)}${value}${'x'.repeat(bit)}`;

/** `host,name=value,...` of libxl; value 0, 1, x, k or s. */
function parseNames(setting: string): CpuidFilter[] {
  const [base, ...items] = setting.split(',').map((item) => item.trim());
  if (base !== 'host') throw new CpuidError(`cpuid: "${setting}" does not start with "host"`);
  return items.flatMap((item) => {
    const [, name = '', value = ''] = /^([^=]+)=([01xks])$/.exec(item) ?? [];
    if (name === '') throw new CpuidError(`cpuid: "${item}" is not name=value with value 0, 1, x, k or s`);
    const known = ALIASES[name] ?? name;
    if (Object.hasOwn(PLACES, known)) {
      const [leaf, register, bit] = PLACES[known as keyof typeof PLACES]; // hasOwn says so
      return [{ leaf, subleaf: undefined, register, bits: oneBit(bit, value) }];
    }
    if (!NEVER_OFFERED.has(name)) throw new CpuidError(`cpuid: unknown CPUID flag name "${name}"`);
    if (value === '1') throw new CpuidError(`cpuid: ${name} is not implemented`);
    return [];
  });
}

/** `leaf[,subleaf]:reg=bits,...` of xend; numbers decimal or with 0x. */
function parseLeaf(setting: string): CpuidFilter[] {
  const fail = (): CpuidError =>
    new CpuidError(`cpuid: "${setting}" is not leaf[,subleaf]:register=32 bits of 0, 1, x, k or s`);
  const [, leaf = '', subleaf, registers = ''] =
    /^\s*(0x[0-9a-f]+|\d+)(?:,(0x[0-9a-f]+|\d+))?\s*:(.*)$/i.exec(setting) ?? [];
  if (leaf === '') throw fail();
  return registers.split(',').map((item) => {
    const [, register = '', bits = ''] = /^\s*(e[abcd]x)\s*=\s*([01xks]{32})\s*$/i.exec(item) ?? [];
    const name = REGISTERS.find((each) => each === register.toLowerCase());
    if (name === undefined) throw fail();
    return {
      leaf: Number(leaf),
      subleaf: subleaf === undefined ? undefined : Number(subleaf),
      register: name,
      bits: bits.toLowerCase(),
    };
  });
}

/**
 * Reads the value of xl.cfg's `cpuid`: one string of libxl's form, or a list of strings of xend's.
 * @throws CpuidError
 */
export function parseCpuidFilters(setting: string | readonly unknown[]): CpuidFilter[] {
  if (typeof setting === 'string') return parseNames(setting);
  return setting.flatMap((item) => {
    if (typeof item !== 'string') throw new CpuidError('cpuid: the list holds something that is no string');
    return parseLeaf(item);
  });
}
