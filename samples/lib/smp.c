/* Secondary vCPUs: INIT and start-up IPI through the local APIC, as on real hardware. */
#include "internal.h"

#define APIC_PHYSICAL 0xfee00000
#define APIC_SVR 0xf0
#define APIC_ICR 0x300
#define ICR_INIT_ALL_BUT_SELF 0x000c4500
#define ICR_STARTUP_ALL_BUT_SELF 0x000c4600

/* Counted by boot.S; vCPU 0 is the first. */
volatile uint32_t vcpus_started = 1;
static void (*secondary_work)(void);
static volatile uint32_t vcpus_ready = 1;

void start_secondary(unsigned id) {
  asm volatile("mov %0, %%cr3" : : "r"(physical_address(kernel_pml4)) : "memory");
  load_vcpu_tables(id);
  __atomic_add_fetch(&vcpus_ready, 1, __ATOMIC_SEQ_CST);
  secondary_work();
  for (;;) asm volatile("sti; hlt");
}

void start_vcpus(unsigned count, void (*work)(void)) {
  volatile uint32_t *apic = map_page(APIC_PHYSICAL, PTE_RW | PTE_PCD | PTE_NX);
  secondary_work = work;
  memcpy(direct_map(TRAMPOLINE), trampoline, trampoline_end - trampoline);
  apic[APIC_SVR / 4] = 0x1ff;
  apic[APIC_ICR / 4] = ICR_INIT_ALL_BUT_SELF;
  for (unsigned i = 0; i < 10000; i++) cpu_relax();
  apic[APIC_ICR / 4] = ICR_STARTUP_ALL_BUT_SELF | TRAMPOLINE / PAGE_SIZE;
  while (vcpus_ready < count) cpu_relax();
}
