// A predecoded instruction: 32 bytes. decode.ts writes it, the loop and the families read it.
//
//   0 u16 handler            16 i32 immediate (sign-extended; mov r64, imm64 and moffs take 16..23 as u64)
//   2 u8  length             20 i32 displacement; branches: u32 target record; far pointers: u16 selector
//   3 u8  flags (F_*)        24 u16 address of the segment base (ZERO_REG when flat); linked branches: i16 cost
//   4 u16 ordinal in its run 26 u8  scale (shift count)
//   6 u16 offset in its page 27 u8  segment 0..5 | address size log2 << 3 | F2 << 5 | F3 << 6 | segment override << 7
//   8 u16 register 1         28 u8  opcode
//  10 u16 register 2         29 u8  map | prefix << 2 (0 none, 1 66, 2 F3, 3 F2) | REX.W << 4 | mod is 3 << 5 | VEX << 6 | LOCK << 7
//  12 u16 base register      30 u8  number of ModRM.reg | number of ModRM.rm << 4, REX included
//  14 u16 index register     31 u8  VEX.vvvv
//
// Registers are addresses in this memory; register 1 and 2 belong to operands 1 and 2 (0 when the operand is none).
import { ES, SEGMENT_SIZE } from '../layout';

export const RECORD_SIZE: usize = 32;

export const R_HANDLER: usize = 0;
export const R_LENGTH: usize = 2;
export const R_FLAGS: usize = 3;
export const R_ORDINAL: usize = 4;
export const R_OFFSET: usize = 6;
export const R_REG1: usize = 8;
export const R_REG2: usize = 10;
export const R_BASE: usize = 12;
export const R_INDEX: usize = 14;
export const R_IMM: usize = 16;
export const R_DISP: usize = 20;
export const R_TARGET: usize = 20;
export const R_SELECTOR: usize = 20;
export const R_SEGBASE: usize = 24;
export const R_COST: usize = 24;
export const R_SCALE: usize = 26;
export const R_SEGMENT: usize = 27;
export const R_OPCODE: usize = 28;
export const R_CODE: usize = 29;
export const R_MODRM: usize = 30;
export const R_VVVV: usize = 31;

/** Operand size log2 (bits 0..1). */
export const F_SIZE: u32 = 3;
/** Operand 1, operand 2 (or 3) is in memory. */
export const F_MEM1: u32 = 4;
export const F_MEM2: u32 = 8;
/** Operand 2 (of a three-operand form: 3) is the immediate. */
export const F_IMM: u32 = 16;
/** The memory operand goes through SS by default or override. */
export const F_STACK: u32 = 32;
/** The 66 prefix is there. */
export const F_66: u32 = 64;

export const C_REXW: u32 = 16;
export const C_REG: u32 = 32;
export const C_VEX: u32 = 64;
export const C_LOCK: u32 = 128;

/** Linear address of the memory operand, set before systemOp and fpOp are called. */
export let eaLinear: u64 = 0;
export function setEaLinear(linear: u64): void {
  eaLinear = linear;
}
/** rip behind the instruction that systemOp or fpOp carries out. */
export let nextRip: u64 = 0;
export function setNextRip(rip: u64): void {
  nextRip = rip;
}

// @ts-ignore: decorator
@inline
export function sizeLog2(record: usize): u32 {
  return load<u8>(record, R_FLAGS) & F_SIZE;
}

// @ts-ignore: decorator
@inline
export function hasMemory(record: usize): bool {
  return (load<u8>(record, R_FLAGS) & (F_MEM1 | F_MEM2)) != 0;
}

// @ts-ignore: decorator
@inline
export function regNumber(record: usize): u32 {
  return load<u8>(record, R_MODRM) & 15;
}

// @ts-ignore: decorator
@inline
export function rmNumber(record: usize): u32 {
  return load<u8>(record, R_MODRM) >> 4;
}

/** Offset of the memory operand's segment register in the CPU block. */
// @ts-ignore: decorator
@inline
export function segmentOf(record: usize): usize {
  return ES + (load<u8>(record, R_SEGMENT) & 7) * SEGMENT_SIZE;
}

/** 1, 2 or 3: address size 16, 32, 64. */
// @ts-ignore: decorator
@inline
export function addressSize(record: usize): u32 {
  return (load<u8>(record, R_SEGMENT) >> 3) & 3;
}

/** 0 none, 1 F2, 2 F3. */
// @ts-ignore: decorator
@inline
export function repeatPrefix(record: usize): u32 {
  return (load<u8>(record, R_SEGMENT) >> 5) & 3;
}
