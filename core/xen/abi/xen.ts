// Hypercall numbers, virqs, domids and the layouts of shared_info and vcpu_info. Data only.
// Source: xen/include/public/xen.h, arch-x86/xen.h, arch-x86/xen-x86_32.h, arch-x86/xen-x86_64.h

export const __HYPERVISOR_memory_op = 12;
export const __HYPERVISOR_multicall = 13;
export const __HYPERVISOR_set_timer_op = 15;
export const __HYPERVISOR_xen_version = 17;
export const __HYPERVISOR_console_io = 18;
export const __HYPERVISOR_grant_table_op = 20;
export const __HYPERVISOR_vm_assist = 21;
export const __HYPERVISOR_iret = 23;
export const __HYPERVISOR_vcpu_op = 24;
export const __HYPERVISOR_sched_op = 29;
export const __HYPERVISOR_event_channel_op = 32;
export const __HYPERVISOR_hvm_op = 34;

export const DOMID_SELF = 0x7ff0;

export const VIRQ_TIMER = 0;
export const VIRQ_DEBUG = 1;
export const VIRQ_XENOPROF = 7;
export const VIRQ_XENPMU = 13;
export const NR_VIRQS = 24;

export const VMASST_TYPE_runstate_update_flag = 5;
export const VMASST_CMD_enable = 0;
export const VMASST_CMD_disable = 1;

/** Bytes of one vcpu_info, the same in both layouts. */
export const VCPU_INFO_SIZE = 64;

/** Byte offsets that differ with the width of the guest's `unsigned long`. */
export interface SharedInfoLayout {
  /** Bytes of `unsigned long`; a word of the event bitmaps. */
  readonly word: 4 | 8;
  readonly ports: number;
  readonly evtchn_pending: number;
  readonly evtchn_mask: number;
  readonly wc_version: number;
  readonly wc_sec: number;
  readonly wc_nsec: number;
  readonly wc_sec_hi: number;
  readonly max_pfn: number;
  /** Offset of evtchn_pending_sel inside vcpu_info. */
  readonly evtchn_pending_sel: number;
}

export const SHARED_INFO_64: SharedInfoLayout = {
  word: 8,
  ports: 4096,
  evtchn_pending: 0x800,
  evtchn_mask: 0xa00,
  wc_version: 0xc00,
  wc_sec: 0xc04,
  wc_nsec: 0xc08,
  wc_sec_hi: 0xc0c,
  max_pfn: 0xc10,
  evtchn_pending_sel: 8,
};

export const SHARED_INFO_32: SharedInfoLayout = {
  word: 4,
  ports: 1024,
  evtchn_pending: 0x800,
  evtchn_mask: 0x880,
  wc_version: 0x900,
  wc_sec: 0x904,
  wc_nsec: 0x908,
  wc_sec_hi: 0x924,
  max_pfn: 0x90c,
  evtchn_pending_sel: 4,
};

/** Offsets inside vcpu_info that both layouts share. */
export const vcpu_info = { evtchn_upcall_pending: 0, evtchn_upcall_mask: 1, time: 32 } as const;

/** Offsets inside vcpu_time_info (32 bytes). */
export const vcpu_time_info = {
  version: 0,
  tsc_timestamp: 8,
  system_time: 16,
  tsc_to_system_mul: 24,
  tsc_shift: 28,
  flags: 29,
  size: 32,
} as const;
export const XEN_PVCLOCK_TSC_STABLE_BIT = 1;

/** multicall_entry: op, result and six args, each one `unsigned long`. */
export const MULTICALL_ENTRY_WORDS = 8;
