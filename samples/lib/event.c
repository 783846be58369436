/* One event channel in: VIRQ_TIMER of vCPU 0 through the callback vector. */
#include "internal.h"
#include "xen.h"

volatile unsigned ticks;
static struct shared_info shared_info __attribute__((aligned(PAGE_SIZE), section(".bss.page_aligned")));
static uint64_t period, deadline;
static uint32_t timer_port;

static void check(long result, const char *what) {
  if (result < 0) panic("%s: error %ld", what, -result);
}

static void arm(void) {
  struct vcpu_set_singleshot_timer timer = {.timeout_abs_ns = deadline += period};
  check(hypercall(__HYPERVISOR_vcpu_op, VCPUOP_set_singleshot_timer, 0, &timer), "singleshot timer");
}

void event_upcall(void) {
  struct vcpu_info *info = &shared_info.vcpu_info[0];
  info->evtchn_upcall_pending = 0;
  uint64_t words = __atomic_exchange_n(&info->evtchn_pending_sel, 0, __ATOMIC_SEQ_CST);
  for (unsigned word = 0; word < 64; word++) {
    if (!(words >> word & 1)) continue;
    uint64_t bits = __atomic_exchange_n(&shared_info.evtchn_pending[word], 0, __ATOMIC_SEQ_CST);
    if (timer_port / 64 != word || !(bits >> timer_port % 64 & 1)) continue;
    ticks++;
    if (period) arm();
  }
}

static uint64_t system_time(void) {
  const volatile struct vcpu_time_info *time = &shared_info.vcpu_info[0].time;
  uint32_t low, high;
  asm volatile("rdtsc" : "=a"(low), "=d"(high));
  uint64_t delta = ((uint64_t)high << 32 | low) - time->tsc_timestamp;
  delta = time->tsc_shift < 0 ? delta >> -time->tsc_shift : delta << time->tsc_shift;
  return time->system_time + (uint64_t)(((unsigned __int128)delta * time->tsc_to_system_mul) >> 32);
}

void start_timer(uint64_t period_ns) {
  struct xen_add_to_physmap map = {
      .domid = DOMID_SELF, .space = XENMAPSPACE_shared_info, .gpfn = physical_address(&shared_info) / PAGE_SIZE};
  check(hypercall(__HYPERVISOR_memory_op, XENMEM_add_to_physmap, &map, 0), "map shared_info");
  struct xen_hvm_param callback = {.domid = DOMID_SELF,
                                   .index = HVM_PARAM_CALLBACK_IRQ,
                                   .value = HVM_PARAM_CALLBACK_TYPE_VECTOR | EVENT_VECTOR};
  check(hypercall(__HYPERVISOR_hvm_op, HVMOP_set_param, &callback, 0), "callback vector");
  struct evtchn_bind_virq bind = {.virq = VIRQ_TIMER};
  check(hypercall(__HYPERVISOR_event_channel_op, EVTCHNOP_bind_virq, &bind, 0), "bind VIRQ_TIMER");
  check(hypercall(__HYPERVISOR_vcpu_op, VCPUOP_stop_periodic_timer, 0, 0), "stop periodic timer");
  timer_port = bind.port;
  period = period_ns;
  deadline = system_time();
  arm();
}

void stop_timer(void) { period = 0; }

void wait_for_event(void) {
  KEEP_FRAME();
  asm volatile("sti; hlt" ::: "memory");
}
