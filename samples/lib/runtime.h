/* What a sample may use: its own main.c implements sample_main() and calls these. */
#ifndef RUNTIME_H
#define RUNTIME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "layout.h"

#define NOINLINE __attribute__((noinline))

/* gcc leaves the frame pointer out of functions that call nothing; with this one it does not. */
#define KEEP_FRAME() asm volatile("" : : "r"(__builtin_frame_address(0)))

/* One sample's story. Returning powers the domain off. */
void sample_main(void);

/* console.c: %s %c %d %u %x %p, with l, 0 and a width. Lines end in \n; the console gets \r\n. */
void print(const char *format, ...) __attribute__((format(printf, 1, 2)));

/*
 * panic.c: prints message, registers and back-trace, then SCHEDOP_shutdown(SHUTDOWN_crash). It never returns, but the
 * compiler is not told: with nothing behind the call, the return address would lie in the next function.
 */
void panic(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Stops with #UD; the handler finds file and line in the bug table. */
struct bug {
  uint64_t address;
  const char *file;
  uint64_t line;
};
#define BUG()                                                                 \
  do {                                                                        \
    asm volatile("1: ud2\n"                                                   \
                 ".pushsection bug_table, \"a\"\n"                            \
                 ".quad 1b, %c0, %c1\n"                                       \
                 ".popsection"                                                \
                 :                                                            \
                 : "i"(__FILE__), "i"(__LINE__));                             \
    __builtin_unreachable();                                                  \
  } while (0)
#define BUG_ON(condition)   \
  do {                      \
    if (condition) BUG();   \
  } while (0)

/* paging.c */
#define PTE_P 0x001ULL
#define PTE_RW 0x002ULL
#define PTE_PCD 0x010ULL
#define PTE_NX (1ULL << 63)
/* Maps one page of guest-physical memory below FIXMAP's table; never undone. */
void *map_page(uint64_t physical, uint64_t flags);
uint64_t physical_address(const void *image_address);
static inline void *direct_map(uint64_t physical) { return (void *)(DIRECT_MAP + physical); }

/* smp.c: starts every other vCPU; each runs `work`. Returns when `count` vCPUs (this one included) run. */
void start_vcpus(unsigned count, void (*work)(void));
unsigned this_vcpu(void);

/* event.c: a VIRQ_TIMER that ticks; needs Xen. wait_for_event() halts until any interrupt. */
extern volatile unsigned ticks;
void start_timer(uint64_t period_ns);
void stop_timer(void);
void wait_for_event(void);

/* xen.c */
bool on_xen(void);
int set_watchdog(unsigned id, unsigned seconds);
void shutdown(unsigned reason); /* as panic() */

/* memory and strings */
void *memset(void *to, int byte, size_t count);
void *memcpy(void *to, const void *from, size_t count);
size_t strlen(const char *text);

static inline void cpu_relax(void) { asm volatile("pause" ::: "memory"); }
static inline void disable_interrupts(void) { asm volatile("cli" ::: "memory"); }

#endif
