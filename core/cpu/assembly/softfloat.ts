// Binary floating point in integers: one unpacked form for f32, f64 and f80, and the operations that x87 and SSE share.
// Does not know registers, memory or instructions; control comes in and exception flags go out through the globals below.
//
// An unpacked number is kind, sign, exponent and a 64-bit significand whose top bit is the integer bit; so 1.0 is exponent 0,
// significand 2^63. NaNs keep their payload left-aligned in the same way, which makes every format conversion a plain repack.

// Exception flags: same bits in MXCSR, the x87 status word and (as masks) the x87 control word. SDM vol 1, 4.9.
export const INVALID: i32 = 0x01;
export const DENORMAL: i32 = 0x02;
export const DIVIDE_BY_ZERO: i32 = 0x04;
export const OVERFLOW: i32 = 0x08;
export const UNDERFLOW: i32 = 0x10;
export const INEXACT: i32 = 0x20;
/** Exceptions found before the operation is carried out; an unmasked one stops it. */
export const BEFORE: i32 = 0x07;

export const ROUND_NEAREST: i32 = 0;
export const ROUND_DOWN: i32 = 1;
export const ROUND_UP: i32 = 2;
export const ROUND_ZERO: i32 = 3;

export const ZERO: i32 = 0;
export const FINITE: i32 = 1;
export const INFINITE: i32 = 2;
export const QUIET_NAN: i32 = 3;
export const SIGNALING_NAN: i32 = 4;
/** f80 only: pseudo-NaN, pseudo-infinity, unnormal. */
export const UNSUPPORTED: i32 = 5;

const TOP: u64 = 0x8000000000000000;
const QUIET: u64 = 0x4000000000000000;

// Control, set by the caller before an operation.
export let rounding: i32 = 0;
export let masks: i32 = 0x3f;
export let flushToZero: bool = false;
export let denormalsAreZero: bool = false;
/** x87 picks the NaN with the larger significand, SSE the first one. SDM vol 1, table 4-7. */
export let largerNan: bool = false;
/** Significand bits of an x87 register result: 24, 53 or 64. */
export let precision: i32 = 64;

// Result: flags accumulate, the caller clears them.
export let raised: i32 = 0;
/** The last rounding went away from zero (x87 C1). */
export let roundedUp: bool = false;

export let aKind: i32 = 0;
export let aSign: i32 = 0;
export let aExp: i32 = 0;
export let aSig: u64 = 0;
export let aDenormal: bool = false;
export let bKind: i32 = 0;
export let bSign: i32 = 0;
export let bExp: i32 = 0;
export let bSig: u64 = 0;
export let bDenormal: bool = false;
export let rKind: i32 = 0;
export let rSign: i32 = 0;
export let rExp: i32 = 0;
export let rSig: u64 = 0;

export function setControl(round: i32, exceptionMasks: i32, ftz: bool, daz: bool, x87: bool, bits: i32): void {
  rounding = round;
  masks = exceptionMasks;
  flushToZero = ftz;
  denormalsAreZero = daz;
  largerNan = x87;
  precision = bits;
  raised = 0;
  roundedUp = false;
}

export function setRounding(round: i32): void {
  rounding = round;
}

export function setPrecision(bits: i32): void {
  precision = bits;
}

export function setRaised(flags: i32): void {
  raised = flags;
}

export function raise(flags: i32): void {
  raised |= flags;
}

export function setRoundedUp(up: bool): void {
  roundedUp = up;
}

/** True when an unmasked exception forbids the operation itself. */
export function stopped(): bool {
  return (raised & ~masks & BEFORE) != 0;
}

// ---- unpack

export function setA(kind: i32, sign: i32, exp: i32, sig: u64): void {
  aKind = kind;
  aSign = sign;
  aExp = exp;
  aSig = sig;
  aDenormal = false;
}

export function setB(kind: i32, sign: i32, exp: i32, sig: u64): void {
  bKind = kind;
  bSign = sign;
  bExp = exp;
  bSig = sig;
  bDenormal = false;
}

export function setR(kind: i32, sign: i32, exp: i32, sig: u64): void {
  rKind = kind;
  rSign = sign;
  rExp = exp;
  rSig = sig;
}

export function copyAtoB(): void {
  bKind = aKind;
  bSign = aSign;
  bExp = aExp;
  bSig = aSig;
  bDenormal = aDenormal;
}

export function copyRtoA(): void {
  setA(rKind, rSign, rExp, rSig);
}

export function swapAB(): void {
  const kind = aKind, sign = aSign, exp = aExp, sig = aSig, denormal = aDenormal;
  aKind = bKind;
  aSign = bSign;
  aExp = bExp;
  aSig = bSig;
  aDenormal = bDenormal;
  bKind = kind;
  bSign = sign;
  bExp = exp;
  bSig = sig;
  bDenormal = denormal;
}

/** Splits an IEEE fraction (left-aligned, integer bit absent) into the A slot. */
function unpackA(sign: i32, biased: i32, fraction: u64, maximum: i32, bias: i32): void {
  aSign = sign;
  aDenormal = false;
  if (biased == 0) {
    if (fraction == 0 || denormalsAreZero) {
      aKind = ZERO;
      aExp = 0;
      aSig = 0;
      return;
    }
    const shift = <i32>clz(fraction);
    aKind = FINITE;
    aDenormal = true;
    aExp = -bias - shift;
    aSig = fraction << shift;
    return;
  }
  if (biased == maximum) {
    aExp = 0;
    aSig = TOP | (fraction >> 1);
    aKind = fraction == 0 ? INFINITE : (fraction & TOP) != 0 ? QUIET_NAN : SIGNALING_NAN;
    return;
  }
  aKind = FINITE;
  aExp = biased - bias;
  aSig = TOP | (fraction >> 1);
}

export function unpackA32(x: u32): void {
  unpackA(<i32>(x >> 31), <i32>((x >> 23) & 0xff), <u64>x << 41, 0xff, 127);
}

export function unpackA64(x: u64): void {
  unpackA(<i32>(x >> 63), <i32>((x >> 52) & 0x7ff), x << 12, 0x7ff, 1023);
}

export function unpackB32(x: u32): void {
  swapAB();
  unpackA32(x);
  swapAB();
}

export function unpackB64(x: u64): void {
  swapAB();
  unpackA64(x);
  swapAB();
}

/** `head` is sign and biased exponent. SDM vol 1, table 8-3 for the unsupported forms. */
export function unpackA80(head: u32, sig: u64): void {
  const biased = <i32>(head & 0x7fff);
  aSign = <i32>((head >> 15) & 1);
  aDenormal = false;
  if (biased == 0) {
    if (sig == 0) {
      aKind = ZERO;
      aExp = 0;
      aSig = 0;
      return;
    }
    const shift = <i32>clz(sig);
    aKind = FINITE;
    aDenormal = true;
    aExp = -16382 - shift;
    aSig = sig << shift;
    return;
  }
  aSig = sig;
  aExp = biased - 16383;
  if ((sig & TOP) == 0) {
    aKind = UNSUPPORTED;
    return;
  }
  if (biased == 0x7fff) aKind = sig == TOP ? INFINITE : (sig & QUIET) != 0 ? QUIET_NAN : SIGNALING_NAN;
  else aKind = FINITE;
}

export function unpackB80(head: u32, sig: u64): void {
  swapAB();
  unpackA80(head, sig);
  swapAB();
}

// ---- pack the R slot

export function pack32(): u32 {
  const sign = <u32>rSign << 31;
  if (rKind == FINITE) {
    const biased = (rSig & TOP) != 0 ? <u32>(rExp + 127) : 0;
    return sign | (biased << 23) | (<u32>(rSig >> 40) & 0x7fffff);
  }
  if (rKind == ZERO) return sign;
  return sign | 0x7f800000 | (<u32>(rSig >> 40) & 0x7fffff);
}

export function pack64(): u64 {
  const sign = <u64>rSign << 63;
  if (rKind == FINITE) {
    const biased = (rSig & TOP) != 0 ? <u64>(rExp + 1023) : 0;
    return sign | (biased << 52) | ((rSig >> 11) & 0xfffffffffffff);
  }
  if (rKind == ZERO) return sign;
  return sign | 0x7ff0000000000000 | ((rSig >> 11) & 0xfffffffffffff);
}

/** Sign and biased exponent of R as f80; the significand is rSig itself (0 for zero). */
export function packHead80(): u32 {
  const sign = <u32>rSign << 15;
  if (rKind == FINITE) return sign | ((rSig & TOP) != 0 ? <u32>(rExp + 16383) : 0);
  if (rKind == ZERO) return sign;
  return sign | 0x7fff;
}

// ---- rounding

/** True when `low` (bits below the last place, top-aligned) rounds away from zero. */
@inline
function roundsUp(sign: i32, low: u64, odd: bool): bool {
  if (rounding == ROUND_NEAREST) return low > TOP || (low == TOP && odd);
  if (rounding == ROUND_DOWN) return sign != 0 && low != 0;
  if (rounding == ROUND_UP) return sign == 0 && low != 0;
  return false;
}

/**
 * Rounds (-1)^sign * 2^exp * (sig + extra/2^64)/2^63 into R. `sig` has its top bit set; the last bit of `extra` is sticky.
 * Tininess is found after rounding. With UNDERFLOW or OVERFLOW unmasked the result carries the exponent adjusted by 24576.
 */
export function roundResult(sign: i32, exp: i32, sig: u64, extra: u64, bits: i32, emin: i32, emax: i32): void {
  const unit: u64 = <u64>1 << (64 - bits);
  let low = bits == 64 ? extra : (sig << bits) | u64(extra != 0);
  let high = sig & (0 - unit);
  let tiny = false, adjusted = false;
  if (exp < emin) {
    tiny = true;
    if (exp == emin - 1 && high == 0 - unit && roundsUp(sign, low, true)) tiny = false;
    if (tiny && (masks & UNDERFLOW) == 0) {
      raised |= UNDERFLOW;
      exp += 24576;
      if (exp < emin && bits == 64) {
        // Only FSCALE goes beyond what the adjustment can bring back.
        raised |= INEXACT;
        setR(ZERO, sign, 0, 0);
        return;
      }
      tiny = false;
      adjusted = true;
    } else if (tiny && flushToZero) {
      raised |= UNDERFLOW | INEXACT;
      setR(ZERO, sign, 0, 0);
      return;
    } else {
      const shift = emin - exp;
      let s: u64, e: u64;
      if (shift < 64) {
        s = sig >> shift;
        e = (sig << (64 - shift)) | u64(extra != 0);
      } else {
        s = 0;
        e = shift == 64 ? sig | u64(extra != 0) : 1;
      }
      low = bits == 64 ? e : (s << bits) | u64(e != 0);
      high = s & (0 - unit);
      exp = emin;
    }
  }
  roundedUp = false;
  if (low != 0) {
    raised |= INEXACT;
    if (tiny) raised |= UNDERFLOW;
    if (roundsUp(sign, low, (high & unit) != 0)) {
      roundedUp = true;
      const before = high;
      high += unit;
      if (high < before) {
        high = TOP;
        exp++;
      }
    }
  }
  if (exp > emax && !adjusted) {
    raised |= OVERFLOW;
    if ((masks & OVERFLOW) == 0 && exp - 24576 <= emax) {
      exp -= 24576;
    } else {
      raised |= INEXACT;
      // FSCALE again: what no adjustment brings back becomes infinite in every mode.
      const away = (masks & OVERFLOW) == 0 || rounding == ROUND_NEAREST || (rounding == ROUND_DOWN && sign != 0) || (rounding == ROUND_UP && sign == 0);
      roundedUp = away;
      if (away) setR(INFINITE, sign, 0, TOP);
      else setR(FINITE, sign, emax, 0 - unit);
      return;
    }
  }
  if (high == 0) setR(ZERO, sign, 0, 0);
  else setR(FINITE, sign, exp, high);
}

@inline
export function roundResult32(sign: i32, exp: i32, sig: u64, extra: u64): void {
  roundResult(sign, exp, sig, extra, 24, -126, 127);
}

@inline
export function roundResult64(sign: i32, exp: i32, sig: u64, extra: u64): void {
  roundResult(sign, exp, sig, extra, 53, -1022, 1023);
}

/** Format of a result: 32, 64, or 80 (x87 register: `precision` bits). */
export function roundTo(format: i32, sign: i32, exp: i32, sig: u64, extra: u64): void {
  if (format == 32) roundResult32(sign, exp, sig, extra);
  else if (format == 64) roundResult64(sign, exp, sig, extra);
  else roundResult(sign, exp, sig, extra, precision, -16382, 16383);
}

// ---- NaNs

/** The default NaN, "real indefinite". */
export function indefinite(): void {
  setR(QUIET_NAN, 1, 0, 0xc000000000000000);
}

export function invalid(): void {
  raised |= INVALID;
  indefinite();
}

/** One operand, A: answers true when it is a NaN or unsupported, with the result in R. */
export function nanOfA(): bool {
  if (aKind < QUIET_NAN) return false;
  if (aKind == UNSUPPORTED) {
    invalid();
    return true;
  }
  if (aKind == SIGNALING_NAN) raised |= INVALID;
  setR(QUIET_NAN, aSign, 0, aSig | QUIET);
  return true;
}

/** Two operands: answers true when one is a NaN or unsupported, with the result in R. */
export function nanOfAB(): bool {
  if (aKind < QUIET_NAN && bKind < QUIET_NAN) return false;
  if (aKind == UNSUPPORTED || bKind == UNSUPPORTED) {
    invalid();
    return true;
  }
  const aSignals = aKind == SIGNALING_NAN, bSignals = bKind == SIGNALING_NAN;
  if (aSignals || bSignals) raised |= INVALID;
  let first = aKind >= QUIET_NAN;
  if (largerNan && first && bKind >= QUIET_NAN) {
    if (aSignals != bSignals) first = bSignals;
    else if (aSig != bSig) first = aSig > bSig;
    else first = aSign == 0;
  }
  if (first) setR(QUIET_NAN, aSign, 0, aSig | QUIET);
  else setR(QUIET_NAN, bSign, 0, bSig | QUIET);
  return true;
}

@inline
function noteDenormals(): void {
  if (aDenormal || bDenormal) raised |= DENORMAL;
}

// ---- arithmetic: A op B -> R

/** A + B, or A - B when `negate` is 1. */
export function add(negate: i32, format: i32): void {
  if (nanOfAB()) return;
  const sign = bSign ^ negate;
  if (aKind == INFINITE || bKind == INFINITE) {
    if (aKind == bKind && aSign != sign) {
      invalid();
      return;
    }
    noteDenormals();
    setR(INFINITE, aKind == INFINITE ? aSign : sign, 0, TOP);
    return;
  }
  noteDenormals();
  if (bKind == ZERO) {
    if (aKind == ZERO) setR(ZERO, aSign == sign ? sign : i32(rounding == ROUND_DOWN), 0, 0);
    else roundTo(format, aSign, aExp, aSig, 0);
    return;
  }
  if (aKind == ZERO) {
    roundTo(format, sign, bExp, bSig, 0);
    return;
  }
  // The larger magnitude into `big`.
  let bigSign = aSign, bigExp = aExp, big = aSig, small = bSig, distance = aExp - bExp;
  if (distance < 0 || (distance == 0 && bSig > aSig)) {
    bigSign = sign;
    bigExp = bExp;
    big = bSig;
    small = aSig;
    distance = -distance;
  }
  let high: u64, low: u64;
  if (distance == 0) {
    high = small;
    low = 0;
  } else if (distance < 64) {
    high = small >> distance;
    low = small << (64 - distance);
  } else if (distance == 64) {
    high = 0;
    low = small;
  } else {
    high = 0;
    low = distance < 128 ? (small >> (distance - 64)) | u64(small << (128 - distance) != 0) : 1;
  }
  if (aSign == sign) {
    const sum = big + high;
    if (sum < big) {
      low = (low >> 1) | (sum << 63) | (low & 1);
      roundTo(format, bigSign, bigExp + 1, TOP | (sum >> 1), low);
    } else {
      roundTo(format, bigSign, bigExp, sum, low);
    }
    return;
  }
  let difference = big - high - u64(low != 0);
  low = 0 - low;
  if (difference == 0 && low == 0) {
    setR(ZERO, i32(rounding == ROUND_DOWN), 0, 0);
    return;
  }
  if (difference == 0) {
    difference = low;
    low = 0;
    bigExp -= 64;
  }
  const shift = clz(difference);
  if (shift != 0) {
    difference = (difference << shift) | (low >> (64 - shift));
    low <<= shift;
  }
  roundTo(format, bigSign, bigExp - <i32>shift, difference, low);
}

/** High half of the 128-bit product. */
export function multiplyHigh(x: u64, y: u64): u64 {
  const xl = x & 0xffffffff, xh = x >> 32, yl = y & 0xffffffff, yh = y >> 32;
  const middle = xh * yl + ((xl * yl) >> 32);
  const carry = xl * yh + (middle & 0xffffffff);
  return xh * yh + (middle >> 32) + (carry >> 32);
}

export function multiply(format: i32): void {
  if (nanOfAB()) return;
  const sign = aSign ^ bSign;
  if (aKind == INFINITE || bKind == INFINITE) {
    if (aKind == ZERO || bKind == ZERO) {
      invalid();
      return;
    }
    noteDenormals();
    setR(INFINITE, sign, 0, TOP);
    return;
  }
  noteDenormals();
  if (aKind == ZERO || bKind == ZERO) {
    setR(ZERO, sign, 0, 0);
    return;
  }
  const high = multiplyHigh(aSig, bSig), low = aSig * bSig;
  const exp = aExp + bExp + 1;
  if (high >> 63 != 0) roundTo(format, sign, exp, high, low);
  else roundTo(format, sign, exp - 1, (high << 1) | (low >> 63), low << 1);
}

export let remainder128: u64 = 0;

/** (high:low) / divisor with high < divisor and divisor's top bit set; the remainder goes to `remainder128`. */
export function divide128(high: u64, low: u64, divisor: u64): u64 {
  const dh = divisor >> 32, dl = divisor & 0xffffffff;
  let q1 = high / dh, r = high % dh;
  while (q1 >> 32 != 0 || q1 * dl > ((r << 32) | (low >> 32))) {
    q1--;
    r += dh;
    if (r >> 32 != 0) break;
  }
  const middle = ((high << 32) | (low >> 32)) - q1 * divisor;
  let q0 = middle / dh;
  r = middle % dh;
  while (q0 >> 32 != 0 || q0 * dl > ((r << 32) | (low & 0xffffffff))) {
    q0--;
    r += dh;
    if (r >> 32 != 0) break;
  }
  remainder128 = ((middle << 32) | (low & 0xffffffff)) - q0 * divisor;
  return (q1 << 32) + q0;
}

/** A / B. */
export function divide(format: i32): void {
  if (nanOfAB()) return;
  const sign = aSign ^ bSign;
  if (aKind == INFINITE) {
    if (bKind == INFINITE) {
      invalid();
      return;
    }
    noteDenormals();
    setR(INFINITE, sign, 0, TOP);
    return;
  }
  if (bKind == INFINITE) {
    noteDenormals();
    setR(ZERO, sign, 0, 0);
    return;
  }
  if (bKind == ZERO) {
    if (aKind == ZERO) {
      invalid();
      return;
    }
    raised |= DIVIDE_BY_ZERO;
    setR(INFINITE, sign, 0, TOP);
    return;
  }
  noteDenormals();
  if (aKind == ZERO) {
    setR(ZERO, sign, 0, 0);
    return;
  }
  let exp = aExp - bExp, high = aSig, low: u64 = 0;
  if (aSig >= bSig) {
    low = aSig << 63;
    high = aSig >> 1;
  } else {
    exp--;
  }
  const quotient = divide128(high, low, bSig);
  const rest = remainder128;
  let extra: u64 = 0;
  if (rest != 0) {
    const half = bSig - rest;
    extra = rest > half ? TOP | 1 : rest == half ? TOP : 1;
  }
  roundTo(format, sign, exp, quotient, extra);
}

/** Square root of A. */
export function squareRoot(format: i32): void {
  if (nanOfA()) return;
  if (aKind == ZERO) {
    setR(ZERO, aSign, 0, 0);
    return;
  }
  if (aSign != 0) {
    invalid();
    return;
  }
  if (aKind == INFINITE) {
    setR(INFINITE, 0, 0, TOP);
    return;
  }
  if (aDenormal) raised |= DENORMAL;
  // root = floor(sqrt(value * 2^126 or 2^127)), digit by digit: rest is at most 65 bits, kept as (over, rest).
  let exp = aExp, high: u64 = aSig >> 1, low: u64 = aSig << 63;
  if ((exp & 1) != 0) {
    high = aSig;
    low = 0;
  }
  exp >>= 1;
  let root: u64 = 0, rest: u64 = 0, over: u64 = 0;
  for (let i = 0; i < 64; i++) {
    const pair = high >> 62;
    high = (high << 2) | (low >> 62);
    low <<= 2;
    over = (over << 2) | (rest >> 62);
    rest = (rest << 2) | pair;
    // trial = 4 * root + 1
    const trialOver = root >> 62, trial = (root << 2) | 1;
    root <<= 1;
    if (over > trialOver || (over == trialOver && rest >= trial)) {
      over -= trialOver + u64(rest < trial);
      rest -= trial;
      root |= 1;
    }
  }
  // The next bit is 1 exactly when rest > root, since (root + 1/2)^2 = root^2 + root + 1/4.
  const extra: u64 = over == 0 && rest == 0 ? 0 : over != 0 || rest > root ? TOP | 1 : 1;
  roundTo(format, 0, exp, root, extra);
}

// ---- compare

export const LESS: i32 = -1;
export const EQUAL: i32 = 0;
export const GREATER: i32 = 1;
export const UNORDERED: i32 = 2;

/** Order of |A| and |B|, neither a NaN. */
export function compareMagnitude(): i32 {
  if (aKind != bKind) return aKind < bKind ? LESS : GREATER;
  if (aKind != FINITE) return EQUAL;
  if (aExp != bExp) return aExp < bExp ? LESS : GREATER;
  return aSig == bSig ? EQUAL : aSig < bSig ? LESS : GREATER;
}

/** Compares A with B; a quiet NaN raises INVALID only when `signaling`. */
export function compare(signaling: bool): i32 {
  if (aKind >= QUIET_NAN || bKind >= QUIET_NAN) {
    if (signaling || aKind >= SIGNALING_NAN || bKind >= SIGNALING_NAN) raised |= INVALID;
    return UNORDERED;
  }
  noteDenormals();
  if (aKind == ZERO && bKind == ZERO) return EQUAL;
  if (aSign != bSign) return aSign != 0 ? LESS : GREATER;
  const order = compareMagnitude();
  return aSign != 0 ? -order : order;
}

// ---- conversions

/** A to another format, quieting NaNs. `noteDenormal`: SSE conversions report a denormal source, x87 stores do not. */
export function convert(format: i32, noteDenormal: bool): void {
  if (nanOfA()) return;
  if (aKind != FINITE) {
    setR(aKind, aSign, 0, aSig);
    return;
  }
  if (noteDenormal && aDenormal) raised |= DENORMAL;
  roundTo(format, aSign, aExp, aSig, 0);
}

/** Signed integer into the A slot. */
export function setInteger(value: i64): void {
  if (value == 0) {
    setA(ZERO, 0, 0, 0);
    return;
  }
  const magnitude: u64 = value < 0 ? 0 - <u64>value : <u64>value;
  const shift = clz(magnitude);
  setA(FINITE, i32(value < 0), 63 - <i32>shift, magnitude << shift);
}

let integerPart: u64 = 0;

/** Rounds |A|, finite and below 2^64, to `integerPart`; answers whether it was exact. */
function roundMagnitude(): bool {
  const shift = 63 - aExp;
  let low: u64 = 0;
  if (shift == 0) {
    integerPart = aSig;
  } else if (shift < 64) {
    integerPart = aSig >> shift;
    low = aSig << (64 - shift);
  } else {
    integerPart = 0;
    low = shift == 64 ? aSig : 1;
  }
  roundedUp = roundsUp(aSign, low, (integerPart & 1) != 0);
  if (roundedUp) integerPart++;
  return low == 0;
}

/** A as a signed integer of 16, 32 or 64 bits; out of range or NaN: INVALID and the integer indefinite, 2^(bits-1). */
export function toInteger(bits: i32): i64 {
  roundedUp = false;
  if (aKind == ZERO) return 0;
  if (aKind == FINITE && aExp < 64) {
    const exact = roundMagnitude();
    const limit: u64 = (<u64>1 << (bits - 1)) - u64(aSign == 0);
    if (integerPart <= limit) {
      if (!exact) raised |= INEXACT;
      return aSign != 0 ? -(<i64>integerPart) : <i64>integerPart;
    }
  }
  roundedUp = false;
  raised |= INVALID;
  return <i64>-1 << (bits - 1);
}

/** A rounded to an integral value in the same format, into R; INEXACT unless `quietly`. */
export function roundToIntegral(quietly: bool): void {
  if (aKind != FINITE || aExp >= 63) {
    setR(aKind, aSign, aExp, aSig);
    roundedUp = false;
    return;
  }
  const exact = roundMagnitude();
  if (!exact && !quietly) raised |= INEXACT;
  if (integerPart == 0) {
    setR(ZERO, aSign, 0, 0);
    return;
  }
  const shift = clz(integerPart);
  setR(FINITE, aSign, 63 - <i32>shift, integerPart << shift);
}
