// x87 instructions on exponents and remainders: FSCALE, FXTRACT, FPREM, FPREM1.
import {
  DENORMAL, DIVIDE_BY_ZERO, FINITE, INFINITE, ZERO,
  aDenormal, aExp, aKind, aSig, aSign, bDenormal, bExp, bKind, bSig, bSign, invalid, nanOfA, nanOfAB, raise, roundResult, setInteger,
  setR, setRoundedUp, stopped,
} from './softfloat';
import {
  beginX87, C0, C1, C2, C3, endX87, isEmpty, loadA, loadB, overflow, pushResult, setCondition, underflow, writeResult,
} from './x87-state';

const TOP: u64 = 0x8000000000000000;

/** Exponents beyond it overflow or underflow whatever they are multiplied with. */
const FAR: i32 = 0x10000;

function scaleAB(): void {
  if (nanOfAB()) return;
  if (bKind == INFINITE) {
    if (bSign == 0 ? aKind == ZERO : aKind == INFINITE) {
      invalid();
      return;
    }
    if (aDenormal) raise(DENORMAL);
    if (bSign == 0) setR(INFINITE, aSign, 0, TOP);
    else setR(ZERO, aSign, 0, 0);
    return;
  }
  if (aDenormal || bDenormal) raise(DENORMAL);
  if (aKind != FINITE || bKind == ZERO) {
    if (aKind == FINITE) roundResult(aSign, aExp, aSig, 0, 64, -16382, 16383);
    else setR(aKind, aSign, aExp, aSig);
    return;
  }
  let amount = 0;
  if (bExp >= 16) amount = FAR;
  else if (bExp >= 0) amount = <i32>(bSig >> (63 - bExp));
  if (bSign != 0) amount = -amount;
  roundResult(aSign, aExp + amount, aSig, 0, 64, -16382, 16383);
}

export function scale(): void {
  beginX87();
  if (isEmpty(0) || isEmpty(1)) {
    if (underflow()) writeResult(0);
  } else {
    loadB(1);
    loadA(0);
    scaleAB();
    if (!stopped()) writeResult(0);
  }
  endX87();
}

/** FXTRACT: ST(0) becomes its exponent, then its significand is pushed. */
export function extract(): void {
  beginX87();
  if (isEmpty(0)) {
    if (underflow()) {
      writeResult(0);
      pushResult();
    }
  } else if (!isEmpty(-1)) {
    if (overflow()) {
      writeResult(0);
      pushResult();
    }
  } else {
    loadA(0);
    if (nanOfA()) {
      if (!stopped()) {
        writeResult(0);
        pushResult();
      }
    } else {
      const kind = aKind, sign = aSign, exp = aExp, sig = aSig;
      if (kind == ZERO) raise(DIVIDE_BY_ZERO);
      else if (aDenormal) raise(DENORMAL);
      if (!stopped()) {
        if (kind == FINITE) {
          setInteger(exp);
          setR(aKind, aSign, aExp, aSig);
        } else {
          setR(INFINITE, i32(kind == ZERO), 0, TOP);
        }
        writeResult(0);
        setR(kind, sign, 0, sig);
        pushResult();
      }
    }
  }
  endX87();
}

/** FPREM (truncating) and FPREM1 (`nearest`): at most 63 quotient bits a step; C2 = not finished, C0 C3 C1 = quotient bits 2 1 0. */
export function remainder(nearest: bool): void {
  beginX87();
  if (isEmpty(0) || isEmpty(1)) {
    if (underflow()) writeResult(0);
    setCondition(C2, 0);
    endX87();
    return;
  }
  loadB(1);
  loadA(0);
  // Without a quotient C0 and C3 stay as they are.
  let condition: u32 = 0, touched = C2;
  if (!nanOfAB()) {
    if (aKind == INFINITE || bKind == ZERO) {
      invalid();
    } else {
      if (aDenormal || bDenormal) raise(DENORMAL);
      if (aKind == ZERO) setR(ZERO, aSign, 0, 0);
      else if (bKind == INFINITE) setR(FINITE, aSign, aDenormal ? -16382 : aExp, aDenormal ? aSig >> (-16382 - aExp) : aSig);
      else if (!stopped()) condition = reduce(nearest);
      if (!stopped()) touched = C0 | C2 | C3;
    }
  }
  if (!stopped()) writeResult(0);
  setCondition(touched, condition & ~C1);
  setRoundedUp(false);
  endX87();
  if ((condition & C1) != 0) setCondition(C1, C1);
}

/** A rem B into R, both finite; answers the condition bits. */
function reduce(nearest: bool): u32 {
  const distance = aExp - bExp;
  if (distance < -1 || (distance < 0 && !nearest)) {
    roundResult(aSign, aExp, aSig, 0, 64, -16382, 16383);
    return 0;
  }
  const partial = distance >= 64;
  let steps = distance;
  if (partial) steps = (distance & 31) | 32;
  // rest < 2 * B all the time; quotient bit by bit.
  if (distance < 0) return nearestBelow();
  let rest = aSig, over: bool = false, quotient: u64 = 0;
  for (let i = 0; ; i++) {
    quotient <<= 1;
    if (over || rest >= bSig) {
      rest -= bSig;
      quotient |= 1;
    }
    if (i == steps) break;
    over = rest >> 63 != 0;
    rest <<= 1;
  }
  let sign = aSign;
  if (partial) {
    finish(sign, bExp + distance - steps, rest);
    return C2;
  }
  if (nearest) {
    const other = bSig - rest;
    if (rest > other || (rest == other && (quotient & 1) != 0)) {
      rest = other;
      sign ^= 1;
      quotient++;
    }
  }
  finish(sign, bExp, rest);
  return quotientBits(quotient);
}

/** FPREM1 of an A whose exponent is one below B's: the quotient is 0 or 1. */
function nearestBelow(): u32 {
  // A > B / 2 exactly when its significand is larger; a tie goes to the even quotient, 0.
  if (aSig <= bSig) {
    roundResult(aSign, aExp, aSig, 0, 64, -16382, 16383);
    return 0;
  }
  // B - A = (2 * bSig - aSig) / 2 at B's exponent; it fits 64 bits since aSig > bSig.
  finish(aSign ^ 1, aExp, (bSig << 1) - aSig);
  return quotientBits(1);
}

function quotientBits(quotient: u64): u32 {
  return ((quotient & 4) != 0 ? C0 : 0) | ((quotient & 2) != 0 ? C3 : 0) | ((quotient & 1) != 0 ? C1 : 0);
}

/** An exact remainder, `rest` having its binary point as a significand of exponent `exp` has. */
function finish(sign: i32, exp: i32, rest: u64): void {
  if (rest == 0) {
    setR(ZERO, sign, 0, 0);
    return;
  }
  const shift = <i32>clz(rest);
  roundResult(sign, exp - shift, rest << shift, 0, 64, -16382, 16383);
}
