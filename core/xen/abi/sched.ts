// SCHEDOP numbers, arguments and shutdown reasons. Data only.
// Source: xen/include/public/sched.h
import type { Layouts } from './layout.ts';

export const SCHEDOP_yield = 0;
export const SCHEDOP_block = 1;
export const SCHEDOP_shutdown = 2;
export const SCHEDOP_poll = 3;
export const SCHEDOP_watchdog = 6;

/** Domain watchdog slots (NR_DOMAIN_WATCHDOG_TIMERS, xen/sched.h). */
export const NR_DOMAIN_WATCHDOG_TIMERS = 2;

/** sched_poll never takes more ports than this. */
export const SCHEDOP_POLL_MAX_PORTS = 128;

export const sched_poll: Layouts<{ ports: number; nr_ports: number; timeout: number; size: number }> = {
  64: { ports: 0, nr_ports: 8, timeout: 16, size: 24 },
  32: { ports: 0, nr_ports: 4, timeout: 8, size: 16 },
};
export const sched_watchdog = { id: 0, timeout: 4, size: 8 } as const;
