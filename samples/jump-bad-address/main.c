/* A label that is longer than the name runs over the function pointer behind it: the call goes to the letters "AAAAAA". */
#include "runtime.h"

struct device {
  char name[16];
  void (*reset)(struct device *device);
};

static void reset_device(struct device *device) { print("%s: reset\n", device->name); }

static struct device device = {"", reset_device};

/* As it stands on the disk. */
struct label {
  char text[24];
};

static NOINLINE void name_device(const struct label *label) {
  /* Through a volatile pointer: the compiler must not know how long the array is. */
  char *volatile to = device.name;
  memcpy(to, label->text, label->text[16] ? sizeof label->text : 16);
}

static NOINLINE void reset_all(void) {
  device.reset(&device);
  print("all devices reset\n");
}

void sample_main(void) {
  name_device(&(struct label){"disk0"});
  reset_all();
  name_device(&(struct label){"disk-number-one-AAAAAA"});
  reset_all();
}
