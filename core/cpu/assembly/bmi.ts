// BMI1, BMI2 and ADX. Operands are 32 or 64 bits wide.
import { RDX } from '../layout';
import { CF, LAZY_LOGIC, OF, changeFlags, isBelow, isOverflow, mulHigh, setLazy } from './flags';
import { bitsOf, immediate, readRegister, readSource, registerPlace, sx, writeRegister, zx } from './operands';
import { R_REG1, R_VVVV, sizeLog2 } from './record';
import { faultPending } from './state';

/** The register that VEX.vvvv names. */
// @ts-ignore: decorator
@inline
function vvvv(record: usize): usize {
  return registerPlace(load<u8>(record, R_VVVV));
}

/** Result with SF and ZF from it, CF as given, OF clear. */
function finish(record: usize, size: u32, r: u64, carry: bool): void {
  writeRegister(load<u16>(record, R_REG1), size, r);
  setLazy(LAZY_LOGIC, sx(r, size), 0, 0);
  if (carry) changeFlags(CF, CF);
}

export function opAndn(record: usize): void {
  const size = sizeLog2(record);
  const source = readSource(record, size);
  if (!faultPending) finish(record, size, ~readRegister(vvvv(record), size) & source, false);
}

export function opBlsr(record: usize): void {
  const size = sizeLog2(record);
  const source = readSource(record, size);
  if (!faultPending) finish(record, size, source & (source - 1), source == 0);
}

export function opBlsmsk(record: usize): void {
  const size = sizeLog2(record);
  const source = readSource(record, size);
  if (!faultPending) finish(record, size, source ^ (source - 1), source == 0);
}

export function opBlsi(record: usize): void {
  const size = sizeLog2(record);
  const source = readSource(record, size);
  if (!faultPending) finish(record, size, source & (0 - source), source != 0);
}

export function opBzhi(record: usize): void {
  const size = sizeLog2(record);
  const source = readSource(record, size);
  if (faultPending) return;
  const bits = bitsOf(size);
  const index = <u32>load<u8>(vvvv(record));
  finish(record, size, index < bits ? source & ((<u64>1 << index) - 1) : source, index >= bits);
}

export function opBextr(record: usize): void {
  const size = sizeLog2(record);
  const source = readSource(record, size);
  if (faultPending) return;
  const control = load<u16>(vvvv(record));
  const start: u32 = control & 0xff;
  const length: u32 = control >> 8;
  const shifted = start < 64 ? source >> start : 0;
  finish(record, size, length < 64 ? shifted & ((<u64>1 << length) - 1) : shifted, false);
}

export function opPext(record: usize): void {
  const size = sizeLog2(record);
  let mask = readSource(record, size);
  if (faultPending) return;
  const source = readRegister(vvvv(record), size);
  let r: u64 = 0;
  for (let bit: u64 = 0; mask; bit++) {
    r |= ((source >> ctz<u64>(mask)) & 1) << bit;
    mask &= mask - 1;
  }
  writeRegister(load<u16>(record, R_REG1), size, r);
}

export function opPdep(record: usize): void {
  const size = sizeLog2(record);
  let mask = readSource(record, size);
  if (faultPending) return;
  let source = readRegister(vvvv(record), size);
  let r: u64 = 0;
  while (mask) {
    r |= (source & 1) << ctz<u64>(mask);
    source >>= 1;
    mask &= mask - 1;
  }
  writeRegister(load<u16>(record, R_REG1), size, r);
}

/** The high half is written last: it wins when both destinations are the same. */
export function opMulx(record: usize): void {
  const size = sizeLog2(record);
  const source = readSource(record, size);
  if (faultPending) return;
  const a = readRegister(RDX, size);
  const low = a * source;
  writeRegister(vvvv(record), size, low);
  writeRegister(load<u16>(record, R_REG1), size, size == 3 ? mulHigh(a, source) : low >> 32);
}

function shiftCount(record: usize, size: u32): u64 {
  return load<u8>(vvvv(record)) & (bitsOf(size) - 1);
}

export function opSarx(record: usize): void {
  const size = sizeLog2(record);
  const source = readSource(record, size);
  if (!faultPending) writeRegister(load<u16>(record, R_REG1), size, sx(source, size) >> shiftCount(record, size));
}

export function opShlx(record: usize): void {
  const size = sizeLog2(record);
  const source = readSource(record, size);
  if (!faultPending) writeRegister(load<u16>(record, R_REG1), size, source << shiftCount(record, size));
}

export function opShrx(record: usize): void {
  const size = sizeLog2(record);
  const source = readSource(record, size);
  if (!faultPending) writeRegister(load<u16>(record, R_REG1), size, source >> shiftCount(record, size));
}

export function opRorx(record: usize): void {
  const size = sizeLog2(record);
  const source = readSource(record, size);
  if (faultPending) return;
  const bits = bitsOf(size);
  const n: u64 = immediate(record) & (bits - 1);
  writeRegister(load<u16>(record, R_REG1), size, n ? zx((source >> n) | (source << (bits - n)), size) : source);
}

function addWithFlag(record: usize, flag: u64, carryIn: bool): void {
  const size = sizeLog2(record);
  const source = readSource(record, size);
  if (faultPending) return;
  const target = load<u16>(record, R_REG1);
  const a = readRegister(target, size);
  const sum = a + source + <u64>carryIn;
  const carry = size == 3 ? (carryIn ? sum <= a : sum < a) : sum >> 32 != 0;
  writeRegister(target, size, sum);
  changeFlags(flag, carry ? flag : 0);
}

export function opAdcx(record: usize): void {
  addWithFlag(record, CF, isBelow());
}

export function opAdox(record: usize): void {
  addWithFlag(record, OF, isOverflow());
}
