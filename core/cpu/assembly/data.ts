// Moves, exchanges, extensions, LEA, flags to AH, XLAT: the generic forms.
import { AF, CF, PF, SF, ZF, changeFlags, condition, isBelow, rflags } from './flags';
import { ES, RAX, RBX, RDX, RFLAGS, SEGMENT_SIZE, SEG_SELECTOR } from '../layout';
import {
  cutAddress, effectiveOffset, loadFirst, operandAddress, readFirst, readMemory, readRegister, readSecond, readSource,
  segmentLinear, storeFirst, sx, writeFirst, writeMemory, writeRegister,
} from './operands';
import { F_MEM1, R_FLAGS, R_IMM, R_OPCODE, R_REG1, R_REG2, addressSize, regNumber, sizeLog2 } from './record';
import { BR, UD, faultPending, protectedMode, raiseFault } from './state';

export function opMov(record: usize): void {
  const size = sizeLog2(record);
  const value = readSecond(record, size);
  if (!faultPending) writeFirst(record, size, value);
}

/** moffs: the whole offset stands in the immediate field. */
function offsetAddress(record: usize, size: u32, write: bool): u64 {
  return segmentLinear(record, cutAddress(load<u64>(record, R_IMM), addressSize(record)), 1 << size, write);
}

export function opMovFromOffset(record: usize): void {
  const size = sizeLog2(record);
  const linear = offsetAddress(record, size, false);
  if (faultPending) return;
  const value = readMemory(linear, size);
  if (!faultPending) writeRegister(RAX, size, value);
}

export function opMovToOffset(record: usize): void {
  const size = sizeLog2(record);
  const linear = offsetAddress(record, size, true);
  if (!faultPending) writeMemory(linear, size, readRegister(RAX, size));
}

/** A store to memory is 16 bits wide whatever the operand size. */
export function opMovFromSegment(record: usize): void {
  const segment = regNumber(record) & 7;
  if (segment > 5) {
    raiseFault(UD, 0);
    return;
  }
  const value = load<u16>(ES + segment * SEGMENT_SIZE + SEG_SELECTOR);
  writeFirst(record, load<u8>(record, R_FLAGS) & F_MEM1 ? 1 : sizeLog2(record), value);
}

export function opMovzx8(record: usize): void {
  const value = readSource(record, 0);
  if (!faultPending) writeRegister(load<u16>(record, R_REG1), sizeLog2(record), value);
}
export function opMovzx16(record: usize): void {
  const value = readSource(record, 1);
  if (!faultPending) writeRegister(load<u16>(record, R_REG1), sizeLog2(record), value);
}
export function opMovsx8(record: usize): void {
  const value = sx(readSource(record, 0), 0);
  if (!faultPending) writeRegister(load<u16>(record, R_REG1), sizeLog2(record), value);
}
export function opMovsx16(record: usize): void {
  const value = sx(readSource(record, 1), 1);
  if (!faultPending) writeRegister(load<u16>(record, R_REG1), sizeLog2(record), value);
}

export function opMovsxd(record: usize): void {
  const size = sizeLog2(record);
  const from: u32 = size == 1 ? 1 : 2;
  const value = sx(readSource(record, from), from);
  if (!faultPending) writeRegister(load<u16>(record, R_REG1), size, value);
}

export function opXchg(record: usize): void {
  const size = sizeLog2(record);
  const first = loadFirst(record, size);
  if (faultPending) return;
  const other = load<u16>(record, R_REG2);
  const second = readRegister(other, size);
  storeFirst(record, size, second);
  writeRegister(other, size, first);
}

export function opLea(record: usize): void {
  writeRegister(load<u16>(record, R_REG1), sizeLog2(record), effectiveOffset(record));
}

/** CBW, CWDE, CDQE. */
export function opCbw(record: usize): void {
  const size = sizeLog2(record);
  writeRegister(RAX, size, sx(load<u64>(RAX), size - 1));
}

/** CWD, CDQ, CQO. */
export function opCwd(record: usize): void {
  const size = sizeLog2(record);
  writeRegister(RDX, size, sx(load<u64>(RAX), size) >> 63);
}

const AH: usize = RAX + 1;

export function opSahf(record: usize): void {
  changeFlags(SF | ZF | AF | PF | CF, load<u8>(AH));
}

export function opLahf(record: usize): void {
  store<u8>(AH, <u8>rflags());
}

export function opXlat(record: usize): void {
  const offset = cutAddress(load<u64>(RBX) + load<u8>(RAX), addressSize(record));
  const linear = segmentLinear(record, offset, 1, false);
  if (faultPending) return;
  const value = readMemory(linear, 0);
  if (!faultPending) store<u8>(RAX, <u8>value);
}

/** The source is read even when the condition is false; a 32-bit destination loses its upper half even then. */
export function opCmov(record: usize): void {
  const size = sizeLog2(record);
  const value = readSource(record, size);
  if (faultPending) return;
  const target = load<u16>(record, R_REG1);
  writeRegister(target, size, condition(load<u8>(record, R_OPCODE) & 15) ? value : readRegister(target, size));
}

export function opSet(record: usize): void {
  writeFirst(record, 0, condition(load<u8>(record, R_OPCODE) & 15) ? 1 : 0);
}

export function opCmc(record: usize): void {
  changeFlags(CF, isBelow() ? 0 : CF);
}
export function opClc(record: usize): void {
  changeFlags(CF, 0);
}
export function opStc(record: usize): void {
  changeFlags(CF, CF);
}
export function opCld(record: usize): void {
  store<u64>(RFLAGS, load<u64>(RFLAGS) & ~0x400);
}
export function opStd(record: usize): void {
  store<u64>(RFLAGS, load<u64>(RFLAGS) | 0x400);
}

/** Bounds are two signed values of the operand size. */
export function opBound(record: usize): void {
  const size = sizeLog2(record);
  const linear = operandAddress(record, 2 << size, false);
  if (faultPending) return;
  const low = sx(readMemory(linear, size), size);
  if (faultPending) return;
  const high = sx(readMemory(linear + (<u64>1 << size), size), size);
  if (faultPending) return;
  const index = sx(readRegister(load<u16>(record, R_REG1), size), size);
  if (index < low || index > high) raiseFault(BR, 0);
}

export function opArpl(record: usize): void {
  if (!protectedMode) {
    raiseFault(UD, 0);
    return;
  }
  const target = readFirst(record, 1);
  if (faultPending) return;
  const wanted = readRegister(load<u16>(record, R_REG2), 1) & 3;
  const adjust = (target & 3) < wanted;
  if (adjust) writeFirst(record, 1, (target & ~3) | wanted);
  if (faultPending) return;
  changeFlags(ZF, adjust ? ZF : 0);
}

/** CLFLUSH and its kin: faults as a load of the byte would. */
export function opTouch(record: usize): void {
  const linear = operandAddress(record, 1, false);
  if (!faultPending) readMemory(linear, 0);
}
