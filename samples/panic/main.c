/* A kernel that finds no root file system gives up by itself: panic() and SCHEDOP_shutdown(SHUTDOWN_crash). */
#include "runtime.h"

static const char *const candidates[] = {"xvda1", "xvda2", "nfs"};

static NOINLINE bool mount(const char *device) {
  print("mount: %s: no such device\n", device);
  return false;
}

static NOINLINE void mount_root(void) {
  for (unsigned i = 0; i < sizeof candidates / sizeof *candidates; i++)
    if (mount(candidates[i])) return;
  panic("cannot mount root, tried %lu devices", sizeof candidates / sizeof *candidates);
}

static NOINLINE void start_services(void) {
  print("starting services\n");
  mount_root();
  print("services started\n");
}

void sample_main(void) {
  start_services();
  print("sample finished\n");
}
