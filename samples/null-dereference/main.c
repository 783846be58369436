/* The sum over a linked list whose last-but-one node was removed without telling its neighbour: node->next is NULL. */
#include "runtime.h"

struct node {
  uint64_t value;
  struct node *next;
};

static struct node nodes[4] = {{1, &nodes[1]}, {2, &nodes[2]}, {3, &nodes[3]}, {4, &nodes[0]}};

static NOINLINE void remove_after(struct node *node) { node->next = NULL; /* should be node->next->next */ }

static NOINLINE uint64_t sum_ring(const struct node *first) {
  uint64_t sum = 0;
  const struct node *node = first;
  do {
    print("node %lu\n", node->value);
    sum += node->value;
    node = node->next;
  } while (node != first);
  return sum;
}

static NOINLINE void audit(void) { print("sum of the ring: %lu\n", sum_ring(nodes)); }

void sample_main(void) {
  audit();
  remove_after(&nodes[2]);
  audit();
}
