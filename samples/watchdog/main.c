/* Xen's watchdog is fed by the timer; then the timer stops and the vCPU waits for an event that nobody sends. */
#include "runtime.h"

#define WATCHDOG_SECONDS 2
#define MILLISECOND 1000000ULL

static NOINLINE void feed(unsigned id) {
  int result = set_watchdog(id, WATCHDOG_SECONDS);
  if (result < 0) panic("cannot feed the watchdog: error %d", -result);
}

static volatile bool work;

static NOINLINE void wait_for_work(void) {
  while (!work) wait_for_event();
}

void sample_main(void) {
  if (!on_xen()) panic("this sample needs Xen");
  int id = set_watchdog(0, WATCHDOG_SECONDS);
  if (id <= 0) panic("no watchdog: error %d", -id);
  print("watchdog %d: %u s\n", id, WATCHDOG_SECONDS);
  start_timer(500 * MILLISECOND);
  while (ticks < 3) {
    unsigned seen = ticks;
    wait_for_event();
    if (ticks == seen) continue;
    print("tick %u, watchdog fed\n", ticks);
    feed(id);
  }
  stop_timer();
  print("waiting for work\n");
  wait_for_work();
}
