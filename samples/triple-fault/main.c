/*
 * An interrupt descriptor table that is gone: the exception cannot be delivered, nor the double fault after it.
 * The processor shuts down; Xen turns that into a reboot, so on_reboot decides what becomes of the domain.
 */
#include "runtime.h"

static NOINLINE void load_interrupt_table(const void *table, uint16_t limit) {
  struct {
    uint16_t limit;
    const void *base;
  } __attribute__((packed)) descriptor = {limit, table};
  asm volatile("lidt %0" : : "m"(descriptor));
}

static NOINLINE void restart(void) {
  print("no interrupt table any more\n");
  load_interrupt_table(NULL, 0);
  asm volatile("int3");
  print("still here\n");
}

void sample_main(void) { restart(); }
