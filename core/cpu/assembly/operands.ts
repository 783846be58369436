// Operands of the generic handlers: registers and memory by record, with the operand size known at run time only.
// Values are zero-extended; sx() makes them signed. After each access the caller looks at faultPending.
import { RAX } from '../layout';
import {
  readForWriteU16, readForWriteU32, readForWriteU64, readForWriteU8, readU16, readU32, readU64, readU8, writeU16, writeU32, writeU64,
  writeU8,
} from './memory';
import {
  F_IMM, F_MEM1, F_MEM2, R_BASE, R_DISP, R_FLAGS, R_IMM, R_INDEX, R_REG1, R_REG2, R_SCALE, R_SEGBASE, addressSize, segmentOf,
} from './record';
import { linearAddress } from './segments';
import { CODE_64, codeMode, faultPending } from './state';

/** Sign-extends a value of 1 << size bytes. */
// @ts-ignore: decorator
@inline
export function sx(value: u64, size: u32): i64 {
  const shift: u64 = 64 - (<u64>8 << size);
  return <i64>(value << shift) >> shift;
}

/** Cuts a value to 1 << size bytes. */
// @ts-ignore: decorator
@inline
export function zx(value: u64, size: u32): u64 {
  const shift: u64 = 64 - (<u64>8 << size);
  return (value << shift) >> shift;
}

// @ts-ignore: decorator
@inline
export function bitsOf(size: u32): u32 {
  return <u32>8 << size;
}

export function readRegister(place: usize, size: u32): u64 {
  switch (size) {
    case 0:
      return load<u8>(place);
    case 1:
      return load<u16>(place);
    case 2:
      return load<u32>(place);
  }
  return load<u64>(place);
}

/** Writes a register as an instruction does: 32-bit results clear the upper half. */
export function writeRegister(place: usize, size: u32, value: u64): void {
  switch (size) {
    case 0:
      store<u8>(place, <u8>value);
      break;
    case 1:
      store<u16>(place, <u16>value);
      break;
    case 2:
      store<u64>(place, <u32>value);
      break;
    default:
      store<u64>(place, value);
  }
}

export function readMemory(linear: u64, size: u32): u64 {
  switch (size) {
    case 0:
      return readU8(linear);
    case 1:
      return readU16(linear);
    case 2:
      return readU32(linear);
  }
  return readU64(linear);
}

export function readForWrite(linear: u64, size: u32): u64 {
  switch (size) {
    case 0:
      return readForWriteU8(linear);
    case 1:
      return readForWriteU16(linear);
    case 2:
      return readForWriteU32(linear);
  }
  return readForWriteU64(linear);
}

export function writeMemory(linear: u64, size: u32, value: u64): void {
  switch (size) {
    case 0:
      writeU8(linear, value);
      break;
    case 1:
      writeU16(linear, value);
      break;
    case 2:
      writeU32(linear, value);
      break;
    default:
      writeU64(linear, value);
  }
}

/** Cuts an offset to the address size (1, 2, 3: 16, 32, 64 bits). */
// @ts-ignore: decorator
@inline
export function cutAddress(offset: u64, width: u32): u64 {
  return width == 3 ? offset : width == 2 ? offset & 0xffffffff : offset & 0xffff;
}

/** Offset of the memory operand inside its segment. */
export function effectiveOffset(record: usize): u64 {
  const offset =
    load<u64>(load<u16>(record, R_BASE)) +
    (load<u64>(load<u16>(record, R_INDEX)) << load<u8>(record, R_SCALE)) +
    <u64>(<i64>load<i32>(record, R_DISP));
  return cutAddress(offset, addressSize(record));
}

/** Linear address of `bytes` bytes at `offset` of the record's segment; outside 64-bit mode with its checks. */
export function segmentLinear(record: usize, offset: u64, bytes: u32, write: bool): u64 {
  if (codeMode == CODE_64) return offset + load<u64>(load<u16>(record, R_SEGBASE));
  return linearAddress(segmentOf(record), offset, bytes, write);
}

/** Linear address of the memory operand of `bytes` bytes. */
export function operandAddress(record: usize, bytes: u32, write: bool): u64 {
  return segmentLinear(record, effectiveOffset(record), bytes, write);
}

/** Where loadFirst found a memory operand that storeFirst writes back to. */
let place: u64 = 0;

/** Operand 1, to be written back. */
export function loadFirst(record: usize, size: u32): u64 {
  if (!(load<u8>(record, R_FLAGS) & F_MEM1)) return readRegister(load<u16>(record, R_REG1), size);
  place = operandAddress(record, 1 << size, true);
  return faultPending ? 0 : readForWrite(place, size);
}

/** Operand 1, only read. */
export function readFirst(record: usize, size: u32): u64 {
  if (!(load<u8>(record, R_FLAGS) & F_MEM1)) return readRegister(load<u16>(record, R_REG1), size);
  const linear = operandAddress(record, 1 << size, false);
  return faultPending ? 0 : readMemory(linear, size);
}

/** Writes operand 1 after loadFirst: cannot fault any more. */
export function storeFirst(record: usize, size: u32, value: u64): void {
  if (load<u8>(record, R_FLAGS) & F_MEM1) writeMemory(place, size, value);
  else writeRegister(load<u16>(record, R_REG1), size, value);
}

/** Writes operand 1 without having read it. */
export function writeFirst(record: usize, size: u32, value: u64): void {
  if (!(load<u8>(record, R_FLAGS) & F_MEM1)) {
    writeRegister(load<u16>(record, R_REG1), size, value);
    return;
  }
  const linear = operandAddress(record, 1 << size, true);
  if (!faultPending) writeMemory(linear, size, value);
}

/** The immediate, sign-extended. */
export function immediate(record: usize): i64 {
  return load<u8>(record, R_FLAGS) & (F_MEM1 | F_MEM2) ? <i64>load<i32>(record, R_IMM) : load<i64>(record, R_IMM);
}

/** Operand 2 when it is a register or memory (an immediate is operand 3). */
export function readSource(record: usize, size: u32): u64 {
  if (!(load<u8>(record, R_FLAGS) & F_MEM2)) return readRegister(load<u16>(record, R_REG2), size);
  const linear = operandAddress(record, 1 << size, false);
  return faultPending ? 0 : readMemory(linear, size);
}

/** Operand 2: register, memory or immediate. */
export function readSecond(record: usize, size: u32): u64 {
  if (load<u8>(record, R_FLAGS) & F_IMM) return zx(<u64>immediate(record), size);
  return readSource(record, size);
}

/** Register `number` (0..15). */
// @ts-ignore: decorator
@inline
export function registerPlace(number: u32): usize {
  return RAX + (number << 3);
}
