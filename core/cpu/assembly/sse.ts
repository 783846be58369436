// SSE to SSE4.2 and MMX: operands, faults and results around sse-float.ts, sse-integer.ts and sse-string.ts.
//
// Sources are pointers: a register's place in the CPU block, or SOURCE after a load. 0 says that the load faulted; nothing
// has been changed then. Results go to the register only when no exception forbids it.
import { CR0, CR4, FP_SCRATCH, FS, FSW, FTW, RAX, RCX, RDI, RDX, SEG_BASE, ST, XMM } from '../layout';
import { assistKey, decryptRound, encryptRound, inverseMixColumns } from './aes';
import { allowUnaligned, isAligned } from './fp-access';
import { writeArithmeticFlags } from './fp-flags';
import { checkWrite, readU16, readU32, readU64, readU8, readV128, writeU16, writeU32, writeU64, writeU8, writeV128 } from './memory';
import {
  C_REG, C_REXW, R_CODE, R_IMM, addressSize, eaLinear, regNumber, rmNumber, segmentOf,
} from './record';
import {
  ADD, MUL, SQRT, SUB, beginSse, binary32, binary64, compareFlags32, compareFlags64, compareMask32, compareMask64, endSse, f32ToInteger,
  f64ToInteger, integerTo32, integerTo64, narrow, reciprocal, reciprocalRoot, round32, round64, sqrt32, sqrt64, widen,
} from './sse-float';
import {
  carrylessProduct, integer0f, integer0f38, shiftBytesLeft, shiftBytesRight, shiftDoubles, shiftQuads, shiftWords, slidingDifferences,
} from './sse-integer';
import { compareExplicit, compareImplicit, stringFlags, stringIndex, stringMask } from './sse-string';
import { CODE_64, codeMode, faultPending, getRegister, GP, MF, NM, raiseFault, setRegister, UD, XM } from './state';

const SOURCE: usize = FP_SCRATCH;
const RESULT: usize = FP_SCRATCH + 0x10;
const PRODUCTS: usize = FP_SCRATCH + 0x20;

// Mandatory prefixes.
const NONE: i32 = 0;
const P66: i32 = 1;
const PF3: i32 = 2;
const PF2: i32 = 3;

const CR0_EM: u64 = 4;
const CR0_TS: u64 = 8;
const CR4_OSFXSR: u64 = 0x200;
const CR4_OSXMMEXCPT: u64 = 0x400;

// ---- may it run at all

/** SDM vol 3A, table 14-1 and 2.5: #UD before #NM. */
export function sseAvailable(): bool {
  if ((load<u64>(CR0) & CR0_EM) != 0 || (load<u64>(CR4) & CR4_OSFXSR) == 0) {
    raiseFault(UD, 0);
    return false;
  }
  if ((load<u64>(CR0) & CR0_TS) != 0) {
    raiseFault(NM, 0);
    return false;
  }
  return true;
}

export function mmxAvailable(): bool {
  if ((load<u64>(CR0) & CR0_EM) != 0) {
    raiseFault(UD, 0);
    return false;
  }
  if ((load<u64>(CR0) & CR0_TS) != 0) {
    raiseFault(NM, 0);
    return false;
  }
  if ((load<u16>(FSW) & 0x80) != 0) {
    raiseFault(MF, 0);
    return false;
  }
  return true;
}

/** From x87 to MMX: all registers in use, the stack's top at 0. */
function toMmx(): void {
  store<u8>(FTW, 0xff);
  store<u16>(FSW, load<u16>(FSW) & 0xc7ff);
}

/** Ends a floating-point operation; answers whether its result is to be written. */
function finish(): bool {
  if (endSse()) return true;
  raiseFault((load<u64>(CR4) & CR4_OSXMMEXCPT) != 0 ? XM : UD, 0);
  return false;
}

// ---- operands

// @ts-ignore: decorator
@inline
function isRegister(record: usize): bool {
  return (load<u8>(record, R_CODE) & C_REG) != 0;
}

// @ts-ignore: decorator
@inline
function isWide(record: usize): bool {
  return (load<u8>(record, R_CODE) & C_REXW) != 0;
}

// @ts-ignore: decorator
@inline
function immediate(record: usize): i32 {
  return <i32>load<u8>(record, R_IMM);
}

// @ts-ignore: decorator
@inline
function xmmReg(record: usize): usize {
  return XMM + (regNumber(record) << 4);
}

// @ts-ignore: decorator
@inline
function xmmRm(record: usize): usize {
  return XMM + (rmNumber(record) << 4);
}

// @ts-ignore: decorator
@inline
function mmReg(record: usize): usize {
  return ST + ((regNumber(record) & 7) << 4);
}

// @ts-ignore: decorator
@inline
function mmRm(record: usize): usize {
  return ST + ((rmNumber(record) & 7) << 4);
}

function misaligned(): bool {
  if ((eaLinear & 15) == 0) return false;
  raiseFault(GP, 0);
  return true;
}

/** W of 16 bytes, aligned when in memory. */
function source(record: usize): usize {
  if (isRegister(record)) return xmmRm(record);
  if (misaligned()) return 0;
  return sourceUnaligned(record);
}

function sourceUnaligned(record: usize): usize {
  if (isRegister(record)) return xmmRm(record);
  allowUnaligned();
  const value = readV128(eaLinear);
  if (faultPending) return 0;
  v128.store(SOURCE, value);
  return SOURCE;
}

/** W of 8, 4 or 2 bytes; the rest of SOURCE is zero. */
function sourceSmall(record: usize, bytes: i32): usize {
  if (isRegister(record)) return xmmRm(record);
  return loadSmall(bytes);
}

function loadSmall(bytes: i32): usize {
  const value = bytes == 8 ? readU64(eaLinear) : bytes == 4 ? readU32(eaLinear) : bytes == 2 ? readU16(eaLinear) : readU8(eaLinear);
  if (faultPending) return 0;
  store<u64>(SOURCE, value);
  store<u64>(SOURCE, 0, 8);
  return SOURCE;
}

/** W of the size that the mandatory prefix gives to a floating-point operation. */
function sourceOf(record: usize, prefix: i32): usize {
  return prefix < PF3 ? source(record) : sourceSmall(record, prefix == PF3 ? 4 : 8);
}

/** Q: an MMX register or 8 bytes of memory. */
function sourceMmx(record: usize): usize {
  return isRegister(record) ? mmRm(record) : loadSmall(8);
}

/** E of 4 or 8 bytes by REX.W: a general register or memory. */
function generalSource(record: usize): u64 {
  if (isRegister(record)) {
    const value = getRegister(rmNumber(record));
    return isWide(record) ? value : value & 0xffffffff;
  }
  return isWide(record) ? readU64(eaLinear) : readU32(eaLinear);
}

function generalTarget(record: usize, value: u64): void {
  if (isRegister(record)) setRegister(rmNumber(record), isWide(record) ? value : value & 0xffffffff);
  else if (isWide(record)) writeU64(eaLinear, value);
  else writeU32(eaLinear, value & 0xffffffff);
}

function setMmx(place: usize, value: u64): void {
  toMmx();
  store<u64>(place, value);
  store<u16>(place, 0xffff, 8);
}

/** MOVQ and MOVNTQ to memory. */
function storeMmx(place: usize): void {
  writeU64(eaLinear, load<u64>(place));
  if (!faultPending) toMmx();
}

/** W of 16 bytes as destination. */
function storeVector(record: usize, aligned: bool): void {
  const value = v128.load(xmmReg(record));
  if (isRegister(record)) {
    v128.store(xmmRm(record), value);
  } else if (!aligned || !misaligned()) {
    allowUnaligned();
    writeV128(eaLinear, value);
  }
}

function loadVector(record: usize, aligned: bool): void {
  const s = aligned ? source(record) : sourceUnaligned(record);
  if (s) v128.store(xmmReg(record), v128.load(s));
}

// ---- floating point

/** ADD MUL SUB MIN DIV MAX SQRT in their four forms, and the approximations. */
function arithmetic(record: usize, op: i32, prefix: i32): void {
  const s = sourceOf(record, prefix);
  if (!s) return;
  const d = xmmReg(record);
  beginSse();
  if (prefix == PF2) {
    const r = op == SQRT ? sqrt64(load<u64>(s)) : binary64(op, load<u64>(d), load<u64>(s));
    if (finish()) store<u64>(d, r);
    return;
  }
  if (prefix == PF3) {
    const r = single(op, load<u32>(d), load<u32>(s));
    if (finish()) store<u32>(d, r);
    return;
  }
  if (prefix == NONE) {
    for (let i: usize = 0; i < 16; i += 4) store<u32>(RESULT + i, single(op, load<u32>(d + i), load<u32>(s + i)));
  } else {
    for (let i: usize = 0; i < 16; i += 8) {
      store<u64>(RESULT + i, op == SQRT ? sqrt64(load<u64>(s + i)) : binary64(op, load<u64>(d + i), load<u64>(s + i)));
    }
  }
  if (finish()) v128.store(d, v128.load(RESULT));
}

function single(op: i32, a: u32, b: u32): u32 {
  if (op == SQRT) return sqrt32(b);
  if (op == 0x52) return reciprocalRoot(b);
  if (op == 0x53) return reciprocal(b);
  return binary32(op, a, b);
}

function compareMasks(record: usize, prefix: i32): void {
  const s = sourceOf(record, prefix);
  if (!s) return;
  const d = xmmReg(record), which = immediate(record) & 7;
  beginSse();
  if (prefix == PF2) {
    const r = compareMask64(load<u64>(d), load<u64>(s), which);
    if (finish()) store<u64>(d, r);
    return;
  }
  if (prefix == PF3) {
    const r = compareMask32(load<u32>(d), load<u32>(s), which);
    if (finish()) store<u32>(d, r);
    return;
  }
  if (prefix == NONE) for (let i: usize = 0; i < 16; i += 4) store<u32>(RESULT + i, compareMask32(load<u32>(d + i), load<u32>(s + i), which));
  else for (let i: usize = 0; i < 16; i += 8) store<u64>(RESULT + i, compareMask64(load<u64>(d + i), load<u64>(s + i), which));
  if (finish()) v128.store(d, v128.load(RESULT));
}

function compareToFlags(record: usize, double: bool, signaling: bool): void {
  const s = sourceSmall(record, double ? 8 : 4);
  if (!s) return;
  const d = xmmReg(record);
  beginSse();
  const flags = double
    ? compareFlags64(load<u64>(d), load<u64>(s), signaling)
    : compareFlags32(load<u32>(d), load<u32>(s), signaling);
  if (finish()) writeArithmeticFlags(flags);
}

/** CVTPS2PD CVTPD2PS CVTSS2SD CVTSD2SS */
function convertFloats(record: usize, prefix: i32): void {
  const s = prefix == P66 ? source(record) : sourceSmall(record, prefix == PF3 ? 4 : 8);
  if (!s) return;
  const d = xmmReg(record);
  beginSse();
  switch (prefix) {
    case NONE: {
      const low = widen(load<u32>(s)), high = widen(load<u32>(s, 4));
      if (finish()) v128.store(d, i64x2(low, high));
      return;
    }
    case P66: {
      const low = narrow(load<u64>(s)), high = narrow(load<u64>(s, 8));
      if (finish()) v128.store(d, i64x2(<u64>low | (<u64>high << 32), 0));
      return;
    }
    case PF3: {
      const r = widen(load<u32>(s));
      if (finish()) store<u64>(d, r);
      return;
    }
    default: {
      const r = narrow(load<u64>(s));
      if (finish()) store<u32>(d, r);
    }
  }
}

/** CVTDQ2PS CVTPS2DQ CVTTPS2DQ */
function convertLanes(record: usize, prefix: i32): void {
  const s = source(record);
  if (!s) return;
  beginSse();
  for (let i: usize = 0; i < 16; i += 4) {
    store<u32>(RESULT + i, prefix == NONE ? integerTo32(<i64>load<i32>(s + i)) : <u32>f32ToInteger(load<u32>(s + i), 32, prefix == PF3));
  }
  if (finish()) v128.store(xmmReg(record), v128.load(RESULT));
}

/** CVTTPD2DQ CVTPD2DQ CVTDQ2PD */
function convertHalves(record: usize, prefix: i32): void {
  const s = prefix == PF3 ? sourceSmall(record, 8) : source(record);
  if (!s) return;
  const d = xmmReg(record);
  beginSse();
  if (prefix == PF3) {
    const low = integerTo64(<i64>load<i32>(s)), high = integerTo64(<i64>load<i32>(s, 4));
    v128.store(d, i64x2(low, high));
    return;
  }
  const low = f64ToInteger(load<u64>(s), 32, prefix == P66), high = f64ToInteger(load<u64>(s, 8), 32, prefix == P66);
  if (finish()) v128.store(d, i64x2((<u64>low & 0xffffffff) | (<u64>high << 32), 0));
}

/** CVTPI2PS CVTPI2PD CVTSI2SS CVTSI2SD */
function convertFromInteger(record: usize, prefix: i32): void {
  const d = xmmReg(record);
  if (prefix >= PF3) {
    let value = generalSource(record);
    if (faultPending) return;
    if (!isWide(record)) value = <u64><i64><i32>value;
    beginSse();
    if (prefix == PF3) {
      const r = integerTo32(<i64>value);
      if (finish()) store<u32>(d, r);
    } else {
      const r = integerTo64(<i64>value);
      if (finish()) store<u64>(d, r);
    }
    return;
  }
  // From memory it has nothing to do with MMX. (SDM says so of CVTPI2PD; silicon does it for CVTPI2PS too.)
  const usesMmx = isRegister(record);
  if (usesMmx && !mmxAvailable()) return;
  const s = sourceMmx(record);
  if (!s) return;
  beginSse();
  const x = <i64>load<i32>(s), y = <i64>load<i32>(s, 4);
  if (usesMmx) toMmx();
  if (prefix == NONE) {
    const low = integerTo32(x), high = integerTo32(y);
    if (finish()) store<u64>(d, <u64>low | (<u64>high << 32));
  } else {
    v128.store(d, i64x2(integerTo64(x), integerTo64(y)));
  }
}

/** CVT(T)PS2PI CVT(T)PD2PI CVT(T)SS2SI CVT(T)SD2SI */
function convertToInteger(record: usize, prefix: i32, truncate: bool): void {
  if (prefix >= PF3) {
    const s = sourceSmall(record, prefix == PF3 ? 4 : 8);
    if (!s) return;
    const bits = isWide(record) ? 64 : 32;
    beginSse();
    const value = prefix == PF3 ? f32ToInteger(load<u32>(s), bits, truncate) : f64ToInteger(load<u64>(s), bits, truncate);
    if (finish()) setRegister(regNumber(record), bits == 64 ? <u64>value : <u64>value & 0xffffffff);
    return;
  }
  if (!mmxAvailable()) return;
  const s = prefix == NONE ? sourceSmall(record, 8) : source(record);
  if (!s) return;
  toMmx();
  beginSse();
  let low: i64, high: i64;
  if (prefix == NONE) {
    low = f32ToInteger(load<u32>(s), 32, truncate);
    high = f32ToInteger(load<u32>(s, 4), 32, truncate);
  } else {
    low = f64ToInteger(load<u64>(s), 32, truncate);
    high = f64ToInteger(load<u64>(s, 8), 32, truncate);
  }
  if (finish()) setMmx(mmReg(record), (<u64>low & 0xffffffff) | (<u64>high << 32));
}

/** HADDPx HSUBPx ADDSUBPx: `op` ADD, SUB, or 0 for alternating. */
function horizontal(record: usize, op: i32, prefix: i32): void {
  const s = source(record);
  if (!s) return;
  const d = xmmReg(record);
  beginSse();
  if (prefix == P66) {
    if (op == 0) {
      store<u64>(RESULT, binary64(SUB, load<u64>(d), load<u64>(s)));
      store<u64>(RESULT, binary64(ADD, load<u64>(d, 8), load<u64>(s, 8)), 8);
    } else {
      store<u64>(RESULT, binary64(op, load<u64>(d), load<u64>(d, 8)));
      store<u64>(RESULT, binary64(op, load<u64>(s), load<u64>(s, 8)), 8);
    }
  } else if (op == 0) {
    for (let i: usize = 0; i < 16; i += 4) store<u32>(RESULT + i, binary32((i & 4) == 0 ? SUB : ADD, load<u32>(d + i), load<u32>(s + i)));
  } else {
    store<u32>(RESULT, binary32(op, load<u32>(d), load<u32>(d, 4)));
    store<u32>(RESULT, binary32(op, load<u32>(d, 8), load<u32>(d, 12)), 4);
    store<u32>(RESULT, binary32(op, load<u32>(s), load<u32>(s, 4)), 8);
    store<u32>(RESULT, binary32(op, load<u32>(s, 8), load<u32>(s, 12)), 12);
  }
  if (finish()) v128.store(d, v128.load(RESULT));
}

function roundLanes(record: usize, op: i32): void {
  const s = op < 0x0a ? source(record) : sourceSmall(record, op == 0x0a ? 4 : 8);
  if (!s) return;
  const d = xmmReg(record), control = immediate(record);
  beginSse();
  v128.store(RESULT, v128.load(d));
  if ((op & 1) == 0) for (let i: usize = 0; i < (op == 0x08 ? 16 : 4); i += 4) store<u32>(RESULT + i, round32(load<u32>(s + i), control));
  else for (let i: usize = 0; i < (op == 0x09 ? 16 : 8); i += 8) store<u64>(RESULT + i, round64(load<u64>(s + i), control));
  if (finish()) v128.store(d, v128.load(RESULT));
}

/**
 * DPPS and DPPD: each of the three steps may end the instruction by an unmasked exception. Every lane adds for itself, in an order
 * of its own, which shows in the NaN that it gets.
 */
function dotProduct(record: usize, double: bool): void {
  const s = source(record);
  if (!s) return;
  const d = xmmReg(record), control = immediate(record);
  beginSse();
  if (double) {
    const x = (control & 16) != 0 ? binary64(MUL, load<u64>(d), load<u64>(s)) : 0;
    const y = (control & 32) != 0 ? binary64(MUL, load<u64>(d, 8), load<u64>(s, 8)) : 0;
    if (!finish()) return;
    beginSse();
    const low = binary64(ADD, x, y), high = binary64(ADD, y, x);
    if (finish()) v128.store(d, i64x2((control & 1) != 0 ? low : 0, (control & 2) != 0 ? high : 0));
    return;
  }
  for (let i = 0; i < 4; i++) {
    const at = <usize>(i << 2);
    store<u32>(PRODUCTS + at, ((control >> (4 + i)) & 1) != 0 ? binary32(MUL, load<u32>(d + at), load<u32>(s + at)) : 0);
  }
  if (!finish()) return;
  beginSse();
  for (let i = 0; i < 4; i++) store<u32>(RESULT + (i << 2), binary32(ADD, pick(PRODUCTS, i ^ 1), pick(PRODUCTS, i)));
  if (!finish()) return;
  beginSse();
  for (let i = 0; i < 4; i++) store<u32>(PRODUCTS + (i << 2), binary32(ADD, pick(RESULT, i), pick(RESULT, i ^ 2)));
  if (!finish()) return;
  for (let i = 0; i < 4; i++) store<u32>(d + (i << 2), ((control >> i) & 1) != 0 ? pick(PRODUCTS, i) : 0);
}

// ---- map 0F

/** Answers false for an encoding that is not here. */
export function sse0f(record: usize, op: i32, prefix: i32): bool {
  if (prefix == NONE && isMmx(op)) return mmx0f(record, op);
  if (!sseAvailable()) return true;
  const d = xmmReg(record);
  switch (op) {
    case 0x10:
      if (prefix < PF3) {
        loadVector(record, false);
      } else {
        const s = sourceSmall(record, prefix == PF3 ? 4 : 8);
        if (!s) return true;
        if (!isRegister(record)) v128.store(d, v128.load(s));
        else if (prefix == PF3) store<u32>(d, load<u32>(s));
        else store<u64>(d, load<u64>(s));
      }
      return true;
    case 0x11:
      if (prefix < PF3) storeVector(record, false);
      else if (isRegister(record)) {
        if (prefix == PF3) store<u32>(xmmRm(record), load<u32>(d));
        else store<u64>(xmmRm(record), load<u64>(d));
      } else if (prefix == PF3) writeU32(eaLinear, load<u32>(d));
      else writeU64(eaLinear, load<u64>(d));
      return true;
    case 0x12: {
      const s = prefix == PF3 ? source(record) : sourceSmall(record, 8);
      if (!s) return true;
      if (prefix == PF3) v128.store(d, v128.shuffle<u32>(v128.load(s), v128.load(s), 0, 0, 2, 2));
      else if (prefix == PF2) v128.store(d, v128.splat<u64>(load<u64>(s)));
      else store<u64>(d, isRegister(record) ? load<u64>(s, 8) : load<u64>(s));
      return true;
    }
    case 0x13:
      writeU64(eaLinear, load<u64>(d));
      return true;
    case 0x14:
    case 0x15: {
      const s = source(record);
      if (!s) return true;
      const a = v128.load(d), b = v128.load(s);
      if (prefix == P66) v128.store(d, op == 0x14 ? v128.shuffle<u64>(a, b, 0, 2) : v128.shuffle<u64>(a, b, 1, 3));
      else v128.store(d, op == 0x14 ? v128.shuffle<u32>(a, b, 0, 4, 1, 5) : v128.shuffle<u32>(a, b, 2, 6, 3, 7));
      return true;
    }
    case 0x16: {
      const s = prefix == PF3 ? source(record) : sourceSmall(record, 8);
      if (!s) return true;
      if (prefix == PF3) v128.store(d, v128.shuffle<u32>(v128.load(s), v128.load(s), 1, 1, 3, 3));
      else store<u64>(d, load<u64>(s), 8);
      return true;
    }
    case 0x17:
      writeU64(eaLinear, load<u64>(d, 8));
      return true;
    case 0x28:
      loadVector(record, true);
      return true;
    case 0x29:
    case 0x2b:
    case 0xe7:
      storeVector(record, true);
      return true;
    case 0x2a:
      convertFromInteger(record, prefix);
      return true;
    case 0x2c:
    case 0x2d:
      convertToInteger(record, prefix, op == 0x2c);
      return true;
    case 0x2e:
    case 0x2f:
      compareToFlags(record, prefix == P66, op == 0x2f);
      return true;
    case 0x50: {
      const s = v128.load(xmmRm(record));
      setRegister(regNumber(record), prefix == P66 ? v128.bitmask<i64>(s) : v128.bitmask<i32>(s));
      return true;
    }
    case 0x51:
    case 0x52:
    case 0x53:
    case 0x58:
    case 0x59:
    case 0x5c:
    case 0x5d:
    case 0x5e:
    case 0x5f:
      arithmetic(record, op, prefix);
      return true;
    case 0x54:
    case 0x55:
    case 0x56:
    case 0x57: {
      const s = source(record);
      if (!s) return true;
      const a = v128.load(d), b = v128.load(s);
      v128.store(d, op == 0x54 ? v128.and(a, b) : op == 0x55 ? v128.andnot(b, a) : op == 0x56 ? v128.or(a, b) : v128.xor(a, b));
      return true;
    }
    case 0x5a:
      convertFloats(record, prefix);
      return true;
    case 0x5b:
      convertLanes(record, prefix);
      return true;
    case 0x6e: {
      const value = generalSource(record);
      if (!faultPending) v128.store(d, i64x2(value, 0));
      return true;
    }
    case 0x6f:
      loadVector(record, prefix == P66);
      return true;
    case 0x70:
      shuffleWords(record, prefix);
      return true;
    case 0x71:
    case 0x72:
    case 0x73:
      shiftImmediate(record, op, xmmRm(record));
      return true;
    case 0x7c:
    case 0x7d:
      horizontal(record, op == 0x7c ? ADD : SUB, prefix);
      return true;
    case 0x7e:
      if (prefix == PF3) {
        const s = sourceSmall(record, 8);
        if (s) v128.store(d, i64x2(load<u64>(s), 0));
      } else {
        generalTarget(record, load<u64>(d));
      }
      return true;
    case 0x7f:
      storeVector(record, prefix == P66);
      return true;
    case 0xc2:
      compareMasks(record, prefix);
      return true;
    case 0xc4: {
      const value = isRegister(record) ? getRegister(rmNumber(record)) : readU16(eaLinear);
      if (!faultPending) store<u16>(d + ((immediate(record) & 7) << 1), <u16>value);
      return true;
    }
    case 0xc5:
      setRegister(regNumber(record), <u64>load<u16>(xmmRm(record) + ((immediate(record) & 7) << 1)));
      return true;
    case 0xc6:
      shuffleFloats(record, prefix);
      return true;
    case 0xd0:
      horizontal(record, 0, prefix);
      return true;
    case 0xd6:
      if (prefix == P66) {
        if (isRegister(record)) v128.store(xmmRm(record), i64x2(load<u64>(d), 0));
        else writeU64(eaLinear, load<u64>(d));
      } else if (mmxAvailable()) {
        if (prefix == PF3) {
          const value = load<u64>(mmRm(record));
          toMmx();
          v128.store(d, i64x2(value, 0));
        } else {
          setMmx(mmReg(record), load<u64>(xmmRm(record)));
        }
      }
      return true;
    case 0xd7:
      setRegister(regNumber(record), <u64>v128.bitmask<i8>(v128.load(xmmRm(record))));
      return true;
    case 0xe6:
      convertHalves(record, prefix);
      return true;
    case 0xf0:
      loadVector(record, false);
      return true;
    case 0xf7:
      maskedStore(record, d, xmmRm(record), 16);
      return true;
  }
  const s = source(record);
  if (s) v128.store(d, integer0f(op, v128.load(d), v128.load(s), false));
  return true;
}

/** Whether the encoding with a memory operand works on MMX registers alone. */
export function usesMmx(map: i32, op: i32, prefix: i32): bool {
  return prefix == NONE && (map != 1 || isMmx(op));
}

/** Opcodes of map 0F that without a mandatory prefix work on MMX registers. */
function isMmx(op: i32): bool {
  return (op >= 0x60 && op <= 0x7f) || op == 0xc4 || op == 0xc5 || op >= 0xd1;
}

function mmx0f(record: usize, op: i32): bool {
  if (!mmxAvailable()) return true;
  const d = mmReg(record);
  switch (op) {
    case 0x6e: {
      const value = generalSource(record);
      if (!faultPending) setMmx(d, value);
      return true;
    }
    case 0x6f: {
      const s = sourceMmx(record);
      if (s) setMmx(d, load<u64>(s));
      return true;
    }
    case 0x70: {
      const s = sourceMmx(record);
      if (s) setMmx(d, shuffleFour(load<u64>(s), immediate(record)));
      return true;
    }
    case 0x71:
    case 0x72:
    case 0x73:
      shiftImmediate(record, op, mmRm(record));
      setMmx(mmRm(record), load<u64>(mmRm(record)));
      return true;
    case 0x77:
      store<u8>(FTW, 0);
      store<u16>(FSW, load<u16>(FSW) & 0xc7ff);
      return true;
    case 0x7e:
      generalTarget(record, load<u64>(d));
      if (!faultPending) toMmx();
      return true;
    case 0x7f:
      if (isRegister(record)) {
        setMmx(mmRm(record), load<u64>(d));
      } else {
        storeMmx(d);
      }
      return true;
    case 0xc4: {
      const value = isRegister(record) ? getRegister(rmNumber(record)) : readU16(eaLinear);
      if (faultPending) return true;
      store<u16>(d + ((immediate(record) & 3) << 1), <u16>value);
      setMmx(d, load<u64>(d));
      return true;
    }
    case 0xc5:
      setRegister(regNumber(record), <u64>load<u16>(mmRm(record) + ((immediate(record) & 3) << 1)));
      toMmx();
      return true;
    case 0xd7:
      setRegister(regNumber(record), <u64>v128.bitmask<i8>(v128.load(mmRm(record))) & 0xff);
      toMmx();
      return true;
    case 0xe7:
      storeMmx(d);
      return true;
    case 0xf7:
      maskedStore(record, d, mmRm(record), 8);
      if (!faultPending) toMmx();
      return true;
  }
  // PUNPCKL reads no more than it uses.
  const s = op <= 0x62 && !isRegister(record) ? loadSmall(4) : sourceMmx(record);
  if (s) setMmx(d, v128.extract_lane<u64>(integer0f(op, v128.load(d), v128.load(s), true), 0));
  return true;
}

// ---- shuffles and shifts by immediate

function shuffleFour(value: u64, control: i32): u64 {
  let r: u64 = 0;
  for (let i = 0; i < 4; i++) r |= ((value >> (((control >> (i << 1)) & 3) << 4)) & 0xffff) << (i << 4);
  return r;
}

/** PSHUFD PSHUFHW PSHUFLW */
function shuffleWords(record: usize, prefix: i32): void {
  const s = source(record);
  if (!s) return;
  const d = xmmReg(record), control = immediate(record);
  let low = load<u64>(s), high = load<u64>(s, 8);
  if (prefix == PF3) {
    high = shuffleFour(high, control);
  } else if (prefix == PF2) {
    low = shuffleFour(low, control);
  } else {
    v128.store(SOURCE, v128.load(s));
    low = <u64>pick(SOURCE, control) | (<u64>pick(SOURCE, control >> 2) << 32);
    high = <u64>pick(SOURCE, control >> 4) | (<u64>pick(SOURCE, control >> 6) << 32);
  }
  v128.store(d, i64x2(low, high));
}

// @ts-ignore: decorator
@inline
function pick(p: usize, which: i32): u32 {
  return load<u32>(p + ((which & 3) << 2));
}

function shuffleFloats(record: usize, prefix: i32): void {
  const s = source(record);
  if (!s) return;
  const d = xmmReg(record), control = immediate(record);
  let low: u64, high: u64;
  if (prefix == P66) {
    low = load<u64>(d + ((control & 1) << 3));
    high = load<u64>(s + ((control & 2) << 2));
  } else {
    low = <u64>pick(d, control) | (<u64>pick(d, control >> 2) << 32);
    high = <u64>pick(s, control >> 4) | (<u64>pick(s, control >> 6) << 32);
  }
  v128.store(d, i64x2(low, high));
}

/** Groups 12, 13, 14 on the register at `place`; the high half of an MMX register's place is put right by the caller. */
function shiftImmediate(record: usize, op: i32, place: usize): void {
  const reg = regNumber(record) & 7, n = immediate(record), value = v128.load(place);
  const kind = reg == 4 ? 1 : reg == 6 ? 2 : 0;
  let r: v128;
  if (op == 0x71) r = shiftWords(value, n, kind);
  else if (op == 0x72) r = shiftDoubles(value, n, kind);
  else if (reg == 3) r = shiftBytesRight(value, n);
  else if (reg == 7) r = shiftBytesLeft(value, n);
  else r = shiftQuads(value, n, kind);
  v128.store(place, r);
}

/**
 * MASKMOVQ, MASKMOVDQU: bytes whose mask has its top bit set, to DS:rDI. They fault as stores of 8 bytes do, the upper one first, whatever
 * the mask says: seen on silicon, the SDM leaves it open.
 */
function maskedStore(record: usize, data: usize, mask: usize, bytes: i32): void {
  const size = addressSize(record), segment = segmentOf(record);
  const offset = load<u64>(RDI) & (size == 3 ? -1 : size == 2 ? 0xffffffff : 0xffff);
  let address = codeMode == CODE_64 && segment < <usize>FS ? offset : offset + load<u64>(segment, SEG_BASE);
  const limit: u64 = codeMode == CODE_64 ? -1 : 0xffffffff;
  address &= limit;
  if (!isAligned(address, 8)) return;
  if (bytes == 16) checkWrite((address + 8) & limit, 8);
  if (faultPending) return;
  checkWrite(address, 8);
  if (faultPending) return;
  for (let i = 0; i < bytes; i++) if (load<i8>(mask + i) < 0) writeU8((address + i) & limit, load<u8>(data + i));
}

// ---- map 0F38

export function sse0f38(record: usize, op: i32, prefix: i32): bool {
  if (prefix == NONE) {
    if (!mmxAvailable()) return true;
    const s = sourceMmx(record), d = mmReg(record);
    if (s) setMmx(d, v128.extract_lane<u64>(integer0f38(op, v128.load(d), v128.load(s), true), 0));
    return true;
  }
  if (!sseAvailable()) return true;
  const d = xmmReg(record);
  if ((op >= 0x20 && op <= 0x25) || (op >= 0x30 && op <= 0x35)) {
    const which = op & 15, s = sourceSmall(record, which == 2 ? 2 : which == 1 || which == 4 ? 4 : 8);
    if (s) v128.store(d, integer0f38(op, v128.load(d), v128.load(s), false));
    return true;
  }
  const s = source(record);
  if (!s) return true;
  const a = v128.load(d), b = v128.load(s);
  switch (op) {
    case 0x10:
      v128.store(d, v128.bitselect(b, a, v128.shr<i8>(v128.load(XMM), 7)));
      return true;
    case 0x14:
      v128.store(d, v128.bitselect(b, a, v128.shr<i32>(v128.load(XMM), 31)));
      return true;
    case 0x15:
      v128.store(d, v128.bitselect(b, a, v128.shr<i64>(v128.load(XMM), 63)));
      return true;
    case 0x17:
      writeArithmeticFlags((v128.any_true(v128.and(a, b)) ? 0 : 0x40) | (v128.any_true(v128.andnot(b, a)) ? 0 : 1));
      return true;
    case 0x2a:
      v128.store(d, b);
      return true;
    case 0xdb:
      v128.store(d, inverseMixColumns(b));
      return true;
    case 0xdc:
    case 0xdd:
      v128.store(d, encryptRound(d, b, op == 0xdd));
      return true;
    case 0xde:
    case 0xdf:
      v128.store(d, decryptRound(d, b, op == 0xdf));
      return true;
  }
  v128.store(d, integer0f38(op, a, b, false));
  return true;
}

// ---- map 0F3A

export function sse0f3a(record: usize, op: i32, prefix: i32): bool {
  const control = immediate(record);
  if (prefix == NONE) {
    // PALIGNR on MMX
    if (!mmxAvailable()) return true;
    const s = sourceMmx(record), d = mmReg(record);
    if (!s) return true;
    const low = load<u64>(s), high = load<u64>(d), bits = <u64>control << 3;
    setMmx(d, bits == 0 ? low : bits < 64 ? (low >> bits) | (high << (64 - bits)) : bits < 128 ? high >> (bits - 64) : 0);
    return true;
  }
  if (!sseAvailable()) return true;
  const d = xmmReg(record);
  switch (op) {
    case 0x08:
    case 0x09:
    case 0x0a:
    case 0x0b:
      roundLanes(record, op);
      return true;
    case 0x0c:
    case 0x0d:
    case 0x0e: {
      const s = source(record);
      if (!s) return true;
      const width = op == 0x0c ? 2 : op == 0x0d ? 4 : 1; // words a lane
      for (let i = 0; i < 8; i++) if (((control >> (i / width)) & 1) != 0) store<u16>(d + (i << 1), load<u16>(s + (i << 1)));
      return true;
    }
    case 0x0f: {
      const s = source(record);
      if (!s) return true;
      const low = v128.load(s), high = v128.load(d);
      v128.store(d, control < 16 ? v128.or(shiftBytesRight(low, control), shiftBytesLeft(high, 16 - control)) : shiftBytesRight(high, control - 16));
      return true;
    }
    case 0x14: {
      const value = <u64>load<u8>(d + (control & 15));
      if (isRegister(record)) setRegister(rmNumber(record), value);
      else writeU8(eaLinear, value);
      return true;
    }
    case 0x15: {
      const value = <u64>load<u16>(d + ((control & 7) << 1));
      if (isRegister(record)) setRegister(rmNumber(record), value);
      else writeU16(eaLinear, value);
      return true;
    }
    case 0x16:
      generalTarget(record, isWide(record) ? load<u64>(d + ((control & 1) << 3)) : <u64>pick(d, control));
      return true;
    case 0x17: {
      const value = <u64>pick(d, control);
      if (isRegister(record)) setRegister(rmNumber(record), value);
      else writeU32(eaLinear, value);
      return true;
    }
    case 0x20: {
      const value = isRegister(record) ? getRegister(rmNumber(record)) : readU8(eaLinear);
      if (!faultPending) store<u8>(d + (control & 15), <u8>value);
      return true;
    }
    case 0x21: {
      const s = sourceSmall(record, 4);
      if (!s) return true;
      store<u32>(d + (((control >> 4) & 3) << 2), isRegister(record) ? pick(s, control >> 6) : load<u32>(s));
      for (let i = 0; i < 4; i++) if (((control >> i) & 1) != 0) store<u32>(d + (i << 2), 0);
      return true;
    }
    case 0x22: {
      const value = generalSource(record);
      if (faultPending) return true;
      if (isWide(record)) store<u64>(d + ((control & 1) << 3), value);
      else store<u32>(d + ((control & 3) << 2), <u32>value);
      return true;
    }
    case 0x40:
    case 0x41:
      dotProduct(record, op == 0x41);
      return true;
    case 0x42: {
      const s = source(record);
      if (s) v128.store(d, slidingDifferences(v128.load(d), v128.load(s), control));
      return true;
    }
    case 0x44: {
      const s = source(record);
      if (s) v128.store(d, carrylessProduct(v128.load(d), v128.load(s), control));
      return true;
    }
    case 0xdf: {
      const s = source(record);
      if (s) v128.store(d, assistKey(s, <u32>control));
      return true;
    }
    case 0x60:
    case 0x61:
    case 0x62:
    case 0x63:
      compareStrings(record, op, control);
      return true;
  }
  return false;
}

function compareStrings(record: usize, op: i32, control: i32): void {
  const s = sourceUnaligned(record);
  if (!s) return;
  const d = xmmReg(record);
  if (op >= 0x62) compareImplicit(d, s, control);
  else if (isWide(record)) compareExplicit(d, s, control, load<i64>(RAX), load<i64>(RDX));
  else compareExplicit(d, s, control, <i64>load<i32>(RAX), <i64>load<i32>(RDX));
  if ((op & 1) != 0) store<u64>(RCX, <u64>stringIndex(control));
  else v128.store(XMM, stringMask(control));
  writeArithmeticFlags(stringFlags);
}
