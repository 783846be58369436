// Loads and stores at linear addresses for the instruction handlers: the TLB fast path, and behind it the walk, page
// crossings, MMIO, stores to executed pages and data breakpoints.
//
// A handler that gets faultPending after a call must leave without having changed state. Addresses outside 64-bit mode are
// already truncated to 32 bits (segments.ts linearAddress); a non-canonical one is found here, because no TLB tag matches it.
import { PAGE_CODE } from '../layout';
import { invalidateCode } from './code-cache';
import { isWatched, noteDataAccess } from './debug';
import { hostOf, markTouched, pageFlags } from './frames';
import { mmioRead, mmioWrite } from './mmio';
import { walk, walkAddress, walkError, walkGlobal, walkShift, walkWritable } from './paging';
import {
  AC, ACCESS_FETCH, ACCESS_READ, ACCESS_WRITE, CODE_64, UD, alignmentChecked, codeMode, faultPending, isCanonical, longMode, privilegeAccess, raiseFault,
  raiseNonCanonical, raisePageFault, updatePrivilege, useSupervisor,
} from './state';
import { fillTlb, TAG_EXECUTE, TAG_READ, TAG_WRITE, TLB_ADDEND, tlbEntry, watchArmed } from './tlb';

// ---------------------------------------------------------------------------------------------------------------------
// Fast paths. `(linear + size - 1) & ~0xfff` equals the tag only when the access stays inside the page.

// @ts-ignore: decorator
@inline
export function readU8(linear: u64): u64 {
  const entry = tlbEntry(linear);
  if (load<u64>(entry, TAG_READ) == (linear & ~0xfff)) return load<u8>(<u32>linear + load<u32>(entry, TLB_ADDEND));
  return readSlow(linear, 1);
}

// @ts-ignore: decorator
@inline
export function readU16(linear: u64): u64 {
  const entry = tlbEntry(linear);
  if (load<u64>(entry, TAG_READ) == ((linear + 1) & ~0xfff)) return load<u16>(<u32>linear + load<u32>(entry, TLB_ADDEND));
  return readSlow(linear, 2);
}

// @ts-ignore: decorator
@inline
export function readU32(linear: u64): u64 {
  const entry = tlbEntry(linear);
  if (load<u64>(entry, TAG_READ) == ((linear + 3) & ~0xfff)) return load<u32>(<u32>linear + load<u32>(entry, TLB_ADDEND));
  return readSlow(linear, 4);
}

// @ts-ignore: decorator
@inline
export function readU64(linear: u64): u64 {
  const entry = tlbEntry(linear);
  if (load<u64>(entry, TAG_READ) == ((linear + 7) & ~0xfff)) return load<u64>(<u32>linear + load<u32>(entry, TLB_ADDEND));
  return readSlow(linear, 8);
}

// @ts-ignore: decorator
@inline
export function writeU8(linear: u64, value: u64): void {
  const entry = tlbEntry(linear);
  if (load<u64>(entry, TAG_WRITE) == (linear & ~0xfff)) store<u8>(<u32>linear + load<u32>(entry, TLB_ADDEND), <u8>value);
  else writeSlow(linear, value, 1);
}

// @ts-ignore: decorator
@inline
export function writeU16(linear: u64, value: u64): void {
  const entry = tlbEntry(linear);
  if (load<u64>(entry, TAG_WRITE) == ((linear + 1) & ~0xfff))
    store<u16>(<u32>linear + load<u32>(entry, TLB_ADDEND), <u16>value);
  else writeSlow(linear, value, 2);
}

// @ts-ignore: decorator
@inline
export function writeU32(linear: u64, value: u64): void {
  const entry = tlbEntry(linear);
  if (load<u64>(entry, TAG_WRITE) == ((linear + 3) & ~0xfff))
    store<u32>(<u32>linear + load<u32>(entry, TLB_ADDEND), <u32>value);
  else writeSlow(linear, value, 4);
}

// @ts-ignore: decorator
@inline
export function writeU64(linear: u64, value: u64): void {
  const entry = tlbEntry(linear);
  if (load<u64>(entry, TAG_WRITE) == ((linear + 7) & ~0xfff)) store<u64>(<u32>linear + load<u32>(entry, TLB_ADDEND), value);
  else writeSlow(linear, value, 8);
}

// Reads of read-modify-write instructions: they fault as the write would, before anything is read.

// @ts-ignore: decorator
@inline
export function readForWriteU8(linear: u64): u64 {
  const entry = tlbEntry(linear);
  if (load<u64>(entry, TAG_WRITE) == (linear & ~0xfff)) return load<u8>(<u32>linear + load<u32>(entry, TLB_ADDEND));
  return readForWriteSlow(linear, 1);
}

// @ts-ignore: decorator
@inline
export function readForWriteU16(linear: u64): u64 {
  const entry = tlbEntry(linear);
  if (load<u64>(entry, TAG_WRITE) == ((linear + 1) & ~0xfff)) return load<u16>(<u32>linear + load<u32>(entry, TLB_ADDEND));
  return readForWriteSlow(linear, 2);
}

// @ts-ignore: decorator
@inline
export function readForWriteU32(linear: u64): u64 {
  const entry = tlbEntry(linear);
  if (load<u64>(entry, TAG_WRITE) == ((linear + 3) & ~0xfff)) return load<u32>(<u32>linear + load<u32>(entry, TLB_ADDEND));
  return readForWriteSlow(linear, 4);
}

// @ts-ignore: decorator
@inline
export function readForWriteU64(linear: u64): u64 {
  const entry = tlbEntry(linear);
  if (load<u64>(entry, TAG_WRITE) == ((linear + 7) & ~0xfff)) return load<u64>(<u32>linear + load<u32>(entry, TLB_ADDEND));
  return readForWriteSlow(linear, 8);
}

/** 16 bytes; alignment is the caller's to check. */
export function readV128(linear: u64): v128 {
  const entry = tlbEntry(linear);
  if (load<u64>(entry, TAG_READ) == ((linear + 15) & ~0xfff)) return v128.load(<u32>linear + load<u32>(entry, TLB_ADDEND));
  const low = readSlow(linear, 8);
  if (faultPending) return i64x2.splat(0);
  const high = readSlow(wrap(linear + 8), 8);
  return i64x2.replace_lane(i64x2.splat(<i64>low), 1, <i64>high);
}

export function writeV128(linear: u64, value: v128): void {
  const entry = tlbEntry(linear);
  if (load<u64>(entry, TAG_WRITE) == ((linear + 15) & ~0xfff)) {
    v128.store(<u32>linear + load<u32>(entry, TLB_ADDEND), value);
    return;
  }
  checkWrite(linear, 16);
  if (faultPending) return;
  writeSlow(linear, i64x2.extract_lane(value, 0), 8);
  writeSlow(wrap(linear + 8), i64x2.extract_lane(value, 1), 8);
}

// ---------------------------------------------------------------------------------------------------------------------
// Whole pages, for string instructions.

/** Offset in this memory of the byte at `linear`, good to the end of its page; 0 after a fault, or when bytes must go one by one. */
export function pointerForRead(linear: u64): usize {
  const entry = tlbEntry(linear);
  if (load<u64>(entry, TAG_READ) == (linear & ~0xfff)) return <u32>linear + load<u32>(entry, TLB_ADDEND);
  translate(linear, ACCESS_READ);
  return load<u64>(entry, TAG_READ) == (linear & ~0xfff) ? <u32>linear + load<u32>(entry, TLB_ADDEND) : 0;
}

/** As pointerForRead, for stores: 0 also when the page holds decoded code. */
export function pointerForWrite(linear: u64): usize {
  const entry = tlbEntry(linear);
  if (load<u64>(entry, TAG_WRITE) == (linear & ~0xfff)) return <u32>linear + load<u32>(entry, TLB_ADDEND);
  translate(linear, ACCESS_WRITE);
  return load<u64>(entry, TAG_WRITE) == (linear & ~0xfff) ? <u32>linear + load<u32>(entry, TLB_ADDEND) : 0;
}

/** Offset in this memory of the instruction byte at `linear`, good to the end of its page; -1 after a fault. */
// @ts-ignore: decorator
@inline
export function fetchPhysical(linear: u64): i64 {
  const entry = tlbEntry(linear);
  if (load<u64>(entry, TAG_EXECUTE) == (linear & ~0xfff)) return <i64>(<u32>linear + load<u32>(entry, TLB_ADDEND));
  return fetchSlow(linear);
}

function fetchSlow(linear: u64): i64 {
  const host = translate(linear, ACCESS_FETCH);
  if (faultPending) return -1;
  // Nothing is there: an instruction of FF bytes.
  if (!host) {
    raiseFault(UD, 0);
    return -1;
  }
  return <i64>host;
}

// ---------------------------------------------------------------------------------------------------------------------
// Slow paths

// @ts-ignore: decorator
@inline
function wrap(linear: u64): u64 {
  return codeMode == CODE_64 || longMode ? linear : linear & 0xffffffff;
}

/**
 * Walks, fills the TLB where the page allows it, and gives the byte's offset in this memory. 0 with faultPending: a fault;
 * 0 without: MMIO at walkAddress.
 */
function translate(linear: u64, access: u32): usize {
  if (!isCanonical(linear)) {
    raiseNonCanonical();
    return 0;
  }
  if (!walk(linear, access | privilegeAccess)) {
    raisePageFault(linear, walkError);
    return 0;
  }
  const host = hostOf(walkAddress);
  if (!host) return 0;
  const large = walkShift > 12;
  if (access & ACCESS_FETCH) {
    fillTlb(linear, host, TAG_EXECUTE, walkGlobal, large);
    return host;
  }
  if (watchArmed() && isWatched(linear)) return host;
  if (!(access & ACCESS_WRITE)) fillTlb(linear, host, TAG_READ, walkGlobal, large);
  if (walkWritable && access & ACCESS_WRITE && !(load<u8>(pageFlags(host)) & PAGE_CODE))
    fillTlb(linear, host, TAG_WRITE, walkGlobal, large);
  return host;
}

function readPart(host: usize, gpa: u64, size: u32): u64 {
  if (!host) return mmioRead(gpa, size);
  switch (size) {
    case 1:
      return load<u8>(host);
    case 2:
      return load<u16>(host);
    case 4:
      return load<u32>(host);
    case 8:
      return load<u64>(host);
  }
  let value: u64 = 0;
  for (let i: u32 = 0; i < size; i++) value |= <u64>load<u8>(host + i) << (i * 8);
  return value;
}

function writePart(host: usize, gpa: u64, value: u64, size: u32): void {
  if (!host) {
    mmioWrite(gpa, value, size);
    return;
  }
  markTouched(host);
  switch (size) {
    case 1:
      store<u8>(host, <u8>value);
      break;
    case 2:
      store<u16>(host, <u16>value);
      break;
    case 4:
      store<u32>(host, <u32>value);
      break;
    case 8:
      store<u64>(host, value);
      break;
    default:
      for (let i: u32 = 0; i < size; i++) store<u8>(host + i, <u8>(value >> (i * 8)));
  }
  if (load<u8>(pageFlags(host)) & PAGE_CODE) invalidateCode(host, size);
}

/** Raises #AC(0) where alignment is checked and `linear` is no multiple of `size`; it comes before #PF. */
function misaligned(linear: u64, size: u32): bool {
  if (!alignmentChecked || !(<u32>linear & (size - 1)) || !isCanonical(linear)) return false;
  raiseFault(AC, 0);
  return true;
}

/** Raises #GP(0) when the access begins below the canonical hole and ends in it; that comes before the first page's #PF. */
function overhangs(linear: u64, size: u32): bool {
  if (isCanonical(linear + size - 1) || !isCanonical(linear)) return false;
  raiseNonCanonical();
  return true;
}

function readWith(linear: u64, size: u32, access: u32): u64 {
  const first: u32 = 0x1000 - (<u32>linear & 0xfff);
  if (misaligned(linear, size) || overhangs(linear, size)) return 0;
  const host = translate(linear, access);
  if (faultPending) return 0;
  const gpa = walkAddress;
  let value: u64;
  if (size <= first) value = readPart(host, gpa, size);
  else {
    const host2 = translate(wrap(linear + first), access);
    if (faultPending) return 0;
    const gpa2 = walkAddress;
    value = readPart(host, gpa, first) | (readPart(host2, gpa2, size - first) << (first * 8));
  }
  if (watchArmed()) noteDataAccess(linear, size, (access & ACCESS_WRITE) != 0);
  return value;
}

export function readSlow(linear: u64, size: u32): u64 {
  return readWith(linear, size, ACCESS_READ);
}

export function readForWriteSlow(linear: u64, size: u32): u64 {
  return readWith(linear, size, ACCESS_WRITE);
}

export function writeSlow(linear: u64, value: u64, size: u32): void {
  const first: u32 = 0x1000 - (<u32>linear & 0xfff);
  if (misaligned(linear, size) || overhangs(linear, size)) return;
  const host = translate(linear, ACCESS_WRITE);
  if (faultPending) return;
  const gpa = walkAddress;
  if (size <= first) writePart(host, gpa, value, size);
  else {
    const host2 = translate(wrap(linear + first), ACCESS_WRITE);
    if (faultPending) return;
    const gpa2 = walkAddress;
    writePart(host, gpa, value, first);
    writePart(host2, gpa2, value >> (first * 8), size - first);
  }
  if (watchArmed()) noteDataAccess(linear, size, true);
}

/** Faults as a store of `size` bytes (at most a page) at `linear` would; stores nothing. */
export function checkWrite(linear: u64, size: u32): void {
  translate(linear, ACCESS_WRITE);
  const first: u32 = 0x1000 - (<u32>linear & 0xfff);
  if (!faultPending && size > first) translate(wrap(linear + first), ACCESS_WRITE);
}

/** Faults as a load of `size` bytes (at most a page) at `linear` would. */
export function checkRead(linear: u64, size: u32): void {
  translate(linear, ACCESS_READ);
  const first: u32 = 0x1000 - (<u32>linear & 0xfff);
  if (!faultPending && size > first) translate(wrap(linear + first), ACCESS_READ);
}

// ---------------------------------------------------------------------------------------------------------------------
// Accesses of the CPU itself: always supervisor, whatever CPL and RFLAGS.AC say.

/** `size` is 1, 2, 4 or 8. */
export function readSystem(linear: u64, size: u32): u64 {
  useSupervisor();
  let value: u64;
  switch (size) {
    case 8:
      value = readU64(linear);
      break;
    case 4:
      value = readU32(linear);
      break;
    case 2:
      value = readU16(linear);
      break;
    default:
      value = readU8(linear);
  }
  updatePrivilege();
  return value;
}

export function writeSystem(linear: u64, value: u64, size: u32): void {
  useSupervisor();
  switch (size) {
    case 8:
      writeU64(linear, value);
      break;
    case 4:
      writeU32(linear, value);
      break;
    case 2:
      writeU16(linear, value);
      break;
    default:
      writeU8(linear, value);
  }
  updatePrivilege();
}

export function checkSystemWrite(linear: u64, size: u32): void {
  useSupervisor();
  checkWrite(linear, size);
  updatePrivilege();
}
