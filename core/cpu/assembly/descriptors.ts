// Segment descriptors in the GDT and LDT (SDM vol 3A, 3.4.5): reading, unpacking, the accessed bit. Checks no privilege.
import { GDTR, LDTR, SEG_ATTRIBUTES, SEG_BASE, SEG_LIMIT, SEG_SELECTOR } from '../layout';
import { readSystem, writeSystem } from './memory';
import { faultPending, raiseFault, segmentAttributes, segmentBase, segmentLimit } from './state';

export const TYPE_LDT: u32 = 2;
export const TYPE_TSS16: u32 = 1;
export const TYPE_CALL_GATE16: u32 = 4;
export const TYPE_TASK_GATE: u32 = 5;
export const TYPE_TSS32: u32 = 9; // also the 64-bit TSS
export const TYPE_CALL_GATE: u32 = 12;
export const TSS_BUSY: u32 = 2;

const UNUSABLE: u32 = 0x10000;

/** The 8 bytes that readDescriptor found last, and where. */
export let descriptor: u64 = 0;
export let descriptorAddress: u64 = 0;

/** Makes a descriptor that was read before the one that the questions below are about. */
export function setDescriptor(value: u64): void {
  descriptor = value;
}

/**
 * Reads the descriptor of `selector` (not null). False: it lies outside its table (nothing is raised), or reading it
 * faulted (faultPending).
 */
export function readDescriptor(selector: u32): bool {
  const index = selector & 0xfff8;
  let base: u64;
  let limit: u32;
  if (selector & 4) {
    if (segmentAttributes(LDTR) & UNUSABLE || !(segmentAttributes(LDTR) & 0x80)) return false;
    base = segmentBase(LDTR);
    limit = segmentLimit(LDTR);
  } else {
    base = load<u64>(GDTR);
    limit = load<u32>(GDTR + 8);
  }
  if (index + 7 > limit) return false;
  descriptorAddress = base + index;
  descriptor = readSystem(descriptorAddress, 8);
  return !faultPending;
}

/** As readDescriptor, and raises `vector` with the selector when there is none. */
export function needDescriptor(selector: u32, vector: i32, external: u32): bool {
  if (readDescriptor(selector)) return true;
  raiseFault(vector, (selector & 0xfffc) | external);
  return false;
}

/** The second half of a 16-byte system descriptor (64-bit base); false when outside the table or faulted. */
export function readUpperHalf(selector: u32): bool {
  if ((selector & 0xfff8) + 15 > load<u32>(GDTR + 8) && !(selector & 4)) return false;
  upperHalf = readSystem(descriptorAddress + 8, 8);
  return !faultPending;
}
export let upperHalf: u64 = 0;

// The fields of `descriptor`.

export function descriptorBase(): u64 {
  return ((descriptor >> 16) & 0xffffff) | ((descriptor >> 32) & 0xff000000);
}

export function descriptorLimit(): u32 {
  const raw = <u32>(descriptor & 0xffff) | <u32>((descriptor >> 32) & 0xf0000);
  return descriptor >> 55 & 1 ? (raw << 12) | 0xfff : raw;
}

/** Access rights as the hidden part keeps them (VMCS layout). */
export function descriptorAttributes(): u32 {
  return <u32>(descriptor >> 40) & 0xf0ff;
}

export function isPresent(): bool {
  return (descriptor >> 47 & 1) != 0;
}

export function descriptorDpl(): u32 {
  return <u32>(descriptor >> 45) & 3;
}

/** S bit: code or data. */
export function isSegment(): bool {
  return (descriptor >> 44 & 1) != 0;
}

export function systemType(): u32 {
  return <u32>(descriptor >> 40) & 15;
}

export function isCode(): bool {
  return (descriptor >> 43 & 3) == 3;
}

/** Code: conforming. Data: expand down. */
export function isConforming(): bool {
  return (descriptor >> 42 & 1) != 0;
}

/** Code: readable. Data: writable. */
export function isReadWrite(): bool {
  return (descriptor >> 41 & 1) != 0;
}

/** Sets the accessed bit in the table when it is clear. False after a fault. */
export function setAccessed(): bool {
  if (descriptor >> 40 & 1) return true;
  writeSystem(descriptorAddress + 5, (descriptor >> 40 & 0xff) | 1, 1);
  if (faultPending) return false;
  descriptor |= <u64>1 << 40;
  return true;
}

/** Fills a segment register's hidden part from `descriptor`. */
export function loadHidden(segment: usize, selector: u32): void {
  store<u16>(segment + SEG_SELECTOR, <u16>selector);
  store<u32>(segment + SEG_ATTRIBUTES, descriptorAttributes());
  store<u32>(segment + SEG_LIMIT, descriptorLimit());
  store<u64>(segment + SEG_BASE, descriptorBase());
}

/** A null selector in a data segment register: unusable, base 0 (as Intel does; AMD keeps the base of FS and GS). */
export function loadNull(segment: usize, selector: u32): void {
  store<u16>(segment + SEG_SELECTOR, <u16>selector);
  store<u32>(segment + SEG_ATTRIBUTES, UNUSABLE);
  store<u32>(segment + SEG_LIMIT, 0);
  store<u64>(segment + SEG_BASE, 0);
}

// @ts-ignore: decorator
@inline
export function isUnusable(segment: usize): bool {
  return (segmentAttributes(segment) & UNUSABLE) != 0;
}
