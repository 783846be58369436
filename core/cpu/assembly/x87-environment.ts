// The x87 environment and state images: FLDENV, FNSTENV, FRSTOR, FNSAVE in their four layouts (SDM vol 1, figures 8-9 to 8-12), FNINIT.
// As on processors that say so by CPUID.7.EBX[13], the code and data selectors are always stored as zero.
import { FCW, FDP, FIP, FOP, FSW, FTW, ST } from '../layout';
import { isAligned } from './fp-access';
import { checkRead, checkWrite, readU16, readU32, readU64, writeU16, writeU32, writeU64 } from './memory';
import { CODE_64, codeMode, faultPending, isCanonical, protectedMode, raiseNonCanonical } from './state';
import { FINITE, ZERO, aDenormal, aKind, unpackA80 } from './softfloat';
import { stackRegister, updateSummary } from './x87-state';

const SMALL_BYTES: u32 = 14;
const WIDE_BYTES: u32 = 28;
const REGISTER_BYTES: u32 = 10;

export function initialise(): void {
  store<u16>(FCW, 0x37f);
  store<u16>(FSW, 0);
  store<u8>(FTW, 0);
  store<u16>(FOP, 0);
  store<u64>(FIP, 0);
  store<u64>(FDP, 0);
}

/** The two-bit tags that the abridged tag byte and the registers amount to. */
function fullTags(): u32 {
  let tags: u32 = 0;
  for (let i = 0; i < 8; i++) {
    let tag: u32 = 3;
    if (((load<u8>(FTW) >> <u8>i) & 1) != 0) {
      const place = ST + (i << 4);
      unpackA80(load<u16>(place, 8), load<u64>(place));
      tag = aKind == ZERO ? 1 : aKind == FINITE && !aDenormal ? 0 : 2;
    }
    tags |= tag << (i << 1);
  }
  return tags;
}

function putEnvironment(address: u64, wide: bool): void {
  const fip = load<u64>(FIP), fdp = load<u64>(FDP), opcode = <u64>load<u16>(FOP) & 0x7ff;
  const codePart = protectedMode ? 0 : (((fip >> 16) & 0xffff) << 12) | opcode;
  const dataPart = protectedMode ? 0 : ((fdp >> 16) & 0xffff) << 12;
  if (wide) {
    const high: u64 = 0xffff0000;
    writeU32(address, high | load<u16>(FCW));
    writeU32(address + 4, high | load<u16>(FSW));
    writeU32(address + 8, high | fullTags());
    writeU32(address + 12, protectedMode ? fip & 0xffffffff : fip & 0xffff);
    writeU32(address + 16, protectedMode ? opcode << 16 : codePart & 0xffffffff);
    writeU32(address + 20, protectedMode ? fdp & 0xffffffff : fdp & 0xffff);
    writeU32(address + 24, protectedMode ? high : dataPart & 0xffffffff);
  } else {
    writeU16(address, load<u16>(FCW));
    writeU16(address + 2, load<u16>(FSW));
    writeU16(address + 4, fullTags());
    writeU16(address + 6, fip & 0xffff);
    writeU16(address + 8, codePart & 0xffff);
    writeU16(address + 10, fdp & 0xffff);
    writeU16(address + 12, dataPart & 0xffff);
  }
}

function getEnvironment(address: u64, wide: bool): void {
  let control: u64, status: u64, tags: u64, fip: u64, code: u64, fdp: u64, data: u64;
  if (wide) {
    control = readU32(address);
    status = readU32(address + 4);
    tags = readU32(address + 8);
    fip = readU32(address + 12);
    code = readU32(address + 16);
    fdp = readU32(address + 20);
    data = readU32(address + 24);
  } else {
    control = readU16(address);
    status = readU16(address + 2);
    tags = readU16(address + 4);
    fip = readU16(address + 6);
    code = readU16(address + 8);
    fdp = readU16(address + 10);
    data = readU16(address + 12);
  }
  if (!protectedMode) {
    store<u16>(FOP, <u16>(code & 0x7ff));
    fip = (fip & 0xffff) | (((code >> 12) & 0xffff) << 16);
    fdp = (fdp & 0xffff) | (((data >> 12) & 0xffff) << 16);
  } else if (wide) {
    store<u16>(FOP, <u16>((code >> 16) & 0x7ff));
  }
  store<u64>(FIP, fip);
  store<u64>(FDP, fdp);
  setControlAndStatus(<u32>control, <u32>status);
  let full: u32 = 0;
  for (let i = 0; i < 8; i++) if (((tags >> (i << 1)) & 3) != 3) full |= 1 << i;
  store<u8>(FTW, <u8>full);
}

/** What every load of FCW and FSW makes of their reserved bits. */
export function setControlAndStatus(control: u32, status: u32): void {
  store<u16>(FCW, <u16>((control & 0x1f3f) | 0x40));
  store<u16>(FSW, <u16>status);
  updateSummary();
}

// @ts-ignore: decorator
@inline
function environmentBytes(wide: bool): u32 {
  return wide ? WIDE_BYTES : SMALL_BYTES;
}

/** The whole range must be canonical before any of it is looked at. */
export function outsideCanonical(address: u64, bytes: u32): bool {
  if (codeMode != CODE_64 || (isCanonical(address) && isCanonical(address + bytes - 1))) return false;
  raiseNonCanonical();
  return true;
}

/** Faults as a load of 10 bytes. */
export function checkTen(address: u64): void {
  if (!outsideCanonical(address, 10) && isAligned(address, 8)) checkRead(address, 10);
}

/** Faults as an access to a whole image: its first item, then its last byte, which shows in CR2 (seen on silicon). */
function checkImage(address: u64, bytes: u32, wide: bool, write: bool): void {
  const item = wide ? 4 : 2, last = lastByte(address, bytes);
  if (!isAligned(address, item)) return;
  if (write) checkWrite(address, item);
  else checkRead(address, item);
  if (faultPending) return;
  if (write) checkWrite(last, 1);
  else checkRead(last, 1);
}

export function lastByte(address: u64, bytes: u32): u64 {
  const last = address + bytes - 1;
  return codeMode == CODE_64 ? last : last & 0xffffffff;
}

export function loadEnvironment(address: u64, wide: bool): void {
  checkImage(address, environmentBytes(wide), wide, false);
  if (faultPending) return;
  getEnvironment(address, wide);
}

export function storeEnvironment(address: u64, wide: bool): void {
  checkImage(address, environmentBytes(wide), wide, true);
  if (faultPending) return;
  putEnvironment(address, wide);
  store<u16>(FCW, load<u16>(FCW) | 0x3f);
  updateSummary();
}

export function saveState(address: u64, wide: bool): void {
  const bytes = environmentBytes(wide);
  checkImage(address, bytes + 8 * REGISTER_BYTES, wide, true);
  if (faultPending) return;
  putEnvironment(address, wide);
  for (let i = 0; i < 8; i++) {
    const place = stackRegister(i), at = address + bytes + i * REGISTER_BYTES;
    writeU64(at, load<u64>(place));
    writeU16(at + 8, load<u16>(place, 8));
  }
  initialise();
}

export function restoreState(address: u64, wide: bool): void {
  const bytes = environmentBytes(wide);
  checkImage(address, bytes + 8 * REGISTER_BYTES, wide, false);
  if (faultPending) return;
  getEnvironment(address, wide);
  for (let i = 0; i < 8; i++) {
    const place = stackRegister(i), at = address + bytes + i * REGISTER_BYTES;
    store<u64>(place, readU64(at));
    store<u16>(place, <u16>readU16(at + 8), 8);
  }
}
