/*
 * A buffer that is marked free over three pages instead of one: behind it lie the page tables of the heap. Their entries
 * become all ones, and the next access to the heap is a page fault for reserved bits in a page table.
 */
#include "runtime.h"

#define HEAP ((volatile uint64_t *)0xffffc90000000000)

extern uint64_t kernel_pml4[512];

static struct {
  uint8_t free_blocks[PAGE_SIZE];
  uint64_t pdpt[512], directory[512], table[512];
  uint8_t page[PAGE_SIZE];
} heap __attribute__((aligned(PAGE_SIZE)));

static NOINLINE void map_heap(void) {
  heap.table[0] = physical_address(heap.page) | PTE_P | PTE_RW | PTE_NX;
  heap.directory[0] = physical_address(heap.table) | PTE_P | PTE_RW;
  heap.pdpt[0] = physical_address(heap.directory) | PTE_P | PTE_RW;
  kernel_pml4[(uint64_t)HEAP >> 39 & 511] = physical_address(heap.pdpt) | PTE_P | PTE_RW;
}

static NOINLINE void mark_all_free(void *blocks, size_t count) { memset(blocks, 0xff, count); }

static NOINLINE void store(uint64_t value) {
  HEAP[1] = value;
  print("heap[1] = %lu\n", HEAP[1]);
}

void sample_main(void) {
  map_heap();
  store(42);
  /* The map has one page; three are cleared, the tables behind it among them. */
  mark_all_free(heap.free_blocks, 3 * PAGE_SIZE);
  asm volatile("mov %%cr3, %%rax; mov %%rax, %%cr3" ::: "rax", "memory");
  store(43);
}
