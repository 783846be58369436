// SYSCALL, SYSRET, SYSENTER, SYSEXIT, SWAPGS: ring changes that read no descriptor. CS and SS get fixed attributes.
import {
  CPL, CPUID_TABLE, CS, CSTAR, EFER, FMASK, GS, KERNEL_GS_BASE, LSTAR, R11, RCX, RDX, RIP, RSP, SEG_ATTRIBUTES, SEG_BASE, SEG_LIMIT,
  SEG_SELECTOR, SS, STAR, SYSENTER_CS, SYSENTER_EIP, SYSENTER_ESP,
} from '../layout';
import { updateEvents } from './events';
import { rflags, setRflags } from './flags';
import { suppressStepTrap } from './interrupts';
import {
  CODE_64, EFER_SCE, FLAG_IF, FLAG_RF, FLAG_VM, GP, UD, codeMode, cpl, isCanonical, longMode, protectedMode, raiseFault, updateCodeMode,
  updatePrivilege,
} from './state';
import { noteRingChange, RECORDING } from './transfers';

const CODE_64_ATTRIBUTES: u32 = 0xa09b;
const CODE_32_ATTRIBUTES: u32 = 0xc09b;
const DATA_ATTRIBUTES: u32 = 0xc093;
/** RFLAGS bits that SYSRET takes from R11. */
const SYSRET_FLAGS: u64 = 0x3c7fd7;

function setFlat(segment: usize, selector: u32, attributes: u32): void {
  store<u16>(segment + SEG_SELECTOR, <u16>selector);
  store<u32>(segment + SEG_ATTRIBUTES, attributes);
  store<u32>(segment + SEG_LIMIT, 0xffffffff);
  store<u64>(segment + SEG_BASE, 0);
}

/** Flat CS and SS of ring `level`, with the selectors given (their RPL is set here). */
function enterRing(level: u32, codeSelector: u32, stackSelector: u32, is64: bool): void {
  setFlat(CS, (codeSelector & 0xfffc) | level, (is64 ? CODE_64_ATTRIBUTES : CODE_32_ATTRIBUTES) | (level << 5));
  setFlat(SS, (stackSelector & 0xfffc) | level, DATA_ATTRIBUTES | (level << 5));
  store<u8>(CPL, <u8>level);
  updateCodeMode();
  updatePrivilege();
  updateEvents();
}

/** SYSCALL from compatibility mode exists on AMD only: leaf 0 says "Auth". */
function isAmd(): bool {
  return load<u32>(CPUID_TABLE + 12) == 0x68747541;
}

export function systemCall(next: u64): void {
  if (!(load<u64>(EFER) & EFER_SCE) || !longMode || (codeMode != CODE_64 && !isAmd())) return raiseFault(UD, 0);
  const from64 = codeMode == CODE_64;
  const flags = rflags() & ~FLAG_RF;
  store<u64>(RCX, next);
  store<u64>(R11, flags);
  store<u64>(RIP, load<u64>(from64 ? LSTAR : CSTAR));
  setRflags((flags & ~load<u64>(FMASK)) | 2);
  suppressStepTrap();
  const selector = <u32>(load<u64>(STAR) >> 32) & 0xffff;
  enterRing(0, selector, selector + 8, true);
  if (RECORDING) noteRingChange();
}

export function systemReturn(to64: bool): void {
  if (!(load<u64>(EFER) & EFER_SCE) || codeMode != CODE_64) return raiseFault(UD, 0);
  if (cpl() != 0) return raiseFault(GP, 0);
  const target = load<u64>(RCX);
  if (to64 && !isCanonical(target)) return raiseFault(GP, 0);
  store<u64>(RIP, to64 ? target : target & 0xffffffff);
  setRflags((load<u64>(R11) & SYSRET_FLAGS) | 2);
  const selector = <u32>(load<u64>(STAR) >> 48);
  enterRing(3, to64 ? selector + 16 : selector, selector + 8, to64);
  if (RECORDING) noteRingChange();
}

export function systemEnter(): void {
  const selector = <u32>load<u64>(SYSENTER_CS) & 0xffff;
  if (!protectedMode || !(selector & 0xfffc)) return raiseFault(GP, 0);
  setRflags(rflags() & ~(FLAG_IF | FLAG_VM | FLAG_RF));
  const mask: u64 = longMode ? 0xffffffffffffffff : 0xffffffff;
  store<u64>(RSP, load<u64>(SYSENTER_ESP) & mask);
  store<u64>(RIP, load<u64>(SYSENTER_EIP) & mask);
  enterRing(0, selector, selector + 8, longMode);
}

export function systemExit(to64: bool): void {
  const selector = <u32>load<u64>(SYSENTER_CS) & 0xffff;
  if (!protectedMode || !(selector & 0xfffc) || cpl() != 0) return raiseFault(GP, 0);
  const target = load<u64>(RDX);
  const stack = load<u64>(RCX);
  if (to64 && (!isCanonical(target) || !isCanonical(stack))) return raiseFault(GP, 0);
  store<u64>(RIP, to64 ? target : target & 0xffffffff);
  store<u64>(RSP, to64 ? stack : stack & 0xffffffff);
  enterRing(3, to64 ? selector + 32 : selector + 16, to64 ? selector + 40 : selector + 24, to64);
}

export function swapGs(): void {
  if (cpl() != 0) return raiseFault(GP, 0);
  const base = load<u64>(GS + SEG_BASE);
  store<u64>(GS + SEG_BASE, load<u64>(KERNEL_GS_BASE));
  store<u64>(KERNEL_GS_BASE, base);
}
