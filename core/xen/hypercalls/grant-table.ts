// HYPERVISOR_grant_table_op: what a domU without backends asks of its own table.
// Source: xen/include/public/grant_table.h
import { EFAULT, EINVAL, ENOSYS } from '../abi/errno.ts';
import * as G from '../abi/grant-table.ts';
import { DOMID_SELF } from '../abi/xen.ts';
import { MAX_GRANT_FRAMES } from '../grant-table.ts';
import {
  type Call,
  getWord,
  type Operation,
  type Operations,
  type Result,
  runOperation,
  u32,
  word,
  writeGuest,
} from './call.ts';

/** Xen takes no more structs at once from a caller of these operations. */
const MAX_COUNT = 1;

const isSelf = (call: Call, domid: number): boolean =>
  domid === DOMID_SELF || domid === call.guest.options.domid;

function querySize(call: Call, argument: DataView): Result {
  const layout = G.gnttab_query_size;
  const self = isSelf(call, argument.getUint16(layout.dom, true));
  argument.setUint32(layout.nr_frames, self ? call.guest.grants.frameCount : 0, true);
  argument.setUint32(layout.max_nr_frames, self ? MAX_GRANT_FRAMES : 0, true);
  argument.setInt16(layout.status, self ? G.GNTST_okay : G.GNTST_bad_domain, true);
  return 0;
}

/** The PV way to learn the frames: a PVH guest gets none by it, Xen says so as well. */
function setupTable(call: Call, argument: DataView): Result {
  const layout = G.gnttab_setup_table[call.width];
  const count = argument.getUint32(layout.nr_frames, true);
  const answer = (status: number): Result => {
    argument.setInt16(layout.status, status, true);
    return 0;
  };
  if (!isSelf(call, argument.getUint16(layout.dom, true))) return answer(G.GNTST_bad_domain);
  if (count > MAX_GRANT_FRAMES) return answer(G.GNTST_general_error);
  if (count > 0) call.guest.grants.frame(count - 1);
  // Frames of Xen's have no gfn before XENMEM_add_to_physmap gave them one.
  const list = new Uint8Array((count * call.width) / 8).fill(0xff);
  if (!writeGuest(call, getWord(call, argument, layout.frame_list), list)) return -EFAULT;
  return answer(G.GNTST_okay);
}

const OPERATIONS: Operations = new Map<number, Operation>([
  [
    G.GNTTABOP_setup_table,
    {
      bytes: { 64: G.gnttab_setup_table[64].size, 32: G.gnttab_setup_table[32].size },
      writes: true,
      run: setupTable,
    },
  ],
  [G.GNTTABOP_query_size, { bytes: G.gnttab_query_size.size, writes: true, run: querySize }],
  [
    G.GNTTABOP_set_version,
    {
      bytes: 4,
      writes: true,
      run: (_call, argument) => {
        const version = argument.getUint32(0, true);
        // -ENOSYS is what makes Linux stay with version 1.
        if (version === 2) return -ENOSYS;
        return version === 1 ? 0 : -EINVAL;
      },
    },
  ],
  [
    G.GNTTABOP_get_version,
    {
      bytes: G.gnttab_get_version.size,
      writes: true,
      run: (_call, argument) => {
        argument.setUint32(G.gnttab_get_version.version, 1, true);
        return 0;
      },
    },
  ],
]);

/** Arguments: operation, pointer to structs, their count. */
export function grantTableOp(call: Call): Result {
  if (!OPERATIONS.has(u32(call, 0))) return -ENOSYS;
  return u32(call, 2) === MAX_COUNT ? runOperation(OPERATIONS, u32(call, 0), call, word(call, 1)) : -EINVAL;
}
