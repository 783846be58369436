/* The part of Xen's public interface that the samples use. Names as in xen/include/public. */
#ifndef XEN_H
#define XEN_H

#include <stdbool.h>
#include <stdint.h>

#define __HYPERVISOR_memory_op 12
#define __HYPERVISOR_xen_version 17
#define __HYPERVISOR_vcpu_op 24
#define __HYPERVISOR_sched_op 29
#define __HYPERVISOR_event_channel_op 32
#define __HYPERVISOR_hvm_op 34

#define DOMID_SELF 0x7ff0

/* hvm/start_info.h */
#define XEN_HVM_START_MAGIC_VALUE 0x336ec578
struct hvm_start_info {
  uint32_t magic, version, flags, nr_modules;
  uint64_t modlist_paddr, cmdline_paddr, rsdp_paddr, memmap_paddr;
  uint32_t memmap_entries, reserved;
};

/* sched.h */
#define SCHEDOP_yield 0
#define SCHEDOP_shutdown 2
#define SCHEDOP_watchdog 6
#define SHUTDOWN_poweroff 0
#define SHUTDOWN_crash 3
struct sched_shutdown {
  uint32_t reason;
};
struct sched_watchdog {
  uint32_t id, timeout;
};

/* memory.h */
#define XENMEM_add_to_physmap 7
#define XENMAPSPACE_shared_info 0
struct xen_add_to_physmap {
  uint16_t domid, size;
  uint32_t space;
  uint64_t idx, gpfn;
};

/* event_channel.h */
#define EVTCHNOP_bind_virq 1
#define EVTCHNOP_send 4
#define VIRQ_TIMER 0
struct evtchn_bind_virq {
  uint32_t virq, vcpu, port;
};
struct evtchn_send {
  uint32_t port;
};

/* vcpu.h */
#define VCPUOP_stop_periodic_timer 7
#define VCPUOP_set_singleshot_timer 8
struct vcpu_set_singleshot_timer {
  uint64_t timeout_abs_ns;
  uint32_t flags;
};

/* hvm/hvm_op.h, hvm/params.h */
#define HVMOP_set_param 0
#define HVMOP_get_param 1
#define HVM_PARAM_CALLBACK_IRQ 0
#define HVM_PARAM_CALLBACK_TYPE_VECTOR (2ULL << 56)
#define HVM_PARAM_CONSOLE_PFN 17
#define HVM_PARAM_CONSOLE_EVTCHN 18
struct xen_hvm_param {
  uint16_t domid, pad;
  uint32_t index;
  uint64_t value;
};

/* io/console.h */
struct xencons_interface {
  char in[1024], out[2048];
  uint32_t in_cons, in_prod, out_cons, out_prod;
};

/* xen.h */
struct vcpu_time_info {
  uint32_t version, pad0;
  uint64_t tsc_timestamp, system_time;
  uint32_t tsc_to_system_mul;
  int8_t tsc_shift;
  uint8_t flags, pad1[2];
};
struct vcpu_info {
  uint8_t evtchn_upcall_pending, evtchn_upcall_mask;
  uint64_t evtchn_pending_sel, arch[2];
  struct vcpu_time_info time;
};
struct shared_info {
  struct vcpu_info vcpu_info[32];
  uint64_t evtchn_pending[64], evtchn_mask[64];
};

/* VMMCALL on AMD, VMCALL on everything else. */
extern bool vmmcall;

/* Integers and pointers alike. */
#define hypercall(number, a, b, c) hypercall3(number, (uint64_t)(a), (uint64_t)(b), (uint64_t)(c))
static inline long hypercall3(long number, uint64_t a, uint64_t b, uint64_t c) {
  long result;
  register uint64_t arg1 asm("rdi") = a;
  register uint64_t arg2 asm("rsi") = b;
  register uint64_t arg3 asm("rdx") = c;
  if (vmmcall)
    asm volatile("vmmcall" : "=a"(result) : "a"(number), "r"(arg1), "r"(arg2), "r"(arg3) : "memory");
  else
    asm volatile("vmcall" : "=a"(result) : "a"(number), "r"(arg1), "r"(arg2), "r"(arg3) : "memory");
  return result;
}

#endif
