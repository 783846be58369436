// The x87 register stack, its control, status and tag words, and how an instruction begins and ends.
// Does not know instructions.
import { FCW, FSW, FTW, ST } from '../layout';
import {
  BEFORE, INVALID, indefinite, masks, packHead80, rSig, raise, raised, roundedUp, setControl, setRaised,
  setRoundedUp, unpackA80, unpackB80,
} from './softfloat';

// Status word (SDM vol 1, figure 8-4).
export const STATUS_SF: u32 = 0x40;
export const STATUS_ES: u32 = 0x80;
export const C0: u32 = 0x100;
export const C1: u32 = 0x200;
export const C2: u32 = 0x400;
export const C3: u32 = 0x4000;
export const STATUS_B: u32 = 0x8000;

let stackFault: bool = false;
let stackOverflow: bool = false;
let clearsC1: bool = true;

// @ts-ignore: decorator
@inline
export function top(): i32 {
  return <i32>(load<u16>(FSW) >> 11) & 7;
}

export function setTop(value: i32): void {
  store<u16>(FSW, <u16>((load<u16>(FSW) & 0xc7ff) | ((value & 7) << 11)));
}

/** Place of ST(i). */
// @ts-ignore: decorator
@inline
export function stackRegister(i: i32): usize {
  return ST + (((top() + i) & 7) << 4);
}

export function isEmpty(i: i32): bool {
  return ((load<u8>(FTW) >> <u8>((top() + i) & 7)) & 1) == 0;
}

export function markFull(i: i32): void {
  store<u8>(FTW, load<u8>(FTW) | <u8>(<u32>1 << ((top() + i) & 7)));
}

export function markEmpty(i: i32): void {
  store<u8>(FTW, load<u8>(FTW) & ~<u8>(<u32>1 << ((top() + i) & 7)));
}

export function pop(): void {
  markEmpty(0);
  setTop(top() + 1);
}

/** Makes room for a new ST(0): the caller has checked that it is free. */
export function pushRaw(head: u32, sig: u64): void {
  setTop(top() - 1);
  writeRaw(0, head, sig);
}

export function writeRaw(i: i32, head: u32, sig: u64): void {
  const place = stackRegister(i);
  store<u64>(place, sig);
  store<u16>(place, <u16>head, 8);
  markFull(i);
}

/** The R slot of softfloat to ST(i). */
export function writeResult(i: i32): void {
  writeRaw(i, packHead80(), rSig);
}

export function pushResult(): void {
  setTop(top() - 1);
  writeResult(0);
}

export function loadA(i: i32): void {
  const place = stackRegister(i);
  unpackA80(load<u16>(place, 8), load<u64>(place));
}

export function loadB(i: i32): void {
  const place = stackRegister(i);
  unpackB80(load<u16>(place, 8), load<u64>(place));
}

export function setCondition(mask: u32, bits: u32): void {
  store<u16>(FSW, <u16>((load<u16>(FSW) & ~mask) | bits));
}

/** Takes control from FCW; exceptions and C1 accumulate until `endX87`, so that a memory fault in between changes nothing. */
export function beginX87(): void {
  const control = load<u16>(FCW);
  const field = (control >> 8) & 3;
  setControl(<i32>((control >> 10) & 3), <i32>(control & 0x3f), false, false, true, field == 0 ? 24 : field == 2 ? 53 : 64);
  stackFault = false;
  stackOverflow = false;
  clearsC1 = true;
}

/** FCMOVcc, FCOMI and FUCOMI leave C1 alone (seen on silicon; the SDM says "cleared" only of a stack fault). */
export function keepC1(): void {
  clearsC1 = false;
}

/** Merges exceptions and C1 into FSW. An unmasked one is delivered by the next waiting instruction. */
export function endX87(): void {
  let status = <u32>load<u16>(FSW);
  if (clearsC1 || stackFault) status &= ~C1;
  if ((raised & ~masks & BEFORE) != 0) {
    setRaised(raised & BEFORE);
    setRoundedUp(false);
  }
  status |= <u32>raised;
  if (stackFault) {
    status |= STATUS_SF;
    if (stackOverflow) status |= C1;
  } else if (roundedUp) {
    status |= C1;
  }
  store<u16>(FSW, <u16>status);
  updateSummary();
}

/** ES and B follow from the exception flags and their masks. */
export function updateSummary(): void {
  let status = <u32>load<u16>(FSW) & ~(STATUS_ES | STATUS_B);
  if ((status & ~load<u16>(FCW) & 0x3f) != 0) status |= STATUS_ES | STATUS_B;
  store<u16>(FSW, <u16>status);
}

/** Notes a stack underflow: with INVALID masked the caller goes on with the indefinite NaN that stands in R. */
export function underflow(): bool {
  raise(INVALID);
  stackFault = true;
  indefinite();
  return (masks & INVALID) != 0;
}

/** As underflow, for a push onto a full register. */
export function overflow(): bool {
  stackOverflow = true;
  return underflow();
}
