// Guest frame number -> place in this memory. RAM lies in order from RAM_OFFSET; frames that were put over it or beside it
// are in a hash; a gfn that nothing backs is MMIO. Knows nothing of linear addresses.
import {
  FRAME_HASH, FRAME_HASH_ENTRIES, GFN_FLAGS, GFN_OVERRIDDEN, GFN_REMOVED, PAGE_FLAGS, PAGE_TOUCHED, RAM_BYTES, RAM_OFFSET,
} from '../layout';

const FREE: u64 = 0;
const DELETED: u64 = 0xffffffffffffffff;

// @ts-ignore: decorator
@inline
function slotAt(index: u32): usize {
  return FRAME_HASH + (index & (FRAME_HASH_ENTRIES - 1)) * 16;
}

// @ts-ignore: decorator
@inline
function hashOf(gfn: u64): u32 {
  return u32((gfn * 0x9e3779b97f4a7c15) >> 50);
}

function findSlot(gfn: u64): usize {
  let index = hashOf(gfn);
  for (let i = 0; i < FRAME_HASH_ENTRIES; i++) {
    const slot = slotAt(index++);
    const key = load<u64>(slot);
    if (key == FREE) return 0;
    if (key == gfn + 1) return slot;
  }
  return 0;
}

/** Offset of the byte at `gpa`, 0 when no frame backs it. */
export function hostOf(gpa: u64): usize {
  const gfn = gpa >> 12;
  if (gpa < load<u64>(RAM_BYTES)) {
    const flags = load<u8>(GFN_FLAGS + <usize>gfn);
    if (!flags) return RAM_OFFSET + <usize>gpa;
    if (flags & GFN_REMOVED) return 0;
  }
  const slot = findSlot(gfn);
  return slot ? load<u32>(slot, 8) + <usize>(gpa & 0xfff) : 0;
}

/** Puts the frame at `host` (page aligned) at `gfn`. False when the table is full. */
export function mapFrame(gfn: u64, host: usize): bool {
  let slot = findSlot(gfn);
  if (!slot) {
    let index = hashOf(gfn);
    for (let i = 0; i < FRAME_HASH_ENTRIES; i++) {
      const candidate = slotAt(index++);
      const key = load<u64>(candidate);
      if (key == FREE || key == DELETED) {
        slot = candidate;
        break;
      }
    }
    if (!slot) return false;
  }
  store<u64>(slot, gfn + 1);
  store<u32>(slot, host, 8);
  if (gfn << 12 < load<u64>(RAM_BYTES)) store<u8>(GFN_FLAGS + <usize>gfn, GFN_OVERRIDDEN);
  return true;
}

/** Frees a slot. A chain that ends here needs no mark, so that guests that map and unmap for ever do not fill the hash. */
function freeSlot(index: u32): void {
  store<u64>(slotAt(index), DELETED);
  if (load<u64>(slotAt(index + 1)) != FREE) return;
  for (let i = index; load<u64>(slotAt(i)) == DELETED; i--) store<u64>(slotAt(i), FREE);
}

/** Takes the frame away from `gfn`; RAM below it, if any, is back. */
export function unmapFrame(gfn: u64): void {
  const slot = findSlot(gfn);
  if (slot) freeSlot((<u32>slot - FRAME_HASH) / 16);
  if (gfn << 12 < load<u64>(RAM_BYTES)) store<u8>(GFN_FLAGS + <usize>gfn, 0);
}

// @ts-ignore: decorator
@inline
export function pageFlags(host: usize): usize {
  return PAGE_FLAGS + (host >> 12);
}

// @ts-ignore: decorator
@inline
export function markTouched(host: usize): void {
  store<u8>(pageFlags(host), load<u8>(pageFlags(host)) | PAGE_TOUCHED);
}
