// fpOp: where the interpreter hands over MMX, SSE, x87 and FXSAVE instructions. Chooses the family, and keeps the x87 rules of
// every instruction: who waits for pending exceptions, who raises #NM, and the last-instruction pointers.
import { CR0, CR4, CS, FDP, FIP, FOP, FSW, SEG_BASE } from '../layout';
import { endAccess } from './fp-access';
import { fxrstor, fxsave, ldmxcsr, stmxcsr } from './fxsave';
import { C_REG, C_REXW, eaLinear, F_66, F_MEM1, nextRip, R_CODE, R_FLAGS, R_LENGTH, R_OPCODE, regNumber, rmNumber } from './record';
import { sse0f, sse0f38, sse0f3a, sseAvailable, usesMmx } from './sse';
import { CODE_16, codeMode, faultPending, MF, NM, protectedMode, raiseFault, UD } from './state';
import { refusesStore, x87Memory, x87Register } from './x87';

const CR0_MP: u64 = 2;
const CR0_EM: u64 = 4;
const CR0_TS: u64 = 8;
const CR4_OSFXSR: u64 = 0x200;
const STATUS_ES: u32 = 0x80;

/** x87 stores: a bit for each /reg, a byte for each of the escapes D9 DB DD DF. */
const X87_STORES: u32 = 0xcece8ecc;

/** Whether the memory operand of an fp instruction is written: its segment must allow that. */
export function storesToMemory(record: usize): bool {
  const opcode = load<u8>(record, R_OPCODE), reg = regNumber(record) & 7;
  switch (load<u8>(record, R_CODE) & 3) {
    case 0:
      return (opcode & 1) != 0 && ((X87_STORES >> (((opcode >> 1) & 3) * 8 + reg)) & 1) != 0;
    case 1:
      if (opcode == 0xae) return reg == 0 || reg == 3;
  }
  return (load<u8>(record, R_FLAGS) & F_MEM1) != 0;
}

/**
 * Whether the instruction ends before it looks at its memory operand, so that a segment fault of that operand does not count: the unit is
 * not available, an exception is pending, or an unmasked exception keeps an x87 store from being done.
 */
export function endsBeforeOperand(record: usize): bool {
  const code = load<u8>(record, R_CODE), opcode = <i32>load<u8>(record, R_OPCODE), cr0 = load<u64>(CR0);
  if ((cr0 & (CR0_EM | CR0_TS)) != 0) return true;
  if ((code & 3) == 0) {
    const escape = opcode & 7, reg = <i32>regNumber(record) & 7;
    const kind = kindOf(escape, reg, 0, true);
    if ((kind & NO_WAIT) == 0 && (load<u16>(FSW) & STATUS_ES) != 0) return true;
    return kind == 0 && storesToMemory(record) && refusesStore(escape, reg);
  }
  if ((code & 3) == 1 && opcode == 0xae && (regNumber(record) & 7) < 2) return false;
  if (usesMmx(<i32>(code & 3), opcode, <i32>((code >> 2) & 3))) return (load<u16>(FSW) & STATUS_ES) != 0;
  return (load<u64>(CR4) & CR4_OSFXSR) == 0;
}

/** Carries out the instruction of `record`; a fault is left pending, and nothing changed then. */
export function fpOp(record: usize): void {
  const code = load<u8>(record, R_CODE), opcode = <i32>load<u8>(record, R_OPCODE), prefix = <i32>((code >> 2) & 3);
  let known = false;
  switch (code & 3) {
    case 0:
      known = opcode == 0x9b ? wait() : x87(record, opcode & 7);
      break;
    case 1:
      known = opcode == 0xae ? state(record) : sse0f(record, opcode, prefix);
      break;
    case 2:
      known = sse0f38(record, opcode, prefix);
      break;
    default:
      known = sse0f3a(record, opcode, prefix);
  }
  endAccess();
  if (!known) raiseFault(UD, 0);
}

function wait(): bool {
  const cr0 = load<u64>(CR0);
  if ((cr0 & CR0_MP) != 0 && (cr0 & CR0_TS) != 0) raiseFault(NM, 0);
  else if ((load<u16>(FSW) & STATUS_ES) != 0) raiseFault(MF, 0);
  return true;
}

function state(record: usize): bool {
  const reg = regNumber(record) & 7, wide = (load<u8>(record, R_CODE) & C_REXW) != 0;
  if (reg >= 2) {
    if (!sseAvailable()) return true;
    if (reg == 2) ldmxcsr(eaLinear);
    else stmxcsr(eaLinear);
    return true;
  }
  if ((load<u64>(CR0) & (CR0_EM | CR0_TS)) != 0) {
    raiseFault(NM, 0);
    return true;
  }
  if (reg == 0) fxsave(eaLinear, wide);
  else fxrstor(eaLinear, wide);
  return true;
}

/** Control instructions leave FIP, FDP and FOP alone; those among them that do not wait are the second result bit. */
const CONTROL: i32 = 1;
const NO_WAIT: i32 = 2;

function kindOf(escape: i32, reg: i32, rm: i32, memory: bool): i32 {
  if (memory) {
    if (escape == 1) return reg == 6 || reg == 7 ? CONTROL | NO_WAIT : reg >= 4 ? CONTROL : 0;
    if (escape == 5) return reg == 6 || reg == 7 ? CONTROL | NO_WAIT : reg == 4 ? CONTROL : 0;
    return 0;
  }
  if (escape == 3 && reg == 4) return CONTROL | NO_WAIT;
  if (escape == 7 && reg == 4 && rm == 0) return CONTROL | NO_WAIT;
  return 0;
}

function x87(record: usize, escape: i32): bool {
  if ((load<u64>(CR0) & (CR0_EM | CR0_TS)) != 0) {
    raiseFault(NM, 0);
    return true;
  }
  const reg = <i32>regNumber(record) & 7, rm = <i32>rmNumber(record) & 7, memory = (load<u8>(record, R_CODE) & C_REG) == 0;
  const kind = kindOf(escape, reg, rm, memory);
  if ((kind & NO_WAIT) == 0 && (load<u16>(FSW) & STATUS_ES) != 0) {
    raiseFault(MF, 0);
    return true;
  }
  const prefixed = (load<u8>(record, R_FLAGS) & F_66) != 0;
  const wide = (load<u8>(record, R_CODE) & C_REXW) != 0 || (codeMode == CODE_16) == prefixed;
  if (memory ? !x87Memory(escape, reg, eaLinear, wide) : !x87Register(escape, reg, rm)) return false;
  if ((kind & CONTROL) != 0 || faultPending) return true;
  const rip = nextRip - load<u8>(record, R_LENGTH);
  store<u64>(FIP, protectedMode ? rip : rip + load<u64>(CS + SEG_BASE)); // real mode keeps linear addresses
  // FDP and FOP only with an unmasked exception, as CPUID.7.EBX[6] says of FDP.
  if ((load<u16>(FSW) & STATUS_ES) != 0) {
    if (memory) store<u64>(FDP, eaLinear);
    store<u16>(FOP, <u16>((escape << 8) | (memory ? 0 : 0xc0) | (reg << 3) | rm));
  }
  return true;
}
