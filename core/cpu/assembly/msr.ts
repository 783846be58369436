// Model-specific registers that the CPU itself has. One that is not here leaves run(), so that the host may answer it.
import {
  APIC_BASE, CR0, CSTAR, EFER, FMASK, FS, GS, KERNEL_GS_BASE, LSTAR, MISC_ENABLE, PAT, SEG_BASE, STAR, SYSENTER_CS, SYSENTER_EIP,
  SYSENTER_ESP, TSC_AUX, TSC_OFFSET,
} from '../layout';
import { writeApicBase, x2apicRead, x2apicValue, x2apicWrite } from './apic';
import { cpuidRow } from './cpuid';
import { CR0_PG, EFER_LMA, EFER_LME, EFER_NXE, EFER_SCE, GP, isCanonical, raiseFault, updateMode } from './state';
import { virtualTime } from './time';
import { flushAll } from './tlb';

const IA32_TSC: u32 = 0x10;
const IA32_PLATFORM_ID: u32 = 0x17;
const IA32_APIC_BASE: u32 = 0x1b;
const IA32_BIOS_SIGN_ID: u32 = 0x8b;
const IA32_ARCH_CAPABILITIES: u32 = 0x10a;
const IA32_SYSENTER_CS: u32 = 0x174;
const IA32_SYSENTER_ESP: u32 = 0x175;
const IA32_SYSENTER_EIP: u32 = 0x176;
const IA32_MISC_ENABLE: u32 = 0x1a0;
const IA32_PAT: u32 = 0x277;
const MSR_EFER: u32 = 0xc0000080;
const MSR_STAR: u32 = 0xc0000081;
const MSR_LSTAR: u32 = 0xc0000082;
const MSR_CSTAR: u32 = 0xc0000083;
const MSR_FMASK: u32 = 0xc0000084;
const MSR_FS_BASE: u32 = 0xc0000100;
const MSR_GS_BASE: u32 = 0xc0000101;
const MSR_KERNEL_GS_BASE: u32 = 0xc0000102;
const MSR_TSC_AUX: u32 = 0xc0000103;

/**
 * RDCL_NO SKIP_L1DFL_VMENTRY SSB_NO MDS_NO IF_PSCHANGE_MC_NO TAA_NO SBDR_SSDP_NO FBSDP_NO PSDP_NO BHI_NO PBRSB_NO GDS_NO RFDS_NO:
 * an interpreter speculates nothing.
 */
const ARCH_CAPABILITIES: u64 = 0x0d10e179;

/** 1: handled, the value is in msrValue. 0: unknown. -1: a fault is pending. */
export let msrValue: u64 = 0;

/** Where a plain 64-bit register of the CPU block keeps an MSR, 0 when the MSR is no such one. */
function plainRegister(index: u32): usize {
  switch (index) {
    case IA32_SYSENTER_CS:
      return SYSENTER_CS;
    case IA32_SYSENTER_ESP:
      return SYSENTER_ESP;
    case IA32_SYSENTER_EIP:
      return SYSENTER_EIP;
    case IA32_MISC_ENABLE:
      return MISC_ENABLE;
    case IA32_PAT:
      return PAT;
    case MSR_STAR:
      return STAR;
    case MSR_LSTAR:
      return LSTAR;
    case MSR_CSTAR:
      return CSTAR;
    case MSR_FMASK:
      return FMASK;
    case MSR_FS_BASE:
      return FS + SEG_BASE;
    case MSR_GS_BASE:
      return GS + SEG_BASE;
    case MSR_KERNEL_GS_BASE:
      return KERNEL_GS_BASE;
    case MSR_TSC_AUX:
      return TSC_AUX;
  }
  return 0;
}

function fault(): i32 {
  raiseFault(GP, 0);
  return -1;
}

export function readMsr(index: u32): i32 {
  const place = plainRegister(index);
  if (place) {
    msrValue = load<u64>(place);
    return 1;
  }
  if (index >= 0x800 && index <= 0x8ff) {
    if (!x2apicRead(index)) return fault();
    msrValue = x2apicValue;
    return 1;
  }
  switch (index) {
    case IA32_TSC:
      msrValue = timeStamp();
      return 1;
    case IA32_APIC_BASE:
      msrValue = load<u64>(APIC_BASE);
      return 1;
    case MSR_EFER:
      msrValue = load<u64>(EFER);
      return 1;
    case IA32_PLATFORM_ID:
    case IA32_BIOS_SIGN_ID:
      msrValue = 0;
      return 1;
    case IA32_ARCH_CAPABILITIES: {
      const row = cpuidRow(7, 0);
      if (!row || !(load<u32>(row, 20) >> 29 & 1)) return fault();
      msrValue = ARCH_CAPABILITIES;
      return 1;
    }
  }
  return 0;
}

function isPat(value: u64): bool {
  for (let i = 0; i < 64; i += 8) {
    const type = <u32>(value >> i) & 0xff;
    if (type > 7 || type == 2 || type == 3) return false;
  }
  return true;
}

/** EFER: LMA is read only, LME changes only while paging is off. */
function writeEfer(value: u64): i32 {
  const old = load<u64>(EFER);
  if (value & ~(EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE)) return fault();
  if ((old ^ value) & EFER_LME && load<u64>(CR0) & CR0_PG) return fault();
  store<u64>(EFER, (value & ~EFER_LMA) | (old & EFER_LMA));
  if ((old ^ value) & EFER_NXE) flushAll();
  updateMode();
  return 1;
}

export function writeMsr(index: u32, value: u64): i32 {
  switch (index) {
    case IA32_TSC:
      store<u64>(TSC_OFFSET, value - virtualTime());
      return 1;
    case IA32_APIC_BASE:
      return writeApicBase(value) ? 1 : fault();
    case MSR_EFER:
      return writeEfer(value);
    case IA32_BIOS_SIGN_ID:
      return 1;
    case IA32_PLATFORM_ID:
    case IA32_ARCH_CAPABILITIES:
      return fault();
    case IA32_PAT:
      if (!isPat(value)) return fault();
      break;
    case MSR_LSTAR:
    case MSR_CSTAR:
    case MSR_FS_BASE:
    case MSR_GS_BASE:
    case MSR_KERNEL_GS_BASE:
    case IA32_SYSENTER_ESP:
    case IA32_SYSENTER_EIP:
      if (!isCanonical(value)) return fault();
      break;
    case MSR_TSC_AUX:
    case MSR_FMASK:
      if (value >> 32) return fault();
      break;
  }
  const place = plainRegister(index);
  if (place) {
    store<u64>(place, value);
    return 1;
  }
  if (index >= 0x800 && index <= 0x8ff) return x2apicWrite(index, value) ? 1 : fault();
  return 0;
}

/** What RDTSC reads. */
export function timeStamp(): u64 {
  return virtualTime() + load<u64>(TSC_OFFSET);
}
