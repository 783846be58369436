// VCPUOP numbers, arguments and the runstate record. Data only.
// Source: xen/include/public/vcpu.h
import type { Layouts } from './layout.ts';

export const VCPUOP_initialise = 0;
export const VCPUOP_up = 1;
export const VCPUOP_down = 2;
export const VCPUOP_is_up = 3;
export const VCPUOP_get_runstate_info = 4;
export const VCPUOP_register_runstate_memory_area = 5;
export const VCPUOP_set_periodic_timer = 6;
export const VCPUOP_stop_periodic_timer = 7;
export const VCPUOP_set_singleshot_timer = 8;
export const VCPUOP_stop_singleshot_timer = 9;
export const VCPUOP_register_vcpu_info = 10;
export const VCPUOP_send_nmi = 11;
export const VCPUOP_register_vcpu_time_memory_area = 13;

export const VCPU_SSHOTTMR_future = 1;

export const RUNSTATE_running = 0;
export const RUNSTATE_runnable = 1;
export const RUNSTATE_blocked = 2;
export const RUNSTATE_offline = 3;

export const vcpu_runstate_info: Layouts<{
  state: number;
  state_entry_time: number;
  time: number;
  size: number;
}> = {
  64: { state: 0, state_entry_time: 8, time: 16, size: 48 },
  32: { state: 0, state_entry_time: 4, time: 12, size: 44 },
};
export const vcpu_register_vcpu_info = { mfn: 0, offset: 8, size: 16 } as const;
export const vcpu_set_singleshot_timer: Layouts<{ timeout_abs_ns: number; flags: number; size: number }> = {
  64: { timeout_abs_ns: 0, flags: 8, size: 16 },
  32: { timeout_abs_ns: 0, flags: 8, size: 12 },
};
/** Shortest period that Xen takes: 1 ms. */
export const PERIODIC_TIMER_MIN_NS = 1_000_000;
