// Far jumps, calls and returns, call gates, IRET: everything that loads CS from the instruction stream or the stack (SDM vol 3A,
// 5.8). No hardware task switching: a TSS or task gate as target is #GP(selector).
import {
  CPL, CS, DR7, ES, NMI_BLOCKED, RFLAGS, RIP, RSP, SAVED_SEGMENTS, SS, TR,
} from '../layout';
import {
  descriptor, descriptorDpl, isCode, isConforming, isPresent, isSegment, loadHidden, needDescriptor, readUpperHalf, setAccessed, setDescriptor,
  systemType, TYPE_CALL_GATE, TYPE_CALL_GATE16, upperHalf,
} from './descriptors';
import { updateEvents } from './events';
import { setRflags, rflags } from './flags';
import { readSystem, readU16, readU32, readU64, writeU16, writeU32, writeU64 } from './memory';
import { asStackFault } from './stack';
import { checkStackSelector, dropInnerSegments, linearAddress, loadNullStack, loadReal, stackMask } from './segments';
import {
  CODE_64, FLAG_AC, FLAG_ID, FLAG_IF, FLAG_IOPL, FLAG_NT, FLAG_RF, FLAG_TF, FLAG_VIF, FLAG_VIP, FLAG_VM, GP, NP, TS, codeMode, cpl,
  faultPending, isCanonical, longMode, protectedMode, raiseFault, segmentAttributes, segmentBase, segmentLimit, segmentSelector,
  updateCodeMode, updatePrivilege,
} from './state';
import { noteFarReturn, noteInterruptReturn, RECORDING } from './transfers';

// ---------------------------------------------------------------------------------------------------------------------
// A transfer may fault half way: SS, CS, CPL and RSP are then as before.

let savedRsp: u64 = 0;
let savedCpl: u32 = 0;

export function beginTransfer(): void {
  memory.copy(SAVED_SEGMENTS, ES, 192);
  savedRsp = load<u64>(RSP);
  savedCpl = load<u8>(CPL);
}

/** Puts segments, RSP and CPL back. */
export function undoTransfer(): void {
  memory.copy(ES, SAVED_SEGMENTS, 192);
  store<u64>(RSP, savedRsp);
  store<u8>(CPL, <u8>savedCpl);
  updateCodeMode();
  updatePrivilege();
}

/** Operand size in bytes: 2, 4 or 8. */
export function pushSized(value: u64, size: u32): void {
  if (faultPending) return;
  const mask = stackMask();
  const old = load<u64>(RSP);
  const offset = (old - size) & mask;
  const linear = linearAddress(SS, offset, size, true);
  if (faultPending) return;
  if (size == 8) writeU64(linear, value);
  else if (size == 4) writeU32(linear, value);
  else writeU16(linear, value);
  if (faultPending) asStackFault();
  else store<u64>(RSP, (old & ~mask) | offset);
}

export function popSized(size: u32): u64 {
  return popPart(size, size);
}

/** A selector: 2 bytes of a stack slot of `size`. */
export function popSelector(size: u32): u32 {
  return <u32>popPart(size, 2);
}

/** Reads the first `used` bytes of a stack slot of `size`, and pops it. */
function popPart(size: u32, used: u32): u64 {
  if (faultPending) return 0;
  const mask = stackMask();
  const old = load<u64>(RSP);
  const offset = old & mask;
  const linear = linearAddress(SS, offset, used, false);
  if (faultPending) return 0;
  const value = used == 8 ? readU64(linear) : used == 4 ? readU32(linear) : readU16(linear);
  if (faultPending) asStackFault();
  else store<u64>(RSP, (old & ~mask) | ((offset + size) & mask));
  return value;
}

function skipStack(bytes: u32): void {
  const mask = stackMask();
  const old = load<u64>(RSP);
  store<u64>(RSP, (old & ~mask) | ((old + bytes) & mask));
}

// ---------------------------------------------------------------------------------------------------------------------
// CS

/** `descriptor` is a code segment that may run in the present mode: not L and D both in long mode. */
function isRunnable(): bool {
  return !(longMode && (descriptor >> 53 & 3) == 3);
}

/** Checks that execution can go on at `offset` of the code segment in `descriptor`; #GP(0) otherwise. */
function checkTarget(offset: u64): bool {
  if (longMode && descriptor >> 53 & 1) {
    if (isCanonical(offset)) return true;
  } else if (offset <= limitOfDescriptor()) return true;
  raiseFault(GP, 0);
  return false;
}

function limitOfDescriptor(): u64 {
  const raw = (descriptor & 0xffff) | (descriptor >> 32 & 0xf0000);
  return descriptor >> 55 & 1 ? (raw << 12) | 0xfff : raw;
}

/** Loads CS from `descriptor` with privilege `level`, and goes to `offset`. */
export function enterCode(selector: u32, level: u32, offset: u64): void {
  loadHidden(CS, (selector & 0xfffc) | level);
  store<u8>(CPL, <u8>level);
  store<u64>(RIP, offset);
  updateCodeMode();
  updatePrivilege();
}

function enterReal(selector: u32, offset: u64): void {
  if (offset > segmentLimit(CS)) return raiseFault(GP, 0);
  loadReal(CS, selector);
  store<u64>(RIP, offset);
}

/** Reads and checks the target of a direct far JMP or CALL that stays at this privilege. */
function checkDirectCode(selector: u32): bool {
  const error = selector & 0xfffc;
  const level = <u32>cpl();
  const allowed = isConforming() ? descriptorDpl() <= level : (selector & 3) <= level && descriptorDpl() == level;
  if (!allowed || !isRunnable()) {
    raiseFault(GP, error);
    return false;
  }
  if (!isPresent()) {
    raiseFault(NP, error);
    return false;
  }
  return true;
}

/** JMP far; `offset` is already cut to the operand size. */
export function farJump(selector: u32, offset: u64): void {
  if (!protectedMode) return enterReal(selector, offset);
  if (!(selector & 0xfffc)) return raiseFault(GP, 0);
  if (!needDescriptor(selector, GP, 0)) return;
  if (isSegment()) {
    if (!isCode()) return raiseFault(GP, selector & 0xfffc);
    if (!checkDirectCode(selector) || !checkTarget(offset) || !setAccessed()) return;
    return enterCode(selector, cpl(), offset);
  }
  if (!readGate(selector)) return;
  if (!needDescriptor(gateSelector, GP, 0)) return;
  const error = gateSelector & 0xfffc;
  const level = <u32>cpl();
  if (!isSegment() || !isCode() || !isRunnable() || (longMode && !(descriptor >> 53 & 1))) return raiseFault(GP, error);
  if (isConforming() ? descriptorDpl() > level : descriptorDpl() != level) return raiseFault(GP, error);
  if (!isPresent()) return raiseFault(NP, error);
  if (checkTarget(gateOffset) && setAccessed()) enterCode(gateSelector, level, gateOffset);
}

/** CALL far with operand size `size` bytes; returns to `next`. */
export function farCall(selector: u32, offset: u64, size: u32, next: u64): void {
  beginTransfer();
  farCallParts(selector, offset, size, next);
  if (faultPending) undoTransfer();
}

function farCallParts(selector: u32, offset: u64, size: u32, next: u64): void {
  const oldCs = segmentSelector(CS);
  if (!protectedMode) {
    pushSized(oldCs, size);
    pushSized(next, size);
    if (!faultPending) enterReal(selector, offset);
    return;
  }
  if (!(selector & 0xfffc)) return raiseFault(GP, 0);
  if (!needDescriptor(selector, GP, 0)) return;
  if (isSegment()) {
    if (!isCode()) return raiseFault(GP, selector & 0xfffc);
    if (!checkDirectCode(selector) || !checkTarget(offset) || !setAccessed()) return;
    const code = descriptor;
    pushSized(oldCs, size);
    pushSized(next, size);
    if (faultPending) return;
    setDescriptor(code);
    return enterCode(selector, cpl(), offset);
  }
  callGate(selector, oldCs, next);
}

// ---------------------------------------------------------------------------------------------------------------------
// Call gates

let gateSelector: u32 = 0;
let gateOffset: u64 = 0;
let gateWidth: u32 = 0; // bytes that each push has
let gateParameters: u32 = 0;

/** Checks the gate in `descriptor` and takes it apart. */
function readGate(selector: u32): bool {
  const error = selector & 0xfffc;
  const type = systemType();
  const isGate = type == TYPE_CALL_GATE || (type == TYPE_CALL_GATE16 && !longMode);
  if (!isGate || descriptorDpl() < <u32>cpl() || descriptorDpl() < (selector & 3)) {
    raiseFault(GP, error);
    return false;
  }
  if (!isPresent()) {
    raiseFault(NP, error);
    return false;
  }
  gateSelector = <u32>(descriptor >> 16) & 0xffff;
  gateOffset = descriptor & 0xffff;
  gateParameters = <u32>(descriptor >> 32) & 31;
  gateWidth = 2;
  if (type == TYPE_CALL_GATE) {
    gateOffset |= descriptor >> 32 & 0xffff0000;
    gateWidth = 4;
  }
  if (longMode) {
    if (!readUpperHalf(selector) || upperHalf >> 40 & 0x1f) {
      raiseFault(GP, error);
      return false;
    }
    gateOffset |= upperHalf << 32;
    gateWidth = 8;
    gateParameters = 0;
  }
  if (!(gateSelector & 0xfffc)) {
    raiseFault(GP, 0);
    return false;
  }
  return true;
}

function callGate(selector: u32, oldCs: u32, next: u64): void {
  if (!readGate(selector)) return;
  if (!needDescriptor(gateSelector, GP, 0)) return;
  const error = gateSelector & 0xfffc;
  const level = <u32>cpl();
  const is64 = (descriptor >> 53 & 1) != 0;
  if (!isSegment() || !isCode() || descriptorDpl() > level || !isRunnable() || (longMode && !is64)) return raiseFault(GP, error);
  if (!isPresent()) return raiseFault(NP, error);
  if (!checkTarget(gateOffset) || !setAccessed()) return;
  const code = descriptor;
  const inner = isConforming() ? level : descriptorDpl();
  if (inner < level) switchStack(inner, next, oldCs);
  else {
    pushSized(oldCs, gateWidth);
    pushSized(next, gateWidth);
  }
  if (faultPending) return;
  setDescriptor(code);
  enterCode(gateSelector, inner, gateOffset);
}

/** The stack of an inner ring, with the caller's stack, parameters and return address on it. */
function switchStack(inner: u32, next: u64, oldCs: u32): void {
  const oldSs = segmentSelector(SS);
  const oldRsp = load<u64>(RSP);
  const oldBase = segmentBase(SS);
  const oldMask = stackMask();
  if (!loadInnerStack(inner, 0)) return;
  // In long mode the pushes are 64-bit ones though CS is still that of a compatibility segment.
  pushInner(oldSs, gateWidth);
  pushInner(oldRsp, gateWidth);
  for (let i = gateParameters; i > 0; i--) {
    const from = (oldBase + ((oldRsp + (i - 1) * gateWidth) & oldMask)) & 0xffffffff;
    pushInner(gateWidth == 4 ? readU32(from) : readU16(from), gateWidth);
  }
  pushInner(oldCs, gateWidth);
  pushInner(next, gateWidth);
}

/** A push on a stack that loadInnerStack chose; the new code's mode decides how wide addresses are. */
function pushInner(value: u64, width: u32): void {
  if (!longMode) return pushSized(value, width);
  if (faultPending) return;
  const rsp = load<u64>(RSP) - 8;
  writeU64(rsp, value);
  if (!faultPending) store<u64>(RSP, rsp);
}

/**
 * Loads SS and RSP of privilege `inner` from the TSS, and sets CPL to it. Call between beginTransfer and undoTransfer.
 * SDM vol 3A, 7.2.1 (32-bit TSS), 7.7 (64-bit TSS).
 */
export function loadInnerStack(inner: u32, external: u32): bool {
  const tss = segmentBase(TR);
  const limit = segmentLimit(TR);
  const trError = (segmentSelector(TR) & 0xfffc) | external;
  const is32 = (segmentAttributes(TR) & 8) != 0;
  const place: u32 = longMode ? 4 + inner * 8 : is32 ? 4 + inner * 8 : 2 + inner * 4;
  const last: u32 = longMode ? 7 : is32 ? 5 : 3;
  if (place + last > limit) {
    raiseFault(TS, trError);
    return false;
  }
  if (longMode) {
    const rsp = readSystem(tss + place, 8);
    if (faultPending) return false;
    loadNullStack(inner);
    store<u64>(RSP, rsp);
  } else {
    const esp = readSystem(tss + place, is32 ? 4 : 2);
    const selector = <u32>readSystem(tss + place + (is32 ? 4 : 2), 2);
    if (faultPending) return false;
    if (!(selector & 0xfffc)) {
      raiseFault(TS, external);
      return false;
    }
    if (!checkStackSelector(selector, inner, TS, external)) return false;
    loadHidden(SS, selector);
    store<u64>(RSP, esp);
  }
  store<u8>(CPL, <u8>inner);
  updatePrivilege();
  return true;
}

// ---------------------------------------------------------------------------------------------------------------------
// Returns

/** RETF: operand size `size` bytes, `extra` bytes released on both stacks. */
export function farReturn(size: u32, extra: u32): void {
  beginTransfer();
  farReturnParts(size, extra);
  if (faultPending) undoTransfer();
  else if (RECORDING) noteFarReturn();
}

function farReturnParts(size: u32, extra: u32): void {
  const offset = popSized(size);
  const selector = <u32>popSized(size) & 0xffff;
  if (faultPending) return;
  if (!protectedMode) {
    enterReal(selector, offset);
    if (!faultPending) skipStack(extra);
    return;
  }
  if (!checkReturnCode(selector) || !checkTarget(offset)) return;
  const level = selector & 3;
  if (level == <u32>cpl()) {
    skipStack(extra);
    return enterCode(selector, level, offset);
  }
  const code = descriptor;
  skipStack(extra);
  const rsp = popSized(size);
  const ss = <u32>popSized(size) & 0xffff;
  if (faultPending) return;
  leaveToOuter(code, selector, offset, ss, rsp);
  if (!faultPending) skipStack(extra);
}

/** Checks the CS that a return pops: it may only go outward. Leaves it in `descriptor`. */
function checkReturnCode(selector: u32): bool {
  const level = selector & 3;
  const error = selector & 0xfffc;
  if (!error) {
    raiseFault(GP, 0);
    return false;
  }
  if (!needDescriptor(selector, GP, 0)) return false;
  const dplGood = isConforming() ? descriptorDpl() <= level : descriptorDpl() == level;
  if (!isSegment() || !isCode() || level < <u32>cpl() || !dplGood || !isRunnable()) {
    raiseFault(GP, error);
    return false;
  }
  if (!isPresent()) {
    raiseFault(NP, error);
    return false;
  }
  return setAccessed();
}

/** Loads SS for the code segment `code` at the RPL of `selector`, then enters it and drops inner data segments. */
function leaveToOuter(code: u64, selector: u32, offset: u64, ss: u32, rsp: u64): void {
  const level = selector & 3;
  const to64 = longMode && (code >> 53 & 1) != 0;
  if (!(ss & 0xfffc)) {
    if (!to64 || level == 3 || (ss & 3) != level) return raiseFault(GP, 0);
    loadNullStack(ss);
  } else {
    if (!checkStackSelector(ss, level, GP, 0)) return;
    loadHidden(SS, ss);
  }
  setDescriptor(code);
  enterCode(selector, level, offset);
  const mask = stackMask();
  store<u64>(RSP, mask == 0xffff ? (load<u64>(RSP) & ~mask) | (rsp & mask) : rsp & mask);
  if (level > savedCpl) dropInnerSegments();
}

/** IRET with operand size `size` bytes. */
export function interruptReturn(size: u32): void {
  beginTransfer();
  interruptReturnParts(size);
  if (faultPending) {
    undoTransfer();
    return;
  }
  if (RECORDING && size == 8) noteInterruptReturn(savedRsp);
  store<u8>(NMI_BLOCKED, 0);
  updatePrivilege();
  updateEvents();
}

function interruptReturnParts(size: u32): void {
  // A nested task would be switched to here; there are no hardware tasks.
  if (protectedMode && load<u64>(RFLAGS) & FLAG_NT) return raiseFault(GP, 0);
  const was64 = codeMode == CODE_64;
  const offset = popSized(size);
  const selector = <u32>popSized(size) & 0xffff;
  const flags = popSized(size);
  if (faultPending) return;
  if (!protectedMode) {
    enterReal(selector, offset);
    if (!faultPending) loadFlags(flags, size, 0);
    return;
  }
  // Virtual-8086 mode is not offered.
  if (size == 4 && flags & FLAG_VM && cpl() == 0 && !longMode) return raiseFault(GP, 0);
  if (!checkReturnCode(selector) || !checkTarget(offset)) return;
  const level = selector & 3;
  const oldLevel = <u32>cpl();
  if (!was64 && level == oldLevel) {
    enterCode(selector, level, offset);
    return loadFlags(flags, size, oldLevel);
  }
  const code = descriptor;
  const rsp = popSized(size);
  const ss = <u32>popSized(size) & 0xffff;
  if (faultPending) return;
  leaveToOuter(code, selector, offset, ss, rsp);
  if (!faultPending) loadFlags(flags, size, oldLevel);
}

/** Takes RFLAGS from the stack as CPL `level` may: IOPL in ring 0 only, IF when CPL <= IOPL. */
function loadFlags(value: u64, size: u32, level: u32): void {
  const old = rflags();
  let change: u64 = 0xcd5 | FLAG_TF | FLAG_NT;
  if (size > 2) change |= FLAG_RF | FLAG_AC | FLAG_ID;
  if (!protectedMode || level == 0) {
    change |= FLAG_IOPL | FLAG_IF;
    if (size > 2) change |= FLAG_VIF | FLAG_VIP;
  } else if (level <= <u32>(old >> 12 & 3)) change |= FLAG_IF;
  let next = (old & ~change) | (value & change);
  // RF only holds off execution breakpoints: without one, nobody can see it, and no step is needed.
  if (!(load<u64>(DR7) & 0xff)) next &= ~FLAG_RF;
  setRflags(next);
}
