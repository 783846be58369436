/* Is there a Xen, and the hypercalls that end or guard a domain. */
#include "internal.h"
#include "xen.h"

bool vmmcall;
static bool found;

bool on_xen(void) { return found; }

void xen_init(void) {
  uint32_t leaf[4];
  cpuid(0, leaf);
  vmmcall = leaf[1] == 0x68747541 || leaf[1] == 0x6f677948; /* "Auth"enticAMD, "Hygo"nGenuine */
  for (uint32_t base = 0x40000000; base < 0x40010000 && !found; base += 0x100) {
    cpuid(base, leaf);
    found = leaf[1] == 0x566e6558 && leaf[2] == 0x65584d4d && leaf[3] == 0x4d4d566e; /* XenVMMXenVMM */
  }
}

int set_watchdog(unsigned id, unsigned seconds) {
  struct sched_watchdog watchdog = {id, seconds};
  return hypercall(__HYPERVISOR_sched_op, SCHEDOP_watchdog, &watchdog, 0);
}

void shutdown(unsigned reason) {
  struct sched_shutdown arguments = {reason};
  if (found)
    hypercall(__HYPERVISOR_sched_op, SCHEDOP_shutdown, &arguments, 0);
  else
    outb(0xf4, reason); /* QEMU's isa-debug-exit */
  for (;;) asm volatile("cli; hlt");
}
