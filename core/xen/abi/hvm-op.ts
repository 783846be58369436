// HVMOP numbers and arguments; the same layout for both widths. Data only.
// Source: xen/include/public/hvm/hvm_op.h

export const HVMOP_set_param = 0;
export const HVMOP_get_param = 1;
export const HVMOP_get_time = 10;
export const HVMOP_get_mem_type = 15;
export const HVMOP_set_evtchn_upcall_vector = 23;

export const HVMMEM_ram_rw = 0;
export const HVMMEM_mmio_dm = 2;

export const xen_hvm_param = { domid: 0, index: 4, value: 8, size: 16 } as const;
export const xen_hvm_get_mem_type = { domid: 0, mem_type: 2, pfn: 8, size: 16 } as const;
export const xen_hvm_evtchn_upcall_vector = { vcpu: 0, vector: 4, size: 8 } as const;
