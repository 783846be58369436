/* The source of the ELF files in this folder: calls, a nest of inlined functions, a list of structures, two ranges. */
struct node {
  struct node *next;
  union {
    long value;
    char text[8];
  };
  unsigned flag : 3;
};
typedef struct node node_t;

extern int probe(long);
node_t *head;

static inline __attribute__((always_inline)) int inner(node_t *at, int depth)
{
  if (at->flag == 5)
    return probe(at->value);
  return depth;
}

static inline __attribute__((always_inline)) int middle(node_t *at, int depth)
{
  int sum = 0;
  for (; at; at = at->next)
    sum += inner(at, depth);
  return sum;
}

__attribute__((cold, noinline)) static void give_up(int sum)
{
  probe(sum);
  __builtin_trap();
}

int _start(int depth)
{
  int sum = middle(head, depth);
  if (sum < 0)
    give_up(sum);
  return sum + middle(head->next, 1);
}

int probe(long value)
{
  return value > 3 ? (int)value : _start((int)value);
}
