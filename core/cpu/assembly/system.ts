// The system instructions (opcode rows of class `system`): operands, privilege, and the call of what carries them out.
//
// systemOp is called with RIP at the instruction, nextRip behind it, and eaLinear for a memory operand. It gives CONTINUE with
// RIP moved (to nextRip or the target), LEAVE to end run() with EXIT_KIND set; or faultPending is set and nothing has changed.
import {
  ANSWER_MSR, ANSWER_NONE, CPL, CR0, CR4, CS, ES, EXIT_ADDRESS, EXIT_ANSWER, EXIT_HALT, EXIT_HALT_FOREVER, EXIT_HYPERCALL, EXIT_KIND,
  EXIT_LENGTH, EXIT_MSR_READ, EXIT_MSR_WRITE, EXIT_SIZE, EXIT_VALUE, FS, GDTR, GS, IDTR, INTERRUPT_SHADOW, LDTR, DS, RAX, RCX, RDX, REGS,
  RFLAGS, RIP, RSP, RUN_STATE, RUN_STATE_HALTED, RUN_STATE_RUNNING, SEG_BASE, SEG_SELECTOR, SHADOW_RIP, SS, TR, TSC_AUX, CPU,
} from '../layout';
import {
  clearTaskSwitched, isControl, loadMachineStatus, readControl, readDebug, writeControl, writeDebug,
} from './control';
import { cpuid } from './cpuid';
import { updateEvents, wakes } from './events';
import { farCall, farJump, farReturn, interruptReturn, popSelector, popSized, pushSized } from './far';
import { swapGs, systemCall, systemEnter, systemExit, systemReturn } from './fast-calls';
import { rflags, setRflags } from './flags';
import { CONTINUE, LEAVE, softwareInterrupt } from './interrupts';
import { readU16, readU32, readU64, writeU16, writeU32, writeU64 } from './memory';
import { msrValue, readMsr, timeStamp, writeMsr } from './msr';
import { portIn, portOut, stringIn, stringOut } from './ports';
import { nextRandom } from './random';
import {
  addressSize, C_REG, C_REXW, eaLinear, hasMemory, nextRip, R_CODE, R_IMM, R_OPCODE, R_SELECTOR, regNumber, rmNumber, segmentOf, sizeLog2,
} from './record';
import {
  accessRights, isReadable, isWritable, loadLdt, loadSegment, loadTaskRegister, segmentLimitOf, shadowStack,
} from './segments';
import {
  BP, CODE_64, CR0_PE, CR4_FSGSBASE, CR4_SMAP, CR4_TSD, DB, FLAG_AC, FLAG_ID, FLAG_IF, FLAG_IOPL, FLAG_NT, FLAG_RF, FLAG_TF, FLAG_VM, GP, OF,
  UD, codeMode, cpl, faultPending, getRegister, isCanonical, longMode, protectedMode, raiseFault, segmentBase, segmentSelector, setRegister,
  updatePrivilege,
} from './state';
import { flushPage } from './tlb';

const FLAG_ZF: u64 = 0x40;
const ARITHMETIC_FLAGS: u64 = 0x8d5;

// ---------------------------------------------------------------------------------------------------------------------
// Operands

// @ts-ignore: decorator
@inline
function operandSize(record: usize): u32 {
  return <u32>1 << sizeLog2(record);
}

/** Size of near and far stack items: the operand size, of which PUSHF, POPF and segment pops have no 32-bit form in 64-bit mode. */
function advance(): void {
  store<u64>(RIP, nextRip);
}

function read16(record: usize): u32 {
  return <u32>(hasMemory(record) ? readU16(eaLinear) : getRegister(rmNumber(record)) & 0xffff);
}

function setSized(register: u32, value: u64, size: u32): void {
  if (size == 2) value = (getRegister(register) & ~0xffff) | (value & 0xffff);
  else if (size == 4) value &= 0xffffffff;
  setRegister(register, value);
}

/** A selector or status word: memory always gets 16 bits, a register as many as the operand size says. */
function writeWord(record: usize, value: u64): void {
  if (hasMemory(record)) writeU16(eaLinear, value);
  else setSized(rmNumber(record), value, operandSize(record));
}

/** #GP(0) outside ring 0. */
function needRing0(): bool {
  if (cpl() == 0) return true;
  raiseFault(GP, 0);
  return false;
}

/** #UD in real mode: LLDT, LTR, SLDT, STR, LAR, LSL, VERR, VERW. */
function needProtected(): bool {
  if (protectedMode) return true;
  raiseFault(UD, 0);
  return false;
}

function setZero(on: bool): void {
  const flags = rflags();
  setRflags(on ? flags | FLAG_ZF : flags & ~FLAG_ZF);
}

function leave(kind: i32): i32 {
  store<i32>(EXIT_KIND, kind);
  store<u32>(EXIT_LENGTH, <u32>(nextRip - load<u64>(RIP)));
  advance();
  return LEAVE;
}

// ---------------------------------------------------------------------------------------------------------------------

/** Carries out one system instruction, see the head of this file. */
export function systemOp(record: usize): i32 {
  const opcode: u32 = load<u8>(record, R_OPCODE);
  const result = (load<u8>(record, R_CODE) & 3) == 0 ? oneByte(record, opcode) : twoByte(record, opcode);
  return faultPending ? CONTINUE : result;
}

function oneByte(record: usize, opcode: u32): i32 {
  switch (opcode) {
    case 0x07:
      return popSegment(record, ES);
    case 0x17:
      return popSegment(record, SS);
    case 0x1f:
      return popSegment(record, DS);
    case 0x8e:
      return moveToSegment(record);
    case 0xc4:
      return loadPointer(record, ES);
    case 0xc5:
      return loadPointer(record, DS);
    case 0x9a:
      farCall(load<u16>(record, R_SELECTOR), load<u32>(record, R_IMM), operandSize(record), nextRip);
      return CONTINUE;
    case 0xea:
      farJump(load<u16>(record, R_SELECTOR), load<u32>(record, R_IMM));
      return CONTINUE;
    case 0xff:
      return indirectFar(record);
    case 0xca:
      farReturn(operandSize(record), load<u16>(record, R_IMM));
      return CONTINUE;
    case 0xcb:
      farReturn(operandSize(record), 0);
      return CONTINUE;
    case 0xcc:
      softwareInterrupt(BP, nextRip, true);
      return CONTINUE;
    case 0xcd:
      softwareInterrupt(load<u8>(record, R_IMM), nextRip, true);
      return CONTINUE;
    case 0xce:
      if (rflags() & 0x800) softwareInterrupt(OF, nextRip, true);
      else advance();
      return CONTINUE;
    case 0xf1:
      softwareInterrupt(DB, nextRip, false);
      return CONTINUE;
    case 0xcf:
      interruptReturn(operandSize(record));
      return CONTINUE;
    case 0x9c:
      pushSized(rflags() & ~(FLAG_RF | FLAG_VM), operandSize(record));
      if (!faultPending) advance();
      return CONTINUE;
    case 0x9d:
      return popFlags(record);
    case 0xfa:
      if (!mayChangeInterrupts()) return CONTINUE;
      store<u64>(RFLAGS, load<u64>(RFLAGS) & ~FLAG_IF);
      updateEvents();
      advance();
      return CONTINUE;
    case 0xfb:
      return setInterrupts();
    case 0xf4:
      return halt();
  }
  return portOp(record, opcode);
}

function portOp(record: usize, opcode: u32): i32 {
  const size: u32 = opcode & 1 ? min<u32>(operandSize(record), 4) : 1;
  let left = false;
  switch (opcode) {
    case 0xe4:
    case 0xe5:
      left = portIn(load<u8>(record, R_IMM), size);
      break;
    case 0xe6:
    case 0xe7:
      left = portOut(load<u8>(record, R_IMM), size);
      break;
    case 0xec:
    case 0xed:
      left = portIn(load<u16>(RDX), size);
      break;
    case 0xee:
    case 0xef:
      left = portOut(load<u16>(RDX), size);
      break;
    case 0x6c:
    case 0x6d:
      left = stringIn(record, size);
      break;
    case 0x6e:
    case 0x6f:
      left = stringOut(record, size);
      break;
    default:
      raiseFault(UD, 0);
  }
  return left ? LEAVE : CONTINUE;
}

function twoByte(record: usize, opcode: u32): i32 {
  switch (opcode) {
    case 0x00:
      return group6(record);
    case 0x01:
      return group7(record);
    case 0x02:
    case 0x03:
      return aboutSelector(record, opcode == 0x02);
    case 0x05:
      systemCall(nextRip);
      return CONTINUE;
    case 0x07:
      systemReturn((load<u8>(record, R_CODE) & C_REXW) != 0);
      return CONTINUE;
    case 0x34:
      systemEnter();
      return CONTINUE;
    case 0x35:
      systemExit((load<u8>(record, R_CODE) & C_REXW) != 0);
      return CONTINUE;
    case 0x06:
      if (!needRing0()) return CONTINUE;
      clearTaskSwitched();
      advance();
      return CONTINUE;
    case 0x08:
    case 0x09:
      // There is no cache to write back.
      if (needRing0()) advance();
      return CONTINUE;
    case 0x20:
    case 0x21:
    case 0x22:
    case 0x23:
      return moveSpecial(record, opcode);
    case 0x30:
      return wrmsr();
    case 0x32:
      return rdmsr();
    case 0x31:
      return readTimeStamp(false);
    case 0x33:
      // There are no performance counters.
      raiseFault(GP, 0);
      return CONTINUE;
    case 0xa2:
      cpuid();
      advance();
      return CONTINUE;
    case 0xa1:
      return popSegment(record, FS);
    case 0xa9:
      return popSegment(record, GS);
    case 0xb2:
      return loadPointer(record, SS);
    case 0xb4:
      return loadPointer(record, FS);
    case 0xb5:
      return loadPointer(record, GS);
    case 0xae:
      return baseRegister(record);
    case 0xc7:
      return group9(record);
  }
  raiseFault(UD, 0);
  return CONTINUE;
}

// ---------------------------------------------------------------------------------------------------------------------
// Segments

function popSegment(record: usize, segment: usize): i32 {
  const size = operandSize(record);
  const rsp = load<u64>(RSP);
  const selector = popSelector(size);
  if (faultPending) return CONTINUE;
  loadSegment(segment, selector);
  if (faultPending) {
    store<u64>(RSP, rsp);
    return CONTINUE;
  }
  if (segment == SS) {
    shadowStack(nextRip);
    updateEvents();
  }
  advance();
  return CONTINUE;
}

function moveToSegment(record: usize): i32 {
  const number = regNumber(record) & 7;
  // CS cannot be loaded, 6 and 7 do not exist.
  if (number == 1 || number > 5) {
    raiseFault(UD, 0);
    return CONTINUE;
  }
  const selector = read16(record);
  if (faultPending) return CONTINUE;
  const segment = ES + number * 24;
  loadSegment(segment, selector);
  if (faultPending) return CONTINUE;
  if (segment == SS) {
    shadowStack(nextRip);
    updateEvents();
  }
  advance();
  return CONTINUE;
}

function readOffset(size: u32): u64 {
  return size == 8 ? readU64(eaLinear) : size == 4 ? readU32(eaLinear) : readU16(eaLinear);
}

/** LDS and its like: offset and selector from memory. */
function loadPointer(record: usize, segment: usize): i32 {
  const size = operandSize(record);
  const offset = readOffset(size);
  if (faultPending) return CONTINUE;
  const selector = <u32>readU16(eaLinear + size);
  if (faultPending) return CONTINUE;
  loadSegment(segment, selector);
  if (faultPending) return CONTINUE;
  setSized(regNumber(record), offset, size);
  advance();
  return CONTINUE;
}

function indirectFar(record: usize): i32 {
  const size = operandSize(record);
  const offset = readOffset(size);
  if (faultPending) return CONTINUE;
  const selector = <u32>readU16(eaLinear + size);
  if (faultPending) return CONTINUE;
  if ((regNumber(record) & 7) == 3) farCall(selector, offset, size, nextRip);
  else farJump(selector, offset);
  return CONTINUE;
}

/** SLDT STR LLDT LTR VERR VERW. */
function group6(record: usize): i32 {
  if (!needProtected()) return CONTINUE;
  const which = regNumber(record) & 7;
  if (which < 2) {
    writeWord(record, segmentSelector(which == 0 ? LDTR : TR));
    if (!faultPending) advance();
    return CONTINUE;
  }
  if (which < 4 && !needRing0()) return CONTINUE;
  const selector = read16(record);
  if (faultPending) return CONTINUE;
  if (which == 2) loadLdt(selector);
  else if (which == 3) loadTaskRegister(selector);
  else {
    const answer = which == 4 ? isReadable(selector) : isWritable(selector);
    if (!faultPending) setZero(answer);
  }
  if (!faultPending) advance();
  return CONTINUE;
}

function aboutSelector(record: usize, rights: bool): i32 {
  if (!needProtected()) return CONTINUE;
  const selector = read16(record);
  if (faultPending) return CONTINUE;
  const answer = rights ? accessRights(selector) : segmentLimitOf(selector);
  if (faultPending) return CONTINUE;
  setZero(answer >= 0);
  if (answer >= 0) setSized(regNumber(record), <u64>answer, operandSize(record));
  advance();
  return CONTINUE;
}

// ---------------------------------------------------------------------------------------------------------------------
// 0F 01

function group7(record: usize): i32 {
  const which = regNumber(record) & 7;
  if (load<u8>(record, R_CODE) & C_REG) {
    if (which != 4 && which != 6) return group7Register(which, rmNumber(record) & 7);
  }
  switch (which) {
    case 0:
      return storeTable(GDTR);
    case 1:
      return storeTable(IDTR);
    case 2:
      return loadTable(record, GDTR);
    case 3:
      return loadTable(record, IDTR);
    case 4:
      writeWord(record, load<u64>(CR0));
      if (!faultPending) advance();
      return CONTINUE;
    case 6: {
      if (!needRing0()) return CONTINUE;
      const value = read16(record);
      if (!faultPending) loadMachineStatus(value);
      if (!faultPending) advance();
      return CONTINUE;
    }
    case 7:
      if (!needRing0()) return CONTINUE;
      flushPage(eaLinear);
      advance();
      return CONTINUE;
  }
  raiseFault(UD, 0);
  return CONTINUE;
}

function group7Register(which: u32, rm: u32): i32 {
  if ((which == 0 || which == 3) && rm == 1) {
    store<u32>(EXIT_ANSWER, ANSWER_NONE);
    return leave(EXIT_HYPERCALL);
  }
  if (which == 1 && (rm == 2 || rm == 3)) {
    if (cpl() != 0) raiseFault(UD, 0);
    else {
      const flags = load<u64>(RFLAGS);
      store<u64>(RFLAGS, rm == 3 ? flags | FLAG_AC : flags & ~FLAG_AC);
      updatePrivilege();
      advance();
    }
    return CONTINUE;
  }
  if (which == 7 && rm == 0) {
    if (codeMode != CODE_64) raiseFault(UD, 0);
    else swapGs();
    if (!faultPending) advance();
    return CONTINUE;
  }
  if (which == 7 && rm == 1) return readTimeStamp(true);
  raiseFault(UD, 0);
  return CONTINUE;
}

function storeTable(table: usize): i32 {
  const wide = codeMode == CODE_64;
  writeU16(eaLinear, load<u32>(table + 8));
  if (faultPending) return CONTINUE;
  if (wide) writeU64(eaLinear + 2, load<u64>(table));
  else writeU32(eaLinear + 2, load<u64>(table));
  if (!faultPending) advance();
  return CONTINUE;
}

function loadTable(record: usize, table: usize): i32 {
  if (!needRing0()) return CONTINUE;
  const limit = readU16(eaLinear);
  if (faultPending) return CONTINUE;
  let base = codeMode == CODE_64 ? readU64(eaLinear + 2) : readU32(eaLinear + 2);
  if (faultPending) return CONTINUE;
  if (codeMode != CODE_64 && operandSize(record) == 2) base &= 0xffffff;
  if (!isCanonical(base)) {
    raiseFault(GP, 0);
    return CONTINUE;
  }
  store<u64>(table, base);
  store<u32>(table + 8, <u32>limit);
  advance();
  return CONTINUE;
}

// ---------------------------------------------------------------------------------------------------------------------
// Flags, interrupts, HLT

/** #GP(0) unless CPL <= IOPL. */
function mayChangeInterrupts(): bool {
  if (!protectedMode || <u64>cpl() <= (load<u64>(RFLAGS) >> 12 & 3)) return true;
  raiseFault(GP, 0);
  return false;
}

function setInterrupts(): i32 {
  if (!mayChangeInterrupts()) return CONTINUE;
  const flags = load<u64>(RFLAGS);
  if (!(flags & FLAG_IF)) {
    store<u64>(RFLAGS, flags | FLAG_IF);
    store<u8>(INTERRUPT_SHADOW, 1);
    store<u64>(SHADOW_RIP, nextRip);
    updateEvents();
  }
  advance();
  return CONTINUE;
}

function popFlags(record: usize): i32 {
  const size = operandSize(record);
  const value = popSized(size);
  if (faultPending) return CONTINUE;
  const old = rflags();
  let change: u64 = ARITHMETIC_FLAGS | FLAG_TF | FLAG_NT | 0x400;
  if (size > 2) change |= FLAG_AC | FLAG_ID;
  if (!protectedMode || cpl() == 0) change |= FLAG_IOPL | FLAG_IF;
  else if (<u64>cpl() <= (old >> 12 & 3)) change |= FLAG_IF;
  setRflags((old & ~(change | FLAG_RF)) | (value & change));
  if ((old ^ value) & FLAG_AC) updatePrivilege();
  updateEvents();
  advance();
  return CONTINUE;
}

function halt(): i32 {
  if (!needRing0()) return CONTINUE;
  advance();
  store<u8>(INTERRUPT_SHADOW, 0);
  updateEvents();
  if (wakes(CPU)) return CONTINUE;
  store<u8>(RUN_STATE, RUN_STATE_HALTED);
  store<i32>(EXIT_KIND, load<u64>(RFLAGS) & FLAG_IF ? EXIT_HALT : EXIT_HALT_FOREVER);
  return LEAVE;
}

// ---------------------------------------------------------------------------------------------------------------------
// Control and debug registers, MSRs, time

function moveSpecial(record: usize, opcode: u32): i32 {
  const special = regNumber(record);
  // A register that does not exist is #UD in every ring.
  if (opcode & 1 ? special > 7 : !isControl(special)) {
    raiseFault(UD, 0);
    return CONTINUE;
  }
  if (!needRing0()) return CONTINUE;
  const general = rmNumber(record);
  // Outside 64-bit mode the operands have 32 bits.
  const mask: u64 = codeMode == CODE_64 ? 0xffffffffffffffff : 0xffffffff;
  if (opcode >= 0x22) {
    const value = getRegister(general) & mask;
    if (opcode == 0x22) writeControl(special, value);
    else writeDebug(special, value);
  } else {
    const value = opcode == 0x20 ? readControl(special) : readDebug(special);
    if (!faultPending) setRegister(general, value & mask);
  }
  if (!faultPending) advance();
  return CONTINUE;
}

function rdmsr(): i32 {
  if (!needRing0()) return CONTINUE;
  const index = <u32>load<u64>(RCX);
  const known = readMsr(index);
  if (known < 0) return CONTINUE;
  if (known == 0) {
    store<u64>(EXIT_ADDRESS, index);
    store<u32>(EXIT_ANSWER, ANSWER_MSR);
    store<u64>(RAX, 0);
    store<u64>(RDX, 0);
    return leave(EXIT_MSR_READ);
  }
  store<u64>(RAX, msrValue & 0xffffffff);
  store<u64>(RDX, msrValue >> 32);
  advance();
  return CONTINUE;
}

function wrmsr(): i32 {
  if (!needRing0()) return CONTINUE;
  const index = <u32>load<u64>(RCX);
  const value = (load<u64>(RAX) & 0xffffffff) | (load<u64>(RDX) << 32);
  const known = writeMsr(index, value);
  if (known < 0) return CONTINUE;
  if (known == 0) {
    store<u64>(EXIT_ADDRESS, index);
    store<u64>(EXIT_VALUE, value);
    store<u32>(EXIT_ANSWER, ANSWER_NONE);
    return leave(EXIT_MSR_WRITE);
  }
  advance();
  return CONTINUE;
}

function readTimeStamp(withAux: bool): i32 {
  if (load<u64>(CR4) & CR4_TSD && protectedMode && cpl() != 0) {
    raiseFault(GP, 0);
    return CONTINUE;
  }
  const now = timeStamp();
  store<u64>(RAX, now & 0xffffffff);
  store<u64>(RDX, now >> 32);
  if (withAux) store<u64>(RCX, load<u64>(TSC_AUX) & 0xffffffff);
  advance();
  return CONTINUE;
}

/** RDFSBASE RDGSBASE WRFSBASE WRGSBASE. */
function baseRegister(record: usize): i32 {
  if (!(load<u64>(CR4) & CR4_FSGSBASE) || codeMode != CODE_64) {
    raiseFault(UD, 0);
    return CONTINUE;
  }
  const which = regNumber(record) & 7;
  const segment: usize = which & 1 ? GS : FS;
  const size = operandSize(record);
  if (which < 2) setSized(rmNumber(record), segmentBase(segment), size);
  else {
    const value = size == 8 ? getRegister(rmNumber(record)) : getRegister(rmNumber(record)) & 0xffffffff;
    if (!isCanonical(value)) {
      raiseFault(GP, 0);
      return CONTINUE;
    }
    store<u64>(segment + SEG_BASE, value);
  }
  advance();
  return CONTINUE;
}

/** RDRAND, RDSEED, RDPID. */
function group9(record: usize): i32 {
  const isPid = ((load<u8>(record, R_CODE) >> 2) & 3) == 2;
  if (isPid) setRegister(rmNumber(record), load<u64>(TSC_AUX) & 0xffffffff);
  else {
    setSized(rmNumber(record), nextRandom(), operandSize(record));
    setRflags((rflags() & ~ARITHMETIC_FLAGS) | 1);
  }
  advance();
  return CONTINUE;
}
