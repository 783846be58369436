// Bit test, scan and count, BSWAP, MOVBE, CRC32.
import { CF, LAZY_LOGIC, ZF, changeFlags, setLazy } from './flags';
import {
  bitsOf, effectiveOffset, cutAddress, immediate, readForWrite, readMemory, readRegister, readSource, segmentLinear, sx,
  writeFirst, writeMemory, writeRegister,
} from './operands';
import { F_66, F_IMM, F_MEM1, R_FLAGS, R_REG1, R_REG2, addressSize, sizeLog2 } from './record';
import { faultPending } from './state';

const TEST: u32 = 0;
const SET: u32 = 1;
const RESET: u32 = 2;
const COMPLEMENT: u32 = 3;

function changed(value: u64, bit: u64, how: u32): u64 {
  switch (how) {
    case SET:
      return value | bit;
    case RESET:
      return value & ~bit;
    case COMPLEMENT:
      return value ^ bit;
  }
  return value;
}

/** A register offset reaches beyond the operand in memory: it is signed and counts bits from the operand's address. */
function bitTest(record: usize, how: u32): void {
  const size = sizeLog2(record);
  const flags = load<u8>(record, R_FLAGS);
  const offset = flags & F_IMM ? <u64>immediate(record) : readRegister(load<u16>(record, R_REG2), size);
  const within: u64 = offset & (bitsOf(size) - 1);
  const bit: u64 = <u64>1 << within;
  if (!(flags & F_MEM1)) {
    const place = load<u16>(record, R_REG1);
    const value = readRegister(place, size);
    if (how != TEST) writeRegister(place, size, changed(value, bit, how));
    changeFlags(CF, value & bit ? CF : 0);
    return;
  }
  let address = effectiveOffset(record);
  if (!(flags & F_IMM)) {
    const units = sx(offset, size) >> (3 + size);
    address = cutAddress(address + <u64>(units << size), addressSize(record));
  }
  const linear = segmentLinear(record, address, 1 << size, how != TEST);
  if (faultPending) return;
  const value = how == TEST ? readMemory(linear, size) : readForWrite(linear, size);
  if (faultPending) return;
  if (how != TEST) writeMemory(linear, size, changed(value, bit, how));
  changeFlags(CF, value & bit ? CF : 0);
}

export function opBt(record: usize): void {
  bitTest(record, TEST);
}
export function opBts(record: usize): void {
  bitTest(record, SET);
}
export function opBtr(record: usize): void {
  bitTest(record, RESET);
}
export function opBtc(record: usize): void {
  bitTest(record, COMPLEMENT);
}

/** With a zero source the destination is left as it is (AMD documents it, Intel does it); ZF alone is defined. */
export function opBsf(record: usize): void {
  const size = sizeLog2(record);
  const source = readSource(record, size);
  if (faultPending) return;
  if (source) writeRegister(load<u16>(record, R_REG1), size, ctz<u64>(source));
  changeFlags(ZF, source ? 0 : ZF);
}

export function opBsr(record: usize): void {
  const size = sizeLog2(record);
  const source = readSource(record, size);
  if (faultPending) return;
  if (source) writeRegister(load<u16>(record, R_REG1), size, 63 - clz<u64>(source));
  changeFlags(ZF, source ? 0 : ZF);
}

function finishCount(record: usize, size: u32, source: u64, count: u64): void {
  writeRegister(load<u16>(record, R_REG1), size, count);
  changeFlags(CF | ZF, (source ? 0 : CF) | (count ? 0 : ZF));
}

export function opTzcnt(record: usize): void {
  const size = sizeLog2(record);
  const source = readSource(record, size);
  if (!faultPending) finishCount(record, size, source, source ? ctz<u64>(source) : bitsOf(size));
}

export function opLzcnt(record: usize): void {
  const size = sizeLog2(record);
  const source = readSource(record, size);
  if (!faultPending) finishCount(record, size, source, clz<u64>(source) - (64 - bitsOf(size)));
}

export function opPopcnt(record: usize): void {
  const size = sizeLog2(record);
  const source = readSource(record, size);
  if (faultPending) return;
  writeRegister(load<u16>(record, R_REG1), size, popcnt<u64>(source));
  setLazy(LAZY_LOGIC, 0, 0, 0);
  // All other flags are cleared, PF too.
  changeFlags(0x8d5, source ? 0 : ZF);
}

/** 16-bit BSWAP is undefined; silicon gives zero. */
export function opBswap(record: usize): void {
  const size = sizeLog2(record);
  const place = load<u16>(record, R_REG1);
  const value = readRegister(place, size);
  writeRegister(place, size, size == 3 ? bswap<u64>(value) : size == 2 ? bswap<u32>(<u32>value) : 0);
}

export function opMovbe(record: usize): void {
  const size = sizeLog2(record);
  const value = readSource(record, size);
  if (faultPending) return;
  writeFirst(record, size, size == 3 ? bswap<u64>(value) : size == 2 ? bswap<u32>(<u32>value) : bswap<u16>(<u16>value));
}

/** CRC-32C, reflected polynomial 0x82f63b78, one byte. */
function crcByte(crc: u32, byte: u32): u32 {
  crc ^= byte;
  for (let i = 0; i < 8; i++) crc = (crc >> 1) ^ (crc & 1 ? 0x82f63b78 : 0);
  return crc;
}

function crc32(record: usize, size: u32): void {
  let source = readSource(record, size);
  if (faultPending) return;
  const place = load<u16>(record, R_REG1);
  let crc = load<u32>(place);
  for (let i: u32 = 0; i < <u32>1 << size; i++) {
    crc = crcByte(crc, <u32>source & 0xff);
    source >>= 8;
  }
  store<u64>(place, crc);
}

export function opCrc32Byte(record: usize): void {
  crc32(record, 0);
}

/** The destination is never 16 bits wide; the source is with a 66 prefix. */
export function opCrc32(record: usize): void {
  const size = sizeLog2(record);
  crc32(record, size == 2 && load<u8>(record, R_FLAGS) & F_66 ? 1 : size);
}
