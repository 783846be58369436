// Shifts and rotates, generic forms. Counts are masked to 5 bits (6 for 64-bit operands); a count of 0 changes no flag.
import { RCX } from '../layout';
import { CF, LAZY_LOGIC, LAZY_SAR, LAZY_SHL, LAZY_SHR, OF, changeFlags, isBelow, setLazy } from './flags';
import { bitsOf, loadFirst, readRegister, storeFirst, sx, zx } from './operands';
import { F_IMM, R_FLAGS, R_IMM, R_REG2, sizeLog2 } from './record';
import { faultPending } from './state';

function countOf(record: usize, size: u32): u32 {
  const count: u32 = load<u8>(record, R_FLAGS) & F_IMM ? load<u8>(record, R_IMM) : load<u8>(RCX);
  return count & (size == 3 ? 63 : 31);
}

export function opShl(record: usize): void {
  const size = sizeLog2(record);
  const n = countOf(record, size);
  const a = loadFirst(record, size);
  if (faultPending) return;
  if (!n) {
    storeFirst(record, size, a);
    return;
  }
  const before = sx(a << (n - 1), size);
  const r = sx(before << 1, size);
  storeFirst(record, size, r);
  setLazy(LAZY_SHL, r, before, 0);
}

export function opShr(record: usize): void {
  const size = sizeLog2(record);
  const n = countOf(record, size);
  const a = loadFirst(record, size);
  if (faultPending) return;
  if (!n) {
    storeFirst(record, size, a);
    return;
  }
  const before = a >> (n - 1);
  const r = sx(before >> 1, size);
  storeFirst(record, size, r);
  setLazy(LAZY_SHR, r, sx(before, size), 0);
}

export function opSar(record: usize): void {
  const size = sizeLog2(record);
  const n = countOf(record, size);
  const a = sx(loadFirst(record, size), size);
  if (faultPending) return;
  if (!n) {
    storeFirst(record, size, a);
    return;
  }
  const before = a >> (n - 1);
  storeFirst(record, size, before >> 1);
  setLazy(LAZY_SAR, before >> 1, before, 0);
}

function setCarryOverflow(carry: bool, overflow: bool): void {
  changeFlags(CF | OF, (carry ? CF : 0) | (overflow ? OF : 0));
}

/** OF after a right rotate: the two top bits of the result differ. */
function topBitsDiffer(r: u64, bits: u32): bool {
  return (((r >> (bits - 1)) ^ (r >> (bits - 2))) & 1) != 0;
}

export function opRol(record: usize): void {
  const size = sizeLog2(record);
  const bits = bitsOf(size);
  const n = countOf(record, size);
  const a = loadFirst(record, size);
  if (faultPending) return;
  const k: u64 = n & (bits - 1);
  const r = k ? zx((a << k) | (a >> (bits - k)), size) : a;
  storeFirst(record, size, r);
  if (n) setCarryOverflow((r & 1) != 0, (((r >> (bits - 1)) ^ r) & 1) != 0);
}

export function opRor(record: usize): void {
  const size = sizeLog2(record);
  const bits = bitsOf(size);
  const n = countOf(record, size);
  const a = loadFirst(record, size);
  if (faultPending) return;
  const k: u64 = n & (bits - 1);
  const r = k ? zx((a >> k) | (a << (bits - k)), size) : a;
  storeFirst(record, size, r);
  if (n) setCarryOverflow(((r >> (bits - 1)) & 1) != 0, topBitsDiffer(r, bits));
}

export function opRcl(record: usize): void {
  const size = sizeLog2(record);
  const bits = bitsOf(size);
  const n = countOf(record, size) % (bits + 1);
  let r = loadFirst(record, size);
  if (faultPending) return;
  if (!n) {
    storeFirst(record, size, r);
    return;
  }
  let carry: u64 = <u64>isBelow();
  for (let i: u32 = 0; i < n; i++) {
    const out = (r >> (bits - 1)) & 1;
    r = zx((r << 1) | carry, size);
    carry = out;
  }
  storeFirst(record, size, r);
  setCarryOverflow(carry != 0, ((r >> (bits - 1)) & 1) != carry);
}

export function opRcr(record: usize): void {
  const size = sizeLog2(record);
  const bits = bitsOf(size);
  const n = countOf(record, size) % (bits + 1);
  let r = loadFirst(record, size);
  if (faultPending) return;
  if (!n) {
    storeFirst(record, size, r);
    return;
  }
  let carry: u64 = <u64>isBelow();
  for (let i: u32 = 0; i < n; i++) {
    const out = r & 1;
    r = (r >> 1) | (carry << (bits - 1));
    carry = out;
  }
  storeFirst(record, size, r);
  setCarryOverflow(carry != 0, topBitsDiffer(r, bits));
}

/** The upper `bits` bits of a:b shifted left by n < bits; 16-bit operands with n > 16 go round through `a` again. */
function doubleLeft(a: u64, b: u64, n: u32, size: u32): u64 {
  if (!n) return a;
  const bits = bitsOf(size);
  if (size == 1) return zx(((a << 32) | (b << 16) | a) >> (32 - n), 1);
  return zx((a << n) | (b >> (bits - n)), size);
}

function doubleRight(a: u64, b: u64, n: u32, size: u32): u64 {
  if (!n) return a;
  const bits = bitsOf(size);
  if (size == 1) return zx(((a << 32) | (b << 16) | a) >> n, 1);
  return zx((a >> n) | (b << (bits - n)), size);
}

export function opShld(record: usize): void {
  const size = sizeLog2(record);
  const n = countOf(record, size);
  const a = loadFirst(record, size);
  if (faultPending) return;
  if (!n) {
    storeFirst(record, size, a);
    return;
  }
  const b = readRegister(load<u16>(record, R_REG2), size);
  const before = sx(doubleLeft(a, b, n - 1, size), size);
  const r = sx(doubleLeft(a, b, n, size), size);
  storeFirst(record, size, r);
  setLazy(LAZY_SHL, r, before, 0);
}

export function opShrd(record: usize): void {
  const size = sizeLog2(record);
  const n = countOf(record, size);
  const a = loadFirst(record, size);
  if (faultPending) return;
  if (!n) {
    storeFirst(record, size, a);
    return;
  }
  const b = readRegister(load<u16>(record, R_REG2), size);
  const before = doubleRight(a, b, n - 1, size);
  const r = doubleRight(a, b, n, size);
  storeFirst(record, size, r);
  setLazy(LAZY_LOGIC, sx(r, size), 0, 0);
  setCarryOverflow((before & 1) != 0, topBitsDiffer(r, bitsOf(size)));
}
