// Debug registers: breakpoints on execution and data, and the traps that wait for the end of the instruction (SDM vol 3B, 17.2).
import { CR4, DR0, DR6, DR7, RFLAGS } from '../layout';
import { CR4_DE, DB, FLAG_RF, raiseFault } from './state';

/** DR6 bits of data breakpoints that the running instruction hit. */
export let dataHits: u32 = 0;

const KIND_EXECUTE: u32 = 0;
const KIND_WRITE: u32 = 1;
const KIND_IO: u32 = 2;

// @ts-ignore: decorator
@inline
function enabled(dr7: u32, i: u32): bool {
  return ((dr7 >> (i * 2)) & 3) != 0;
}

// @ts-ignore: decorator
@inline
function kindOf(dr7: u32, i: u32): u32 {
  return (dr7 >> (16 + i * 4)) & 3;
}

/** Length of the watched range; the code 2 means 8 bytes. */
function lengthOf(dr7: u32, i: u32): u64 {
  const code = (dr7 >> (18 + i * 4)) & 3;
  return code == 2 ? 8 : code + 1;
}

function isData(kind: u32): bool {
  return kind == KIND_WRITE || kind == 3;
}

/** True when a data breakpoint lies in the page of `linear`. */
export function isWatched(linear: u64): bool {
  const dr7 = <u32>load<u64>(DR7);
  for (let i: u32 = 0; i < 4; i++)
    if (enabled(dr7, i) && isData(kindOf(dr7, i)) && load<u64>(DR0 + i * 8) >> 12 == linear >> 12) return true;
  return false;
}

/** DR6 bits of the data or I/O breakpoints that an access matches, enabled or not. */
function matches(linear: u64, size: u32, isWrite: bool, isIo: bool): u32 {
  const dr7 = <u32>load<u64>(DR7);
  let hits: u32 = 0;
  for (let i: u32 = 0; i < 4; i++) {
    const kind = kindOf(dr7, i);
    const wanted = isIo ? kind == KIND_IO && load<u64>(CR4) & CR4_DE : isData(kind) && (isWrite || kind == 3);
    if (!wanted || !enabled(dr7, i)) continue;
    const length = lengthOf(dr7, i);
    const start = load<u64>(DR0 + i * 8) & ~(length - 1);
    if (linear < start + length && start < linear + size) hits |= 1 << i;
  }
  return hits;
}

/** A data access happened: breakpoints that it hits trap after the instruction. */
export function noteDataAccess(linear: u64, size: u32, isWrite: bool): void {
  dataHits |= matches(linear, size, isWrite, false);
}

export function noteIoAccess(port: u32, size: u32): void {
  dataHits |= matches(port, size, true, true);
}

/** Raises #DB as a fault when an execution breakpoint is at `linear` (the address of the next instruction). */
export function checkExecution(linear: u64): void {
  const dr7 = <u32>load<u64>(DR7);
  if (!(dr7 & 0xff) || load<u64>(RFLAGS) & FLAG_RF) return;
  let hits: u32 = 0;
  for (let i: u32 = 0; i < 4; i++)
    if (enabled(dr7, i) && kindOf(dr7, i) == KIND_EXECUTE && load<u64>(DR0 + i * 8) == linear) hits |= 1 << i;
  if (!hits) return;
  noteDebugCause(hits);
  raiseFault(DB, 0);
}

/** Sets the cause bits of DR6 for a #DB that is about to be raised; BD and BS are bits 13 and 14. */
export function noteDebugCause(bits: u32): void {
  store<u64>(DR6, (load<u64>(DR6) & ~0xf) | bits | 0xffff0ff0);
}

/** Takes the collected data hits. */
export function takeDataHits(): u32 {
  const hits = dataHits;
  dataHits = 0;
  return hits;
}
