// The two records in which Xen writes a vCPU down: vcpu_guest_context (5168 bytes, xen/include/public/arch-x86/xen.h) and the
// HVM CPU save record (1032 bytes, xen/include/public/arch-x86/hvm/save.h). One table of offsets serves reading and writing.
import { GENERAL_REGISTERS, inKernelMode, type Segment, type VcpuRegisters } from '../machine/registers.ts';

export const VCPU_CONTEXT_SIZE = 5168;
export const HVM_CPU_SIZE = 1032;

/** vcpu_guest_context.flags: FPU area valid, vCPU online. */
const VGCF_I387_VALID = 1;
const VGCF_ONLINE = 1 << 5;
/** hvm_hw_cpu.flags: FPU area valid. */
const XEN_X86_FPU_INITIALISED = 1;

const FXSAVE_SIZE = 512;
const CONTEXT_FLAGS = 512;
const HVM_FLAGS = 1024;

const SEGMENTS = ['cs', 'ds', 'es', 'fs', 'gs', 'ss', 'tr', 'ldtr'] as const;
type SegmentName = (typeof SEGMENTS)[number];

/** A register's place: offset, width in bytes, and its path in VcpuRegisters. */
type Row = readonly [offset: number, width: 2 | 4 | 8, path: string];

const column = (start: number, width: 2 | 4 | 8, paths: readonly string[], step: number = width): Row[] =>
  paths.map((path, index) => [start + index * step, width, path]);

const CONTEXT_ROWS: readonly Row[] = [
  ...column(
    520,
    8,
    ['r15', 'r14', 'r13', 'r12', 'rbp', 'rbx', 'r11', 'r10', 'r9', 'r8', 'rax', 'rcx', 'rdx', 'rsi', 'rdi'],
    8,
  ),
  [648, 8, 'rip'],
  [656, 2, 'cs.selector'],
  [664, 8, 'rflags'],
  [672, 8, 'rsp'],
  ...column(680, 2, ['ss.selector', 'es.selector', 'ds.selector', 'fs.selector', 'gs.selector'], 8),
  [4984, 8, 'cr0'],
  ...column(5000, 8, ['cr2', 'cr3', 'cr4']),
  ...column(5048, 8, ['dr0', 'dr1', 'dr2', 'dr3']),
  ...column(5096, 8, ['dr6', 'dr7']),
  [5144, 8, 'fs.base'],
  // Xen: the base in use in gs_base_kernel and the other one in gs_base_user when CS.RPL is 0, else exchanged.
  [5152, 8, 'gs_base_kernel'],
  [5160, 8, 'gs_base_user'],
];

const HVM_ROWS: readonly Row[] = [
  ...column(512, 8, ['rax', 'rbx', 'rcx', 'rdx', 'rbp', 'rsi', 'rdi', 'rsp']),
  ...column(576, 8, ['r8', 'r9', 'r10', 'r11', 'r12', 'r13', 'r14', 'r15', 'rip', 'rflags']),
  ...column(656, 8, ['cr0', 'cr2', 'cr3', 'cr4', 'dr0', 'dr1', 'dr2', 'dr3', 'dr6', 'dr7']),
  ...column(
    736,
    4,
    ['cs', 'ds', 'es', 'fs', 'gs', 'ss', 'tr', 'ldtr'].map((name) => `${name}.selector`),
  ),
  ...column(
    768,
    4,
    ['cs', 'ds', 'es', 'fs', 'gs', 'ss', 'tr', 'ldtr', 'idtr', 'gdtr'].map((name) => `${name}.limit`),
  ),
  ...column(
    808,
    8,
    ['cs', 'ds', 'es', 'fs', 'gs', 'ss', 'tr', 'ldtr', 'idtr', 'gdtr'].map((name) => `${name}.base`),
  ),
  ...column(
    888,
    4,
    ['cs', 'ds', 'es', 'fs', 'gs', 'ss', 'tr', 'ldtr'].map((name) => `${name}.attributes`),
  ),
  ...column(920, 8, ['sysenter_cs', 'sysenter_esp', 'sysenter_eip', 'kernel_gs_base']),
  ...column(960, 8, ['lstar', 'star', 'cstar', 'fmask', 'efer', 'tsc_aux']),
];

type Flat = Map<string, bigint>;

/** Xen keeps the attributes packed into 12 bits (as VMCB does); registers.ts wants the VMCS layout, with bits 8-11 at 12-15. */
const packAttributes = (vmcs: number): number => (vmcs & 0xff) | ((vmcs >>> 4) & 0xf00);
const unpackAttributes = (packed: number): number => (packed & 0xff) | ((packed & 0xf00) << 4);

function flatten(registers: VcpuRegisters): Flat {
  const flat: Flat = new Map();
  for (const [name, value] of Object.entries(registers)) {
    if (typeof value === 'bigint') flat.set(name, value);
    else if (value !== undefined && !(value instanceof Uint8Array))
      for (const [part, content] of Object.entries(value))
        if (content !== undefined) flat.set(`${name}.${part}`, BigInt(content as number | bigint)); // Segment's and DescriptorTable's fields are these
  }
  for (const name of SEGMENTS) {
    const attributes = registers[name]?.attributes;
    if (attributes !== undefined) flat.set(`${name}.attributes`, BigInt(packAttributes(attributes)));
  }
  const inKernel = inKernelMode(registers);
  const [current, other] = [flat.get('gs.base') ?? 0n, registers.kernel_gs_base ?? 0n];
  flat.set('gs_base_kernel', inKernel ? current : other);
  flat.set('gs_base_user', inKernel ? other : current);
  return flat;
}

function writeRows(rows: readonly Row[], registers: VcpuRegisters, bytes: Uint8Array): DataView {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const flat = flatten(registers);
  for (const [offset, width, path] of rows) {
    const value = flat.get(path) ?? 0n;
    if (width === 8) view.setBigUint64(offset, BigInt.asUintN(64, value), true);
    else if (width === 4) view.setUint32(offset, Number(BigInt.asUintN(32, value)), true);
    else view.setUint16(offset, Number(BigInt.asUintN(16, value)), true);
  }
  if (registers.fxsave?.length === FXSAVE_SIZE) bytes.set(registers.fxsave, 0);
  return view;
}

/** The 5168 bytes of `.xen_prstatus` for one vCPU. */
export function writeVcpuContext(registers: VcpuRegisters, online: boolean): Uint8Array {
  const bytes = new Uint8Array(VCPU_CONTEXT_SIZE);
  const view = writeRows(CONTEXT_ROWS, registers, bytes);
  const flags = (registers.fxsave ? VGCF_I387_VALID : 0) | (online ? VGCF_ONLINE : 0);
  view.setBigUint64(CONTEXT_FLAGS, BigInt(flags), true);
  return bytes;
}

/** The 1032 bytes of the HVM CPU record. */
export function writeHvmCpu(registers: VcpuRegisters): Uint8Array {
  const bytes = new Uint8Array(HVM_CPU_SIZE);
  const view = writeRows(HVM_ROWS, registers, bytes);
  view.setUint32(HVM_FLAGS, registers.fxsave ? XEN_X86_FPU_INITIALISED : 0, true);
  return bytes;
}

function readRows(rows: readonly Row[], bytes: Uint8Array, flat: Flat): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (const [offset, width, path] of rows) {
    const value =
      width === 8
        ? view.getBigUint64(offset, true)
        : BigInt(width === 4 ? view.getUint32(offset, true) : view.getUint16(offset, true));
    flat.set(path, value);
  }
}

const small = (value: bigint | undefined): number | undefined =>
  value === undefined ? undefined : Number(value);

function segment(flat: Flat, name: SegmentName): Segment {
  const attributes = small(flat.get(`${name}.attributes`));
  return {
    selector: Number(flat.get(`${name}.selector`) ?? 0n),
    base: flat.get(`${name}.base`),
    limit: small(flat.get(`${name}.limit`)),
    attributes: attributes === undefined ? undefined : unpackAttributes(attributes),
  };
}

function table(flat: Flat, name: 'gdtr' | 'idtr'): VcpuRegisters['gdtr'] {
  const base = flat.get(`${name}.base`);
  return base === undefined ? undefined : { base, limit: Number(flat.get(`${name}.limit`) ?? 0n) };
}

/**
 * Registers of one vCPU from its context and, when there is one, its HVM CPU record, which knows more (EFER, tables, MSRs).
 * Fields that neither has are undefined.
 */
export function readVcpu(
  context: Uint8Array,
  hvmCpu?: Uint8Array,
): { registers: VcpuRegisters; online: boolean } {
  const flat: Flat = new Map();
  readRows(CONTEXT_ROWS, context, flat);
  const flags = new DataView(context.buffer, context.byteOffset).getUint32(CONTEXT_FLAGS, true);
  const [kernel, user] = [flat.get('gs_base_kernel') ?? 0n, flat.get('gs_base_user') ?? 0n];
  const inKernel = inKernelMode({ cs: segment(flat, 'cs'), rip: flat.get('rip') ?? 0n });
  flat.set('gs.base', inKernel ? kernel : user);
  flat.set('kernel_gs_base', inKernel ? user : kernel);
  if (hvmCpu) readRows(HVM_ROWS, hvmCpu, flat);
  const fxsave = flags & VGCF_I387_VALID ? context.slice(0, FXSAVE_SIZE) : undefined;
  return { registers: registersOf(flat, fxsave), online: (flags & VGCF_ONLINE) !== 0 };
}

/** Registers of one vCPU from its HVM CPU record alone. @param record HVM_CPU_SIZE bytes or more. */
export function readHvmCpu(record: Uint8Array): VcpuRegisters {
  const flat: Flat = new Map();
  readRows(HVM_ROWS, record, flat);
  const flags = new DataView(record.buffer, record.byteOffset).getUint32(HVM_FLAGS, true);
  return registersOf(flat, flags & XEN_X86_FPU_INITIALISED ? record.slice(0, FXSAVE_SIZE) : undefined);
}

function registersOf(flat: Flat, fxsave: Uint8Array | undefined): VcpuRegisters {
  const inRecord = flat.has('tr.selector');
  const always = (path: string): bigint => flat.get(path) ?? 0n;
  const general = Object.fromEntries(GENERAL_REGISTERS.map((name) => [name, always(name)]));
  return {
    ...(general as Pick<VcpuRegisters, (typeof GENERAL_REGISTERS)[number]>), // fromEntries forgets the keys
    rip: always('rip'),
    rflags: always('rflags'),
    cs: segment(flat, 'cs'),
    ss: segment(flat, 'ss'),
    ds: segment(flat, 'ds'),
    es: segment(flat, 'es'),
    fs: segment(flat, 'fs'),
    gs: segment(flat, 'gs'),
    tr: inRecord ? segment(flat, 'tr') : undefined,
    ldtr: inRecord ? segment(flat, 'ldtr') : undefined,
    gdtr: table(flat, 'gdtr'),
    idtr: table(flat, 'idtr'),
    cr0: always('cr0'),
    cr2: always('cr2'),
    cr3: always('cr3'),
    cr4: always('cr4'),
    dr0: always('dr0'),
    dr1: always('dr1'),
    dr2: always('dr2'),
    dr3: always('dr3'),
    dr6: always('dr6'),
    dr7: always('dr7'),
    efer: flat.get('efer'),
    star: flat.get('star'),
    lstar: flat.get('lstar'),
    cstar: flat.get('cstar'),
    fmask: flat.get('fmask'),
    kernel_gs_base: flat.get('kernel_gs_base'),
    sysenter_cs: flat.get('sysenter_cs'),
    sysenter_esp: flat.get('sysenter_esp'),
    sysenter_eip: flat.get('sysenter_eip'),
    tsc_aux: flat.get('tsc_aux'),
    fxsave,
  };
}
