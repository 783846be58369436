// Segment registers: linear addresses with limit and type checks, loads of data segments, LAR LSL VERR VERW. Far transfers
// are far.ts.
import { CS, DS, ES, FS, GS, INTERRUPT_SHADOW, LDTR, SEG_ATTRIBUTES, SEG_BASE, SEG_SELECTOR, SHADOW_RIP, SS, TR } from '../layout';
import {
  descriptor, descriptorAddress, descriptorBase, descriptorDpl, descriptorLimit, isCode, isConforming, isPresent, isReadWrite, isSegment,
  loadHidden, loadNull, needDescriptor, readDescriptor, readUpperHalf, setAccessed, systemType,
  TSS_BUSY, TYPE_LDT, TYPE_TSS32, upperHalf,
} from './descriptors';
import { writeSystem } from './memory';
import {
  CODE_64, GP, NP, SS_FAULT, codeMode, cpl, isCanonical, longMode, protectedMode, raiseFault, segmentAttributes, segmentBase,
  segmentLimit,
} from './state';

/**
 * Linear address of `size` bytes at segment:offset. Outside 64-bit mode limits and types are checked (#GP(0), #SS(0) for SS);
 * in 64-bit mode memory.ts finds what is not canonical.
 */
export function linearAddress(segment: usize, offset: u64, size: u32, write: bool): u64 {
  if (codeMode == CODE_64) return segment == FS || segment == GS ? segmentBase(segment) + offset : offset;
  const attributes = segmentAttributes(segment);
  const limit: u64 = segmentLimit(segment);
  const start = offset & 0xffffffff;
  const last = start + size - 1;
  let good: bool;
  if ((attributes & 0xc) == 4) {
    const top: u64 = attributes & 0x4000 ? 0xffffffff : 0xffff;
    good = start > limit && last <= top;
  } else good = last <= limit || limit == 0xffffffff; // a flat segment wraps round
  if (protectedMode) {
    if (attributes & 0x10000) good = false;
    // Writable: data with W. Readable: data, or code with R.
    else if (write ? (attributes & 0xa) != 2 : (attributes & 0xa) == 8) good = false;
  }
  if (!good) raiseFault(segment == SS ? SS_FAULT : GP, 0);
  return (segmentBase(segment) + start) & 0xffffffff;
}

/** Which bits of RSP a push uses: by mode and SS.B. */
export function stackMask(): u64 {
  if (codeMode == CODE_64) return 0xffffffffffffffff;
  return segmentAttributes(SS) & 0x4000 ? 0xffffffff : 0xffff;
}

/** Loads ES, SS, DS, FS or GS as MOV and POP do. */
export function loadSegment(segment: usize, selector: u32): void {
  if (!protectedMode) {
    loadReal(segment, selector);
    return;
  }
  if (segment == SS) {
    loadStackSegment(selector);
    return;
  }
  if (!(selector & 0xfffc)) {
    loadNull(segment, selector);
    return;
  }
  if (!needDescriptor(selector, GP, 0)) return;
  const error = selector & 0xfffc;
  const code = isCode();
  const conforming = code && isConforming();
  if (!isSegment() || (code && !isReadWrite())) return raiseFault(GP, error);
  if (!conforming && (descriptorDpl() < (selector & 3) || descriptorDpl() < <u32>cpl())) return raiseFault(GP, error);
  if (!isPresent()) return raiseFault(NP, error);
  if (setAccessed()) loadHidden(segment, selector);
}

/** Real mode changes selector and base; limit and size stay ("unreal" mode relies on it). */
export function loadReal(segment: usize, selector: u32): void {
  store<u16>(segment + SEG_SELECTOR, <u16>selector);
  store<u64>(segment + SEG_BASE, selector << 4);
  const attributes = segmentAttributes(segment);
  if (segment != CS) store<u32>(segment + SEG_ATTRIBUTES, (attributes & 0xc000) | 0x93);
}

function loadStackSegment(selector: u32): void {
  if (!(selector & 0xfffc)) {
    if (codeMode != CODE_64 || cpl() == 3 || (selector & 3) != <u32>cpl()) return raiseFault(GP, 0);
    loadNullStack(selector);
    return;
  }
  if (checkStackSelector(selector, cpl(), GP, 0)) loadHidden(SS, selector);
}

/** SS with a null selector, as 64-bit mode has it in rings 0..2: unusable, but its DPL is the CPL. */
export function loadNullStack(selector: u32): void {
  loadNull(SS, selector);
  store<u32>(SS + SEG_ATTRIBUTES, 0x10000 | ((selector & 3) << 5));
}

/** Reads and checks a stack segment for privilege `level`; `vector` is #GP or #TS. Marks it accessed. */
export function checkStackSelector(selector: u32, level: u32, vector: i32, external: u32): bool {
  if (!needDescriptor(selector, vector, external)) return false;
  const error = (selector & 0xfffc) | external;
  if ((selector & 3) != level || !isSegment() || isCode() || !isReadWrite() || descriptorDpl() != level) {
    raiseFault(vector, error);
    return false;
  }
  if (!isPresent()) {
    raiseFault(SS_FAULT, error);
    return false;
  }
  return setAccessed();
}

/** MOV SS and POP SS hold interrupts off until the instruction at `next` is done. */
export function shadowStack(next: u64): void {
  store<u8>(INTERRUPT_SHADOW, 1);
  store<u64>(SHADOW_RIP, next);
}

/** After a return to an outer ring: data segments that the new CPL may not use become null. */
export function dropInnerSegments(): void {
  const level = <u32>cpl();
  dropInner(ES, level);
  dropInner(DS, level);
  dropInner(FS, level);
  dropInner(GS, level);
}

function dropInner(segment: usize, level: u32): void {
  const attributes = segmentAttributes(segment);
  if (attributes & 0x10000) return;
  const conforming = (attributes & 0xc) == 0xc;
  if (!conforming && ((attributes >> 5) & 3) < level) loadNull(segment, 0);
}

// ---------------------------------------------------------------------------------------------------------------------
// LAR, LSL, VERR, VERW: questions about a selector; the answer "no" is ZF = 0, not a fault.

/** The descriptor of `selector` exists and its DPL lets CPL and RPL see it. */
function isVisible(selector: u32): bool {
  if (!(selector & 0xfffc) || !readDescriptor(selector)) return false;
  if (isSegment() && isCode() && isConforming()) return true;
  return descriptorDpl() >= <u32>cpl() && descriptorDpl() >= (selector & 3);
}

/** Access rights for LAR (bits 23..8 of the descriptor's upper half; the limit's bits in it too, as silicon has them), or -1. */
export function accessRights(selector: u32): i64 {
  if (!isVisible(selector)) return -1;
  if (!isSegment()) {
    const type = systemType();
    const valid = longMode
      ? type == TYPE_LDT || type == 9 || type == 11 || type == 12
      : type >= 1 && type <= 12 && type != 6 && type != 7 && type != 8 && type != 10;
    if (!valid) return -1;
  }
  return <i64>(descriptor >> 32 & 0xffff00);
}

/** Limit for LSL, or -1. */
export function segmentLimitOf(selector: u32): i64 {
  if (!isVisible(selector)) return -1;
  if (!isSegment()) {
    const type = systemType();
    const valid = type == TYPE_LDT || type == 9 || type == 11 || (!longMode && (type == 1 || type == 3));
    if (!valid) return -1;
  }
  return <i64>descriptorLimit();
}

export function isReadable(selector: u32): bool {
  return isVisible(selector) && isSegment() && (!isCode() || isReadWrite());
}

export function isWritable(selector: u32): bool {
  return isVisible(selector) && isSegment() && !isCode() && isReadWrite();
}

/** LLDT. The caller checked mode and CPL. */
export function loadLdt(selector: u32): void {
  if (!(selector & 0xfffc)) {
    loadNull(LDTR, selector);
    return;
  }
  const error = selector & 0xfffc;
  if (selector & 4) return raiseFault(GP, error);
  if (!needDescriptor(selector, GP, 0)) return;
  if (isSegment() || systemType() != TYPE_LDT) return raiseFault(GP, error);
  if (!isPresent()) return raiseFault(NP, error);
  loadSystemSegment(LDTR, selector);
}

/** LTR. The caller checked mode and CPL. */
export function loadTaskRegister(selector: u32): void {
  const error = selector & 0xfffc;
  if (!error) return raiseFault(GP, 0);
  if (selector & 4) return raiseFault(GP, error);
  if (!needDescriptor(selector, GP, 0)) return;
  const type = systemType();
  if (isSegment() || (type != TYPE_TSS32 && (longMode || type != 1))) return raiseFault(GP, error);
  if (!isPresent()) return raiseFault(NP, error);
  const busy = (descriptor >> 40 & 0xff) | TSS_BUSY;
  const place = descriptorAddress + 5;
  if (!loadSystemSegment(TR, selector)) return;
  writeSystem(place, busy, 1);
  store<u32>(TR + SEG_ATTRIBUTES, segmentAttributes(TR) | TSS_BUSY);
}

/** LDTR or TR from `descriptor`; in long mode it has 16 bytes and a 64-bit base. */
function loadSystemSegment(segment: usize, selector: u32): bool {
  let base = descriptorBase();
  if (longMode) {
    if (!readUpperHalf(selector)) {
      raiseFault(GP, selector & 0xfffc);
      return false;
    }
    base |= upperHalf << 32;
    if (!isCanonical(base) || upperHalf >> 40 & 0x1f) {
      raiseFault(GP, selector & 0xfffc);
      return false;
    }
  }
  loadHidden(segment, selector);
  store<u64>(segment + SEG_BASE, base);
  return true;
}
