/* A lock that its owner takes twice, with interrupts off: the vCPU spins for ever and nothing can interrupt it. */
#include "runtime.h"

static volatile char lock;

static NOINLINE void lock_irq_off(void) {
  KEEP_FRAME();
  disable_interrupts();
  while (__atomic_test_and_set(&lock, __ATOMIC_ACQUIRE)) cpu_relax();
}

static NOINLINE void flush_log(void) {
  lock_irq_off();
  print("log flushed\n");
}

static NOINLINE void write_log(void) {
  lock_irq_off();
  print("lock taken, interrupts off\n");
  flush_log();
}

void sample_main(void) { write_log(); }
