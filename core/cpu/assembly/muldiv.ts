// MUL, IMUL, DIV, IDIV and the BCD adjustments.
import { RAX, RDX } from '../layout';
import { AF, CF, LAZY_IMUL64, LAZY_LOGIC, LAZY_MUL, arithmeticFlags, changeFlags, isBelow, mulHigh, mulHighSigned, setLazy } from './flags';
import { immediate, readFirst, readRegister, readSource, sx, writeRegister } from './operands';
import { F_IMM, R_FLAGS, R_IMM, R_REG1, sizeLog2 } from './record';
import { DE, faultPending, raiseFault } from './state';

const AH: usize = RAX + 1;

export function opMul(record: usize): void {
  const size = sizeLog2(record);
  const b = readFirst(record, size);
  if (faultPending) return;
  const a = readRegister(RAX, size);
  const low = a * b;
  if (size == 0) {
    store<u16>(RAX, <u16>low);
    setLazy(LAZY_MUL, sx(low, 0), <i64>(low >> 8), 0);
    return;
  }
  const high = size == 3 ? mulHigh(a, b) : low >> (8 << size);
  writeRegister(RAX, size, low);
  writeRegister(RDX, size, high);
  setLazy(LAZY_MUL, sx(low, size), <i64>high, 0);
}

/** One operand: the double-width product. */
export function opImul1(record: usize): void {
  const size = sizeLog2(record);
  const b = sx(readFirst(record, size), size);
  if (faultPending) return;
  const a = sx(readRegister(RAX, size), size);
  const low = a * b;
  if (size == 3) {
    store<u64>(RAX, low);
    store<u64>(RDX, mulHighSigned(a, b));
    setLazy(LAZY_IMUL64, low, a, b);
    return;
  }
  if (size == 0) store<u16>(RAX, <u16>low);
  else {
    writeRegister(RAX, size, low);
    writeRegister(RDX, size, low >> (8 << size));
  }
  const r = sx(low, size);
  setLazy(LAZY_MUL, r, low ^ r, 0);
}

/** Two and three operands: the product is cut. */
export function opImul(record: usize): void {
  const size = sizeLog2(record);
  const target = load<u16>(record, R_REG1);
  const a = load<u8>(record, R_FLAGS) & F_IMM ? immediate(record) : sx(readRegister(target, size), size);
  const b = sx(readSource(record, size), size);
  if (faultPending) return;
  const product = a * b;
  writeRegister(target, size, product);
  if (size == 3) setLazy(LAZY_IMUL64, product, a, b);
  else {
    const r = sx(product, size);
    setLazy(LAZY_MUL, r, product ^ r, 0);
  }
}

/** Quotient of high:low / divisor for high < divisor; the remainder is left in `remainder`. */
let remainder: u64 = 0;
function divide128(high: u64, low: u64, divisor: u64): u64 {
  if (!high) {
    remainder = low % divisor;
    return low / divisor;
  }
  // Two digits of 32 bits, divisor normalised (Knuth vol 2, 4.3.1, algorithm D).
  const shift = clz<u64>(divisor);
  const d = divisor << shift;
  const dHigh = d >> 32;
  const dLow = d & 0xffffffff;
  const u = shift ? (high << shift) | (low >> (64 - shift)) : high;
  const v = low << shift;
  const q1 = quotientDigit(u, v >> 32, dHigh, dLow);
  const rest = ((u << 32) | (v >> 32)) - q1 * d;
  const q0 = quotientDigit(rest, v & 0xffffffff, dHigh, dLow);
  remainder = (((rest << 32) | (v & 0xffffffff)) - q0 * d) >> shift;
  return (q1 << 32) + q0;
}

/** floor((u * 2^32 + next) / d) for u < d. */
function quotientDigit(u: u64, next: u64, dHigh: u64, dLow: u64): u64 {
  let q = u / dHigh;
  let r = u % dHigh;
  while (q >> 32 || q * dLow > ((r << 32) | next)) {
    q--;
    r += dHigh;
    if (r >> 32) break;
  }
  return q;
}

export function opDiv(record: usize): void {
  const size = sizeLog2(record);
  const divisor = readFirst(record, size);
  if (faultPending) return;
  if (size == 3) {
    const high = load<u64>(RDX);
    if (high >= divisor) {
      raiseFault(DE, 0);
      return;
    }
    store<u64>(RAX, divide128(high, load<u64>(RAX), divisor));
    store<u64>(RDX, remainder);
    return;
  }
  const dividend = dividendOf(size);
  if (!divisor || (dividend / divisor) >> (8 << size)) {
    raiseFault(DE, 0);
    return;
  }
  setQuotient(size, dividend / divisor, dividend % divisor);
}

export function opIdiv(record: usize): void {
  const size = sizeLog2(record);
  const divisor = sx(readFirst(record, size), size);
  if (faultPending) return;
  if (size == 3) {
    divideSigned128(divisor);
    return;
  }
  const dividend = sx(dividendOf(size), size + 1);
  // The one quotient that i64 cannot hold.
  if (!divisor || (divisor == -1 && dividend == i64.MIN_VALUE)) {
    raiseFault(DE, 0);
    return;
  }
  const quotient = dividend / divisor;
  if (sx(quotient, size) != quotient) {
    raiseFault(DE, 0);
    return;
  }
  setQuotient(size, quotient, dividend % divisor);
}

function divideSigned128(divisor: i64): void {
  let high = load<u64>(RDX);
  let low = load<u64>(RAX);
  const negative = <i64>high < 0;
  if (negative) {
    high = ~high + (low == 0 ? 1 : 0);
    low = 0 - low;
  }
  const magnitude: u64 = divisor < 0 ? 0 - divisor : divisor;
  if (high >= magnitude) {
    raiseFault(DE, 0);
    return;
  }
  const quotient = divide128(high, low, magnitude);
  const minus = negative != divisor < 0;
  if (quotient > (minus ? <u64>0x8000000000000000 : <u64>0x7fffffffffffffff)) {
    raiseFault(DE, 0);
    return;
  }
  store<u64>(RAX, minus ? 0 - quotient : quotient);
  store<u64>(RDX, negative ? 0 - remainder : remainder);
}

function dividendOf(size: u32): u64 {
  if (size == 0) return load<u16>(RAX);
  return readRegister(RAX, size) | (readRegister(RDX, size) << (8 << size));
}

function setQuotient(size: u32, quotient: u64, rest: u64): void {
  if (size == 0) {
    store<u8>(RAX, <u8>quotient);
    store<u8>(AH, <u8>rest);
    return;
  }
  writeRegister(RAX, size, quotient);
  writeRegister(RDX, size, rest);
}

// ---------------------------------------------------------------------------------------------------------------------
// BCD (SDM vol 2A: AAA, AAD, AAM, AAS, DAA, DAS). Not in 64-bit mode.

function finishBcd(adjust: bool, carry: bool): void {
  setLazy(LAZY_LOGIC, sx(load<u8>(RAX), 0), 0, 0);
  changeFlags(AF | CF, (adjust ? AF : 0) | (carry ? CF : 0));
}

export function opDaa(record: usize): void {
  const old = load<u8>(RAX);
  const carry = isBelow();
  const adjust = (old & 15) > 9 || (arithmeticFlags() & AF) != 0;
  const high = old > 0x99 || carry;
  store<u8>(RAX, old + (adjust ? 6 : 0) + (high ? 0x60 : 0));
  finishBcd(adjust, high);
}

export function opDas(record: usize): void {
  const old = load<u8>(RAX);
  const carry = isBelow();
  const adjust = (old & 15) > 9 || (arithmeticFlags() & AF) != 0;
  const high = old > 0x99 || carry;
  store<u8>(RAX, old - (adjust ? 6 : 0) - (high ? 0x60 : 0));
  finishBcd(adjust, high || (adjust && old < 6));
}

export function opAaa(record: usize): void {
  const adjust = (load<u8>(RAX) & 15) > 9 || (arithmeticFlags() & AF) != 0;
  if (adjust) store<u16>(RAX, load<u16>(RAX) + 0x106);
  store<u8>(RAX, load<u8>(RAX) & 15);
  finishBcd(adjust, adjust);
}

export function opAas(record: usize): void {
  const adjust = (load<u8>(RAX) & 15) > 9 || (arithmeticFlags() & AF) != 0;
  if (adjust) store<u16>(RAX, load<u16>(RAX) - 0x106);
  store<u8>(RAX, load<u8>(RAX) & 15);
  finishBcd(adjust, adjust);
}

export function opAam(record: usize): void {
  const base = load<u8>(record, R_IMM);
  if (!base) {
    raiseFault(DE, 0);
    return;
  }
  const al = load<u8>(RAX);
  store<u8>(AH, al / base);
  store<u8>(RAX, al % base);
  finishBcd(false, false);
}

export function opAad(record: usize): void {
  const base = load<u8>(record, R_IMM);
  store<u16>(RAX, <u16>(<u8>(load<u8>(RAX) + load<u8>(AH) * base)));
  finishBcd(false, false);
}

export function opSalc(record: usize): void {
  store<u8>(RAX, isBelow() ? 0xff : 0);
}
