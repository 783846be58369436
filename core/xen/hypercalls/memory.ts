// HYPERVISOR_memory_op: what stands where in guest-physical memory.
// Source: xen/include/public/memory.h
import { E2BIG, EFAULT, EINVAL, ENOENT, EPERM, ESRCH } from '../abi/errno.ts';
import * as M from '../abi/memory.ts';
import { DOMID_SELF } from '../abi/xen.ts';
import {
  type Call,
  getWord,
  type Operation,
  type Operations,
  type Result,
  readGuest,
  runOperation,
  u32,
  word,
  writeGuest,
} from './call.ts';

/** Low bits of the command; above stands the extent to start with (MEMOP_EXTENT_SHIFT). */
const MEMOP_EXTENT_SHIFT = 6;
/** Largest extent of a domU: 2 MiB. */
const MAX_ORDER = 9;
const PAGE = 4096;

const isSelf = (call: Call, domid: number): boolean =>
  domid === DOMID_SELF || domid === call.guest.options.domid;

/** One XENMEM_add_to_physmap. */
function addToPhysmap(call: Call, space: number, index: bigint, gpfn: bigint): number {
  const { guest } = call;
  if (!guest.physmap.isGfn(gpfn)) return -EINVAL;
  const gfn = Number(gpfn);
  if (space === M.XENMAPSPACE_shared_info) {
    if (index !== 0n) return -EINVAL;
    guest.shared.latchWidth(call.width);
    guest.physmap.show(gfn, guest.shared.frame);
    guest.shared.gfn = gfn;
    guest.upcalls.placesChanged();
    return 0;
  }
  if (space !== M.XENMAPSPACE_grant_table || (index & M.XENMAPIDX_grant_table_status) !== 0n) return -EINVAL;
  const frame = index < 0x8000_0000n ? guest.grants.frame(Number(index)) : undefined;
  if (frame === undefined) return -EINVAL;
  guest.physmap.show(gfn, frame);
  return 0;
}

function addOne(call: Call, argument: DataView): Result {
  const layout = M.xen_add_to_physmap[call.width];
  if (!isSelf(call, argument.getUint16(layout.domid, true))) return -ESRCH;
  return addToPhysmap(
    call,
    argument.getUint32(layout.space, true),
    getWord(call, argument, layout.idx),
    getWord(call, argument, layout.gpfn),
  );
}

function addBatch(call: Call, argument: DataView): Result {
  const layout = M.xen_add_to_physmap_batch[call.width];
  if (!isSelf(call, argument.getUint16(layout.domid, true))) return -ESRCH;
  const count = argument.getUint16(layout.size_field, true);
  const space = argument.getUint16(layout.space, true);
  const bytes = call.width / 8;
  const indices = readGuest(call, getWord(call, argument, layout.idxs), count * bytes);
  const gpfns = readGuest(call, getWord(call, argument, layout.gpfns), count * bytes);
  if (indices === undefined || gpfns === undefined) return -EFAULT;
  const errors = new DataView(new ArrayBuffer(4 * count));
  for (let i = 0; i < count; i++) {
    const result = addToPhysmap(
      call,
      space,
      getWord(call, indices, i * bytes),
      getWord(call, gpfns, i * bytes),
    );
    errors.setInt32(4 * i, result, true);
  }
  const list = getWord(call, argument, layout.errs);
  return writeGuest(call, list, new Uint8Array(errors.buffer)) ? 0 : -EFAULT;
}

function removeFromPhysmap(call: Call, argument: DataView): Result {
  const layout = M.xen_remove_from_physmap[call.width];
  const { guest } = call;
  if (!isSelf(call, argument.getUint16(layout.domid, true))) return -ESRCH;
  const gfn = getWord(call, argument, layout.gpfn);
  if (!guest.physmap.isGfn(gfn) || !guest.physmap.discard(Number(gfn))) return -ENOENT;
  if (guest.shared.gfn === Number(gfn)) {
    guest.shared.gfn = undefined;
    guest.upcalls.placesChanged();
  }
  return 0;
}

function memoryMap(call: Call, argument: DataView): Result {
  const layout = M.xen_memory_map[call.width];
  const map = call.guest.memoryMap;
  if (argument.getUint32(layout.nr_entries, true) < map.length) return -E2BIG;
  const buffer = new DataView(new ArrayBuffer(map.length * M.e820entry.size));
  map.forEach(({ address, bytes, type }, i) => {
    const at = i * M.e820entry.size;
    buffer.setBigUint64(at + M.e820entry.addr, BigInt(address), true);
    buffer.setBigUint64(at + M.e820entry.size_field, BigInt(bytes), true);
    buffer.setUint32(at + M.e820entry.type, type, true);
  });
  if (!writeGuest(call, getWord(call, argument, layout.buffer), new Uint8Array(buffer.buffer)))
    return -EFAULT;
  argument.setUint32(layout.nr_entries, map.length, true);
  return 0;
}

/**
 * Decrease, increase or populate: `each` does one page and says whether it could. The work ends at the first page
 * that it cannot do, and every page that it can changes the domain's page count: a huge count cannot hang us.
 */
const reservation = (each: (call: Call, gfn: number) => boolean): Operation => ({
  bytes: { 64: M.xen_memory_reservation[64].size, 32: M.xen_memory_reservation[32].size },
  run: (call, argument) => {
    const layout = M.xen_memory_reservation[call.width];
    if (!isSelf(call, argument.getUint16(layout.domid, true))) return -ESRCH;
    const order = argument.getUint32(layout.extent_order, true);
    if (order > MAX_ORDER) return -EPERM;
    const list = getWord(call, argument, layout.extent_start);
    const count = getWord(call, argument, layout.nr_extents);
    const bytes = BigInt(call.width / 8);
    let done = BigInt(u32(call, 0) >> MEMOP_EXTENT_SHIFT);
    for (; done < count; done++) {
      const entry = readGuest(call, list + done * bytes, Number(bytes));
      const gfn = entry && getWord(call, entry, 0);
      if (gfn === undefined || !call.guest.physmap.isGfn(gfn)) break;
      let pages = 0;
      while (pages < 2 ** order && each(call, Number(gfn) + pages)) pages++;
      if (pages < 2 ** order) break;
    }
    return done;
  },
});

function giveBack({ guest }: Call, gfn: number): boolean {
  const isRam = guest.machine.mappedFrame(gfn) === undefined || guest.physmap.isExtra(gfn);
  return isRam && guest.physmap.discard(gfn);
}

const pages = (count: (call: Call) => number): Operation => ({
  bytes: 2,
  run: (call, argument) => (isSelf(call, argument.getUint16(0, true)) ? count(call) : -ESRCH),
});

const OPERATIONS: Operations = new Map<number, Operation>([
  // Without a gfn list that a translated guest could be given; Xen does nothing for it either.
  [M.XENMEM_increase_reservation, reservation(() => false)],
  [M.XENMEM_decrease_reservation, reservation(giveBack)],
  [M.XENMEM_populate_physmap, reservation(({ guest }, gfn) => guest.physmap.populate(gfn))],
  [M.XENMEM_maximum_ram_page, { run: ({ guest }) => guest.machine.ramBytes / PAGE }],
  [M.XENMEM_current_reservation, pages(({ guest }) => guest.physmap.pages)],
  [M.XENMEM_maximum_reservation, pages(({ guest }) => guest.physmap.maxPages)],
  [M.XENMEM_maximum_gpfn, pages(() => 0xfefff)],
  [
    M.XENMEM_add_to_physmap,
    { bytes: { 64: M.xen_add_to_physmap[64].size, 32: M.xen_add_to_physmap[32].size }, run: addOne },
  ],
  [
    M.XENMEM_add_to_physmap_batch,
    {
      bytes: { 64: M.xen_add_to_physmap_batch[64].size, 32: M.xen_add_to_physmap_batch[32].size },
      run: addBatch,
    },
  ],
  [
    M.XENMEM_remove_from_physmap,
    {
      bytes: { 64: M.xen_remove_from_physmap[64].size, 32: M.xen_remove_from_physmap[32].size },
      run: removeFromPhysmap,
    },
  ],
  [
    M.XENMEM_memory_map,
    {
      bytes: { 64: M.xen_memory_map[64].size, 32: M.xen_memory_map[32].size },
      writes: true,
      run: memoryMap,
    },
  ],
]);

export function memoryOp(call: Call): Result {
  const operation = u32(call, 0) & ((1 << MEMOP_EXTENT_SHIFT) - 1);
  return runOperation(OPERATIONS, operation, call, word(call, 1));
}
