/* Final page tables: no identity map, text read-only, data not executable, a hole below each stack. */
#include "internal.h"

static inline void flush(const volatile void *address) {
  asm volatile("invlpg %0" : : "m"(*(const volatile char *)address) : "memory");
}

uint64_t physical_address(const void *image_address) { return (uint64_t)image_address - KERNEL_BASE; }

static uint64_t *image_entry(const void *address) { return &image_pt[physical_address(address) / PAGE_SIZE]; }

void unmap_image_page(const void *address) {
  *image_entry(address) = 0;
  flush(address);
}

void protect_image(void) {
  /* At the top level: the boot tables share the levels below and execute at physical addresses. */
  kernel_pml4[(uint64_t)DIRECT_MAP >> 39 & 511] |= PTE_NX;
  for (unsigned i = 0; i < 512; i++) {
    const char *page = (const char *)KERNEL_BASE + i * PAGE_SIZE;
    uint64_t flags = page < _text    ? 0
                     : page < _rodata ? PTE_P
                     : page < _data   ? PTE_P | PTE_NX
                     : page < _end    ? PTE_P | PTE_RW | PTE_NX
                                      : 0;
    /* One store an entry: the code, the stack and this table are mapped by it meanwhile. */
    *(volatile uint64_t *)&image_pt[i] = flags ? physical_address(page) | flags : 0;
  }
  for (unsigned i = 0; i < MAX_VCPUS; i++) unmap_image_page(stacks[i]);
  asm volatile("mov %0, %%cr3" : : "r"(physical_address(kernel_pml4)) : "memory");
}

void *map_page(uint64_t physical, uint64_t flags) {
  static unsigned used;
  if (used == 512) panic("map_page: no slot left");
  char *address = (char *)FIXMAP + used * PAGE_SIZE;
  fixmap_pt[used++] = (physical & ~(PAGE_SIZE - 1ULL)) | flags | PTE_P;
  flush(address);
  return address + physical % PAGE_SIZE;
}
