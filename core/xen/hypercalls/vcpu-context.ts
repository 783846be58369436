// struct vcpu_hvm_context: the registers that VCPUOP_initialise starts a vCPU with.
// Source: xen/include/public/hvm/hvm_vcpu.h
import type { Segment, VcpuRegisters } from '../../machine/registers.ts';

const VCPU_HVM_MODE_32B = 0;
const VCPU_HVM_MODE_64B = 1;
/** u32 mode, u32 padding, then the larger of both register sets: the 32-bit one. */
export const VCPU_HVM_CONTEXT_SIZE = 128;

const ZERO: Segment = { selector: 0, base: 0n, limit: 0, attributes: 0x10000 };
const GENERAL_32 = ['rax', 'rcx', 'rdx', 'rbx', 'rsp', 'rbp', 'rsi', 'rdi', 'rip', 'rflags'] as const;
const CR_32 = ['cr0', 'cr3', 'cr4'] as const;
const ALL_64 = [...GENERAL_32, ...CR_32, 'efer'] as const;

const CR0_PG = 1n << 31n;
const CR0_PE = 1n;
const EFER_LME = 1n << 8n;
const EFER_LMA = 1n << 10n;

/** VMCS access rights want "unusable" where the struct says "not present". */
const rights = (attributes: number): number =>
  (attributes & 0x80) === 0 ? 0x10000 : (attributes & 0xff) | ((attributes & 0xf00) << 4);

/** The registers that a context asks for, or undefined when it cannot be loaded. */
export function contextRegisters(context: DataView): Partial<VcpuRegisters> | undefined {
  const mode = context.getUint32(0, true);
  if (mode === VCPU_HVM_MODE_32B) return registers32(context);
  if (mode === VCPU_HVM_MODE_64B) return registers64(context);
  return undefined;
}

function registers32(context: DataView): Partial<VcpuRegisters> | undefined {
  const u32 = (i: number): number => context.getUint32(8 + 4 * i, true);
  // 13 registers, one word of padding, u64 efer, then bases and limits of cs ds ss es tr and their u16 rights.
  const registers: Record<string, bigint> = { efer: context.getBigUint64(8 + 56, true) };
  for (const [i, name] of [...GENERAL_32, ...CR_32].entries()) registers[name] = BigInt(u32(i));
  const [cs, ds, ss, es, tr] = [0, 1, 2, 3, 4].map(
    (i): Segment => ({
      selector: 0,
      base: BigInt(u32(16 + i)),
      limit: u32(21 + i),
      attributes: rights(context.getUint16(8 + 104 + 2 * i, true)),
    }),
  );
  const cr0 = registers['cr0'] ?? 0n;
  const efer = registers['efer'] ?? 0n;
  // Long mode is entered through the 64-bit form.
  if ((efer & EFER_LMA) !== 0n || ((cr0 & CR0_PG) !== 0n && (efer & EFER_LME) !== 0n)) return undefined;
  if ((cr0 & CR0_PG) !== 0n && (cr0 & CR0_PE) === 0n) return undefined;
  if (cs === undefined || ds === undefined || ss === undefined || es === undefined || tr === undefined)
    return undefined;
  return { ...registers, cs, ds, ss, es, tr, fs: ZERO, gs: ZERO, ldtr: ZERO } as Partial<VcpuRegisters>; // the names come from the tables above
}

function registers64(context: DataView): Partial<VcpuRegisters> | undefined {
  const registers: Record<string, bigint> = {};
  for (const [i, name] of ALL_64.entries()) registers[name] = context.getBigUint64(8 + 8 * i, true);
  const cr0 = registers['cr0'] ?? 0n;
  const cr4 = registers['cr4'] ?? 0n;
  const efer = registers['efer'] ?? 0n;
  const PAE = 1n << 5n;
  const long =
    (cr0 & CR0_PG) !== 0n && (cr0 & CR0_PE) !== 0n && (cr4 & PAE) !== 0n && (efer & EFER_LME) !== 0n;
  if (!long) return undefined;
  const flat = (attributes: number): Segment => ({ selector: 0, base: 0n, limit: 0xffff_ffff, attributes });
  return {
    ...registers,
    efer: efer | EFER_LMA,
    cs: flat(0xa09b),
    ds: flat(0xc093),
    ss: flat(0xc093),
    es: flat(0xc093),
    tr: { selector: 0, base: 0n, limit: 0x67, attributes: 0x8b },
    fs: ZERO,
    gs: ZERO,
    ldtr: ZERO,
  } as Partial<VcpuRegisters>; // the names come from ALL_64
}
