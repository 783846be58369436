// Two-operand arithmetic and logic, INC, DEC, NEG, NOT, TEST, XADD, CMPXCHG: the generic forms (any size, mode and operand).
// The hot forms are specialised in generate-cases.mjs.
import { LAZY_CARRY, RAX, RBX, RCX, RDX } from '../layout';
import {
  LAZY_ADC, LAZY_ADD, LAZY_DEC, LAZY_INC, LAZY_LOGIC, LAZY_SBB, LAZY_SUB, ZF, changeFlags, isBelow, setLazy,
} from './flags';
import { checkWrite, readForWriteU64, readU64, writeU64 } from './memory';
import { loadFirst, operandAddress, readFirst, readRegister, readSecond, storeFirst, sx, writeRegister } from './operands';
import { F_MEM1, R_FLAGS, R_REG2, sizeLog2 } from './record';
import { GP, faultPending, raiseFault } from './state';

export function opAdd(record: usize): void {
  const size = sizeLog2(record);
  const a = sx(loadFirst(record, size), size);
  const b = sx(readSecond(record, size), size);
  if (faultPending) return;
  const r = sx(a + b, size);
  storeFirst(record, size, r);
  setLazy(LAZY_ADD, r, a, b);
}

export function opAdc(record: usize): void {
  const size = sizeLog2(record);
  const a = sx(loadFirst(record, size), size);
  const b = sx(readSecond(record, size), size);
  if (faultPending) return;
  const r = sx(a + b + <i64>isBelow(), size);
  storeFirst(record, size, r);
  setLazy(LAZY_ADC, r, a, b);
}

export function opSub(record: usize): void {
  const size = sizeLog2(record);
  const a = sx(loadFirst(record, size), size);
  const b = sx(readSecond(record, size), size);
  if (faultPending) return;
  const r = sx(a - b, size);
  storeFirst(record, size, r);
  setLazy(LAZY_SUB, r, a, b);
}

export function opSbb(record: usize): void {
  const size = sizeLog2(record);
  const a = sx(loadFirst(record, size), size);
  const b = sx(readSecond(record, size), size);
  if (faultPending) return;
  const r = sx(a - b - <i64>isBelow(), size);
  storeFirst(record, size, r);
  setLazy(LAZY_SBB, r, a, b);
}

export function opCmp(record: usize): void {
  const size = sizeLog2(record);
  const a = sx(readFirst(record, size), size);
  const b = sx(readSecond(record, size), size);
  if (!faultPending) setLazy(LAZY_SUB, sx(a - b, size), a, b);
}

export function opTest(record: usize): void {
  const size = sizeLog2(record);
  const a = sx(readFirst(record, size), size);
  const b = sx(readSecond(record, size), size);
  if (!faultPending) setLazy(LAZY_LOGIC, a & b, 0, 0);
}

export function opAnd(record: usize): void {
  const size = sizeLog2(record);
  const a = sx(loadFirst(record, size), size);
  const b = sx(readSecond(record, size), size);
  if (faultPending) return;
  storeFirst(record, size, a & b);
  setLazy(LAZY_LOGIC, a & b, 0, 0);
}

export function opOr(record: usize): void {
  const size = sizeLog2(record);
  const a = sx(loadFirst(record, size), size);
  const b = sx(readSecond(record, size), size);
  if (faultPending) return;
  storeFirst(record, size, a | b);
  setLazy(LAZY_LOGIC, a | b, 0, 0);
}

export function opXor(record: usize): void {
  const size = sizeLog2(record);
  const a = sx(loadFirst(record, size), size);
  const b = sx(readSecond(record, size), size);
  if (faultPending) return;
  storeFirst(record, size, a ^ b);
  setLazy(LAZY_LOGIC, a ^ b, 0, 0);
}

export function opNot(record: usize): void {
  const size = sizeLog2(record);
  const a = loadFirst(record, size);
  if (!faultPending) storeFirst(record, size, ~a);
}

export function opNeg(record: usize): void {
  const size = sizeLog2(record);
  const b = sx(loadFirst(record, size), size);
  if (faultPending) return;
  const r = sx(0 - b, size);
  storeFirst(record, size, r);
  setLazy(LAZY_SUB, r, 0, b);
}

export function opInc(record: usize): void {
  const size = sizeLog2(record);
  const a = sx(loadFirst(record, size), size);
  if (faultPending) return;
  const r = sx(a + 1, size);
  storeFirst(record, size, r);
  store<u32>(LAZY_CARRY, <u32>isBelow());
  setLazy(LAZY_INC, r, a, 0);
}

export function opDec(record: usize): void {
  const size = sizeLog2(record);
  const a = sx(loadFirst(record, size), size);
  if (faultPending) return;
  const r = sx(a - 1, size);
  storeFirst(record, size, r);
  store<u32>(LAZY_CARRY, <u32>isBelow());
  setLazy(LAZY_DEC, r, a, 0);
}

export function opXadd(record: usize): void {
  const size = sizeLog2(record);
  const a = sx(loadFirst(record, size), size);
  if (faultPending) return;
  const source = load<u16>(record, R_REG2);
  const b = sx(readRegister(source, size), size);
  const r = sx(a + b, size);
  // The source is written first: with both the same register the sum stays.
  writeRegister(source, size, a);
  storeFirst(record, size, r);
  setLazy(LAZY_ADD, r, a, b);
}

export function opCmpxchg(record: usize): void {
  const size = sizeLog2(record);
  const old = sx(loadFirst(record, size), size);
  if (faultPending) return;
  const expected = sx(readRegister(RAX, size), size);
  const equal = old == expected;
  if (equal) storeFirst(record, size, readRegister(load<u16>(record, R_REG2), size));
  else {
    // Memory is written back in both cases; a register operand only when it changes.
    if (load<u8>(record, R_FLAGS) & F_MEM1) storeFirst(record, size, old);
    writeRegister(RAX, size, old);
  }
  setLazy(LAZY_SUB, sx(expected - old, size), expected, old);
}

export function opCmpxchg8b(record: usize): void {
  const linear = operandAddress(record, 8, true);
  if (faultPending) return;
  const old = readForWriteU64(linear);
  if (faultPending) return;
  const expected = <u64>load<u32>(RAX) | (<u64>load<u32>(RDX) << 32);
  if (old == expected) {
    writeU64(linear, <u64>load<u32>(RBX) | (<u64>load<u32>(RCX) << 32));
    changeFlags(ZF, ZF);
    return;
  }
  writeU64(linear, old);
  store<u64>(RAX, <u32>old);
  store<u64>(RDX, old >> 32);
  changeFlags(ZF, 0);
}

export function opCmpxchg16b(record: usize): void {
  const linear = operandAddress(record, 16, true);
  if (linear & 15) {
    raiseFault(GP, 0);
    return;
  }
  checkWrite(linear, 16);
  if (faultPending) return;
  const low = readU64(linear);
  const high = readU64(linear + 8);
  if (low == load<u64>(RAX) && high == load<u64>(RDX)) {
    writeU64(linear, load<u64>(RBX));
    writeU64(linear + 8, load<u64>(RCX));
    changeFlags(ZF, ZF);
    return;
  }
  store<u64>(RAX, low);
  store<u64>(RDX, high);
  changeFlags(ZF, 0);
}
