// The transcendental x87 instructions: computed to about 120 bits and rounded once, so that results are correctly rounded but for
// the rarest ties. Arguments of sine and cosine are reduced with the 66-bit pi that the hardware uses (SDM vol 1, 8.3.8).
import { FP_SCRATCH } from '../layout';
import {
  DENORMAL, DIVIDE_BY_ZERO, EQUAL, FINITE, INEXACT, INFINITE, LESS, UNDERFLOW, ZERO,
  aDenormal, aExp, aKind, aSig, aSign, bDenormal, bExp, bKind, bSig, bSign, compareMagnitude, invalid, nanOfA, nanOfAB, raise, rExp,
  rKind, roundResult, rSig, rSign, setR, stopped,
} from './softfloat';
import {
  wideAdd, wideCopy, wideDivide, wideDivideSmall, wideExp, wideFromF64, wideHigh, wideInteger, wideLow, wideMultiply, wideNegate,
  wideNormalize, wideSet, wideSign, wideToF64,
} from './wide-float';
import {
  beginX87, C2, endX87, isEmpty, loadA, loadB, overflow, pop, pushResult, setCondition, underflow, writeResult,
} from './x87-state';

const ONE: u64 = 0x8000000000000000;

// Slots of wide numbers.
const X: usize = FP_SCRATCH + 0x40;
const Y: usize = X + 24;
const Z: usize = Y + 24;
const SQUARE: usize = Z + 24;
const POWER: usize = SQUARE + 24;
const TERM: usize = POWER + 24;
const SUM: usize = TERM + 24;
const CONSTANT: usize = SUM + 24;
const SINE: usize = CONSTANT + 24;
const COSINE: usize = SINE + 24;
const GUESS: usize = COSINE + 24;
const DIVISION: usize = GUESS + 24; // four slots

/** A wide number to R, rounded to 64 bits as an inexact result. */
function roundWide(x: usize): void {
  if (wideHigh(x) == 0) setR(ZERO, wideSign(x), 0, 0);
  else roundResult(wideSign(x), wideExp(x), wideHigh(x), wideLow(x) | 1, 64, -16382, 16383);
}

/** A wide number that is the result but for what lies below 128 bits: inexact, and not to be moved by the rounding mode. */
function roundNear(x: usize): void {
  roundResult(wideSign(x), wideExp(x), wideHigh(x), wideLow(x), 64, -16382, 16383);
  raise(INEXACT);
}

// @ts-ignore: decorator
@inline
function negligible(term: usize, sum: usize): bool {
  return wideHigh(term) == 0 || wideExp(term) < wideExp(sum) - 130;
}

// ---- series, each of X into SUM

/** e^X - 1 for |X| < 0.7. */
function exponentialSeries(): void {
  wideCopy(SUM, X);
  wideCopy(TERM, X);
  for (let n: u32 = 2; n < 60; n++) {
    wideMultiply(TERM, TERM, X);
    wideDivideSmall(TERM, TERM, n);
    if (negligible(TERM, SUM)) break;
    wideAdd(SUM, SUM, TERM);
  }
}

/** 2 artanh(X) = ln((1 + X) / (1 - X)) for |X| < 0.2, or arctan(X) for |X| < 2^-9 with `alternate`. */
function oddSeries(alternate: bool): void {
  wideMultiply(SQUARE, X, X);
  if (alternate) wideNegate(SQUARE);
  wideCopy(SUM, X);
  wideCopy(POWER, X);
  for (let n: u32 = 3; n < 120; n += 2) {
    wideMultiply(POWER, POWER, SQUARE);
    wideDivideSmall(TERM, POWER, n);
    if (negligible(TERM, SUM)) break;
    wideAdd(SUM, SUM, TERM);
  }
}

/** sin X into SINE and cos X into COSINE for |X| < 0.8. */
function sineSeries(): void {
  wideMultiply(SQUARE, X, X);
  wideNegate(SQUARE);
  wideCopy(SINE, X);
  wideCopy(TERM, X);
  for (let n: u32 = 2; n < 60; n += 2) {
    wideMultiply(TERM, TERM, SQUARE);
    wideDivideSmall(TERM, TERM, n * (n + 1));
    if (negligible(TERM, SINE)) break;
    wideAdd(SINE, SINE, TERM);
  }
  wideInteger(COSINE, 1);
  wideInteger(TERM, 1);
  for (let n: u32 = 1; n < 60; n += 2) {
    wideMultiply(TERM, TERM, SQUARE);
    wideDivideSmall(TERM, TERM, n * (n + 1));
    if (negligible(TERM, COSINE)) break;
    wideAdd(COSINE, COSINE, TERM);
  }
}

function logOf2(to: usize): void {
  wideSet(to, 0, -1, 0xb17217f7d1cf79ab, 0xc9e3b39803f2f6af);
}

function log2OfE(to: usize): void {
  wideSet(to, 0, 0, 0xb8aa3b295c17f0bb, 0xbe87fed0691d3e88);
}

/** pi / 2^shift. */
function piOver(to: usize, shift: i32): void {
  wideSet(to, 0, 1 - shift, 0xc90fdaa22168c234, 0xc4c6628b80dc1cd1);
}

// ---- one operand

export function powerOfTwo(): void {
  beginX87();
  if (isEmpty(0)) {
    if (underflow()) writeResult(0);
    endX87();
    return;
  }
  loadA(0);
  if (!nanOfA()) {
    if (aDenormal) raise(DENORMAL);
    if (aKind == ZERO) {
      setR(ZERO, aSign, 0, 0);
    } else if (aKind == INFINITE) {
      if (aSign != 0) setR(FINITE, 1, 0, ONE);
      else setR(INFINITE, 0, 0, ONE);
    } else if (aExp >= 0) {
      // The ends are exact; beyond -1..1 silicon gives the operand back. INEXACT all the same.
      if (aSign != 0 && aExp == 0 && aSig == ONE) setR(FINITE, 1, -1, ONE);
      else setR(FINITE, aSign, aExp, aSig);
      raise(INEXACT);
    } else if (!stopped()) {
      wideSet(X, aSign, aExp, aSig, 0);
      logOf2(CONSTANT);
      wideMultiply(X, X, CONSTANT);
      exponentialSeries();
      roundWide(SUM);
    }
  }
  if (!stopped()) writeResult(0);
  endX87();
}

// ---- logarithms

/** log2 of the wide X, positive, into SUM. */
function log2Wide(): void {
  // X = 2^k m with m in (0.70, 1.42), so that nothing cancels near 1.
  let k = wideExp(X);
  if (wideHigh(X) > 0xb504f333f9de6484) k++;
  wideSet(X, 0, wideExp(X) - k, wideHigh(X), wideLow(X));
  wideInteger(Y, 1);
  wideAdd(Z, X, Y);
  wideNegate(Y);
  wideAdd(X, X, Y);
  wideDivide(X, X, Z, DIVISION);
  artanhToLog2();
  wideInteger(TERM, k);
  wideAdd(SUM, SUM, TERM);
}

/** 2 artanh(X) / ln 2 into SUM. */
function artanhToLog2(): void {
  if (wideHigh(X) == 0) {
    wideSet(SUM, 0, 0, 0, 0);
    return;
  }
  oddSeries(false);
  log2OfE(CONSTANT);
  wideMultiply(SUM, SUM, CONSTANT);
  store<i32>(SUM, load<i32>(SUM, 16) + 1, 16);
}

/** y * log2(x): A = x = ST(0), B = y = ST(1). */
function logarithmAB(): void {
  if (nanOfAB()) return;
  if (aSign != 0 && aKind != ZERO) {
    invalid();
    return;
  }
  if (aKind == INFINITE) {
    if (bKind == ZERO) {
      invalid();
      return;
    }
    if (bDenormal) raise(DENORMAL);
    setR(INFINITE, bSign, 0, ONE);
    return;
  }
  if (aKind == ZERO) {
    if (bKind == ZERO) {
      invalid();
      return;
    }
    if (bKind == FINITE) raise(DIVIDE_BY_ZERO);
    setR(INFINITE, bSign ^ 1, 0, ONE);
    return;
  }
  const isOne = aExp == 0 && aSig == ONE, negative = i32(aExp < 0);
  if (bKind == INFINITE) {
    if (isOne) {
      invalid();
      return;
    }
    if (aDenormal) raise(DENORMAL);
    setR(INFINITE, bSign ^ negative, 0, ONE);
    return;
  }
  if (aDenormal || bDenormal) raise(DENORMAL);
  if (bKind == ZERO || isOne) {
    setR(ZERO, bSign ^ negative, 0, 0);
    return;
  }
  if (stopped()) return;
  if (aSig == ONE) {
    // A power of two: the product with an integer, rounded once.
    wideInteger(SUM, aExp);
    wideSet(Y, bSign, bExp, bSig, 0);
    wideMultiply(SUM, SUM, Y);
    roundNear(SUM);
    return;
  }
  const sign = bSign, exp = bExp, sig = bSig;
  wideSet(X, 0, aExp, aSig, 0);
  log2Wide();
  wideSet(Y, sign, exp, sig, 0);
  wideMultiply(SUM, SUM, Y);
  roundWide(SUM);
}

/** y * log2(1 + x). */
function logarithmOfSumAB(): void {
  if (nanOfAB()) return;
  if ((aSign != 0 && aKind == INFINITE) || (aKind == INFINITE && bKind == ZERO) || (aKind == ZERO && bKind == INFINITE)) {
    invalid();
    return;
  }
  if (aDenormal || bDenormal) raise(DENORMAL);
  const sign = aSign ^ bSign;
  if (aKind == INFINITE || bKind == INFINITE) {
    setR(INFINITE, sign, 0, ONE);
    return;
  }
  if (aKind == ZERO || bKind == ZERO) {
    setR(ZERO, sign, 0, 0);
    return;
  }
  if (stopped()) return;
  const bs = bSign, be = bExp, bg = bSig;
  wideSet(X, aSign, aExp, aSig, 0);
  if (aSign != 0 && aExp >= 0) {
    // x <= -1 is outside the domain: silicon multiplies.
    wideSet(Y, bs, be, bg, 0);
    wideMultiply(SUM, X, Y);
    roundNear(SUM);
    return;
  }
  if (aExp < -2) {
    // ln(1 + x) = 2 artanh(x / (2 + x))
    wideInteger(Y, 2);
    wideAdd(Z, X, Y);
    wideDivide(X, X, Z, DIVISION);
    artanhToLog2();
  } else {
    wideInteger(Y, 1);
    wideAdd(X, X, Y);
    log2Wide();
  }
  wideSet(Y, bs, be, bg, 0);
  wideMultiply(SUM, SUM, Y);
  roundWide(SUM);
}

/** The two-operand functions: result to ST(1), then pop. */
function binary(which: i32): void {
  beginX87();
  let done = true;
  if (isEmpty(0) || isEmpty(1)) {
    done = underflow();
  } else {
    loadB(1);
    loadA(0);
    if (which == 0) logarithmAB();
    else if (which == 1) logarithmOfSumAB();
    else arctangentAB();
    done = !stopped();
  }
  if (done) writeResult(1);
  endX87();
  if (done) pop();
}

export function logarithm(): void {
  binary(0);
}

export function logarithmOfSum(): void {
  binary(1);
}

export function partialArctangent(): void {
  binary(2);
}

// ---- arctangent

/** arctan(X), 0 < X <= 1, into SUM. */
function arctangentWide(): void {
  if (wideExp(X) < -9) {
    oddSeries(true);
    return;
  }
  // One Newton step from the f64 result g: arctan x = g + arctan((x cos g - sin g) / (cos g + x sin g)).
  wideCopy(Z, X);
  wideFromF64(GUESS, Math.atan(wideToF64(X)));
  wideCopy(X, GUESS);
  sineSeries();
  wideMultiply(X, Z, COSINE);
  wideNegate(SINE);
  wideAdd(X, X, SINE);
  wideNegate(SINE);
  wideMultiply(Y, Z, SINE);
  wideAdd(Y, Y, COSINE);
  wideDivide(X, X, Y, DIVISION);
  if (wideHigh(X) == 0) {
    wideCopy(SUM, GUESS);
    return;
  }
  oddSeries(true);
  wideAdd(SUM, SUM, GUESS);
}

/** A multiple of pi / 4 as the result. */
function quarters(sign: i32, count: i32): void {
  piOver(X, 2);
  wideInteger(Y, count);
  wideMultiply(X, X, Y);
  store<i32>(X, sign, 20);
  roundWide(X);
}

/** arctan2(B, A): y = ST(1) = B, x = ST(0) = A. */
function arctangentAB(): void {
  if (nanOfAB()) return;
  if (aDenormal || bDenormal) raise(DENORMAL);
  const sign = bSign, left = aSign != 0;
  if (bKind == INFINITE) {
    quarters(sign, aKind != INFINITE ? 2 : left ? 3 : 1);
    return;
  }
  if (bKind == ZERO || aKind == INFINITE) {
    if (left) quarters(sign, 4);
    else setR(ZERO, sign, 0, 0);
    return;
  }
  if (aKind == ZERO) {
    quarters(sign, 2);
    return;
  }
  if (stopped()) return;
  const order = compareMagnitude();
  if (order == EQUAL) {
    quarters(sign, left ? 3 : 1);
    return;
  }
  const steep = order == LESS; // |y| > |x|
  wideSet(Y, 0, aExp, aSig, 0);
  wideSet(Z, 0, bExp, bSig, 0);
  if (steep) wideDivide(X, Y, Z, DIVISION);
  else wideDivide(X, Z, Y, DIVISION);
  if (!steep && !left && wideExp(X) < -40) {
    // Silicon takes arctan x = x from here on.
    store<i32>(X, sign, 20);
    roundNear(X);
    return;
  }
  arctangentWide();
  if (steep || left) {
    // steep: pi/2 -+ arctan(x/y); otherwise pi - arctan(y/x).
    piOver(CONSTANT, steep ? 1 : 0);
    if (!(steep && left)) wideNegate(SUM);
    wideAdd(SUM, CONSTANT, SUM);
  }
  store<i32>(SUM, sign, 20);
  roundWide(SUM);
}

// ---- sine, cosine, tangent

/** pi/2 as an integer of 66 bits, scaled by 2^65. */
const HALF_PI_HIGH: u64 = 0x3;
const HALF_PI_LOW: u64 = 0x243f6a8885a308d3;

let quadrant: i32 = 0;

/**
 * A, finite and below 2^63, as quadrant * pi/2 + X with |X| <= pi/4: exact, with the 66-bit pi.
 */
function reduceArgument(): void {
  quadrant = 0;
  if (aExp < -1) {
    wideSet(X, aSign, aExp, aSig, 0);
    return;
  }
  let rest: u64 = 0, restHigh: u64 = 0, quotient: i32 = 0;
  // Bits of A from the top, down to weight 2^-65: the first has weight 2^aExp.
  const bits = aExp + 66;
  for (let i = 0; i < bits; i++) {
    restHigh = (restHigh << 1) | (rest >> 63);
    rest = (rest << 1) | (i < 64 ? (aSig >> (63 - i)) & 1 : 0);
    quotient <<= 1;
    if (restHigh > HALF_PI_HIGH || (restHigh == HALF_PI_HIGH && rest >= HALF_PI_LOW)) {
      restHigh -= HALF_PI_HIGH + u64(rest < HALF_PI_LOW);
      rest -= HALF_PI_LOW;
      quotient |= 1;
    }
  }
  // To the nearest multiple.
  let sign = aSign;
  const twiceHigh = (restHigh << 1) | (rest >> 63), twice = rest << 1;
  if (twiceHigh > HALF_PI_HIGH || (twiceHigh == HALF_PI_HIGH && twice > HALF_PI_LOW)) {
    const less = u64(HALF_PI_LOW < rest);
    rest = HALF_PI_LOW - rest;
    restHigh = HALF_PI_HIGH - restHigh - less;
    quotient++;
    sign ^= 1;
  }
  quadrant = (aSign != 0 ? -quotient : quotient) & 3;
  wideNormalize(X, sign, 62, restHigh, rest);
}

/** Leaves sin A in SINE and cos A in COSINE. */
function circular(): void {
  reduceArgument();
  sineSeries();
  if ((quadrant & 1) != 0) {
    wideCopy(TERM, SINE);
    wideCopy(SINE, COSINE);
    wideCopy(COSINE, TERM);
    wideNegate(COSINE);
  }
  if ((quadrant & 2) != 0) {
    wideNegate(SINE);
    wideNegate(COSINE);
  }
}

const SIN: i32 = 0;
const COS: i32 = 1;
const SINCOS: i32 = 2;
const TAN: i32 = 3;

function trigonometric(which: i32): void {
  beginX87();
  const pushes = which >= SINCOS;
  setCondition(C2, 0);
  if (isEmpty(0) || (pushes && !isEmpty(-1))) {
    const masked = isEmpty(0) ? underflow() : overflow();
    if (masked) {
      writeResult(0);
      if (pushes) pushResult();
    }
    endX87();
    return;
  }
  loadA(0);
  let secondKind = FINITE, secondSign = 0, secondExp = 0, secondSig = ONE;
  if (nanOfA()) {
    secondKind = -1;
  } else if (aKind == INFINITE) {
    invalid();
    secondKind = -1;
  } else if (aKind == ZERO) {
    if (which == COS) setR(FINITE, 0, 0, ONE);
    else setR(ZERO, aSign, 0, 0);
  } else {
    if (aDenormal) raise(DENORMAL);
    if (aExp >= 63) {
      setCondition(C2, C2);
      endX87();
      return;
    }
    if (aExp < -68) {
      // Silicon takes sin x = tan x = x and cos x = 1 from here on, whatever the rounding mode.
      if (which == COS) setR(FINITE, 0, 0, ONE);
      else roundResult(aSign, aExp, aSig, 0, 64, -16382, 16383);
      raise(which != COS && aExp < -16382 ? INEXACT | UNDERFLOW : INEXACT);
    } else if (!stopped()) {
      circular();
      if (which == COS || which == SINCOS) roundWide(COSINE);
      if (which == SINCOS) {
        secondKind = rKind;
        secondSign = rSign;
        secondExp = rExp;
        secondSig = rSig;
      }
      if (which == TAN) {
        wideDivide(SUM, SINE, COSINE, DIVISION);
        roundWide(SUM);
      } else if (which != COS) {
        roundWide(SINE);
      }
    }
  }
  if (!stopped()) {
    writeResult(0);
    if (pushes) {
      if (secondKind >= 0) setR(secondKind, secondSign, secondExp, secondSig);
      pushResult();
    }
  }
  endX87();
}

export function sine(): void {
  trigonometric(SIN);
}

export function cosine(): void {
  trigonometric(COS);
}

export function sineAndCosine(): void {
  trigonometric(SINCOS);
}

export function partialTangent(): void {
  trigonometric(TAN);
}
