/* Shared by the files of the runtime; samples include runtime.h only. */
#ifndef INTERNAL_H
#define INTERNAL_H

#include <stdarg.h>

#include "runtime.h"

/* What traps.S leaves on the stack, lowest address first. */
struct trap_frame {
  uint64_t r15, r14, r13, r12, rbp, rbx, r11, r10, r9, r8, rax, rcx, rdx, rsi, rdi;
  uint64_t vector, error, rip, cs, rflags, rsp, ss;
};

#define EVENT_VECTOR 0xf3

extern uint64_t kernel_pml4[512], image_pt[512], fixmap_pt[512];
extern char _text[], _etext[], _rodata[], _data[], _end[];
extern char trap_stubs[], trampoline[], trampoline_end[];
/* Of each vCPU: an unmapped page, then its stack. */
extern char stacks[MAX_VCPUS][PAGE_SIZE + STACK_SIZE];

void xen_init(void);
void console_init(void);
void vprint(const char *format, va_list arguments);
void protect_image(void);
void unmap_image_page(const void *address);
void load_vcpu_tables(unsigned id);
void event_upcall(void);
/* Prints the registers of `frame` and the chain of frame pointers from there, and shuts the domain down. As panic(). */
void die(const struct trap_frame *frame);

static inline void outb(uint16_t port, uint8_t value) { asm volatile("outb %0, %1" : : "a"(value), "Nd"(port)); }
static inline void wrmsr(uint32_t index, uint64_t value) {
  asm volatile("wrmsr" : : "c"(index), "a"((uint32_t)value), "d"((uint32_t)(value >> 32)));
}
static inline void cpuid(uint32_t leaf, uint32_t registers[4]) {
  asm volatile("cpuid"
               : "=a"(registers[0]), "=b"(registers[1]), "=c"(registers[2]), "=d"(registers[3])
               : "a"(leaf), "c"(0));
}
#define READ_CONTROL_REGISTER(name)                   \
  ({                                                  \
    uint64_t value_;                                  \
    asm volatile("mov %%" #name ", %0" : "=r"(value_)); \
    value_;                                           \
  })

#endif
