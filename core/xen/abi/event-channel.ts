// EVTCHNOP numbers, statuses and arguments; the same layout for both widths. Data only.
// Source: xen/include/public/event_channel.h

export const EVTCHNOP_bind_interdomain = 0;
export const EVTCHNOP_bind_virq = 1;
export const EVTCHNOP_bind_pirq = 2;
export const EVTCHNOP_close = 3;
export const EVTCHNOP_send = 4;
export const EVTCHNOP_status = 5;
export const EVTCHNOP_alloc_unbound = 6;
export const EVTCHNOP_bind_ipi = 7;
export const EVTCHNOP_bind_vcpu = 8;
export const EVTCHNOP_unmask = 9;
export const EVTCHNOP_reset = 10;

export const EVTCHNSTAT_closed = 0;
export const EVTCHNSTAT_unbound = 1;
export const EVTCHNSTAT_interdomain = 2;
export const EVTCHNSTAT_virq = 4;
export const EVTCHNSTAT_ipi = 5;

export const evtchn_bind_interdomain = { remote_dom: 0, remote_port: 4, local_port: 8, size: 12 } as const;
export const evtchn_bind_virq = { virq: 0, vcpu: 4, port: 8, size: 12 } as const;
export const evtchn_port_only = { port: 0, size: 4 } as const;
export const evtchn_status = { dom: 0, port: 4, status: 8, vcpu: 12, u: 16, size: 24 } as const;
export const evtchn_alloc_unbound = { dom: 0, remote_dom: 2, port: 4, size: 8 } as const;
export const evtchn_bind_ipi = { vcpu: 0, port: 4, size: 8 } as const;
export const evtchn_bind_vcpu = { port: 0, vcpu: 4, size: 8 } as const;
export const evtchn_reset = { dom: 0, size: 2 } as const;
