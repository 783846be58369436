// FXSAVE, FXRSTOR, LDMXCSR, STMXCSR (SDM vol 1, 10.5 and table 10-2).
import { FCW, FDP, FIP, FOP, FSW, FTW, MXCSR, XMM } from '../layout';
import { isAligned } from './fp-access';
import { checkRead, checkWrite, readU16, readU32, readU64, readU8, readV128, writeU16, writeU32, writeU64, writeV128 } from './memory';
import { CODE_64, codeMode, faultPending, GP, raiseFault } from './state';
import { lastByte, outsideCanonical, setControlAndStatus } from './x87-environment';
import { stackRegister } from './x87-state';

/** Bits of MXCSR that exist: all exceptions and masks, DAZ, rounding, FTZ. */
const MXCSR_MASK: u32 = 0xffff;

const AT_FCW = 0, AT_FSW = 2, AT_FTW = 4, AT_FOP = 6, AT_FIP = 8, AT_FDP = 16, AT_MXCSR = 24, AT_MXCSR_MASK = 28, AT_ST = 32, AT_XMM = 160;
const IMAGE_BYTES: u32 = 512;

/**
 * FXSAVE finds non-canonical before misaligned, FXRSTOR the other way round; both the last byte before the first, which shows
 * in CR2. With alignment checks on, an address that is no multiple of 4 gives #AC in place of #GP. Seen on silicon; the SDM
 * leaves it open.
 */
function inaccessible(address: u64, write: bool): bool {
  if (write && outsideCanonical(address, IMAGE_BYTES)) return true;
  if (!isAligned(address, 4)) return true;
  if ((address & 15) != 0) {
    raiseFault(GP, 0);
    return true;
  }
  if (outsideCanonical(address, IMAGE_BYTES)) return true;
  const last = lastByte(address, IMAGE_BYTES);
  if (write) checkWrite(last, 1);
  else checkRead(last, 1);
  if (faultPending) return true;
  if (write) checkWrite(address, 1);
  else checkRead(address, 1);
  return faultPending != 0;
}

// @ts-ignore: decorator
@inline
function xmmCount(): i32 {
  return codeMode == CODE_64 ? 16 : 8;
}

/** `wide`: REX.W, pointers of 64 bits. Otherwise they are 32 bits with selectors, which are zero (CPUID.7.EBX[13]). */
export function fxsave(address: u64, wide: bool): void {
  if (inaccessible(address, true)) return;
  writeU16(address + AT_FCW, load<u16>(FCW));
  writeU16(address + AT_FSW, load<u16>(FSW));
  writeU16(address + AT_FTW, load<u8>(FTW));
  writeU16(address + AT_FOP, load<u16>(FOP));
  const pointerMask: u64 = wide ? -1 : 0xffffffff;
  writeU64(address + AT_FIP, load<u64>(FIP) & pointerMask);
  writeU64(address + AT_FDP, load<u64>(FDP) & pointerMask);
  writeU32(address + AT_MXCSR, load<u32>(MXCSR));
  writeU32(address + AT_MXCSR_MASK, MXCSR_MASK);
  for (let i = 0; i < 8; i++) {
    const place = stackRegister(i), at = address + AT_ST + (i << 4);
    writeU64(at, load<u64>(place));
    writeU64(at + 8, load<u16>(place, 8));
  }
  for (let i = 0; i < xmmCount(); i++) writeV128(address + AT_XMM + (i << 4), v128.load(XMM + (i << 4)));
}

export function fxrstor(address: u64, wide: bool): void {
  if (inaccessible(address, false)) return;
  const mxcsr = <u32>readU32(address + AT_MXCSR);
  if ((mxcsr & ~MXCSR_MASK) != 0) {
    raiseFault(GP, 0);
    return;
  }
  store<u32>(MXCSR, mxcsr);
  setControlAndStatus(<u32>readU16(address + AT_FCW), <u32>readU16(address + AT_FSW));
  store<u8>(FTW, <u8>readU8(address + AT_FTW));
  store<u16>(FOP, <u16>readU16(address + AT_FOP) & 0x7ff);
  const pointerMask: u64 = wide ? -1 : 0xffffffff;
  store<u64>(FIP, readU64(address + AT_FIP) & pointerMask);
  store<u64>(FDP, readU64(address + AT_FDP) & pointerMask);
  for (let i = 0; i < 8; i++) {
    const place = stackRegister(i), at = address + AT_ST + (i << 4);
    store<u64>(place, readU64(at));
    store<u16>(place, <u16>readU16(at + 8), 8);
  }
  for (let i = 0; i < xmmCount(); i++) v128.store(XMM + (i << 4), readV128(address + AT_XMM + (i << 4)));
}

export function ldmxcsr(address: u64): void {
  const value = <u32>readU32(address);
  if (faultPending) return;
  if ((value & ~MXCSR_MASK) != 0) raiseFault(GP, 0);
  else store<u32>(MXCSR, value);
}

export function stmxcsr(address: u64): void {
  writeU32(address, load<u32>(MXCSR));
}
