// The software TLB: fill, flush, and the tags that keep stores to executed pages on the slow path. Layout: TLB_BASE in
// ../layout.ts. Knows no rights: memory.ts says which tags an entry may have.
import {
  DR7, PAGE_CODE, PAGE_TOUCHED, PAGE_WRITABLE, TLB_BASE, TLB_LARGE_MARKS, TLB_LOG, TLB_LOG_COUNT, TLB_LOG_MAX, TLB_TABLES_SIZE,
  TLB_TABLE_SIZE, TLB_VCPU_SIZE, VCPU_COUNT,
} from '../layout';
import { pageFlags } from './frames';
import { alignmentChecked, tlbBase, tlbTable } from './state';

export const TAG_READ: usize = 0;
export const TAG_WRITE: usize = 8;
export const TAG_EXECUTE: usize = 16;
export const TLB_ADDEND: usize = 24;
const NO_TAG: u64 = 0xffffffffffffffff;

/** Address of the entry for `linear` in the table of the present privilege: the index is bits 23..12. */
// @ts-ignore: decorator
@inline
export function tlbEntry(linear: u64): usize {
  return tlbTable + ((<u32>linear >>> 7) & 0x1ffe0);
}

function clearEntry(entry: usize): void {
  store<u64>(entry, NO_TAG, TAG_READ);
  store<u64>(entry, NO_TAG, TAG_WRITE);
  store<u64>(entry, NO_TAG, TAG_EXECUTE);
}

// @ts-ignore: decorator
@inline
function largeMark(linear: u64): usize {
  return tlbBase + TLB_LARGE_MARKS + (<usize>(linear >> 21) & 0x3ff);
}

/** Enters the tag `kind` for the page of `linear` at `host`; the entry's other tags stay when they are of the same page. */
export function fillTlb(linear: u64, host: usize, kind: usize, global: bool, large: bool): void {
  if (alignmentChecked) return;
  const entry = tlbEntry(linear);
  const page = linear & ~0xfff;
  const addend = <u32>(host & ~0xfff) - <u32>page;
  const same =
    load<u32>(entry, TLB_ADDEND) == addend &&
    (load<u64>(entry, TAG_READ) == page || load<u64>(entry, TAG_EXECUTE) == page || load<u64>(entry, TAG_WRITE) == page);
  if (!same) {
    clearEntry(entry);
    store<u32>(entry, addend, TLB_ADDEND);
    if (!global) {
      const count = load<i32>(TLB_LOG_COUNT);
      if (count < TLB_LOG_MAX) {
        store<u32>(tlbBase + TLB_LOG + count * 4, <u32>entry);
        store<u32>(TLB_LOG_COUNT, count + 1);
      } else store<u32>(TLB_LOG_COUNT, TLB_LOG_MAX + 1);
    }
    if (large) store<u8>(largeMark(linear), 1);
  }
  store<u64>(entry + kind, page);
  if (kind == TAG_WRITE) {
    const flags = pageFlags(host);
    store<u8>(flags, load<u8>(flags) | PAGE_WRITABLE | PAGE_TOUCHED);
  }
}

/** Forgets every entry of the current vCPU. */
export function flushAll(): void {
  memory.fill(tlbBase, 0xff, TLB_TABLES_SIZE);
  memory.fill(tlbBase + TLB_LARGE_MARKS, 0, 0x400);
  store<u32>(TLB_LOG_COUNT, 0);
}

/** Forgets every entry that is not global. Costs what was filled since the last flush. */
export function flushNonGlobal(): void {
  const count = load<i32>(TLB_LOG_COUNT);
  if (count > TLB_LOG_MAX) {
    flushAll();
    return;
  }
  const log = tlbBase + TLB_LOG;
  for (let i: i32 = 0; i < count; i++) clearEntry(load<u32>(log + i * 4));
  store<u32>(TLB_LOG_COUNT, 0);
}

/** INVLPG: forgets the page of `linear`, all of it when it may be a large page. */
export function flushPage(linear: u64): void {
  const index = (<u32>linear >>> 7) & 0x1ffe0;
  if (!load<u8>(largeMark(linear))) {
    for (let table: i32 = 0; table < TLB_TABLES_SIZE; table += TLB_TABLE_SIZE) clearEntry(tlbBase + table + index);
    return;
  }
  // 4 MiB is the largest page below 1 GiB; a 1 GiB page marks each 2 MiB piece it is used by, so drop them all.
  flushAll();
}

/** Forgets every write tag for the host page `page`, in every vCPU: the next store to it takes the slow path. */
export function forgetWritable(page: u32): void {
  const flags = pageFlags(<usize>page << 12);
  if (!(load<u8>(flags) & PAGE_WRITABLE)) return;
  store<u8>(flags, load<u8>(flags) & ~PAGE_WRITABLE);
  const host = page << 12;
  const count = load<u32>(VCPU_COUNT);
  for (let vcpu: u32 = 0; vcpu < count; vcpu++) {
    const base: u32 = TLB_BASE + vcpu * TLB_VCPU_SIZE;
    const end: u32 = base + TLB_TABLES_SIZE;
    for (let entry = base; entry < end; entry += 32) {
      const tag = load<u64>(entry, TAG_WRITE);
      if (tag != NO_TAG && <u32>tag + load<u32>(entry, TLB_ADDEND) == host) store<u64>(entry, NO_TAG, TAG_WRITE);
    }
  }
}

/** The code cache now holds records of this host page. */
export function markCode(page: u32): void {
  const flags = pageFlags(<usize>page << 12);
  store<u8>(flags, load<u8>(flags) | PAGE_CODE);
  forgetWritable(page);
}

/** The code cache holds no record of this host page any more. */
export function unmarkCode(page: u32): void {
  const flags = pageFlags(<usize>page << 12);
  store<u8>(flags, load<u8>(flags) & ~PAGE_CODE);
}

/** A data breakpoint is armed: accesses must take the slow path on its page. */
// @ts-ignore: decorator
@inline
export function watchArmed(): bool {
  return (load<u64>(DR7) & 0xff) != 0;
}
