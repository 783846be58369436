// Page walks in every paging mode (SDM vol 3A, chapter 4): linear -> guest-physical, rights, error codes, accessed and dirty
// bits. Knows neither the TLB nor what an access does when it faults.
import { CR0, CR3, CR4, EFER, PAGE_CODE, PDPTE, PHYSICAL_BITS } from '../layout';
import { invalidateCode } from './code-cache';
import { hostOf, markTouched, pageFlags } from './frames';
import {
  ACCESS_AC, ACCESS_FETCH, ACCESS_PROBE, ACCESS_USER, ACCESS_WRITE, CR0_WP, CR4_PGE, CR4_PSE, CR4_SMAP, CR4_SMEP, EFER_NXE, PAGING_32, PAGING_LONG, PAGING_NONE,
  PAGING_PAE, pagingMode,
} from './state';

const PRESENT: u64 = 1;
const WRITABLE: u64 = 2;
const USER: u64 = 4;
const ACCESSED: u64 = 0x20;
const DIRTY: u64 = 0x40;
const LARGE: u64 = 0x80;
const GLOBAL: u64 = 0x100;
const NO_EXECUTE: u64 = 1 << 63;
const FRAME_MASK: u64 = ((1 << PHYSICAL_BITS) - 1) & ~0xfff;
const ABOVE_PHYSICAL: u64 = ((1 << 52) - 1) & ~((1 << PHYSICAL_BITS) - 1);

const ERROR_PRESENT: u32 = 1;
const ERROR_RESERVED: u32 = 8;

/** Results of the last successful walk. */
export let walkAddress: u64 = 0;
/** A write through this translation is allowed for the same privilege, and the dirty bit is set. */
export let walkWritable: bool = false;
export let walkGlobal: bool = false;
/** log2 of the page size: 12, 21, 22 or 30. */
export let walkShift: u32 = 12;
/** Error code of the last failed walk. */
export let walkError: u32 = 0;

// @ts-ignore: decorator
@inline
function readEntry(gpa: u64): u64 {
  const host = hostOf(gpa);
  return host ? load<u64>(host) : 0xffffffffffffffff;
}

/** Sets accessed and dirty bits in the low byte of the entry at `gpa`; a page table may be a page that was executed. */
function markEntry(gpa: u64, bits: u64): void {
  const host = hostOf(gpa);
  if (!host) return;
  const old = load<u8>(host);
  if ((old & <u8>bits) == <u8>bits) return;
  store<u8>(host, old | <u8>bits);
  markTouched(host);
  if (load<u8>(pageFlags(host)) & PAGE_CODE) invalidateCode(host, 1);
}

/** The bits that a failing access contributes by itself. */
function accessError(access: u32): u32 {
  let error = access & (ACCESS_WRITE | ACCESS_USER);
  if (access & ACCESS_FETCH) {
    const nx = pagingMode >= PAGING_PAE && load<u64>(EFER) & EFER_NXE;
    if (nx || load<u64>(CR4) & CR4_SMEP) error |= ACCESS_FETCH;
  }
  return error;
}

/** Translates; false with walkError when the access faults. `linear` is canonical, or below 4 GiB outside 64-bit paging. */
export function walk(linear: u64, access: u32): bool {
  switch (pagingMode) {
    case PAGING_NONE:
      walkAddress = linear;
      walkWritable = true;
      walkGlobal = false;
      walkShift = 12;
      return true;
    case PAGING_32:
      return walk32(linear, access);
    default:
      return walk64(linear, access);
  }
}

function fail(access: u32, why: u32): bool {
  walkError = accessError(access) | why;
  return false;
}

/** Checks rights (`rights` = AND of W and U, OR of NX over the levels) and sets A and D; `last` is the gpa of the last entry. */
function finish(rights: u64, entry: u64, last: u64, access: u32): bool {
  if (access & ACCESS_PROBE) {
    walkWritable = false;
    return true;
  }
  const cr4 = load<u64>(CR4);
  const userPage = (rights & USER) != 0;
  let writable = (rights & WRITABLE) != 0;
  let allowed = true;
  if (access & ACCESS_USER) allowed = userPage;
  else {
    if (!(load<u64>(CR0) & CR0_WP)) writable = true;
    if (userPage) {
      if (access & ACCESS_FETCH) allowed = !(cr4 & CR4_SMEP);
      else if (cr4 & CR4_SMAP) allowed = (access & ACCESS_AC) != 0;
    }
  }
  if (access & ACCESS_WRITE && !writable) allowed = false;
  if (access & ACCESS_FETCH && rights & NO_EXECUTE) allowed = false;
  if (!allowed) return fail(access, ERROR_PRESENT);
  const dirty = access & ACCESS_WRITE ? DIRTY : 0;
  if ((entry & (ACCESSED | dirty)) != (ACCESSED | dirty)) markEntry(last, ACCESSED | dirty);
  walkWritable = writable && (access & ACCESS_WRITE || entry & DIRTY);
  walkGlobal = (entry & GLOBAL) != 0 && (cr4 & CR4_PGE) != 0;
  return true;
}

/** PAE and 4-level paging: 8-byte entries. */
function walk64(linear: u64, access: u32): bool {
  const isLong = pagingMode == PAGING_LONG;
  const noExecute = (load<u64>(EFER) & EFER_NXE) != 0;
  // Bits 62..52 are free for software in 4-level paging, reserved in PAE paging.
  let reserved = ABOVE_PHYSICAL;
  if (!isLong) reserved |= 0x7ff0000000000000;
  if (!noExecute) reserved |= NO_EXECUTE;
  let rights = WRITABLE | USER;
  let shift: u32 = 39;
  let table = load<u64>(CR3) & FRAME_MASK;
  if (!isLong) {
    const pointer = load<u64>(PDPTE + (<usize>(linear >> 30) & 3) * 8);
    if (!(pointer & PRESENT)) return fail(access, 0);
    table = pointer & FRAME_MASK;
    shift = 21;
  }
  const start = table;
  const startShift = shift;
  let entry: u64 = 0;
  let place: u64 = 0;
  while (true) {
    place = table + ((linear >> shift) & 511) * 8;
    entry = readEntry(place);
    if (!(entry & PRESENT)) return fail(access, 0);
    if (entry & reserved) return fail(access, ERROR_PRESENT | ERROR_RESERVED);
    rights = (rights & entry & (WRITABLE | USER)) | ((rights | entry) & NO_EXECUTE);
    if (shift == 12) break;
    if (entry & LARGE) {
      if (shift == 39) return fail(access, ERROR_PRESENT | ERROR_RESERVED);
      // Bit 12 of a large page is PAT; the other bits below the page size are reserved.
      if (entry & ((<u64>1 << shift) - 1) & ~0x1fff) return fail(access, ERROR_PRESENT | ERROR_RESERVED);
      break;
    }
    table = entry & FRAME_MASK;
    shift -= 9;
  }
  walkShift = shift;
  const offsetMask = (<u64>1 << shift) - 1;
  walkAddress = (entry & FRAME_MASK & ~offsetMask) | (linear & offsetMask);
  if (!finish(rights, entry, place, access)) return false;
  if (!(access & ACCESS_PROBE)) markUpper(linear, start, startShift, shift);
  return true;
}

/** Sets the accessed bit of the entries above the last one. */
function markUpper(linear: u64, start: u64, startShift: u32, lastShift: u32): void {
  let table = start;
  for (let shift = startShift; shift > lastShift; shift -= 9) {
    const place = table + ((linear >> shift) & 511) * 8;
    const entry = readEntry(place);
    if (!(entry & ACCESSED)) markEntry(place, ACCESSED);
    table = entry & FRAME_MASK;
  }
}

/** 32-bit paging: 4-byte entries, 4 MiB pages with CR4.PSE, no PSE-36. */
function walk32(linear: u64, access: u32): bool {
  const directory = (load<u64>(CR3) & 0xfffff000) + ((linear >> 22) & 1023) * 4;
  let host = hostOf(directory);
  const pde: u64 = host ? load<u32>(host) : 0xffffffff;
  if (!(pde & PRESENT)) return fail(access, 0);
  if (pde & LARGE && load<u64>(CR4) & CR4_PSE) {
    if (pde & 0x3fe000) return fail(access, ERROR_PRESENT | ERROR_RESERVED);
    walkShift = 22;
    walkAddress = (pde & 0xffc00000) | (linear & 0x3fffff);
    return finish(pde & (WRITABLE | USER), pde, directory, access);
  }
  const place = (pde & 0xfffff000) + ((linear >> 12) & 1023) * 4;
  host = hostOf(place);
  const pte: u64 = host ? load<u32>(host) : 0xffffffff;
  if (!(pte & PRESENT)) return fail(access, 0);
  walkShift = 12;
  walkAddress = (pte & 0xfffff000) | (linear & 0xfff);
  if (!finish(pde & pte & (WRITABLE | USER), pte, place, access)) return false;
  if (!(access & ACCESS_PROBE) && !(pde & ACCESSED)) markEntry(directory, ACCESSED);
  return true;
}

/** Loads the four PAE page-directory pointers from CR3; false when one has a reserved bit set (the load is a #GP then). */
export function loadPdptes(cr3: u64): bool {
  const base = cr3 & 0xffffffe0;
  for (let i: u32 = 0; i < 4; i++) {
    const entry = readEntry(base + i * 8);
    if (entry & PRESENT && entry & (0x1e6 | (~((<u64>1 << PHYSICAL_BITS) - 1)))) return false;
  }
  for (let i: u32 = 0; i < 4; i++) store<u64>(PDPTE + i * 8, readEntry(base + i * 8));
  return true;
}
