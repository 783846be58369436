/* A failed BUG_ON(): ud2 in the code, file and line in a table beside it. */
#include "runtime.h"

struct request {
  unsigned id;
  int references;
};

static NOINLINE void put_request(struct request *request) {
  BUG_ON(request->references <= 0);
  if (--request->references == 0) print("request %u freed\n", request->id);
}

static NOINLINE void complete(struct request *request) {
  print("request %u complete\n", request->id);
  put_request(request);
}

void sample_main(void) {
  struct request request = {.id = 7, .references = 1};
  complete(&request);
  complete(&request);
}
