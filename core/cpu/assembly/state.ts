// The current vCPU as the families see it: accessors of the CPU block, the mode that follows from the control registers,
// and the pending fault. Which offsets there are is in ../layout.ts.
import {
  CPL, CPU, CPU_SIZE, CR0, CR4, CS, CURRENT_VCPU, EFER, EMPTY_TLB, FAULT_ADDRESS, FAULT_ERROR, FAULT_VECTOR, RAX, RFLAGS, RIP, SEG_ATTRIBUTES,
  SEG_BASE, SEG_LIMIT, SEG_SELECTOR, TLB_BASE, TLB_TABLE_SIZE, TLB_VCPU_SIZE, VCPUS,
} from '../layout';

export const FLAG_CF: u64 = 1;
export const FLAG_TF: u64 = 0x100;
export const FLAG_IF: u64 = 0x200;
export const FLAG_DF: u64 = 0x400;
export const FLAG_IOPL: u64 = 0x3000;
export const FLAG_NT: u64 = 0x4000;
export const FLAG_RF: u64 = 0x10000;
export const FLAG_VM: u64 = 0x20000;
export const FLAG_AC: u64 = 0x40000;
export const FLAG_VIF: u64 = 0x80000;
export const FLAG_VIP: u64 = 0x100000;
export const FLAG_ID: u64 = 0x200000;

export const CR0_PE: u64 = 1;
export const CR0_MP: u64 = 2;
export const CR0_EM: u64 = 4;
export const CR0_TS: u64 = 8;
export const CR0_ET: u64 = 0x10;
export const CR0_NE: u64 = 0x20;
export const CR0_WP: u64 = 0x10000;
export const CR0_AM: u64 = 0x40000;
export const CR0_NW: u64 = 0x20000000;
export const CR0_CD: u64 = 0x40000000;
export const CR0_PG: u64 = 0x80000000;

export const CR4_TSD: u64 = 4;
export const CR4_DE: u64 = 8;
export const CR4_PSE: u64 = 0x10;
export const CR4_PAE: u64 = 0x20;
export const CR4_PGE: u64 = 0x80;
export const CR4_PCE: u64 = 0x100;
export const CR4_FSGSBASE: u64 = 0x10000;
export const CR4_SMEP: u64 = 0x100000;
export const CR4_SMAP: u64 = 0x200000;

export const EFER_SCE: u64 = 1;
export const EFER_LME: u64 = 0x100;
export const EFER_LMA: u64 = 0x400;
export const EFER_NXE: u64 = 0x800;

// How memory is accessed: the first three are the bits of the page-fault error code.
export const ACCESS_READ: u32 = 0;
export const ACCESS_WRITE: u32 = 2;
export const ACCESS_USER: u32 = 4;
export const ACCESS_FETCH: u32 = 16;
export const ACCESS_AC: u32 = 0x100; // RFLAGS.AC lifts SMAP
export const ACCESS_PROBE: u32 = 0x200; // leaves accessed and dirty bits alone, breaks no right

// Exception vectors (SDM vol 3A, table 6-1).
export const DE: i32 = 0;
export const DB: i32 = 1;
export const NMI: i32 = 2;
export const BP: i32 = 3;
export const OF: i32 = 4;
export const BR: i32 = 5;
export const UD: i32 = 6;
export const NM: i32 = 7;
export const DF: i32 = 8;
export const TS: i32 = 10;
export const NP: i32 = 11;
export const SS_FAULT: i32 = 12;
export const GP: i32 = 13;
export const PF: i32 = 14;
export const MF: i32 = 16;
export const AC: i32 = 17;
export const XM: i32 = 19;

/** 1 while the running instruction has a fault that is not delivered yet: its handler returns without changing state. */
export let faultPending: i32 = 0;
/** The pending fault is #GP(0) for a non-canonical address: it is #SS(0) when the access went through SS. */
export let faultNonCanonical: i32 = 0;

/** How code runs now: CODE_16, CODE_32 or CODE_64 (default operand and address size of CS). */
export let codeMode: i32 = 0;
export const CODE_16: i32 = 0;
export const CODE_32: i32 = 1;
export const CODE_64: i32 = 2;

/** CR0.PE is set (virtual-8086 mode does not exist here). */
export let protectedMode: bool = false;
/** EFER.LMA: 64-bit or compatibility mode. */
export let longMode: bool = false;
/** PAGING_NONE, PAGING_32, PAGING_PAE or PAGING_LONG. */
export let pagingMode: i32 = 0;
export const PAGING_NONE: i32 = 0;
export const PAGING_32: i32 = 1;
export const PAGING_PAE: i32 = 2;
export const PAGING_LONG: i32 = 3;

/** TLB table of the present privilege: see TLB_BASE in the layout. */
export let tlbTable: usize = TLB_BASE;
/** What the present privilege adds to the kind of an access (paging.ts ACCESS_USER, ACCESS_AC). */
export let privilegeAccess: u32 = 0;
/** Unaligned data accesses raise #AC (SDM vol 3A, 6.15, interrupt 17). */
export let alignmentChecked: bool = false;
/** TLB of the current vCPU. */
export let tlbBase: usize = TLB_BASE;

/** Records a fault; the first one of an instruction stays. Vectors without an error code ignore `error`. */
export function raiseFault(vector: i32, error: u32): void {
  if (faultPending) return;
  faultPending = 1;
  faultNonCanonical = 0;
  store<i32>(FAULT_VECTOR, vector);
  store<u32>(FAULT_ERROR, error);
}

/** Records #PF; CR2 changes only when it is delivered. */
export function raisePageFault(linear: u64, error: u32): void {
  if (faultPending) return;
  raiseFault(PF, error);
  store<u64>(FAULT_ADDRESS, linear);
}

/** Records #GP(0) for a non-canonical address, see faultNonCanonical. */
export function raiseNonCanonical(): void {
  if (faultPending) return;
  raiseFault(GP, 0);
  faultNonCanonical = 1;
}

export function clearFault(): void {
  faultPending = 0;
  faultNonCanonical = 0;
  store<i32>(FAULT_VECTOR, -1);
}

// @ts-ignore: decorator
@inline
export function isCanonical(linear: u64): bool {
  return u64((<i64>linear << 16) >> 16) == linear;
}

// @ts-ignore: decorator
@inline
export function getRegister(index: i32): u64 {
  return load<u64>(RAX + (index << 3));
}

// @ts-ignore: decorator
@inline
export function setRegister(index: i32, value: u64): void {
  store<u64>(RAX + (index << 3), value);
}

// @ts-ignore: decorator
@inline
export function cpl(): i32 {
  return load<u8>(CPL);
}

// @ts-ignore: decorator
@inline
export function segmentBase(segment: usize): u64 {
  return load<u64>(segment + SEG_BASE);
}

// @ts-ignore: decorator
@inline
export function segmentLimit(segment: usize): u32 {
  return load<u32>(segment + SEG_LIMIT);
}

// @ts-ignore: decorator
@inline
export function segmentAttributes(segment: usize): u32 {
  return load<u32>(segment + SEG_ATTRIBUTES);
}

// @ts-ignore: decorator
@inline
export function segmentSelector(segment: usize): u32 {
  return load<u16>(segment + SEG_SELECTOR);
}

// @ts-ignore: decorator
@inline
export function rip(): u64 {
  return load<u64>(RIP);
}

/** Block of any vCPU: the CPU block when it is the current one. Add a layout offset - CPU to reach a field. */
export function blockOf(vcpu: u32): usize {
  return vcpu == load<u32>(CURRENT_VCPU) ? CPU : VCPUS + vcpu * CPU_SIZE;
}

/** Chooses the TLB table of the present CPL, CR0.AM and RFLAGS.AC. Call after any of them changes. */
export function updatePrivilege(): void {
  alignmentChecked = false;
  if (load<u8>(CPL) == 3) {
    alignmentChecked = (load<u64>(CR0) & CR0_AM) != 0 && (load<u64>(RFLAGS) & FLAG_AC) != 0;
    tlbTable = alignmentChecked ? EMPTY_TLB : tlbBase;
    privilegeAccess = ACCESS_USER;
  } else if (load<u64>(CR4) & CR4_SMAP && load<u64>(RFLAGS) & FLAG_AC) {
    tlbTable = tlbBase + 2 * TLB_TABLE_SIZE;
    privilegeAccess = ACCESS_AC;
  } else useSupervisor();
}

/** Lets the rest of an instruction's accesses pass unaligned; updatePrivilege ends it. */
export function exemptFromAlignment(): void {
  alignmentChecked = false;
  tlbTable = tlbBase;
}

/** Makes the next accesses those of the CPU itself (descriptor tables, TSS, IDT); updatePrivilege ends it. */
export function useSupervisor(): void {
  alignmentChecked = false;
  tlbTable = tlbBase + TLB_TABLE_SIZE;
  privilegeAccess = 0;
}

/** Derives every mode global from CR0, CR4, EFER and CS. Call after any of them changes. */
export function updateMode(): void {
  const cr0 = load<u64>(CR0);
  const efer = load<u64>(EFER);
  protectedMode = (cr0 & CR0_PE) != 0;
  longMode = (efer & EFER_LMA) != 0;
  if (!(cr0 & CR0_PG)) pagingMode = PAGING_NONE;
  else if (longMode) pagingMode = PAGING_LONG;
  else pagingMode = load<u64>(CR4) & CR4_PAE ? PAGING_PAE : PAGING_32;
  updateCodeMode();
  tlbBase = TLB_BASE + load<u32>(CURRENT_VCPU) * TLB_VCPU_SIZE;
  updatePrivilege();
}

/** Derives codeMode from CS; far transfers need no more. */
export function updateCodeMode(): void {
  const attributes = segmentAttributes(CS);
  if (longMode && attributes & 0x2000) codeMode = CODE_64;
  else codeMode = attributes & 0x4000 ? CODE_32 : CODE_16;
}
