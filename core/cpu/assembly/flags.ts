// The six arithmetic flags, lazily: an instruction leaves its kind, result and operands (LAZY_*), sign-extended from the
// operand size, so that no formula here needs the size. LAZY_NONE: the flags stand in RFLAGS.
import { LAZY_A, LAZY_B, LAZY_CARRY, LAZY_KIND, LAZY_RESULT, RFLAGS } from '../layout';

export const LAZY_NONE: u32 = 0;
export const LAZY_ADD: u32 = 1;
export const LAZY_SUB: u32 = 2;
export const LAZY_LOGIC: u32 = 3;
export const LAZY_ADC: u32 = 4;
export const LAZY_SBB: u32 = 5;
export const LAZY_INC: u32 = 6; // LAZY_CARRY: CF, which they keep
export const LAZY_DEC: u32 = 7;
export const LAZY_SHL: u32 = 8; // LAZY_A: the operand shifted by one less
export const LAZY_SHR: u32 = 9;
export const LAZY_SAR: u32 = 10;
export const LAZY_MUL: u32 = 11; // LAZY_A: not zero when the upper half is significant
export const LAZY_IMUL64: u32 = 12; // LAZY_A * LAZY_B

export const CF: u64 = 0x001;
export const PF: u64 = 0x004;
export const AF: u64 = 0x010;
export const ZF: u64 = 0x040;
export const SF: u64 = 0x080;
export const OF: u64 = 0x800;
export const ARITHMETIC_FLAGS: u64 = 0x8d5;

/** High half of the signed product. */
export function mulHighSigned(a: i64, b: i64): i64 {
  return <i64>mulHigh(<u64>a, <u64>b) - (a < 0 ? b : 0) - (b < 0 ? a : 0);
}

/** High half of the unsigned product. */
export function mulHigh(a: u64, b: u64): u64 {
  const a0 = a & 0xffffffff;
  const a1 = a >> 32;
  const b0 = b & 0xffffffff;
  const b1 = b >> 32;
  const middle = a1 * b0 + ((a0 * b0) >> 32);
  return a1 * b1 + (middle >> 32) + ((a0 * b1 + (middle & 0xffffffff)) >> 32);
}

// @ts-ignore: decorator
@inline
function kind(): u32 {
  return load<u32>(LAZY_KIND);
}
// @ts-ignore: decorator
@inline
function result(): i64 {
  return load<i64>(LAZY_RESULT);
}
// @ts-ignore: decorator
@inline
function a(): i64 {
  return load<i64>(LAZY_A);
}
// @ts-ignore: decorator
@inline
function b(): i64 {
  return load<i64>(LAZY_B);
}

// @ts-ignore: decorator
@inline
export function isZero(): bool {
  return kind() ? result() == 0 : (load<u32>(RFLAGS) & 0x40) != 0;
}

// @ts-ignore: decorator
@inline
export function isSign(): bool {
  return kind() ? result() < 0 : (load<u32>(RFLAGS) & 0x80) != 0;
}

/** CF. */
// @ts-ignore: decorator
@inline
export function isBelow(): bool {
  return kind() == LAZY_SUB ? <u64>a() < <u64>b() : carrySlow();
}

/** CF or ZF. */
// @ts-ignore: decorator
@inline
export function isBelowOrEqual(): bool {
  return kind() == LAZY_SUB ? <u64>a() <= <u64>b() : carrySlow() || isZero();
}

/** SF != OF. */
// @ts-ignore: decorator
@inline
export function isLess(): bool {
  return kind() == LAZY_SUB ? a() < b() : kind() == LAZY_LOGIC ? result() < 0 : isSign() != isOverflow();
}

/** ZF or SF != OF. */
// @ts-ignore: decorator
@inline
export function isLessOrEqual(): bool {
  return kind() == LAZY_SUB ? a() <= b() : kind() == LAZY_LOGIC ? result() <= 0 : isZero() || isSign() != isOverflow();
}

function carrySlow(): bool {
  switch (kind()) {
    case LAZY_NONE:
      return (load<u32>(RFLAGS) & 1) != 0;
    case LAZY_ADD:
      return <u64>result() < <u64>a();
    case LAZY_SUB:
      return <u64>a() < <u64>b();
    case LAZY_ADC:
      return ((a() & b()) | ((a() | b()) & ~result())) < 0;
    case LAZY_SBB:
      return ((~a() & b()) | ((~a() | b()) & result())) < 0;
    case LAZY_INC:
    case LAZY_DEC:
      return load<u32>(LAZY_CARRY) != 0;
    case LAZY_SHL:
      return a() < 0;
    case LAZY_SHR:
    case LAZY_SAR:
      return (a() & 1) != 0;
    case LAZY_MUL:
      return a() != 0;
    case LAZY_IMUL64:
      return mulHighSigned(a(), b()) != result() >> 63;
  }
  return false;
}

export function isOverflow(): bool {
  switch (kind()) {
    case LAZY_NONE:
      return (load<u32>(RFLAGS) & 0x800) != 0;
    case LAZY_ADD:
    case LAZY_ADC:
      return (~(a() ^ b()) & (a() ^ result())) < 0;
    case LAZY_SUB:
    case LAZY_SBB:
      return ((a() ^ b()) & (a() ^ result())) < 0;
    case LAZY_INC:
      return (~a() & result()) < 0;
    case LAZY_DEC:
      return (a() & ~result()) < 0;
    case LAZY_SHL:
      return (a() ^ result()) < 0;
    case LAZY_SHR:
      return a() < 0;
    case LAZY_MUL:
    case LAZY_IMUL64:
      return carrySlow();
  }
  return false;
}

export function isParity(): bool {
  return kind() ? (popcnt<u32>(<u32>result() & 0xff) & 1) == 0 : (load<u32>(RFLAGS) & 4) != 0;
}

function isAdjust(): bool {
  switch (kind()) {
    case LAZY_NONE:
      return (load<u32>(RFLAGS) & 0x10) != 0;
    case LAZY_ADD:
    case LAZY_SUB:
    case LAZY_ADC:
    case LAZY_SBB:
      return ((a() ^ b() ^ result()) & 0x10) != 0;
    case LAZY_INC:
      return (result() & 15) == 0;
    case LAZY_DEC:
      return (result() & 15) == 15;
  }
  return false;
}

/** Condition code of Jcc, SETcc and CMOVcc (SDM vol 2D, table B-10). */
export function condition(code: u32): bool {
  let holds = false;
  switch (code >> 1) {
    case 0:
      holds = isOverflow();
      break;
    case 1:
      holds = isBelow();
      break;
    case 2:
      holds = isZero();
      break;
    case 3:
      holds = isBelowOrEqual();
      break;
    case 4:
      holds = isSign();
      break;
    case 5:
      holds = isParity();
      break;
    case 6:
      holds = isLess();
      break;
    case 7:
      holds = isLessOrEqual();
      break;
  }
  return holds != <bool>(code & 1);
}

/** The arithmetic flags as RFLAGS bits. */
export function arithmeticFlags(): u64 {
  if (kind() == LAZY_NONE) return load<u64>(RFLAGS) & ARITHMETIC_FLAGS;
  return (
    (carrySlow() ? CF : 0) |
    (isParity() ? PF : 0) |
    (isAdjust() ? AF : 0) |
    (result() == 0 ? ZF : 0) |
    (result() < 0 ? SF : 0) |
    (isOverflow() ? OF : 0)
  );
}

/** The whole RFLAGS; from now on the arithmetic flags stand there. */
export function rflags(): u64 {
  if (kind() != LAZY_NONE) {
    store<u64>(RFLAGS, (load<u64>(RFLAGS) & ~ARITHMETIC_FLAGS) | arithmeticFlags());
    store<u32>(LAZY_KIND, LAZY_NONE);
  }
  return load<u64>(RFLAGS);
}

/** Sets the whole RFLAGS; bit 1 is always one. Checks nothing: which bits may change is the caller's. */
export function setRflags(value: u64): void {
  store<u32>(LAZY_KIND, LAZY_NONE);
  store<u64>(RFLAGS, value | 2);
}

/** Replaces the arithmetic flags of `mask` by those of `value`. */
export function changeFlags(mask: u64, value: u64): void {
  const old = rflags();
  store<u64>(RFLAGS, (old & ~mask) | (value & mask));
}

// @ts-ignore: decorator
@inline
export function setLazy(lazyKind: u32, r: i64, first: i64, second: i64): void {
  store<u32>(LAZY_KIND, lazyKind);
  store<i64>(LAZY_RESULT, r);
  store<i64>(LAZY_A, first);
  store<i64>(LAZY_B, second);
}
