// x87 instructions on the register stack and in memory: D8..DF and FWAIT. Transcendental functions, remainders and scaling
// are in x87-transcendental.ts, environments in x87-environment.ts; the waiting checks and pointers in fp.ts.
//
// An instruction that reads memory does so before it changes anything; one that writes memory changes the stack after it.
import { FCW, FSW, RAX } from '../layout';
import { isAligned } from './fp-access';
import { readU16, readU32, readU64, writeU16, writeU32, writeU64 } from './memory';
import { faultPending } from './state';
import {
  DENORMAL, EQUAL, FINITE, INEXACT, INFINITE, INVALID, LESS, OVERFLOW, ROUND_ZERO, UNDERFLOW, UNORDERED, UNSUPPORTED, ZERO,
  aDenormal, aExp, aKind, aSig, aSign, add, compare, convert, copyAtoB, divide, masks, multiply, nanOfA, pack32, pack64, packHead80,
  rSig, raise, raised, roundToIntegral, setB, setInteger, setR, setRaised, setRounding, setRoundedUp, squareRoot, stopped, swapAB,
  toInteger, unpackA32, unpackA64, unpackB32, unpackB64,
} from './softfloat';
import { orderFlags } from './sse-float';
import { checkTen, initialise, loadEnvironment, outsideCanonical, restoreState, saveState, storeEnvironment } from './x87-environment';
import { extract, remainder, scale } from './x87-scaling';
import {
  beginX87, C0, C1, C2, C3, endX87, isEmpty, keepC1, loadA, loadB, markEmpty, overflow, pop, pushRaw, pushResult, setCondition, setTop,
  stackRegister, top, underflow, updateSummary, writeRaw, writeResult,
} from './x87-state';
import {
  cosine, logarithm, logarithmOfSum, partialArctangent, partialTangent, powerOfTwo, sine, sineAndCosine,
} from './x87-transcendental';
import { readArithmeticFlags, writeArithmeticFlags } from './fp-flags';

const ADD: i32 = 0;
const MUL: i32 = 1;
const COM: i32 = 2;
const COMP: i32 = 3;
const SUB: i32 = 4;
const SUBR: i32 = 5;
const DIV: i32 = 6;

/** 18 digits. */
const MOST_DECIMAL: i64 = 999999999999999999;

const CONDITIONS: u32 = C0 | C2 | C3;

/** A op B to ST(destination), A being ST(0) or ST(i) and B the other operand; answers whether the result was written. */
function arithmetic(op: i32, destination: i32): bool {
  if ((op & 1) != 0 && op >= SUB) swapAB();
  switch (op) {
    case ADD:
      add(0, 80);
      break;
    case MUL:
      multiply(80);
      break;
    case SUB:
    case SUBR:
      add(1, 80);
      break;
    default:
      divide(80);
  }
  if (stopped()) return false;
  writeResult(destination);
  return true;
}

function conditionOf(order: i32): u32 {
  return order == UNORDERED ? C3 | C2 | C0 : order == EQUAL ? C3 : order == LESS ? C0 : 0;
}

/** A with B into C3 C2 C0; answers whether the instruction may pop. */
function compareAB(signaling: bool): bool {
  const order = compare(signaling);
  setCondition(CONDITIONS, conditionOf(order));
  return !stopped();
}

/** ST(0) op ST(i) to ST(0) or ST(i), or comparison. */
function registerArithmetic(op: i32, i: i32, toI: bool, pops: bool): void {
  beginX87();
  const comparison = op == COM || op == COMP;
  let done = true;
  if (isEmpty(0) || isEmpty(i)) {
    done = underflow();
    if (comparison) setCondition(CONDITIONS, CONDITIONS);
    else if (done) writeResult(toI ? i : 0);
  } else if (comparison) {
    loadB(i);
    loadA(0);
    done = compareAB(true);
  } else {
    loadB(toI ? 0 : i);
    loadA(toI ? i : 0);
    done = arithmetic(op, toI ? i : 0);
  }
  endX87();
  if (done && pops) pop();
}

/** ST(0) op memory; `format` 32 or 64 for floats, 16 or -32 for integers. */
function memoryArithmetic(op: i32, address: u64, format: i32): void {
  let value: u64;
  if (format == 64) value = readU64(address);
  else if (format == 16) value = readU16(address);
  else value = readU32(address);
  if (faultPending) return;
  beginX87();
  const comparison = op == COM || op == COMP;
  let done = true;
  if (isEmpty(0)) {
    done = underflow();
    if (comparison) setCondition(CONDITIONS, CONDITIONS);
    else if (done) writeResult(0);
  } else {
    if (format == 64) {
      unpackB64(value);
    } else if (format == 32) {
      unpackB32(<u32>value);
    } else {
      setInteger(format == 16 ? <i64><i16>value : <i64><i32>value);
      copyAtoB();
    }
    loadA(0);
    done = comparison ? compareAB(true) : arithmetic(op, 0);
  }
  endX87();
  if (done && op == COMP) pop();
}

// ---- loads

/** R onto the stack, or what a full stack makes of it. */
function push(): void {
  if (!isEmpty(-1)) {
    if (overflow()) pushResult();
  } else if ((raised & ~masks & INVALID) == 0) {
    // An unmasked DENORMAL does not keep a load from being done.
    pushResult();
  }
}

function loadFloat(address: u64, format: i32): void {
  const value = format == 64 ? readU64(address) : readU32(address);
  if (faultPending) return;
  beginX87();
  if (isEmpty(-1)) {
    if (format == 64) unpackA64(value);
    else unpackA32(<u32>value);
    if (!nanOfA()) {
      if (aDenormal) raise(DENORMAL);
      exactly();
    }
  }
  push();
  endX87();
}

/** A to R: every number of the smaller formats is one of the stack's. */
function exactly(): void {
  setR(aKind, aSign, aExp, aSig);
}

function loadExtended(address: u64): void {
  checkTen(address);
  if (faultPending) return;
  const sig = readU64(address), head = <u32>readU16(address + 8);
  beginX87();
  if (isEmpty(-1)) pushRaw(head, sig);
  else push();
  endX87();
}

function loadInteger(address: u64, bits: i32): void {
  let value: i64;
  if (bits == 16) value = <i64><i16>readU16(address);
  else if (bits == 32) value = <i64><i32>readU32(address);
  else value = <i64>readU64(address);
  if (faultPending) return;
  beginX87();
  setInteger(value);
  exactly();
  push();
  endX87();
}

function loadRegister(i: i32): void {
  beginX87();
  if (isEmpty(i)) {
    if (underflow()) pushResult();
  } else if (!isEmpty(-1)) {
    if (overflow()) pushResult();
  } else {
    const place = stackRegister(i);
    pushRaw(load<u16>(place, 8), load<u64>(place));
  }
  endX87();
}

function loadConstant(head: u32, sig: u64): void {
  beginX87();
  if (isEmpty(-1)) pushRaw(head, sig);
  else push();
  endX87();
}

/** A constant given by 64 rounded-down bits and the bits that follow. */
function loadRoundedConstant(exp: i32, sig: u64, next: bool): void {
  const control = (load<u16>(FCW) >> 10) & 3;
  loadConstant(<u32>(exp + 16383), sig + u64(control == 2 || (control == 0 && next)));
}

// ---- stores

function storeFloat(address: u64, format: i32, pops: bool): void {
  beginX87();
  let done: bool;
  if (isEmpty(0)) {
    done = underflow();
  } else {
    loadA(0);
    convert(format, false);
    const refused = raised & ~masks & (INVALID | OVERFLOW | UNDERFLOW);
    done = refused == 0;
    if (!done) {
      // Nothing is stored, so nothing was rounded.
      setRaised(raised & ~INEXACT);
      setRoundedUp(false);
    }
  }
  if (done) {
    if (format == 64) writeU64(address, pack64());
    else writeU32(address, <u64>pack32());
    if (faultPending) return;
  }
  endX87();
  if (done && pops) pop();
}

function storeExtended(address: u64): void {
  beginX87();
  let done = true, head: u64, sig: u64;
  if (isEmpty(0)) {
    done = underflow();
    head = packHead80();
    sig = rSig;
  } else {
    const place = stackRegister(0);
    head = load<u16>(place, 8);
    sig = load<u64>(place);
  }
  if (done) {
    storeTen(address, sig, head);
    if (faultPending) return;
  }
  endX87();
  if (done) pop();
}

/** Two stores: when the second faults, the first has been done, as on silicon. */
function storeTen(address: u64, low: u64, high: u64): void {
  if (outsideCanonical(address, 10) || !isAligned(address, 8)) return;
  writeU64(address, low);
  if (!faultPending) writeU16(address + 8, high);
}

function storeInteger(address: u64, bits: i32, pops: bool, truncate: bool): void {
  beginX87();
  if (truncate) setRounding(ROUND_ZERO);
  let done: bool, value: i64;
  if (isEmpty(0)) {
    done = underflow();
    value = <i64>-1 << (bits - 1);
  } else {
    loadA(0);
    value = toInteger(bits);
    done = !stopped();
  }
  if (done) {
    if (bits == 16) writeU16(address, <u64>value & 0xffff);
    else if (bits == 32) writeU32(address, <u64>value & 0xffffffff);
    else writeU64(address, <u64>value);
    if (faultPending) return;
  }
  endX87();
  if (done && pops) pop();
}

function loadDecimal(address: u64): void {
  checkTen(address);
  if (faultPending) return;
  const low = readU64(address), high = readU16(address + 8);
  let value: u64 = 0;
  for (let i = 68; i >= 0; i -= 4) {
    const digit = i >= 64 ? (high >> (i - 64)) & 15 : (low >> i) & 15;
    value = value * 10 + digit;
  }
  beginX87();
  setInteger(<i64>value);
  setR(aKind, <i32>((high >> 15) & 1), aExp, aSig);
  push();
  endX87();
}

function storeDecimal(address: u64): void {
  beginX87();
  let done: bool, low: u64 = 0xc000000000000000, high: u64 = 0xffff;
  if (isEmpty(0)) {
    done = underflow();
  } else {
    loadA(0);
    const sign = aSign;
    const before = raised;
    const value = toInteger(64);
    let magnitude: u64 = value < 0 ? 0 - <u64>value : <u64>value;
    const valid = (raised & INVALID) == 0 && magnitude <= <u64>MOST_DECIMAL;
    if (!valid) {
      setRaised(before | INVALID);
      setRoundedUp(false);
    } else {
      low = 0;
      high = 0;
      for (let i: u64 = 0; i < 16; i++) {
        low |= (magnitude % 10) << (i * 4);
        magnitude /= 10;
      }
      high = (magnitude % 10) | ((magnitude / 10) << 4) | (<u64>sign << 15);
    }
    done = !stopped();
  }
  if (done) {
    storeTen(address, low, high);
    if (faultPending) return;
  }
  endX87();
  if (done) pop();
}

/** Whether an unmasked exception keeps this store from touching memory at all. Changes nothing. */
export function refusesStore(escape: i32, reg: i32): bool {
  beginX87();
  if (isEmpty(0)) return (masks & INVALID) == 0;
  loadA(0);
  if (reg != 1 && (escape == 1 || escape == 5)) {
    convert(escape == 5 ? 64 : 32, false);
    return (raised & ~masks & (INVALID | OVERFLOW | UNDERFLOW)) != 0;
  }
  if (escape == 3 && reg == 7) return false;
  if (reg == 1) setRounding(ROUND_ZERO);
  const decimal = escape == 7 && reg == 6;
  const value = toInteger(escape == 3 ? 32 : escape == 5 || reg >= 6 ? 64 : 16);
  if (decimal && (value > MOST_DECIMAL || value < -MOST_DECIMAL)) raise(INVALID);
  return stopped();
}

// ---- register moves

function storeRegister(i: i32, pops: bool): void {
  beginX87();
  let done = true;
  if (isEmpty(0)) {
    done = underflow();
    if (done) writeResult(i);
  } else {
    const place = stackRegister(0);
    writeRaw(i, load<u16>(place, 8), load<u64>(place));
  }
  endX87();
  if (done && pops) pop();
}

function exchange(i: i32): void {
  beginX87();
  const emptyTop = isEmpty(0), emptyI = isEmpty(i);
  const a = stackRegister(0), b = stackRegister(i);
  let headA = <u32>load<u16>(a, 8), sigA = load<u64>(a), headB = <u32>load<u16>(b, 8), sigB = load<u64>(b);
  let done = true;
  if (emptyTop || emptyI) {
    done = underflow();
    if (emptyTop) { headA = packHead80(); sigA = rSig; }
    if (emptyI) { headB = packHead80(); sigB = rSig; }
  }
  if (done) {
    writeRaw(0, headB, sigB);
    writeRaw(i, headA, sigA);
  }
  endX87();
}

function moveIf(condition: bool, i: i32): void {
  beginX87();
  keepC1();
  if (isEmpty(0) || isEmpty(i)) {
    if (underflow()) writeResult(0);
  } else if (condition) {
    const place = stackRegister(i);
    writeRaw(0, load<u16>(place, 8), load<u64>(place));
  }
  endX87();
}

/** FCMOVcc conditions by /reg: CF, ZF, CF|ZF, PF. */
function flagCondition(which: i32): bool {
  const flags = readArithmeticFlags();
  switch (which) {
    case 0: return (flags & 1) != 0;
    case 1: return (flags & 0x40) != 0;
    case 2: return (flags & 0x41) != 0;
    default: return (flags & 4) != 0;
  }
}

/** FUCOM, FUCOMP, FUCOMPP, FCOMPP. */
function compareRegister(i: i32, signaling: bool, pops: i32): void {
  beginX87();
  let done: bool;
  if (isEmpty(0) || isEmpty(i)) {
    done = underflow();
    setCondition(CONDITIONS, CONDITIONS);
  } else {
    loadB(i);
    loadA(0);
    done = compareAB(signaling);
  }
  endX87();
  if (done) for (; pops > 0; pops--) pop();
}

/** FCOMI and FUCOMI: ZF PF CF as UCOMISD has them. */
function compareToFlags(i: i32, signaling: bool, pops: bool): void {
  beginX87();
  keepC1();
  let done: bool, flags: u32 = 0x45;
  if (isEmpty(0) || isEmpty(i)) {
    done = underflow();
  } else {
    loadB(i);
    loadA(0);
    const order = compare(signaling);
    flags = orderFlags(order);
    done = !stopped();
  }
  writeArithmeticFlags(flags);
  endX87();
  if (done && pops) pop();
}

function test(): void {
  beginX87();
  if (isEmpty(0)) {
    underflow();
    setCondition(CONDITIONS, CONDITIONS);
  } else {
    loadA(0);
    setB(ZERO, 0, 0, 0);
    compareAB(true);
  }
  endX87();
}

function examine(): void {
  const place = stackRegister(0);
  let bits: u32 = (load<u16>(place, 8) & 0x8000) != 0 ? C1 : 0;
  if (isEmpty(0)) {
    bits |= C3 | C0;
  } else {
    loadA(0);
    if (aKind == FINITE) bits |= aDenormal ? C3 | C2 : C2;
    else if (aKind == ZERO) bits |= C3;
    else if (aKind == INFINITE) bits |= C2 | C0;
    else if (aKind != UNSUPPORTED) bits |= C0;
  }
  setCondition(CONDITIONS | C1, bits);
}

/** FCHS, FABS: the sign only, of anything. */
function setSign(toggle: bool): void {
  beginX87();
  if (isEmpty(0)) {
    if (underflow()) writeResult(0);
  } else {
    const place = stackRegister(0);
    const head = load<u16>(place, 8);
    store<u16>(place, toggle ? head ^ 0x8000 : head & 0x7fff, 8);
  }
  endX87();
}

/** One-operand functions of ST(0): which 0 = FSQRT, 1 = FRNDINT. */
function unary(which: i32): void {
  beginX87();
  if (isEmpty(0)) {
    if (underflow()) writeResult(0);
  } else {
    loadA(0);
    if (which == 0) {
      squareRoot(80);
    } else if (!nanOfA()) {
      if (aDenormal) raise(DENORMAL);
      roundToIntegral(false);
    }
    if (!stopped()) writeResult(0);
  }
  endX87();
}

// ---- dispatch

/**
 * Instructions with a memory operand. `escape` is the opcode's low three bits; `wide` is false with a 16-bit operand size, which
 * only environments know. Answers false for an undefined encoding.
 */
export function x87Memory(escape: i32, reg: i32, address: u64, wide: bool): bool {
  switch ((escape << 3) | reg) {
    case 0x08: loadFloat(address, 32); return true;
    case 0x0a: storeFloat(address, 32, false); return true;
    case 0x0b: storeFloat(address, 32, true); return true;
    case 0x0c: loadEnvironment(address, wide); return true;
    case 0x0d: {
      const value = readU16(address);
      if (faultPending) return true;
      store<u16>(FCW, <u16>((value & 0x1f3f) | 0x40));
      updateSummary();
      return true;
    }
    case 0x0e: storeEnvironment(address, wide); return true;
    case 0x0f: writeU16(address, <u64>load<u16>(FCW)); return true;
    case 0x18: loadInteger(address, 32); return true;
    case 0x19: storeInteger(address, 32, true, true); return true;
    case 0x1a: storeInteger(address, 32, false, false); return true;
    case 0x1b: storeInteger(address, 32, true, false); return true;
    case 0x1d: loadExtended(address); return true;
    case 0x1f: storeExtended(address); return true;
    case 0x28: loadFloat(address, 64); return true;
    case 0x29: storeInteger(address, 64, true, true); return true;
    case 0x2a: storeFloat(address, 64, false); return true;
    case 0x2b: storeFloat(address, 64, true); return true;
    case 0x2c: restoreState(address, wide); return true;
    case 0x2e: saveState(address, wide); return true;
    case 0x2f: writeU16(address, <u64>load<u16>(FSW)); return true;
    case 0x38: loadInteger(address, 16); return true;
    case 0x39: storeInteger(address, 16, true, true); return true;
    case 0x3a: storeInteger(address, 16, false, false); return true;
    case 0x3b: storeInteger(address, 16, true, false); return true;
    case 0x3c: loadDecimal(address); return true;
    case 0x3d: loadInteger(address, 64); return true;
    case 0x3e: storeDecimal(address); return true;
    case 0x3f: storeInteger(address, 64, true, false); return true;
  }
  if ((escape & 1) != 0) return false;
  // D8 float, DA 32-bit integer, DC double, DE 16-bit integer
  memoryArithmetic(reg, address, escape == 0 ? 32 : escape == 2 ? -32 : escape == 4 ? 64 : 16);
  return true;
}

/** Instructions on registers. */
export function x87Register(escape: i32, reg: i32, i: i32): bool {
  switch (escape) {
    case 0:
      registerArithmetic(reg, i, false, reg == COMP);
      return true;
    case 1:
      return escapeD9(reg, i);
    case 2:
      if (reg < 4) moveIf(flagCondition(reg), i);
      else if (reg == 5 && i == 1) compareRegister(1, false, 2);
      else return false;
      return true;
    case 3:
      switch (reg) {
        case 4: return controlDB(i);
        case 5: compareToFlags(i, false, false); return true;
        case 6: compareToFlags(i, true, false); return true;
        case 7: return false;
      }
      moveIf(!flagCondition(reg), i);
      return true;
    case 4:
      // With ST(i) as destination the reversed forms change places.
      registerArithmetic(reg >= SUB ? reg ^ 1 : reg, i, true, reg == COMP);
      return true;
    case 5:
      switch (reg) {
        case 0:
          setCondition(C1, 0);
          markEmpty(i);
          return true;
        case 1: exchange(i); return true;
        case 2: storeRegister(i, false); return true;
        case 3: storeRegister(i, true); return true;
        case 4: compareRegister(i, false, 0); return true;
        case 5: compareRegister(i, false, 1); return true;
      }
      return false;
    case 6:
      if (reg == 3) {
        if (i != 1) return false;
        compareRegister(1, true, 2);
        return true;
      }
      registerArithmetic(reg >= SUB ? reg ^ 1 : reg, i, true, true);
      return true;
    default:
      switch (reg) {
        case 0:
          setCondition(C1, 0);
          markEmpty(i);
          pop();
          return true;
        case 1: exchange(i); return true;
        case 2:
        case 3: storeRegister(i, true); return true;
        case 4:
          if (i != 0) return false;
          store<u16>(RAX, load<u16>(FSW));
          return true;
        case 5: compareToFlags(i, false, true); return true;
        case 6: compareToFlags(i, true, true); return true;
      }
      return false;
  }
}

function escapeD9(reg: i32, i: i32): bool {
  switch (reg) {
    case 0: loadRegister(i); return true;
    case 1: exchange(i); return true;
    case 2: return i == 0; // FNOP
    case 3: // FSTPNCE: does not mind an empty ST(0)
      if (isEmpty(0)) {
        setCondition(C1, 0);
        pop();
      } else {
        storeRegister(i, true);
      }
      return true;
  }
  switch ((reg << 3) | i) {
    case 0x20: setSign(true); return true;
    case 0x21: setSign(false); return true;
    case 0x24: test(); return true;
    case 0x25: examine(); return true;
    case 0x28: loadConstant(0x3fff, 0x8000000000000000); return true;
    case 0x29: loadRoundedConstant(1, 0xd49a784bcd1b8afe, false); return true; // log2(10)
    case 0x2a: loadRoundedConstant(0, 0xb8aa3b295c17f0bb, true); return true; // log2(e)
    case 0x2b: loadRoundedConstant(1, 0xc90fdaa22168c234, true); return true; // pi
    case 0x2c: loadRoundedConstant(-2, 0x9a209a84fbcff798, true); return true; // log10(2)
    case 0x2d: loadRoundedConstant(-1, 0xb17217f7d1cf79ab, true); return true; // ln(2)
    case 0x2e: loadConstant(0, 0); return true;
    case 0x30: powerOfTwo(); return true;
    case 0x31: logarithm(); return true;
    case 0x32: partialTangent(); return true;
    case 0x33: partialArctangent(); return true;
    case 0x34: extract(); return true;
    case 0x35: remainder(true); return true;
    case 0x36:
      setCondition(C1, 0);
      setTop(top() - 1);
      return true;
    case 0x37:
      setCondition(C1, 0);
      setTop(top() + 1);
      return true;
    case 0x38: remainder(false); return true;
    case 0x39: logarithmOfSum(); return true;
    case 0x3a: unary(0); return true;
    case 0x3b: sineAndCosine(); return true;
    case 0x3c: unary(1); return true;
    case 0x3d: scale(); return true;
    case 0x3e: sine(); return true;
    case 0x3f: cosine(); return true;
  }
  return false;
}

function controlDB(i: i32): bool {
  switch (i) {
    case 2: // FNCLEX
      store<u16>(FSW, load<u16>(FSW) & 0x7f00);
      return true;
    case 3:
      initialise();
      return true;
  }
  return i < 5; // FNENI, FNDISI, FNSETPM do nothing since the 387
}
