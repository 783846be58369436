// XENMEM numbers and arguments in both widths. Data only.
// Source: xen/include/public/memory.h
import type { Layouts } from './layout.ts';

export const XENMEM_increase_reservation = 0;
export const XENMEM_decrease_reservation = 1;
export const XENMEM_maximum_ram_page = 2;
export const XENMEM_current_reservation = 3;
export const XENMEM_maximum_reservation = 4;
export const XENMEM_populate_physmap = 6;
export const XENMEM_add_to_physmap = 7;
export const XENMEM_memory_map = 9;
export const XENMEM_maximum_gpfn = 14;
export const XENMEM_remove_from_physmap = 15;
export const XENMEM_add_to_physmap_batch = 23;

export const XENMAPSPACE_shared_info = 0;
export const XENMAPSPACE_grant_table = 1;
/** In the index of XENMAPSPACE_grant_table: a status frame of a version 2 table. */
export const XENMAPIDX_grant_table_status = 0x8000_0000n;

export const xen_add_to_physmap: Layouts<{
  domid: number;
  size_field: number;
  space: number;
  idx: number;
  gpfn: number;
  size: number;
}> = {
  64: { domid: 0, size_field: 2, space: 4, idx: 8, gpfn: 16, size: 24 },
  32: { domid: 0, size_field: 2, space: 4, idx: 8, gpfn: 12, size: 16 },
};

export const xen_add_to_physmap_batch: Layouts<{
  domid: number;
  space: number;
  size_field: number;
  idxs: number;
  gpfns: number;
  errs: number;
  size: number;
}> = {
  64: { domid: 0, space: 2, size_field: 4, idxs: 8, gpfns: 16, errs: 24, size: 32 },
  32: { domid: 0, space: 2, size_field: 4, idxs: 8, gpfns: 12, errs: 16, size: 20 },
};

export const xen_remove_from_physmap: Layouts<{ domid: number; gpfn: number; size: number }> = {
  64: { domid: 0, gpfn: 8, size: 16 },
  32: { domid: 0, gpfn: 4, size: 8 },
};

export const xen_memory_map: Layouts<{ nr_entries: number; buffer: number; size: number }> = {
  64: { nr_entries: 0, buffer: 8, size: 16 },
  32: { nr_entries: 0, buffer: 4, size: 8 },
};
/** e820entry as XENMEM_memory_map returns it: packed. */
export const e820entry = { addr: 0, size_field: 8, type: 16, size: 20 } as const;

export const xen_memory_reservation: Layouts<{
  extent_start: number;
  nr_extents: number;
  extent_order: number;
  domid: number;
  size: number;
}> = {
  64: { extent_start: 0, nr_extents: 8, extent_order: 16, domid: 24, size: 32 },
  32: { extent_start: 0, nr_extents: 4, extent_order: 8, domid: 16, size: 20 },
};
