// Runs generated instructions on the CPU of this machine and writes down what they did. One case goes in as a
// 1024-byte record, one result comes out; formats: test/oracle/format.ts, which this file mirrors.
// Knows nothing of instructions: which are safe to run is decided by the generator.
//
// A case is entered by editing the context of a signal and returning from it; the trap flag brings the CPU back after
// each instruction with all its registers in the next signal's context. Freestanding: FS and GS belong to the cases.

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long u64;

enum {
  SYS_read = 0, SYS_write = 1, SYS_mmap = 9, SYS_rt_sigaction = 13, SYS_sigaltstack = 131, SYS_exit_group = 231,
  SIGILL = 4, SIGTRAP = 5, SIGBUS = 7, SIGFPE = 8, SIGSEGV = 11,
  SA_SIGINFO = 4, SA_RESTORER = 0x04000000, SA_ONSTACK = 0x08000000, SA_NODEFER = 0x40000000,
  PROT_READ = 1, PROT_WRITE = 2, PROT_EXEC = 4, MAP_PRIVATE_ANON_FIXED_POPULATE = 0x8032,
  USER_CS_32 = 0x23, USER_CS_64 = 0x33, USER_DS = 0x2b,
  RFLAGS_TF = 0x100, RFLAGS_ADJUSTABLE = 0x44dd5 | 0x10000,
  TRAP_DEBUG = 1, UC_STRICT_RESTORE_SS = 4,
};

#define CODE ((u8 *)0x10000000)
#define CODE_BYTES 8192
#define DATA ((u8 *)0x20000000)
#define DATA_BYTES 8192
#define READONLY ((u8 *)0x30000000)
#define READONLY_BYTES 4096
#define FILL 0xf4 // HLT: #GP(0) in user mode
#define MAX_VARIANTS 256
#define MAX_RUNS 512

struct patch { u16 offset; u8 length; u8 reserved; u8 bytes[36]; };

struct case_in {
  u64 gpr[16]; // encoding order
  u64 rflags, fs_base, gs_base;
  u16 code_offset;
  u8 code_length, mode;
  u16 steps;
  u8 variant, patch_count;
  u8 code[128];
  struct patch patches[4];
  u8 reserved[64];
  u8 fx[512];
};
_Static_assert(sizeof(struct case_in) == 1024, "case record");

struct result {
  u64 gpr[16];
  u64 rip, rflags, error, cr2, fs_base, gs_base;
  u16 es, cs, ss, ds, fs, gs;
  u16 trap, steps;
  u32 runs, reserved;
  u8 fx[512];
};
_Static_assert(sizeof(struct result) == 712, "result record");

// The parts of the kernel's struct ucontext that are used (asm/ucontext.h, asm/sigcontext.h).
struct context {
  u64 flags, link, stack[3];
  u64 r8, r9, r10, r11, r12, r13, r14, r15, rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip, rflags;
  u16 cs, gs, fs, ss;
  u64 error, trap, old_mask, cr2;
  u8 *fpstate;
};

static struct case_in in;
static struct result out;
static u8 variants[MAX_VARIANTS][DATA_BYTES];
static u8 runs_out[MAX_RUNS * 4 + DATA_BYTES];
static u8 alternate_stack[1 << 16] __attribute__((aligned(64)));
static struct context home;
static u8 home_fx[512];
static volatile int inside;
static u32 steps_left;

static long syscall3(long n, long a, long b, long c) {
  long r;
  asm volatile("syscall" : "=a"(r) : "a"(n), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
  return r;
}

static long syscall6(long n, long a, long b, long c, long d, long e, long f) {
  long r;
  register long r10 asm("r10") = d;
  register long r8 asm("r8") = e;
  register long r9 asm("r9") = f;
  asm volatile("syscall" : "=a"(r) : "a"(n), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9) : "rcx", "r11", "memory");
  return r;
}

static void die(int status) {
  for (;;) syscall3(SYS_exit_group, status, 0, 0);
}

static void copy(void *to, const void *from, u64 n) {
  asm volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(n)::"memory");
}

static void fill(void *to, u8 value, u64 n) {
  asm volatile("rep stosb" : "+D"(to), "+c"(n) : "a"(value) : "memory");
}

// gcc may call these for struct assignment.
void *memcpy(void *to, const void *from, u64 n) { copy(to, from, n); return to; }
void *memset(void *to, int value, u64 n) { fill(to, (u8)value, n); return to; }

static int read_all(void *to, u64 n) {
  u8 *p = to;
  while (n) {
    long got = syscall3(SYS_read, 0, (long)p, (long)n);
    if (got <= 0) return 0;
    p += got;
    n -= (u64)got;
  }
  return 1;
}

static void write_all(const void *from, u64 n) {
  const u8 *p = from;
  while (n) {
    long put = syscall3(SYS_write, 1, (long)p, (long)n);
    if (put <= 0) die(3);
    p += put;
    n -= (u64)put;
  }
}

// The sixteen general registers of a context, in encoding order.
static void gather(u64 *gpr, const struct context *c) {
  const u64 values[16] = {c->rax, c->rcx, c->rdx, c->rbx, c->rsp, c->rbp, c->rsi, c->rdi,
                          c->r8,  c->r9,  c->r10, c->r11, c->r12, c->r13, c->r14, c->r15};
  for (int i = 0; i < 16; i++) gpr[i] = values[i];
}

static void enter(struct context *c) {
  home = *c;
  copy(home_fx, c->fpstate, 464);
  c->rax = in.gpr[0]; c->rcx = in.gpr[1]; c->rdx = in.gpr[2]; c->rbx = in.gpr[3];
  c->rsp = in.gpr[4]; c->rbp = in.gpr[5]; c->rsi = in.gpr[6]; c->rdi = in.gpr[7];
  c->r8 = in.gpr[8]; c->r9 = in.gpr[9]; c->r10 = in.gpr[10]; c->r11 = in.gpr[11];
  c->r12 = in.gpr[12]; c->r13 = in.gpr[13]; c->r14 = in.gpr[14]; c->r15 = in.gpr[15];
  c->rip = (u64)CODE + in.code_offset;
  c->rflags = (in.rflags & RFLAGS_ADJUSTABLE) | 0x202 | RFLAGS_TF;
  c->cs = in.mode == 32 ? USER_CS_32 : USER_CS_64;
  c->ss = USER_DS;
  c->flags |= UC_STRICT_RESTORE_SS;
  copy(c->fpstate, in.fx, 464); // the last 48 bytes are the kernel's own
  u16 null = 0, data = USER_DS;
  asm volatile("mov %0, %%fs; mov %0, %%gs; mov %1, %%ds; mov %1, %%es" ::"r"(null), "r"(data));
  asm volatile("wrfsbase %0; wrgsbase %1" ::"r"(in.fs_base), "r"(in.gs_base));
}

static void leave(struct context *c) {
  gather(out.gpr, c);
  out.rip = c->rip;
  out.rflags = c->rflags;
  out.error = c->error;
  out.cr2 = c->cr2;
  out.cs = c->cs;
  out.ss = c->ss;
  out.trap = (u16)c->trap;
  out.steps = (u16)(in.steps - steps_left);
  asm volatile("mov %%ds, %0; mov %%es, %1; mov %%fs, %2; mov %%gs, %3"
               : "=r"(out.ds), "=r"(out.es), "=r"(out.fs), "=r"(out.gs));
  asm volatile("rdfsbase %0; rdgsbase %1" : "=r"(out.fs_base), "=r"(out.gs_base));
  copy(out.fx, c->fpstate, 464);
  copy(c->fpstate, home_fx, 464);
  u64 flags = c->flags;
  u8 *fpstate = c->fpstate;
  *c = home;
  c->flags = flags;
  c->fpstate = fpstate;
}

static void on_signal(int signal, void *info, struct context *c) {
  (void)info;
  (void)signal;
  // A case may have set AC, NT or ID; the kernel would keep the latter two from here on.
  asm volatile("pushfq; andl $~0x244000, (%%rsp); popfq" ::: "memory", "cc");
  if (!inside) {
    if (c->trap != 6) die(4);
    c->rip += 2; // over our own UD2
    inside = 1;
    enter(c);
    return;
  }
  if (c->trap == TRAP_DEBUG && --steps_left && c->rip != (u64)CODE + in.code_offset + in.code_length) {
    c->rflags |= RFLAGS_TF;
    return;
  }
  leave(c);
  inside = 0;
}

asm(".globl restorer\nrestorer: mov $15, %eax\nsyscall\n");
extern void restorer(void) __attribute__((visibility("hidden")));

static u32 differences(void) {
  const u8 *before = variants[in.variant];
  static u8 expected[DATA_BYTES];
  copy(expected, before, DATA_BYTES);
  for (int i = 0; i < in.patch_count; i++) copy(expected + in.patches[i].offset, in.patches[i].bytes, in.patches[i].length);
  u8 *p = runs_out;
  out.runs = 0;
  for (u32 i = 0; i < DATA_BYTES;) {
    if (!(i & 7) && *(u64 *)(DATA + i) == *(u64 *)(expected + i)) {
      i += 8;
      continue;
    }
    if (DATA[i] == expected[i]) {
      i++;
      continue;
    }
    u32 end = i + 1;
    while (end < DATA_BYTES && DATA[end] != expected[end]) end++;
    u16 head[2] = {(u16)i, (u16)(end - i)};
    if (out.runs == MAX_RUNS) die(5);
    out.runs++;
    copy(p, head, 4);
    copy(p + 4, DATA + i, end - i);
    p += 4 + end - i;
    i = end;
  }
  return (u32)(p - runs_out);
}

static void one_case(void) {
  fill(CODE, FILL, CODE_BYTES);
  copy(CODE + in.code_offset, in.code, in.code_length);
  copy(DATA, variants[in.variant], DATA_BYTES);
  for (int i = 0; i < in.patch_count; i++) copy(DATA + in.patches[i].offset, in.patches[i].bytes, in.patches[i].length);
  steps_left = in.steps;
  asm volatile("ud2" ::: "memory");
  u32 changed = differences();
  write_all(&out, sizeof out);
  write_all(runs_out, changed);
}

static void map(void *at, u64 bytes, int protection) {
  long got = syscall6(SYS_mmap, (long)at, (long)bytes, protection, MAP_PRIVATE_ANON_FIXED_POPULATE, -1, 0);
  if (got != (long)at) die(6);
}

__attribute__((force_align_arg_pointer, used)) void start(void) {
  map(CODE, CODE_BYTES, PROT_READ | PROT_WRITE | PROT_EXEC);
  map(DATA, DATA_BYTES, PROT_READ | PROT_WRITE);
  map(READONLY, READONLY_BYTES, PROT_READ);
  struct { void *base; int flags; u64 size; } stack = {alternate_stack, 0, sizeof alternate_stack};
  syscall3(SYS_sigaltstack, (long)&stack, 0, 0);
  struct { void *handler; u64 flags; void *restorer; u64 mask; } action = {
      on_signal, SA_SIGINFO | SA_RESTORER | SA_ONSTACK | SA_NODEFER, restorer, 0};
  const int signals[] = {SIGILL, SIGTRAP, SIGBUS, SIGFPE, SIGSEGV};
  for (u64 i = 0; i < sizeof signals / sizeof *signals; i++)
    syscall6(SYS_rt_sigaction, signals[i], (long)&action, 0, 8, 0, 0);
  u32 count;
  if (!read_all(&count, 4) || count > MAX_VARIANTS) die(2);
  if (!read_all(variants, (u64)count * DATA_BYTES)) die(2);
  while (read_all(&in, sizeof in)) one_case();
  die(0);
}

asm(".globl _start\n_start: xor %ebp, %ebp\ncall start\n");
