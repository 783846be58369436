/* Where things stand in memory. Read by C, by the assembler and by the linker script. */
#ifndef LAYOUT_H
#define LAYOUT_H

#define PAGE_SIZE 4096

/* The image is linked in the top 2 GiB, loaded from 1 MiB, and must end below 2 MiB: one page table maps it. */
#define KERNEL_BASE 0xffffffff80000000
#define IMAGE_PHYSICAL 0x100000
/* The first GiB of guest-physical memory. */
#define DIRECT_MAP 0xffff888000000000
/* Pages mapped on demand: local APIC, console ring. */
#define FIXMAP 0xffffffff80200000
/* Where a secondary vCPU wakes up in real mode: a page below 1 MiB. */
#define TRAMPOLINE 0x8000

#define KERNEL32_CS 0x08
#define KERNEL_CS 0x10
#define KERNEL_DS 0x18
#define TSS_SELECTOR 0x20

#define STACK_SIZE 16384
#define MAX_VCPUS 4

#endif
