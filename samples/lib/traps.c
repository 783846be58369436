/* GDT, TSS and IDT of each vCPU, and what happens on an exception: die(). */
#include "internal.h"

struct tss {
  uint32_t reserved0;
  uint64_t rsp[3], reserved1, ist[7], reserved2;
  uint16_t reserved3, iomap_base;
} __attribute__((packed));

struct vcpu {
  struct vcpu *self; /* gs:0 */
  uint64_t id;
  uint64_t gdt[6];
  struct tss tss;
};

struct gate {
  uint16_t offset0, selector, attributes, offset1;
  uint32_t offset2, reserved;
};

struct descriptor {
  uint16_t limit;
  uint64_t base;
} __attribute__((packed));

enum { DOUBLE_FAULT_IST = 1, NMI_IST = 2, IST_STACKS = 2 };

static struct vcpu vcpus[MAX_VCPUS];
static struct gate idt[256];
static char ist_stacks[MAX_VCPUS][IST_STACKS][PAGE_SIZE] __attribute__((aligned(PAGE_SIZE)));

static void set_gate(unsigned vector, unsigned stub, unsigned ist) {
  uint64_t address = (uint64_t)trap_stubs + 16 * stub;
  idt[vector] = (struct gate){.offset0 = (uint16_t)address,
                              .selector = KERNEL_CS,
                              .attributes = 0x8e00 | ist,
                              .offset1 = (uint16_t)(address >> 16),
                              .offset2 = (uint32_t)(address >> 32)};
}

void load_vcpu_tables(unsigned id) {
  struct vcpu *vcpu = &vcpus[id];
  uint64_t tss = (uint64_t)&vcpu->tss;
  vcpu->self = vcpu;
  vcpu->id = id;
  vcpu->gdt[1] = 0x00cf9b000000ffff;
  vcpu->gdt[2] = 0x00af9b000000ffff;
  vcpu->gdt[3] = 0x00cf93000000ffff;
  vcpu->gdt[4] = (sizeof(struct tss) - 1) | (tss & 0xffffff) << 16 | 0x89ULL << 40 | (tss >> 24 & 0xff) << 56;
  vcpu->gdt[5] = tss >> 32;
  for (unsigned i = 0; i < IST_STACKS; i++) vcpu->tss.ist[i] = (uint64_t)ist_stacks[id][i] + PAGE_SIZE;
  vcpu->tss.iomap_base = sizeof(struct tss);

  if (id == 0) {
    for (unsigned vector = 0; vector < 32; vector++)
      set_gate(vector, vector, vector == 8 ? DOUBLE_FAULT_IST : vector == 2 ? NMI_IST : 0);
    set_gate(EVENT_VECTOR, 32, 0);
  }

  struct descriptor gdt_descriptor = {sizeof vcpu->gdt - 1, (uint64_t)vcpu->gdt};
  struct descriptor idt_descriptor = {sizeof idt - 1, (uint64_t)idt};
  asm volatile("lgdt %0" : : "m"(gdt_descriptor));
  asm volatile("lidt %0" : : "m"(idt_descriptor));
  asm volatile("mov %0, %%ds; mov %0, %%es; mov %0, %%ss" : : "r"(KERNEL_DS));
  asm volatile("mov %0, %%fs; mov %0, %%gs" : : "r"(0));
  asm volatile("ltr %w0" : : "r"(TSS_SELECTOR));
  wrmsr(0xc0000101, (uint64_t)vcpu);
}

unsigned this_vcpu(void) {
  uint64_t id;
  asm volatile("mov %%gs:8, %0" : "=r"(id));
  return id;
}

void trap(struct trap_frame *frame) {
  if (frame->vector == 32)
    event_upcall();
  else
    die(frame);
}
