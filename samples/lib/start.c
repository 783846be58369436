/* The first C code of vCPU 0, in the boot page tables on its own stack. */
#include "internal.h"
#include "xen.h"

char stacks[MAX_VCPUS][PAGE_SIZE + STACK_SIZE] __attribute__((aligned(PAGE_SIZE), section(".bss.page_aligned")));

void start(uint64_t start_info_physical) {
  const struct hvm_start_info *info = direct_map(start_info_physical);
  protect_image();
  load_vcpu_tables(0);
  xen_init();
  console_init();
  print("sample " SAMPLE "\n");
  if (info->magic != XEN_HVM_START_MAGIC_VALUE) panic("start_info: magic is %x", info->magic);
  sample_main();
  print("sample_main returned\n");
  shutdown(SHUTDOWN_poweroff);
}

void *memset(void *to, int byte, size_t count) {
  void *at = to;
  asm volatile("rep stosb" : "+D"(at), "+c"(count) : "a"(byte) : "memory");
  return to;
}

void *memcpy(void *to, const void *from, size_t count) {
  void *at = to;
  asm volatile("rep movsb" : "+D"(at), "+S"(from), "+c"(count) : : "memory");
  return to;
}

size_t strlen(const char *text) {
  size_t length = 0;
  while (text[length]) length++;
  return length;
}
