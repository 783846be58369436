// MOV to and from control and debug registers, LMSW, CLTS, INVLPG: the checks, and the mode changes that follow.
import { APIC, CR0, CR2, CR3, CR4, CR8, CS, DR0, DR6, DR7, EFER, PHYSICAL_BITS } from '../layout';
import { apicWrite } from './apic';
import { noteDebugCause } from './debug';
import { updateEvents } from './events';
import { loadPdptes } from './paging';
import {
  CODE_64, CR0_CD, CR0_ET, CR0_NW, CR0_PE, CR0_PG, CR0_TS, CR0_WP, CR4_DE, CR4_PAE, CR4_PCE, CR4_FSGSBASE, CR4_PGE, CR4_PSE, CR4_SMAP, CR4_SMEP, CR4_TSD, DB,
  EFER_LMA, EFER_LME, GP, UD, codeMode, longMode, raiseFault, segmentAttributes, updateMode,
} from './state';
import { flushAll, flushNonGlobal } from './tlb';

const CR0_DEFINED: u64 = 0xe005003f;
const CR4_OSFXSR: u64 = 0x200;
const CR4_OSXMMEXCPT: u64 = 0x400;
const CR4_DEFINED: u64 =
  CR4_TSD | CR4_DE | CR4_PSE | CR4_PAE | CR4_PGE | CR4_PCE | CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_FSGSBASE | CR4_SMEP | CR4_SMAP;
const ABOVE_PHYSICAL: u64 = ~((1 << PHYSICAL_BITS) - 1);
const DR7_GD: u64 = 0x2000;
const DR6_BD: u32 = 0x2000;
const TPR_OFFSET: usize = 0x80 >> 2;

/** CR0, CR2, CR3, CR4 and CR8 exist. */
export function isControl(n: u32): bool {
  return n < 32 && ((0x11d >> n) & 1) != 0;
}

/** Value of CR`n`, for MOV; #UD for one that does not exist. */
export function readControl(n: u32): u64 {
  switch (n) {
    case 0:
      return load<u64>(CR0);
    case 2:
      return load<u64>(CR2);
    case 3:
      return load<u64>(CR3);
    case 4:
      return load<u64>(CR4);
    case 8:
      return load<u32>(APIC + TPR_OFFSET) >> 4;
  }
  raiseFault(UD, 0);
  return 0;
}

/** MOV to CR`n`. The caller checked CPL. */
export function writeControl(n: u32, value: u64): void {
  switch (n) {
    case 0:
      return writeCr0(value);
    case 2:
      store<u64>(CR2, value);
      return;
    case 3:
      return writeCr3(value);
    case 4:
      return writeCr4(value);
    case 8:
      if (value >> 4) return raiseFault(GP, 0);
      store<u64>(CR8, value);
      apicWrite(0x80, value << 4, 4);
      return;
  }
  raiseFault(UD, 0);
}

/** MOV CR0 and LMSW: paging and protection on and off, long mode active when EFER.LME asked for it. */
export function writeCr0(value: u64): void {
  const old = load<u64>(CR0);
  const next = (value & CR0_DEFINED) | CR0_ET;
  const efer = load<u64>(EFER);
  if (value >> 32) return raiseFault(GP, 0);
  if (next & CR0_PG && !(next & CR0_PE)) return raiseFault(GP, 0);
  if (next & CR0_NW && !(next & CR0_CD)) return raiseFault(GP, 0);
  const pae = (load<u64>(CR4) & CR4_PAE) != 0;
  if (next & CR0_PG && !(old & CR0_PG)) {
    if (efer & EFER_LME) {
      // A 64-bit code segment must not be in CS when long mode comes on.
      if (!pae || segmentAttributes(CS) & 0x2000) return raiseFault(GP, 0);
      store<u64>(EFER, efer | EFER_LMA);
    } else if (pae && !loadPdptes(load<u64>(CR3))) return raiseFault(GP, 0);
  } else if (!(next & CR0_PG) && old & CR0_PG) {
    if (codeMode == CODE_64) return raiseFault(GP, 0);
    store<u64>(EFER, efer & ~EFER_LMA);
  }
  store<u64>(CR0, next);
  if ((old ^ next) & (CR0_PG | CR0_WP | CR0_PE)) flushAll();
  updateMode();
}

function writeCr3(value: u64): void {
  if (longMode) {
    if (value & ABOVE_PHYSICAL) return raiseFault(GP, 0);
  } else if (load<u64>(CR0) & CR0_PG && load<u64>(CR4) & CR4_PAE && !loadPdptes(value)) return raiseFault(GP, 0);
  store<u64>(CR3, value);
  flushNonGlobal();
}

function writeCr4(value: u64): void {
  const old = load<u64>(CR4);
  const changed = old ^ value;
  if (value & ~CR4_DEFINED) return raiseFault(GP, 0);
  if (longMode && !(value & CR4_PAE)) return raiseFault(GP, 0);
  const translation = CR4_PAE | CR4_PGE | CR4_PSE | CR4_SMEP | CR4_SMAP;
  const pdptes = load<u64>(CR0) & CR0_PG && value & CR4_PAE && !longMode && changed & translation;
  if (pdptes && !loadPdptes(load<u64>(CR3))) return raiseFault(GP, 0);
  store<u64>(CR4, value);
  if (changed & translation) flushAll();
  updateMode();
}

/** LMSW: PE, MP, EM and TS; PE can be set but not cleared. */
export function loadMachineStatus(value: u64): void {
  const old = load<u64>(CR0);
  writeCr0((old & ~0xe) | (value & 0xf) | (old & CR0_PE));
}

export function clearTaskSwitched(): void {
  store<u64>(CR0, load<u64>(CR0) & ~CR0_TS);
}

/** Maps DR4 and DR5 to DR6 and DR7, or raises what an access to the debug registers raises. -1 after a fault. */
function debugRegister(n: u32): i32 {
  if ((n == 4 || n == 5) && load<u64>(CR4) & CR4_DE) {
    raiseFault(UD, 0);
    return -1;
  }
  if (n > 7) {
    raiseFault(UD, 0);
    return -1;
  }
  if (load<u64>(DR7) & DR7_GD) {
    noteDebugCause(DR6_BD);
    raiseFault(DB, 0);
    return -1;
  }
  return n == 4 || n == 5 ? n + 2 : n;
}

export function readDebug(n: u32): u64 {
  const which = debugRegister(n);
  if (which < 0) return 0;
  if (which < 4) return load<u64>(DR0 + which * 8);
  return load<u64>(which == 6 ? DR6 : DR7);
}

export function writeDebug(n: u32, value: u64): void {
  const which = debugRegister(n);
  if (which < 0) return;
  if (which < 4) {
    store<u64>(DR0 + which * 8, value);
    flushAll();
    return;
  }
  if (value >> 32) return raiseFault(GP, 0);
  if (which == 6) {
    store<u64>(DR6, (value & 0xe00f) | 0xffff0ff0);
    return;
  }
  store<u64>(DR7, (value & 0xffff2bff) | 0x400);
  // Pages under a data breakpoint have no TLB entry.
  flushAll();
  updateEvents();
}
