// Decodes one instruction into a record (record.ts) by the tables that generate.mjs makes from the opcode table.
// Reads its bytes from this memory: the caller has translated them. Knows no addresses beyond the page offset.
import {
  ES, FEATURES_OFF, PAGE_CONSTANT, RAX, RBP, RBX, RCX, RDI, RDX, RIP_PAGE, RSI, SEGMENT_SIZE, SEG_BASE,
  ZERO_REG,
} from '../layout';
import {
  FIRST_ROW, FP_BASE, HAS_MODRM, HOT, H_CALL, H_CALL_64, H_NOTHING, H_OP_Pop, H_OP_Push, H_OP_Xchg, H_RET, H_RET_64, H_TOO_LONG, H_UNDEFINED, OPERAND_ACC,
  OPERAND_AP, OPERAND_B, OPERAND_CL, OPERAND_DX, OPERAND_E, OPERAND_EB, OPERAND_G, OPERAND_GB, OPERAND_IB, OPERAND_IV, OPERAND_IW,
  OPERAND_IZ, OPERAND_JB, OPERAND_JZ, OPERAND_M, OPERAND_NONE, OPERAND_O, OPERAND_ONE, OPERAND_R, OPERAND_XMEM, OPERAND_Z,
  OPERAND_ZB, ROWS, ROW_COUNT,
} from './generated/tables';
import { registerPlace } from './operands';
import {
  C_LOCK, C_REG, C_REXW, C_VEX, F_66, F_IMM, F_MEM1, F_MEM2, F_STACK, RECORD_SIZE, R_BASE, R_CODE, R_DISP, R_FLAGS, R_HANDLER, R_IMM,
  R_INDEX, R_LENGTH, R_MODRM, R_OFFSET, R_OPCODE, R_REG1, R_REG2, R_SCALE, R_SEGBASE, R_SEGMENT, R_SELECTOR, R_VVVV,
} from './record';
import { CODE_16, CODE_64, protectedMode } from './state';

// Bytes of a row in ROWS, see generate.mjs.
const ROW_SIZE: usize = 16;
const ROW_MATCH: usize = 0;
const ROW_MODRM: usize = 1;
const ROW_FLAGS: usize = 2;
const ROW_FEATURE: usize = 3;
const ROW_OPERANDS: usize = 4;
const ROW_SIZE_KIND: usize = 7;
const ROW_HANDLER: usize = 8;
const ROW_HOT: usize = 10;
const ROW_ENDS: u32 = 64;

/** The longest instruction (SDM vol 2A, 2.3.11). */
export const LONGEST: u32 = 15;

const NO_SEGMENT: u32 = 8;

// The instruction being decoded.
let code: usize = 0;
let at: u32 = 0;
let available: u32 = 0;
let short: bool = false;
let mode: i32 = 0;
let rex: u32 = 0;
let rexUsed: bool = false;
let modrm: u32 = 0;
let segment: u32 = NO_SEGMENT;
let addressWidth: u32 = 0;
let size: u32 = 0;
let vvvv: u32 = 0;

/** The record just decoded ends its run. */
export let endsRun: bool = false;

function fetch8(): u32 {
  if (at >= available) {
    short = true;
    return 0;
  }
  return load<u8>(code + at++);
}

function fetch16(): u32 {
  const low = fetch8();
  return low | (fetch8() << 8);
}

function fetch32(): u32 {
  const low = fetch16();
  return low | (fetch16() << 16);
}

/** Sign-extended immediate of the operand size, at most 32 bits. */
function fetchZ(): i64 {
  return size == 1 ? <i64><i16>fetch16() : <i64><i32>fetch32();
}

/** SPL, BPL, SIL, DIL need a REX prefix; without one 4..7 are AH, CH, DH, BH. */
function byteRegister(number: u32): usize {
  return !rexUsed && number >= 4 && number < 8 ? RAX + 1 + ((number - 4) << 3) : registerPlace(number);
}

function matches(row: usize, prefix: u32, isVex: bool): bool {
  const match = load<u8>(row, ROW_MATCH);
  if (((match & 8) != 0) != isVex) return false;
  const wanted = match & 7;
  if (wanted && wanted - 1 != prefix) return false;
  const wantedW = (match >> 4) & 3;
  if (wantedW && wantedW - 1 != rex >> 3) return false;
  const form: u32 = match >> 6;
  if (form && (form == 1) != (modrm >= 0xc0)) return false;
  const fields = load<u8>(row, ROW_MODRM);
  if ((fields & 15) != 15 && (fields & 15) != ((modrm >> 3) & 7)) return false;
  if (fields >> 4 != 15 && fields >> 4 != (modrm & 7)) return false;
  const flags = load<u8>(row, ROW_FLAGS);
  if (flags & (mode == CODE_64 ? 4 : 8)) return false;
  const feature = load<u8>(row, ROW_FEATURE);
  return feature == 255 || !((load<u64>(FEATURES_OFF) >> feature) & 1);
}

/** SDM vol 2A, table 2-1. */
function decodeMemory16(record: usize): void {
  const rm = modrm & 7;
  const mod = modrm >> 6;
  let base: usize = rm == 0 || rm == 1 || rm == 7 ? RBX : RBP;
  let index: usize = rm == 0 || rm == 2 ? RSI : RDI;
  if (rm >= 4) {
    index = ZERO_REG;
    base = rm == 4 ? RSI : rm == 5 ? RDI : rm == 6 ? RBP : RBX;
  }
  let displacement: i32 = 0;
  if (mod == 0 && rm == 6) {
    base = ZERO_REG;
    displacement = fetch16();
  } else if (mod == 1) displacement = <i32><i8>fetch8();
  else if (mod == 2) displacement = fetch16();
  store<u16>(record, <u16>base, R_BASE);
  store<u16>(record, <u16>index, R_INDEX);
  store<i32>(record, displacement, R_DISP);
  if (segment == NO_SEGMENT) segment = base == RBP ? 2 : 3;
}

/** SDM vol 2A, tables 2-2 and 2-3. `ripRelative` is finished when the length is known. */
let ripRelative: bool = false;
function decodeMemory(record: usize): void {
  const mod = modrm >> 6;
  let base = modrm & 7;
  let basePlace: usize = registerPlace(base | ((rex & 1) << 3));
  let indexPlace: usize = ZERO_REG;
  let stack = base == 5 && mod != 0 && !(rex & 1);
  if (base == 4) {
    const sib = fetch8();
    const index = ((sib >> 3) & 7) | ((rex & 2) << 2);
    base = sib & 7;
    basePlace = registerPlace(base | ((rex & 1) << 3));
    if (index != 4) {
      indexPlace = registerPlace(index);
      store<u8>(record, <u8>(sib >> 6), R_SCALE);
    }
    stack = !(rex & 1) && (base == 4 || (base == 5 && mod != 0));
    if (base == 5 && mod == 0) basePlace = ZERO_REG;
  } else if (base == 5 && mod == 0) {
    basePlace = ZERO_REG;
    if (mode == CODE_64) {
      ripRelative = true;
      basePlace = RIP_PAGE;
    }
  }
  let displacement: i32 = 0;
  if (mod == 1) displacement = <i32><i8>fetch8();
  else if (mod == 2 || (base == 5 && mod == 0)) displacement = fetch32();
  store<u16>(record, <u16>basePlace, R_BASE);
  store<u16>(record, <u16>indexPlace, R_INDEX);
  store<i32>(record, displacement, R_DISP);
  if (segment == NO_SEGMENT) segment = stack ? 2 : 3;
}

/** Resolves operand `i` (0..2) of kind `kind` into `record`. */
function decodeOperand(record: usize, kind: u32, i: u32): void {
  let place: usize = 0;
  switch (kind) {
    case OPERAND_NONE:
      return;
    case OPERAND_EB:
    case OPERAND_E:
    case OPERAND_M:
    case OPERAND_XMEM:
      if (modrm < 0xc0) {
        store<u8>(record, load<u8>(record, R_FLAGS) | <u8>(i == 0 ? F_MEM1 : F_MEM2), R_FLAGS);
        return;
      }
      place = kind == OPERAND_EB ? byteRegister((modrm & 7) | ((rex & 1) << 3)) : registerPlace((modrm & 7) | ((rex & 1) << 3));
      break;
    case OPERAND_R:
      place = registerPlace((modrm & 7) | ((rex & 1) << 3));
      break;
    case OPERAND_GB:
      place = byteRegister(((modrm >> 3) & 7) | ((rex & 4) << 1));
      break;
    case OPERAND_G:
      place = registerPlace(((modrm >> 3) & 7) | ((rex & 4) << 1));
      break;
    case OPERAND_ZB:
      place = byteRegister((load<u8>(record, R_OPCODE) & 7) | ((rex & 1) << 3));
      break;
    case OPERAND_Z:
      place = registerPlace((load<u8>(record, R_OPCODE) & 7) | ((rex & 1) << 3));
      break;
    case OPERAND_B:
      if (i != 0) return;
      place = registerPlace(vvvv);
      break;
    case OPERAND_ACC:
      place = RAX;
      break;
    case OPERAND_CL:
      place = RCX;
      break;
    case OPERAND_DX:
      place = RDX;
      break;
    case OPERAND_ONE:
      setImmediate(record, 1);
      return;
    case OPERAND_IB: {
      // ENTER: the second immediate stands above the first.
      const value = <i64><i8>fetch8();
      if (load<u8>(record, R_FLAGS) & F_IMM) store<u8>(record, <u8>value, R_IMM + 2);
      else setImmediate(record, value);
      return;
    }
    case OPERAND_IZ:
      setImmediate(record, fetchZ());
      return;
    case OPERAND_IV:
      if (size == 3) {
        const low = <u64>fetch32();
        setImmediate(record, <i64>(low | (<u64>fetch32() << 32)));
      } else setImmediate(record, fetchZ());
      return;
    case OPERAND_IW:
      setImmediate(record, fetch16());
      return;
    case OPERAND_JB:
      store<i32>(record, <i32><i8>fetch8(), R_IMM);
      return;
    case OPERAND_JZ:
      store<i32>(record, <i32>fetchZ(), R_IMM);
      return;
    case OPERAND_O: {
      let offset: u64 = addressWidth == 1 ? fetch16() : fetch32();
      if (addressWidth == 3) offset |= <u64>fetch32() << 32;
      store<u64>(record, offset, R_IMM);
      if (segment == NO_SEGMENT) segment = 3;
      return;
    }
    case OPERAND_AP:
      store<u32>(record, size == 1 ? fetch16() : fetch32(), R_IMM);
      store<u16>(record, <u16>fetch16(), R_SELECTOR);
      return;
    default:
      return;
  }
  if (i == 0) store<u16>(record, <u16>place, R_REG1);
  else if (!load<u16>(record, R_REG2)) store<u16>(record, <u16>place, R_REG2);
}

/** Without a memory operand the immediate fills the displacement's place too, so that it is read as i64. */
function setImmediate(record: usize, value: i64): void {
  const flags = load<u8>(record, R_FLAGS);
  if (flags & (F_MEM1 | F_MEM2)) store<i32>(record, <i32>value, R_IMM);
  else store<i64>(record, value, R_IMM);
  store<u8>(record, flags | <u8>F_IMM, R_FLAGS);
}

function finishAs(record: usize, handler: u32): u32 {
  store<u16>(record, <u16>handler, R_HANDLER);
  endsRun = true;
  if (at == 0) at = 1;
  store<u8>(record, <u8>at, R_LENGTH);
  return at;
}

/** Too few bytes: 0, or #GP(0) when even 15 were not enough. */
function ranOut(record: usize): u32 {
  return available >= LONGEST ? finishAs(record, H_TOO_LONG) : 0;
}

/** #UD; when bytes are missing, whoever delivers them decodes again. */
function undefined(record: usize): u32 {
  return short ? ranOut(record) : finishAs(record, H_UNDEFINED);
}

function operandSize(row: usize, prefix66: bool): u32 {
  const flags = load<u8>(row, ROW_FLAGS);
  const byPrefix: u32 = (mode == CODE_16) == prefix66 ? 2 : 1;
  switch (load<u8>(row, ROW_SIZE_KIND)) {
    case 0:
      return 0;
    case 2:
      return 1;
    case 3:
      return 2;
    case 4:
      return mode == CODE_64 ? 3 : 2;
    case 5:
      return rex & 8 && mode == CODE_64 ? 3 : 2;
    case 6:
      return byPrefix;
  }
  if (mode != CODE_64) return byPrefix;
  if (flags & 32 || rex & 8) return 3;
  return prefix66 ? 1 : flags & 16 ? 3 : 2;
}

/** Form of the hot cases: RR, RI, RM, MR, MI, the memory forms without and with index and segment base. */
function formOf(record: usize): u32 {
  const flags = load<u8>(record, R_FLAGS);
  const immediate: u32 = flags & F_IMM;
  if (!(flags & (F_MEM1 | F_MEM2))) return immediate ? 1 : 0;
  const simple: u32 = load<u16>(record, R_INDEX) == ZERO_REG && load<u16>(record, R_SEGBASE) == ZERO_REG ? 1 : 0;
  return (flags & F_MEM2 ? 2 : immediate ? 6 : 4) + simple;
}

/** The specialised handler where there is one for these operands in this mode. */
function specialise(record: usize, row: usize, generic: u32): u32 {
  if (mode == CODE_64) {
    if (generic == H_CALL || generic == H_RET || generic == H_OP_Push || generic == H_OP_Pop) {
      // Their hot forms access the stack only.
      if (!(load<u8>(record, R_FLAGS) & F_MEM1)) store<u8>(record, load<u8>(record, R_FLAGS) | <u8>F_STACK, R_FLAGS);
      if (generic == H_CALL) return H_CALL_64;
      if (generic == H_RET) return H_RET_64;
    }
    // Their only memory operand is the stack: a non-canonical address is #SS.
    if ((generic == H_OP_Push || generic == H_OP_Pop) && !(load<u8>(record, R_FLAGS) & (F_MEM1 | F_MEM2)))
      store<u8>(record, load<u8>(record, R_FLAGS) | <u8>F_STACK, R_FLAGS);
  }
  const hot = load<u16>(row, ROW_HOT);
  if (!hot) return generic;
  const flags = load<u8>(record, R_FLAGS);
  if (flags & (F_MEM1 | F_MEM2) && (mode != CODE_64 || addressWidth != 3)) return generic;
  const handler = load<u16>(HOT + ((hot - 1) * 32 + formOf(record) * 4 + size) * 2);
  return handler ? handler : generic;
}

/**
 * Decodes the instruction at `bytes` into `record`; `offset` is its place in the page, `mode_` a CODE_*.
 * Gives its length, or 0 when `limit` bytes (fewer than 15) do not hold it.
 */
export function decode(record: usize, bytes: usize, limit: u32, offset: u32, mode_: i32): u32 {
  code = bytes;
  at = 0;
  available = limit < LONGEST ? limit : LONGEST;
  short = false;
  mode = mode_;
  rex = 0;
  rexUsed = false;
  modrm = 0;
  segment = NO_SEGMENT;
  vvvv = 0;
  ripRelative = false;
  endsRun = false;
  memory.fill(record, 0, RECORD_SIZE);
  store<u16>(record, <u16>offset, R_OFFSET);
  store<u16>(record, ZERO_REG, R_BASE);
  store<u16>(record, ZERO_REG, R_INDEX);
  store<u16>(record, ZERO_REG, R_SEGBASE);

  let prefix66 = false;
  let prefix67 = false;
  let lock = false;
  let repeat: u32 = 0;
  let byte: u32;
  for (;;) {
    byte = fetch8();
    if (short) return ranOut(record);
    if (mode == CODE_64 && (byte & 0xf0) == 0x40) {
      rex = byte & 15;
      rexUsed = true;
      continue;
    }
    if (byte == 0x66) prefix66 = true;
    else if (byte == 0x67) prefix67 = true;
    else if (byte == 0xf0) lock = true;
    else if (byte == 0xf2) repeat = 1;
    else if (byte == 0xf3) repeat = 2;
    else if (byte == 0x64) segment = 4;
    else if (byte == 0x65) segment = 5;
    else if ((byte & 0xe7) == 0x26) {
      if (mode != CODE_64) segment = (byte >> 3) & 3;
    } else break;
    // A REX prefix counts only just before the opcode.
    rex = 0;
    rexUsed = false;
  }

  let map: u32 = 0;
  // 0 none, 1 66, 2 F3, 3 F2: as matches() and R_CODE number them.
  let prefix: u32 = repeat == 2 ? 2 : repeat == 1 ? 3 : prefix66 ? 1 : 0;
  let isVex = false;
  if (byte == 0x0f) {
    byte = fetch8();
    map = 1;
    if (byte == 0x38 || byte == 0x3a) {
      map = byte == 0x38 ? 2 : 3;
      byte = fetch8();
    }
  } else if ((byte == 0xc4 || byte == 0xc5) && (mode == CODE_64 || (protectedMode && at < available && load<u8>(code + at) >= 0xc0))) {
    isVex = true;
    const first = fetch8();
    let second = first;
    if (byte == 0xc4) {
      second = fetch8();
      map = first & 31;
      if (mode == CODE_64) rex = ((first >> 5) ^ 7) & 7;
      if (mode == CODE_64 && second & 0x80) rex |= 8;
    } else {
      map = 1;
      if (mode == CODE_64) rex = first & 0x80 ? 0 : 4;
    }
    vvvv = ~(second >> 3) & (mode == CODE_64 ? 15 : 7);
    byte = fetch8();
    // VEX.L = 1, other prefixes and a REX before it are undefined for all instructions here.
    if (short || prefix66 || repeat || lock || rexUsed || second & 4 || map < 1 || map > 3) return undefined(record);
    prefix = (second & 3) == 1 ? 1 : (second & 3) == 2 ? 2 : (second & 3) == 3 ? 3 : 0;
  }
  if (short) return ranOut(record);

  const key = map * 256 + byte;
  const hasModrm = load<u8>(HAS_MODRM + key) != 0;
  if (hasModrm) modrm = fetch8();
  if (short) return ranOut(record);
  let row: usize = ROWS + <usize>load<u16>(FIRST_ROW + key * 2) * ROW_SIZE;
  let left: u32 = load<u8>(ROW_COUNT + key);
  while (left && !matches(row, prefix, isVex)) {
    row += ROW_SIZE;
    left--;
  }
  if (!left) return undefined(record);

  const rowFlags = load<u8>(row, ROW_FLAGS);
  size = operandSize(row, prefix66);
  addressWidth = mode == CODE_64 ? (prefix67 ? 2 : 3) : (mode == CODE_16) == prefix67 ? 2 : 1;
  store<u8>(record, <u8>byte, R_OPCODE);
  store<u8>(record, <u8>vvvv, R_VVVV);
  store<u8>(record, <u8>(size | (prefix66 ? F_66 : 0)), R_FLAGS);
  const isReg = !hasModrm || modrm >= 0xc0;
  store<u8>(
    record,
    <u8>(map | (prefix << 2) | (rex & 8 ? C_REXW : 0) | (isReg ? C_REG : 0) | (isVex ? C_VEX : 0) | (lock ? C_LOCK : 0)),
    R_CODE,
  );
  store<u8>(record, <u8>(((modrm >> 3) & 7) | ((rex & 4) << 1) | ((modrm & 7) << 4) | ((rex & 1) << 7)), R_MODRM);

  const first = load<u8>(row, ROW_OPERANDS);
  const overridden = segment != NO_SEGMENT;
  // Moves to and from control and debug registers ignore mod.
  if (hasModrm && !isReg && first != OPERAND_R && load<u8>(row, ROW_OPERANDS + 1) != OPERAND_R) {
    if (addressWidth == 1) decodeMemory16(record);
    else decodeMemory(record);
  } else if (isReg && (first == OPERAND_M || load<u8>(row, ROW_OPERANDS + 1) == OPERAND_M)) return undefined(record);
  decodeOperand(record, first, 0);
  decodeOperand(record, load<u8>(row, ROW_OPERANDS + 1), 1);
  decodeOperand(record, load<u8>(row, ROW_OPERANDS + 2), 2);
  if (short) return ranOut(record);
  if (lock && (!(rowFlags & 2) || !(load<u8>(record, R_FLAGS) & F_MEM1))) return undefined(record);

  if (segment == NO_SEGMENT) segment = 3;
  store<u8>(record, <u8>(segment | (addressWidth << 3) | (repeat << 5) | (overridden ? 0x80 : 0)), R_SEGMENT);
  if (segment == 2 && hasModrm && !isReg) store<u8>(record, load<u8>(record, R_FLAGS) | <u8>F_STACK, R_FLAGS);
  if (mode != CODE_64 || segment >= 4) store<u16>(record, <u16>(ES + segment * SEGMENT_SIZE + SEG_BASE), R_SEGBASE);
  if (ripRelative) addPageOffset(record, offset + at);

  let handler: u32 = load<u16>(row, ROW_HANDLER);
  if (handler < FP_BASE) handler = specialise(record, row, handler);
  // XCHG rAX, rAX is NOP: it leaves the upper half of rax alone.
  if (handler == H_OP_Xchg && byte == 0x90 && map == 0 && !(rex & 1)) handler = H_NOTHING;
  store<u16>(record, <u16>handler, R_HANDLER);
  store<u8>(record, <u8>at, R_LENGTH);
  endsRun = (rowFlags & ROW_ENDS) != 0;
  return at;
}

/** rip-relative: the displacement counts from the end of the instruction; the record's base is the page's rip. */
function addPageOffset(record: usize, end: u32): void {
  const displacement = load<i32>(record, R_DISP);
  const sum = <i64>displacement + end;
  if (sum == <i64><i32>sum) {
    store<i32>(record, <i32>sum, R_DISP);
    return;
  }
  // Beyond 31 bits: take a page off and add it as an index register that always holds 4096 (twice when it crosses).
  store<u16>(record, PAGE_CONSTANT, R_INDEX);
  store<u8>(record, 1, R_SCALE);
  store<i32>(record, <i32>(sum - 8192), R_DISP);
}
