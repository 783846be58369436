// SSE floating point on values and on vectors in wasm memory. Knows MXCSR; does not know operands, alignment or faults.
//
// The native wasm operation is taken where it is provably what SSE gives: round to nearest, INEXACT masked, operands zero
// or normal, result clearly normal, and INEXACT either found by an exact test or already set in MXCSR. All else is softfloat.
import { MXCSR } from '../layout';
import {
  BEFORE, EQUAL, GREATER, INEXACT, LESS, ROUND_ZERO, UNORDERED,
  add, compare, convert, divide, masks, multiply, nanOfA, pack32, pack64, raise, raised, roundToIntegral, rounding,
  setControl, setInteger, setRaised, setRounding, squareRoot, toInteger, unpackA32, unpackA64, unpackB32, unpackB64,
} from './softfloat';

// Operations are named by their opcode byte.
export const SQRT: i32 = 0x51;
export const ADD: i32 = 0x58;
export const MUL: i32 = 0x59;
export const SUB: i32 = 0x5c;
export const MIN: i32 = 0x5d;
export const DIV: i32 = 0x5e;
export const MAX: i32 = 0x5f;

/** Native operations are allowed at all. */
let fast: bool = false;
/** MXCSR.PE was already set: no need to find out whether a result is inexact. */
let inexactKnown: bool = false;

/** Takes control from MXCSR; the operations between this and `endSse` accumulate exceptions. */
export function beginSse(): void {
  const mxcsr = load<u32>(MXCSR);
  setControl(<i32>((mxcsr >> 13) & 3), <i32>((mxcsr >> 7) & 0x3f), (mxcsr & 0x8000) != 0, (mxcsr & 0x40) != 0, false, 64);
  // PM set, RC = 0
  fast = (mxcsr & 0x7000) == 0x1000;
  inexactKnown = (mxcsr & <u32>INEXACT) != 0;
}

/** Merges the exceptions into MXCSR; answers true when none is unmasked, so that the result may be written. */
export function endSse(): bool {
  if (raised == 0) return true;
  // A vector whose one element stops before the operation reports nothing found after it. SDM vol 1, 11.5.3.
  if ((raised & ~masks & BEFORE) != 0) setRaised(raised & BEFORE);
  store<u32>(MXCSR, load<u32>(MXCSR) | <u32>raised);
  return (raised & ~masks) == 0;
}

@inline
function ordinary64(x: u64): bool {
  return ((x >> 52) & 0x7ff) - 1 < 0x7fe || x << 1 == 0;
}

@inline
function ordinary32(x: u32): bool {
  return ((x >> 23) & 0xff) - 1 < 0xfe || x << 1 == 0;
}

/** Far enough from both ends that neither underflow nor overflow took part: the smallest normal number is left out. */
@inline
function clear64(x: u64): bool {
  return ((x >> 52) & 0x7ff) - 2 < 0x7fd;
}

@inline
function clear32(x: u32): bool {
  return ((x >> 23) & 0xff) - 2 < 0xfd;
}

/** Significant bits of a normal number's significand. */
@inline
function width64(x: u64): u64 {
  return 53 - ctz(x | 0x10000000000000);
}

export function binary64(op: i32, a: u64, b: u64): u64 {
  if (fast && ordinary64(a) && ordinary64(b)) {
    const x = reinterpret<f64>(a), y = reinterpret<f64>(b);
    switch (op) {
      case ADD:
      case SUB: {
        const z = op == SUB ? -y : y;
        const sum = x + z, r = reinterpret<u64>(sum);
        if (!clear64(r) && r << 1 != 0) break;
        if (!inexactKnown) {
          const back = sum - x;
          if (x - (sum - back) + (z - back) != 0) raise(INEXACT);
        }
        return r;
      }
      case MUL: {
        const r = reinterpret<u64>(x * y);
        if (clear64(r) && (inexactKnown || width64(a) + width64(b) <= 53)) return r;
        break;
      }
      case DIV: {
        const r = reinterpret<u64>(x / y);
        if (clear64(r) && inexactKnown) return r;
        break;
      }
      case MIN:
        return x < y ? a : b;
      case MAX:
        return x > y ? a : b;
    }
  }
  unpackA64(a);
  unpackB64(b);
  if (op == MIN || op == MAX) return takesFirst(op) ? flush64(a) : flush64(b);
  binarySoft(op, 64);
  return pack64();
}

export function binary32(op: i32, a: u32, b: u32): u32 {
  if (fast && ordinary32(a) && ordinary32(b)) {
    const x = reinterpret<f32>(a), y = reinterpret<f32>(b);
    switch (op) {
      case ADD:
      case SUB: {
        const z = op == SUB ? -y : y;
        const sum = x + z, r = reinterpret<u32>(sum);
        if (!clear32(r) && r << 1 != 0) break;
        if (!inexactKnown) {
          const back = sum - x;
          if (x - (sum - back) + (z - back) != 0) raise(INEXACT);
        }
        return r;
      }
      case MUL: {
        const product = x * y, r = reinterpret<u32>(product);
        if (!clear32(r)) break;
        if (<f64>product != <f64>x * <f64>y) raise(INEXACT);
        return r;
      }
      case DIV: {
        const quotient = x / y, r = reinterpret<u32>(quotient);
        if (!clear32(r)) break;
        if (<f64>quotient * <f64>y != <f64>x) raise(INEXACT);
        return r;
      }
      case MIN:
        return x < y ? a : b;
      case MAX:
        return x > y ? a : b;
    }
  }
  unpackA32(a);
  unpackB32(b);
  if (op == MIN || op == MAX) return takesFirst(op) ? flush32(a) : flush32(b);
  binarySoft(op, 32);
  return pack32();
}

function binarySoft(op: i32, format: i32): void {
  switch (op) {
    case ADD:
      add(0, format);
      return;
    case SUB:
      add(1, format);
      return;
    case MUL:
      multiply(format);
      return;
    default:
      divide(format);
  }
}

/** MIN and MAX give the second operand for NaNs (any NaN is INVALID) and for two zeros. */
function takesFirst(op: i32): bool {
  return compare(true) == (op == MIN ? LESS : GREATER);
}

/** What DAZ makes of an operand that is passed on unchanged. */
@inline
function flush64(x: u64): u64 {
  return (load<u32>(MXCSR) & 0x40) != 0 && ((x >> 52) & 0x7ff) == 0 ? x & 0x8000000000000000 : x;
}

@inline
function flush32(x: u32): u32 {
  return (load<u32>(MXCSR) & 0x40) != 0 && ((x >> 23) & 0xff) == 0 ? x & 0x80000000 : x;
}

export function sqrt64(a: u64): u64 {
  if (fast && inexactKnown && a - 0x10000000000000 < 0x7fe0000000000000) {
    return reinterpret<u64>(Math.sqrt(reinterpret<f64>(a)));
  }
  unpackA64(a);
  squareRoot(64);
  return pack64();
}

export function sqrt32(a: u32): u32 {
  if (fast && a - 0x800000 < 0x7f000000) {
    const root = Mathf.sqrt(reinterpret<f32>(a));
    if (<f64>root * <f64>root != <f64>reinterpret<f32>(a)) raise(INEXACT);
    return reinterpret<u32>(root);
  }
  unpackA32(a);
  squareRoot(32);
  return pack32();
}

// ---- conversions

export function widen(a: u32): u64 {
  if (ordinary32(a)) return reinterpret<u64>(<f64>reinterpret<f32>(a));
  unpackA32(a);
  convert(64, true);
  return pack64();
}

export function narrow(a: u64): u32 {
  if (fast && ordinary64(a)) {
    const value = reinterpret<f64>(a), r = reinterpret<u32>(<f32>value);
    if (clear32(r)) {
      if (<f64>reinterpret<f32>(r) != value) raise(INEXACT);
      return r;
    }
  }
  unpackA64(a);
  convert(32, true);
  return pack32();
}

export function integerTo64(value: i64): u64 {
  if (<u64>(value + 0x20000000000000) <= 0x40000000000000) return reinterpret<u64>(<f64>value);
  setInteger(value);
  convert(64, false);
  return pack64();
}

export function integerTo32(value: i64): u32 {
  if (<u64>(value + 0x1000000) <= 0x2000000) return reinterpret<u32>(<f32>value);
  setInteger(value);
  convert(32, false);
  return pack32();
}

/** To a signed integer of `bits` bits, rounding as MXCSR says or, with `truncate`, toward zero. */
export function f64ToInteger(a: u64, bits: i32, truncate: bool): i64 {
  if (truncate && ordinary64(a)) {
    const value = reinterpret<f64>(a), limit: f64 = bits == 32 ? 2147483648 : 9223372036854775808;
    if (value < limit && value > -limit) {
      const r = <i64>value;
      if (<f64>r != value) raise(INEXACT);
      return r;
    }
  }
  unpackA64(a);
  return rounded(bits, truncate);
}

export function f32ToInteger(a: u32, bits: i32, truncate: bool): i64 {
  unpackA32(a);
  return rounded(bits, truncate);
}

function rounded(bits: i32, truncate: bool): i64 {
  const before = rounding;
  if (truncate) setRounding(ROUND_ZERO);
  const r = toInteger(bits);
  setRounding(before);
  return r;
}

/** ROUNDSS and its kin: `control` is their immediate (rounding mode, bit 2 = MXCSR's, bit 3 = no INEXACT). */
function roundA(control: i32): void {
  const before = rounding;
  if ((control & 4) == 0) setRounding(control & 3);
  if (!nanOfA()) roundToIntegral((control & 8) != 0);
  setRounding(before);
}

export function round64(a: u64, control: i32): u64 {
  unpackA64(a);
  roundA(control);
  return pack64();
}

export function round32(a: u32, control: i32): u32 {
  unpackA32(a);
  roundA(control);
  return pack32();
}

// ---- comparison

/** COMISx/UCOMISx: answers ZF, PF, CF in their RFLAGS places. */
export function compareFlags64(a: u64, b: u64, signaling: bool): u32 {
  unpackA64(a);
  unpackB64(b);
  return orderFlags(compare(signaling));
}

export function compareFlags32(a: u32, b: u32, signaling: bool): u32 {
  unpackA32(a);
  unpackB32(b);
  return orderFlags(compare(signaling));
}

export function orderFlags(order: i32): u32 {
  return order == UNORDERED ? 0x45 : order == EQUAL ? 0x40 : order == LESS ? 0x01 : 0;
}

/** CMPxx predicates 0..7: EQ LT LE UNORD NEQ NLT NLE ORD; LT, LE and their negations signal on a quiet NaN. */
function predicate(which: i32): bool {
  const order = compare((which & 3) == 1 || (which & 3) == 2);
  let holds = false;
  switch (which & 3) {
    case 0:
      holds = order == EQUAL;
      break;
    case 1:
      holds = order == LESS;
      break;
    case 2:
      holds = order == LESS || order == EQUAL;
      break;
    default:
      holds = order == UNORDERED;
  }
  return holds != ((which & 4) != 0);
}

export function compareMask64(a: u64, b: u64, which: i32): u64 {
  unpackA64(a);
  unpackB64(b);
  return predicate(which) ? -1 : 0;
}

export function compareMask32(a: u32, b: u32, which: i32): u32 {
  unpackA32(a);
  unpackB32(b);
  return predicate(which) ? -1 : 0;
}

// ---- approximations
//
// Found by measuring every significand on an Intel CPU (family 6, model 143): the argument is cut to 11 (reciprocal) or 10 bits
// (root), the function of the middle of that interval is rounded to 12 bits. Denormals count as zero; there are no exceptions.

/** To 12 significand bits, half away; the result is exact as f32 or below its normal numbers, which gives zero. */
function toTwelveBits(value: f64, sign: u32): u32 {
  const r = reinterpret<u32>(<f32>reinterpret<f64>((reinterpret<u64>(value) + (<u64>1 << 39)) & ~((<u64>1 << 40) - 1)));
  return ((r >> 23) & 0xff) == 0 ? sign : r;
}

/** RCPPS */
export function reciprocal(a: u32): u32 {
  const sign = a & 0x80000000, biased = (a >> 23) & 0xff;
  if (biased == 0) return sign | 0x7f800000;
  if (biased == 0xff) return a << 9 == 0 ? sign : a | 0x400000;
  return toTwelveBits(1 / <f64>reinterpret<f32>((a & 0xfffff000) | 0x800), sign);
}

/** RSQRTPS */
export function reciprocalRoot(a: u32): u32 {
  const sign = a & 0x80000000, biased = (a >> 23) & 0xff;
  if (biased == 0) return sign | 0x7f800000;
  if (biased == 0xff && a << 9 != 0) return a | 0x400000;
  if (sign != 0) return 0xffc00000;
  if (biased == 0xff) return 0;
  return toTwelveBits(1 / Math.sqrt(<f64>reinterpret<f32>((a & 0xffffe000) | 0x1000)), 0);
}
