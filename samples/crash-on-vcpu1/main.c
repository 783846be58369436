/* vCPU 0 waits for a result; vCPU 1 divides by zero while it computes it. */
#include "runtime.h"

static volatile bool waiting, done;
static volatile unsigned divisor;

static NOINLINE unsigned average(unsigned sum, unsigned count) {
  print("%u divided by %u\n", sum, count);
  return sum / count;
}

static NOINLINE void compute(void) {
  while (!waiting) cpu_relax();
  print("vCPU %u computes\n", this_vcpu());
  print("average: %u\n", average(100, divisor));
  done = true;
}

static NOINLINE void wait_for_result(void) {
  KEEP_FRAME();
  waiting = true;
  while (!done) cpu_relax();
}

void sample_main(void) {
  print("vCPU %u starts the other one\n", this_vcpu());
  start_vcpus(2, compute);
  wait_for_result();
  print("result is there\n");
}
