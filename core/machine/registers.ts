// The architectural state of one vCPU as every room sees it: Machine writes it, dumps carry it, xenctx prints it.
// A field that a source does not have is `undefined`, never zero.

/** Segment register with its hidden part. `attributes` is in VMCS access-rights layout (SDM vol 3C, 25.4.1). */
export interface Segment {
  readonly selector: number;
  readonly base?: bigint | undefined;
  readonly limit?: number | undefined;
  readonly attributes?: number | undefined;
}

export interface DescriptorTable {
  readonly base: bigint;
  readonly limit: number;
}

export const GENERAL_REGISTERS = [
  'rax',
  'rcx',
  'rdx',
  'rbx',
  'rsp',
  'rbp',
  'rsi',
  'rdi',
  'r8',
  'r9',
  'r10',
  'r11',
  'r12',
  'r13',
  'r14',
  'r15',
] as const;
export type GeneralRegister = (typeof GENERAL_REGISTERS)[number];

/** Registers of one vCPU. 64-bit values are bigints in 0..2^64-1. */
export interface VcpuRegisters extends Readonly<Record<GeneralRegister, bigint>> {
  readonly rip: bigint;
  readonly rflags: bigint;
  readonly cs: Segment;
  readonly ss: Segment;
  readonly ds: Segment;
  readonly es: Segment;
  readonly fs: Segment;
  readonly gs: Segment;
  readonly tr?: Segment | undefined;
  readonly ldtr?: Segment | undefined;
  readonly gdtr?: DescriptorTable | undefined;
  readonly idtr?: DescriptorTable | undefined;
  readonly cr0?: bigint | undefined;
  readonly cr2?: bigint | undefined;
  readonly cr3?: bigint | undefined;
  readonly cr4?: bigint | undefined;
  readonly cr8?: bigint | undefined;
  /** dr0, dr1, dr2, dr3, dr6, dr7. */
  readonly dr0?: bigint | undefined;
  readonly dr1?: bigint | undefined;
  readonly dr2?: bigint | undefined;
  readonly dr3?: bigint | undefined;
  readonly dr6?: bigint | undefined;
  readonly dr7?: bigint | undefined;
  readonly efer?: bigint | undefined;
  readonly star?: bigint | undefined;
  readonly lstar?: bigint | undefined;
  readonly cstar?: bigint | undefined;
  readonly fmask?: bigint | undefined;
  readonly kernel_gs_base?: bigint | undefined;
  readonly sysenter_cs?: bigint | undefined;
  readonly sysenter_esp?: bigint | undefined;
  readonly sysenter_eip?: bigint | undefined;
  readonly pat?: bigint | undefined;
  readonly tsc_aux?: bigint | undefined;
  /** FXSAVE image, 512 bytes (SDM vol 1, 10.5.1). */
  readonly fxsave?: Uint8Array | undefined;
}

/** What a running machine has and a file may lack. */
export type MachineRegisters = VcpuRegisters & Readonly<Record<'cr0' | 'cr2' | 'cr3' | 'cr4', bigint>>;

/** FIRST_RESERVED_GDT_BYTE of xen/include/public/arch-x86/xen.h: selectors from here on are Xen's. */
const XEN_SELECTORS = 0xe000;

/**
 * Whether a vCPU is in its kernel. That of a 64-bit PV guest runs in ring 3, with the same selectors of Xen as its programs: there the
 * half of the address space tells.
 */
export const inKernelMode = ({ cs, rip }: Pick<VcpuRegisters, 'rip'> & { readonly cs: Segment }): boolean =>
  (cs.selector & 3) !== 3 || (cs.selector >= XEN_SELECTORS && rip >= 1n << 63n);
