// Floating point with 128-bit significands, truncating: what the transcendental functions are computed in. No NaNs, no infinities.
// A number is a slot of 24 bytes: u64 high, u64 low, i32 exponent, i32 sign; the top bit of high is the integer bit; high 0 = zero.
import { divide128, multiplyHigh, remainder128 } from './softfloat';

export const WIDE_BYTES: usize = 24;

// @ts-ignore: decorator
@inline
export function wideHigh(x: usize): u64 {
  return load<u64>(x);
}

// @ts-ignore: decorator
@inline
export function wideLow(x: usize): u64 {
  return load<u64>(x, 8);
}

// @ts-ignore: decorator
@inline
export function wideExp(x: usize): i32 {
  return load<i32>(x, 16);
}

// @ts-ignore: decorator
@inline
export function wideSign(x: usize): i32 {
  return load<i32>(x, 20);
}

export function wideSet(to: usize, sign: i32, exp: i32, high: u64, low: u64): void {
  store<u64>(to, high);
  store<u64>(to, low, 8);
  store<i32>(to, exp, 16);
  store<i32>(to, sign, 20);
}

export function wideCopy(to: usize, from: usize): void {
  memory.copy(to, from, WIDE_BYTES);
}

export function wideNegate(x: usize): void {
  store<i32>(x, load<i32>(x, 20) ^ 1, 20);
}

/** A small integer. */
export function wideInteger(to: usize, value: i32): void {
  if (value == 0) {
    wideSet(to, 0, 0, 0, 0);
    return;
  }
  const magnitude = <u64>(value < 0 ? -value : value), shift = <i32>clz(magnitude);
  wideSet(to, i32(value < 0), 63 - shift, magnitude << shift, 0);
}

/** `high:low` with any leading zeros, as a significand of exponent `exp` would stand. */
export function wideNormalize(to: usize, sign: i32, exp: i32, high: u64, low: u64): void {
  if (high == 0) {
    if (low == 0) {
      wideSet(to, 0, 0, 0, 0);
      return;
    }
    high = low;
    low = 0;
    exp -= 64;
  }
  const shift = clz(high);
  if (shift != 0) {
    high = (high << shift) | (low >> (64 - shift));
    low <<= shift;
  }
  wideSet(to, sign, exp - <i32>shift, high, low);
}

/** to = x + y; a summand too small to be seen still moves the last bit when signs differ, so that the result stays on the right side. */
export function wideAdd(to: usize, x: usize, y: usize): void {
  if (wideHigh(x) == 0) {
    wideCopy(to, y);
    return;
  }
  if (wideHigh(y) == 0) {
    wideCopy(to, x);
    return;
  }
  let distance = wideExp(x) - wideExp(y);
  if (distance < 0 || (distance == 0 && (wideHigh(x) < wideHigh(y) || (wideHigh(x) == wideHigh(y) && wideLow(x) < wideLow(y))))) {
    const swap = x;
    x = y;
    y = swap;
    distance = -distance;
  }
  const sign = wideSign(x), exp = wideExp(x);
  let high = wideHigh(x), low = wideLow(x), yHigh = wideHigh(y), yLow = wideLow(y);
  if (distance >= 128) {
    yHigh = 0;
    yLow = u64(sign != wideSign(y));
  } else if (distance >= 64) {
    yLow = yHigh >> (distance - 64);
    yHigh = 0;
  } else if (distance > 0) {
    yLow = (yLow >> distance) | (yHigh << (64 - distance));
    yHigh >>= distance;
  }
  if (sign == wideSign(y)) {
    low += yLow;
    const carry = u64(low < yLow);
    const sum = high + yHigh + carry;
    if (sum < high || (carry != 0 && sum == high)) wideSet(to, sign, exp + 1, (sum >> 1) | 0x8000000000000000, (low >> 1) | (sum << 63));
    else wideSet(to, sign, exp, sum, low);
    return;
  }
  const borrow = u64(low < yLow);
  low -= yLow;
  wideNormalize(to, sign, exp, high - yHigh - borrow, low);
}

export function wideMultiply(to: usize, x: usize, y: usize): void {
  if (wideHigh(x) == 0 || wideHigh(y) == 0) {
    wideSet(to, 0, 0, 0, 0);
    return;
  }
  const xHigh = wideHigh(x), xLow = wideLow(x), yHigh = wideHigh(y), yLow = wideLow(y);
  const sign = wideSign(x) ^ wideSign(y), exp = wideExp(x) + wideExp(y) + 1;
  // The lowest of the four partial products only through its high half.
  let third = multiplyHigh(xLow, yLow), low: u64 = 0, high: u64 = 0;
  let part = xHigh * yLow;
  third += part;
  low = u64(third < part);
  part = xLow * yHigh;
  third += part;
  low += u64(third < part);
  part = multiplyHigh(xHigh, yLow);
  low += part;
  high = u64(low < part);
  part = multiplyHigh(xLow, yHigh);
  low += part;
  high += u64(low < part);
  part = xHigh * yHigh;
  low += part;
  high += u64(low < part);
  high += multiplyHigh(xHigh, yHigh);
  if (high >> 63 != 0) wideSet(to, sign, exp, high, low);
  else wideSet(to, sign, exp - 1, (high << 1) | (low >> 63), (low << 1) | (third >> 63));
}

/** to = x / n, n in 1..2^31. */
export function wideDivideSmall(to: usize, x: usize, n: u32): void {
  const shift = <i32>clz(<u64>n), divisor = <u64>n << shift;
  let high = wideHigh(x);
  if (high == 0) {
    wideSet(to, 0, 0, 0, 0);
    return;
  }
  // Quotient of (high:low) by n * 2^shift, three digits.
  const sign = wideSign(x), exp = wideExp(x);
  const first = u64(high >= divisor);
  if (first != 0) high -= divisor;
  const second = divide128(high, wideLow(x), divisor);
  const third = divide128(remainder128, 0, divisor);
  const digit = divide128(remainder128, 0, divisor);
  // first:second:third has its integer bit at first when x >= n * 2^shift.
  if (first != 0) wideSet(to, sign, exp + shift - 63, (second >> 1) | 0x8000000000000000, (third >> 1) | (second << 63));
  else wideNormalizeMore(to, sign, exp + shift - 64, second, third, digit);
}

function wideNormalizeMore(to: usize, sign: i32, exp: i32, high: u64, low: u64, more: u64): void {
  const shift = clz(high);
  if (shift != 0) {
    high = (high << shift) | (low >> (64 - shift));
    low = (low << shift) | (more >> (64 - shift));
  }
  wideSet(to, sign, exp - <i32>shift, high, low);
}

/** to = x / y: a 64-bit quotient corrected twice. */
export function wideDivide(to: usize, x: usize, y: usize, scratch: usize): void {
  if (wideHigh(x) == 0) {
    wideSet(to, 0, 0, 0, 0);
    return;
  }
  // q += (x - q * y) / high(y), three times: each step gains more than 60 bits.
  const rest = scratch, product = scratch + WIDE_BYTES, step = scratch + 2 * WIDE_BYTES, quotient = scratch + 3 * WIDE_BYTES;
  wideCopy(rest, x);
  wideSet(quotient, 0, 0, 0, 0);
  const yHigh = wideHigh(y);
  for (let i = 0; i < 3; i++) {
    if (wideHigh(rest) == 0) break;
    let high = wideHigh(rest), low: u64 = wideLow(rest), exp = wideExp(rest) - wideExp(y);
    if (high >= yHigh) {
      low = (low >> 1) | (high << 63);
      high >>= 1;
    } else {
      exp--;
    }
    wideNormalize(step, wideSign(rest) ^ wideSign(y), exp, divide128(high, low, yHigh), 0);
    wideAdd(quotient, quotient, step);
    wideMultiply(product, step, y);
    wideNegate(product);
    wideAdd(rest, rest, product);
  }
  wideCopy(to, quotient);
}

/** Nearest f64; exponents beyond its range give zero or are the caller's to avoid. */
export function wideToF64(x: usize): f64 {
  const high = wideHigh(x);
  if (high == 0 || wideExp(x) < -1000) return 0;
  const magnitude = reinterpret<f64>((<u64>(wideExp(x) + 1023) << 52) | ((high >> 11) & 0xfffffffffffff));
  return wideSign(x) != 0 ? -magnitude : magnitude;
}

/** An f64 that is normal or zero, exactly. */
export function wideFromF64(to: usize, value: f64): void {
  const bits = reinterpret<u64>(value), biased = <i32>((bits >> 52) & 0x7ff);
  if (biased == 0) wideSet(to, 0, 0, 0, 0);
  else wideSet(to, <i32>(bits >> 63), biased - 1023, 0x8000000000000000 | (bits << 11), 0);
}
