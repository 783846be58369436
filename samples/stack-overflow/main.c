/* Unbounded recursion into the unmapped page below the stack: the page fault finds no stack and becomes a double fault. */
#include "runtime.h"

struct directory {
  const char *name;
  const struct directory *parent;
};

/* A loop that a file system check would have found. */
static const struct directory home, user = {"user", &home}, home = {"home", &user};

static NOINLINE unsigned path_length(const struct directory *directory) {
  char component[64];
  size_t length = strlen(directory->name);
  memcpy(component, directory->name, length + 1);
  if (directory->parent == NULL) return length;
  return path_length(directory->parent) + 1 + strlen(component);
}

void sample_main(void) {
  print("length of the path of %s\n", user.name);
  print("is %u\n", path_length(&user));
}
