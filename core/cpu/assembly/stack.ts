// Stack instructions in every mode. The hot 64-bit register forms are in generate-cases.mjs.
// A stack access that faults leaves rsp as it was.
import { ES, RBP, RSP, SEGMENT_SIZE, SEG_ATTRIBUTES, SEG_SELECTOR, SS } from '../layout';
import { cutAddress, operandAddress, readFirst, readMemory, registerPlace, writeMemory, writeRegister } from './operands';
import { F_IMM, F_MEM1, R_FLAGS, R_IMM, R_OPCODE, R_REG1, sizeLog2 } from './record';
import { linearAddress } from './segments';
import { checkWrite } from './memory';
import { CODE_64, codeMode, faultNonCanonical, faultPending, raiseFault, SS_FAULT, clearFault } from './state';

/** Width of the stack pointer: 1, 2, 3 for 16, 32, 64 bits. */
export function stackWidth(): u32 {
  if (codeMode == CODE_64) return 3;
  return load<u32>(SS + SEG_ATTRIBUTES) & 0x4000 ? 2 : 1;
}

/** Linear address of `bytes` bytes at `offset` of the stack. */
export function stackLinear(offset: u64, bytes: u32, write: bool): u64 {
  return codeMode == CODE_64 ? offset : linearAddress(SS, offset, bytes, write);
}

// @ts-ignore: decorator
@inline
export function stackPointer(): u64 {
  return cutAddress(load<u64>(RSP), stackWidth());
}

export function setStackPointer(offset: u64): void {
  writeRegister(RSP, stackWidth(), offset);
}

/** Writes `value` at the top and moves rsp, unless it faults. */
export function push(value: u64, size: u32): void {
  const offset = cutAddress(load<u64>(RSP) - (<u64>1 << size), stackWidth());
  const linear = stackLinear(offset, 1 << size, true);
  if (faultPending) return;
  writeMemory(linear, size, value);
  if (!faultPending) setStackPointer(offset);
  else asStackFault();
}

/** Reads the value `depth` bytes below the top; does not move rsp. */
export function peek(depth: u32, size: u32): u64 {
  const linear = stackLinear(cutAddress(load<u64>(RSP) + depth, stackWidth()), 1 << size, false);
  if (faultPending) return 0;
  const value = readMemory(linear, size);
  if (faultPending) asStackFault();
  return value;
}

export function dropStack(bytes: u64): void {
  setStackPointer(load<u64>(RSP) + bytes);
}

/** A non-canonical stack address is #SS(0), not #GP(0). */
export function asStackFault(): void {
  if (!faultNonCanonical) return;
  clearFault();
  raiseFault(SS_FAULT, 0);
}

export function opPush(record: usize): void {
  const size = sizeLog2(record);
  const flags = load<u8>(record, R_FLAGS);
  const value: u64 = flags & F_IMM ? load<i64>(record, R_IMM) : readFirst(record, size);
  if (!faultPending) push(value, size);
}

/** Pushes a selector; opcode bits 5..3 name the segment register. A 32-bit push leaves the upper two bytes as they are. */
export function opPushSegment(record: usize): void {
  const selector = load<u16>(ES + ((load<u8>(record, R_OPCODE) >> 3) & 7) * SEGMENT_SIZE + SEG_SELECTOR);
  const size = sizeLog2(record);
  if (size != 2) {
    push(selector, size);
    return;
  }
  const offset = cutAddress(load<u64>(RSP) - 4, stackWidth());
  const linear = stackLinear(offset, 4, true);
  if (faultPending) return;
  writeMemory(linear, 1, selector);
  if (!faultPending) setStackPointer(offset);
}

/** A memory operand's address that uses rsp is computed with rsp already moved. */
export function opPop(record: usize): void {
  const size = sizeLog2(record);
  const value = peek(0, size);
  if (faultPending) return;
  if (!(load<u8>(record, R_FLAGS) & F_MEM1)) {
    dropStack(<u64>1 << size);
    writeRegister(load<u16>(record, R_REG1), size, value);
    return;
  }
  const old = load<u64>(RSP);
  dropStack(<u64>1 << size);
  const linear = operandAddress(record, 1 << size, true);
  if (!faultPending) writeMemory(linear, size, value);
  if (faultPending) store<u64>(RSP, old);
}

export function opPushAll(record: usize): void {
  const size = sizeLog2(record);
  const old = load<u64>(RSP);
  for (let number: u32 = 0; number < 8; number++) {
    push(number == 4 ? old : load<u64>(registerPlace(number)), size);
    if (faultPending) {
      store<u64>(RSP, old);
      return;
    }
  }
}

export function opPopAll(record: usize): void {
  const size = sizeLog2(record);
  // A fault leaves the registers before it loaded, as silicon does; rsp moves at the end.
  for (let i: u32 = 0; i < 8; i++) {
    const value = peek(i << size, size);
    if (faultPending) return;
    if (i != 3) writeRegister(registerPlace(7 - i), size, value);
  }
  dropStack(<u64>8 << size);
}

export function opLeave(record: usize): void {
  const size = sizeLog2(record);
  const old = load<u64>(RSP);
  setStackPointer(load<u64>(RBP));
  const value = peek(0, size);
  if (faultPending) {
    store<u64>(RSP, old);
    return;
  }
  dropStack(<u64>1 << size);
  writeRegister(RBP, size, value);
}

/** SDM vol 2A, ENTER: frame size and nesting level (mod 32). */
export function opEnter(record: usize): void {
  const size = sizeLog2(record);
  const frameSize = load<u16>(record, R_IMM);
  const level = <u32>load<u8>(record, R_IMM + 2) & 31;
  const old = load<u64>(RSP);
  const width = stackWidth();
  push(load<u64>(RBP), size);
  const frame = load<u64>(RSP);
  let chain = load<u64>(RBP);
  for (let i: u32 = 1; i < level && !faultPending; i++) {
    chain = cutAddress(chain - (<u64>1 << size), width);
    const linear = stackLinear(chain, 1 << size, false);
    if (faultPending) break;
    const display = readMemory(linear, size);
    if (!faultPending) push(display, size);
  }
  if (level && !faultPending) push(frame, size);
  const top = cutAddress(load<u64>(RSP) - frameSize, width);
  if (!faultPending) {
    // The last byte of the new frame must be writable.
    const linear = stackLinear(top, 1 << size, true);
    if (!faultPending) checkWrite(linear, 1);
  }
  if (faultPending) {
    asStackFault();
    store<u64>(RSP, old);
    return;
  }
  setStackPointer(top);
  writeRegister(RBP, size, frame);
}
