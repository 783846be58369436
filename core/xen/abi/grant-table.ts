// GNTTABOP numbers, arguments and the version 1 entry. Data only.
// Source: xen/include/public/grant_table.h
import type { Layouts } from './layout.ts';

export const GNTTABOP_setup_table = 2;
export const GNTTABOP_query_size = 6;
export const GNTTABOP_set_version = 8;
export const GNTTABOP_get_version = 10;

export const GNTST_okay = 0;
export const GNTST_general_error = -1;
export const GNTST_bad_domain = -2;

export const GTF_permit_access = 1;

/** grant_entry_v1: u16 flags, u16 domid, u32 frame. */
export const grant_entry_v1 = { flags: 0, domid: 2, frame: 4, size: 8 } as const;
export const GNTTAB_RESERVED_CONSOLE = 0;
export const GNTTAB_RESERVED_XENSTORE = 1;

export const gnttab_query_size = { dom: 0, nr_frames: 4, max_nr_frames: 8, status: 12, size: 16 } as const;
export const gnttab_setup_table: Layouts<{
  dom: number;
  nr_frames: number;
  status: number;
  frame_list: number;
  size: number;
}> = {
  64: { dom: 0, nr_frames: 4, status: 8, frame_list: 16, size: 24 },
  32: { dom: 0, nr_frames: 4, status: 8, frame_list: 12, size: 16 },
};
export const gnttab_get_version = { dom: 0, version: 4, size: 8 } as const;
