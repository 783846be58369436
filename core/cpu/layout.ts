// Every fixed offset of the wasm memory. Imported by core/cpu/assembly (AssemblyScript: i32) and by core/machine (number).
// Literals and sums of literals only: both compilers must read it alike.
//
//   0x0000  unused, so that a null pointer shows
//   0x1000  CPU block: the current vCPU; Machine.run copies it in from and out to the vCPU's own block
//   0x2000  vCPU blocks, 32 x 4 KiB, same layout as the CPU block
//   0x22000 everything else (TLB, code cache, CPUID table, frame table), then guest RAM

export const PAGE_SIZE = 0x1000;
export const MAX_VCPUS = 32;

export const CPU = 0x1000;
export const CPU_SIZE = 0x1000;
export const VCPUS = 0x2000;

// General registers in encoding order rax rcx rdx rbx rsp rbp rsi rdi r8..r15, 8 bytes each; slot 16 always holds zero.
export const REGS = 0x1000;
export const RAX = 0x1000;
export const RCX = 0x1008;
export const RDX = 0x1010;
export const RBX = 0x1018;
export const RSP = 0x1020;
export const RBP = 0x1028;
export const RSI = 0x1030;
export const RDI = 0x1038;
export const R8 = 0x1040;
export const R11 = 0x1058;
export const ZERO_REG = 0x1080;

export const RIP = 0x1088;

// RFLAGS without the six arithmetic flags (those are lazy while the CPU runs, see LAZY_*); bit 1 is always set.
// Outside run() the whole RFLAGS stands here and LAZY_KIND says "none pending".
export const RFLAGS = 0x1090;
export const LAZY_KIND = 0x1098;
export const LAZY_RESULT = 0x10a0;
export const LAZY_A = 0x10a8;
export const LAZY_B = 0x10b0;
export const LAZY_CARRY = 0x10b8;

export const CR0 = 0x10c0;
export const CR2 = 0x10c8;
export const CR3 = 0x10d0;
export const CR4 = 0x10d8;
export const CR8 = 0x10e0;
export const DR0 = 0x10e8; // dr0..dr3
export const DR6 = 0x1108;
export const DR7 = 0x1110;
export const EFER = 0x1118;

// Segment registers, 24 bytes each in encoding order es cs ss ds fs gs, then ldtr tr:
// u16 selector @0, u32 attributes @4 (VMCS access rights), u32 limit @8 (byte granular), u64 base @16.
export const SEGMENTS = 0x1120;
export const SEGMENT_SIZE = 24;
export const SEG_SELECTOR = 0;
export const SEG_ATTRIBUTES = 4;
export const SEG_LIMIT = 8;
export const SEG_BASE = 16;
export const ES = 0x1120;
export const CS = 0x1138;
export const SS = 0x1150;
export const DS = 0x1168;
export const FS = 0x1180;
export const GS = 0x1198;
export const LDTR = 0x11b0;
export const TR = 0x11c8;

// Descriptor tables: u64 base @0, u32 limit @8.
export const GDTR = 0x11e0;
export const IDTR = 0x11f0;

export const STAR = 0x1200;
export const LSTAR = 0x1208;
export const CSTAR = 0x1210;
export const FMASK = 0x1218;
export const KERNEL_GS_BASE = 0x1220;
export const SYSENTER_CS = 0x1228;
export const SYSENTER_ESP = 0x1230;
export const SYSENTER_EIP = 0x1238;
export const PAT = 0x1240;
export const TSC_AUX = 0x1248;
export const APIC_BASE = 0x1250;
export const MISC_ENABLE = 0x1258;

export const RETIRED = 0x1260; // u64: instructions retired by this vCPU
export const CPL = 0x1268; // u8
export const RUN_STATE = 0x1269; // u8: 0 running, 1 halted, 2 wait for SIPI, 3 offline
export const INTERRUPT_SHADOW = 0x126a; // u8: after STI, MOV SS, POP SS
export const NMI_PENDING = 0x126b; // u8
export const NMI_BLOCKED = 0x126c; // u8
export const VCPU_ID = 0x126e; // u8

// x87 and SSE, in FXSAVE order of meaning (fcw fsw ftw fop fip fdp mxcsr, st, xmm).
export const FPU = 0x1280;
export const FCW = 0x1280; // u16
export const FSW = 0x1282; // u16, TOP included
export const FTW = 0x1284; // u8, abridged tag: bit i of physical register i set = not empty
export const FOP = 0x1286; // u16
export const FIP = 0x1288; // u64
export const FDP = 0x1290; // u64
export const MXCSR = 0x1298; // u32
export const ST = 0x12a0; // 8 physical registers x 16 bytes: u64 significand @0, u16 sign and exponent @8
export const XMM = 0x1320; // 16 x 16 bytes, 16-byte aligned

// Local APIC registers of this vCPU, 0x400 bytes, at their xAPIC offsets / 4 (SDM vol 3A, table 11-1).
export const APIC = 0x1480;
export const APIC_ID = 0x1880; // u32

// A fault that a memory access or a check found; the instruction is abandoned and then this is delivered.
export const FAULT_VECTOR = 0x18c0; // i32, -1 = none
export const FAULT_ERROR = 0x18c4; // u32
export const FAULT_ADDRESS = 0x18c8; // u64: CR2 of a #PF

// What run() came back with, and the answer of the handler.
export const EXIT_KIND = 0x1900; // i32, see EXIT_*
export const EXIT_SIZE = 0x1904; // u32 bytes
export const EXIT_ADDRESS = 0x1908; // u64: port, MSR index or gpa
export const EXIT_VALUE = 0x1910; // u64

export const EXIT_BUDGET = 0;
export const EXIT_HALT = 1;
export const EXIT_HALT_FOREVER = 2;
export const EXIT_HYPERCALL = 3;
export const EXIT_MSR_READ = 4;
export const EXIT_MSR_WRITE = 5;
export const EXIT_PORT_IN = 6;
export const EXIT_PORT_OUT = 7;
export const EXIT_SHUTDOWN = 8;

// Kinds of transfer that a recording build tells of (assembly/transfers.ts).
export const TRANSFER_CALL = 0;
export const TRANSFER_RETURN = 1;
export const TRANSFER_EVENT = 2;
export const TRANSFER_IRET = 3;
export const TRANSFER_FAR_RETURN = 4;
export const TRANSFER_RING_CHANGE = 5;
export const TRANSFER_USER = 8; // added to EVENT and IRET: the code on the other side is not in ring 0

// Shared by all vCPUs (from here on nothing is per vCPU).
export const SHARED = 0x22000;
export const VIRTUAL_TIME = 0x22000; // u64 ns: retired instructions of all vCPUs + skipped idle
export const RANDOM_STATE = 0x22010; // 32 bytes
export const RAM_BYTES = 0x22030; // u64
export const RAM_BASE = 0x22038; // u32: offset of guest RAM in this memory
export const VCPU_COUNT = 0x2203c; // u32

// The code cache's part of the CPU block; meaningful only inside run(). Below 64 KiB, as a record names it in 16 bits.
export const RIP_PAGE = 0x1f00; // u64: the rip that belongs to offset 0 of the page whose records are executed
export const PAGE_CONSTANT = 0x1f08; // u64 4096: index register of a rip-relative operand whose displacement would overflow

// AssemblyScript's own static data (decode tables): asconfig.json memoryBase.
export const STATIC_DATA = 0x23000;
// Scratch records for instructions that are executed once, see code-cache.ts.
export const SCRATCH = 0x3f000;

// Code cache: u32 for each host page (offset / 4096) = its first code page or 0, then the arena of code pages and records.
export const CODE_PAGES = 0x1000000;
export const CODE_ARENA = 0x1400000;
export const CODE_CACHE_END = 0x7fe0000;

// A TLB table that is never filled: with alignment checks on, every access takes the slow path.
export const EMPTY_TLB = 0x7fe0000; // TLB_TABLE_SIZE bytes

// Features that CPUID does not offer: bit i = FEATURES[i] of opcodes.ts; their instructions raise #UD.
export const FEATURES_OFF = 0x22200; // u64
// Scratch of the floating-point instructions: operands, results, 128-bit intermediate numbers. Nothing in it outlives an instruction.
export const FP_SCRATCH = 0x22800; // 0x800 bytes

// The rest of the CPU block: state beside the architecture's registers.
export const PDPTE = 0x1920; // 4 x u64: the PAE page-directory pointers, loaded with CR3
export const TLB_LOG_COUNT = 0x1940; // u32: entries of this vCPU's TLB log; above TLB_LOG_MAX = overflowed
export const LINE_ENABLED = 0x1944; // u8: the interrupt line beside the LAPIC is connected
export const LINE_VECTOR = 0x1945; // u8
export const INIT_PENDING = 0x1946; // u8: an INIT that this vCPU sent to itself
export const SHUTDOWN_PENDING = 0x1947; // u8: an exception from the host became a triple fault
export const LINE_ADDRESS = 0x1948; // u64 gpa of the byte that says "pending"
export const TIMER_DEADLINE = 0x1950; // u64 ns of virtual time, 0 = LAPIC timer not running
export const TIMER_PERIOD = 0x1958; // u64 ns, 0 = one-shot
export const TIMER_START = 0x1960; // u64 ns: when the current count began
export const EXIT_ANSWER = 0x1968; // u32: where the host's answer goes, ANSWER_*
export const SHADOW_RIP = 0x1970; // u64: the instruction that INTERRUPT_SHADOW protects
export const TSC_OFFSET = 0x1978; // u64: TSC - virtual time
export const EXIT_LENGTH = 0x1980; // u32: bytes of the instruction that left run(); 0 = it cannot be taken back

export const ANSWER_NONE = 0;
export const ANSWER_AX = 1; // EXIT_SIZE bytes of rax
export const ANSWER_MSR = 2; // edx:eax
export const ANSWER_MEMORY = 3; // EXIT_SIZE bytes at the linear address ANSWER_ADDRESS (INS)
export const ANSWER_ADDRESS = 0x1988; // u64

export const RUN_STATE_RUNNING = 0;
export const RUN_STATE_HALTED = 1;
export const RUN_STATE_WAIT_FOR_SIPI = 2;
export const RUN_STATE_OFFLINE = 3;

/** Physical address width that CPUID offers (SDM vol 3A, 4.1.4). */
export const PHYSICAL_BITS = 46;

// TLB, one for each vCPU: three tables (user, supervisor, supervisor with RFLAGS.AC set) of 4096 entries of 32 bytes:
// u64 read tag @0, u64 write tag @8, u64 execute tag @16, u32 addend @24 (host offset = low half of linear address + addend).
// A tag is the linear address of the page, or all ones. Behind them the log of filled non-global entries and the
// large-page marks.
export const TLB_BASE = 0x40000;
export const TLB_VCPU_SIZE = 0x68000;
export const TLB_ENTRIES = 0x1000;
export const TLB_TABLE_SIZE = 0x20000;
export const TLB_TABLES_SIZE = 0x60000;
export const TLB_LOG = 0x60000;
export const TLB_LOG_MAX = 0x1f00;
export const TLB_LARGE_MARKS = 0x67c00; // 0x400 bytes

// One byte for each gfn below 4 GiB, see GFN_*.
export const GFN_FLAGS = 0xd40000;
export const GFN_OVERRIDDEN = 1; // the frame hash says which frame is here
export const GFN_REMOVED = 2; // nothing is here

// One byte for each 4 KiB page of this memory ("host page": offset / 4096), see PAGE_*.
export const PAGE_FLAGS = 0xe40000;
export const PAGE_CODE = 1; // the code cache holds records decoded from it
export const PAGE_WRITABLE = 2; // some TLB may hold a write tag for it
export const PAGE_TOUCHED = 4; // was written at least once

// Frames that are not RAM: open hash of 16-byte entries, u64 gfn + 1 (0 = free, all ones = deleted) @0, u32 host offset @8.
export const FRAME_HASH = 0xf40000;
export const FRAME_HASH_ENTRIES = 0x4000;

// CPUID: 32-byte rows u32 leaf, u32 subleaf (all ones = any), u32 eax ebx ecx edx, u32 flags (CPUID_ROW_*), padding.
export const CPUID_TABLE = 0xf80000;
export const CPUID_ROWS_MAX = 0x100;
export const CPUID_ROW_APIC_ID_EBX = 1; // bits 31..24 of ebx are the initial APIC id
export const CPUID_ROW_APIC_ID_EDX = 2; // edx is the x2APIC id
export const CPUID_ROW_VCPU_EBX = 4; // ebx is the number of the vCPU
export const CPUID_COUNT = 0x22040; // u32
export const CURRENT_VCPU = 0x22044; // u32: whose state the CPU block holds
export const TLB_STALE = 0x22050; // 32 x u8: this vCPU's TLB must be emptied before it is used again
export const SAVED_SEGMENTS = 0x22080; // 192 bytes: what a far transfer puts back when it faults

// Guest RAM, behind the code cache; frames that are not RAM come behind RAM.
export const RAM_OFFSET = 0x8000000;
