/* The last words of a sample: why, the registers, the way here by frame pointers. */
#include "internal.h"
#include "xen.h"

static const char *const exception_names[32] = {
    "divide error",        "debug",          "NMI",           "breakpoint",       "overflow",
    "bound range",         "invalid opcode", "no FPU",        "double fault",     "coprocessor overrun",
    "invalid TSS",         "no segment",     "stack segment", "general protection", "page fault",
    "reserved",            "x87 FPU",        "alignment",     "machine check",    "SIMD",
    "virtualisation",      "control protection"};

extern const struct bug __start_bug_table[], __stop_bug_table[];

static void print_back_trace(uint64_t rip, uint64_t rbp, uint64_t rsp) {
  print("Call trace:\n [<%016lx>]\n", rip);
  /* The chain grows upwards; anything else is not a frame. */
  for (unsigned depth = 0; depth < 64 && rbp >= rsp && rbp < rsp + STACK_SIZE && rbp % 8 == 0; depth++) {
    const uint64_t *record = (const uint64_t *)rbp;
    if (record[1] < (uint64_t)_text || record[1] >= (uint64_t)_etext) break;
    print(" [<%016lx>]\n", record[1]);
    rsp = rbp + 16;
    rbp = record[0];
  }
}

static void print_registers(const struct trap_frame *frame) {
  print("vCPU %u  rip: %04lx:%016lx  rsp: %04lx:%016lx  rflags: %08lx\n", this_vcpu(), frame->cs, frame->rip,
        frame->ss, frame->rsp, frame->rflags);
  print("rax: %016lx  rbx: %016lx  rcx: %016lx\n", frame->rax, frame->rbx, frame->rcx);
  print("rdx: %016lx  rsi: %016lx  rdi: %016lx\n", frame->rdx, frame->rsi, frame->rdi);
  print("rbp: %016lx  r8:  %016lx  r9:  %016lx\n", frame->rbp, frame->r8, frame->r9);
  print("r10: %016lx  r11: %016lx  r12: %016lx\n", frame->r10, frame->r11, frame->r12);
  print("r13: %016lx  r14: %016lx  r15: %016lx\n", frame->r13, frame->r14, frame->r15);
  print("cr2: %016lx  cr3: %016lx\n", READ_CONTROL_REGISTER(cr2), READ_CONTROL_REGISTER(cr3));
}

static void print_reason(const struct trap_frame *frame) {
  for (const struct bug *bug = __start_bug_table; frame->vector == 6 && bug < __stop_bug_table; bug++)
    if (bug->address == frame->rip) print("BUG at %s:%lu!\n", bug->file, bug->line);
  const char *name = exception_names[frame->vector];
  print("Unhandled exception %lu (%s), error code %04lx\n", frame->vector, name ? name : "reserved", frame->error);
  if (frame->vector == 14)
    print("Page fault: %s %016lx: %s\n",
          frame->error & 16 ? "fetch from" : frame->error & 2 ? "write to" : "read from",
          READ_CONTROL_REGISTER(cr2),
          frame->error & 8   ? "reserved bit set in a page table"
          : frame->error & 1 ? "not permitted"
                             : "not mapped");
}

void die(const struct trap_frame *frame) {
  static bool dying;
  if (__atomic_exchange_n(&dying, true, __ATOMIC_SEQ_CST)) shutdown(SHUTDOWN_crash); /* the report itself failed */
  print_reason(frame);
  print_registers(frame);
  print_back_trace(frame->rip, frame->rbp, frame->rsp);
  print("Shutting down: crash\n");
  shutdown(SHUTDOWN_crash);
}

void panic(const char *format, ...) {
  va_list arguments;
  disable_interrupts();
  va_start(arguments, format);
  print("Panic: ");
  vprint(format, arguments);
  print("\n");
  va_end(arguments);
  const uint64_t *record = __builtin_frame_address(0);
  print("vCPU %u  rsp: %016lx  cr3: %016lx\n", this_vcpu(), (uint64_t)record, READ_CONTROL_REGISTER(cr3));
  print_back_trace(record[1], record[0], (uint64_t)record);
  print("Shutting down: crash\n");
  shutdown(SHUTDOWN_crash);
}
