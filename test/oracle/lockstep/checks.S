// What QEMU does not do as the SDM says, told by the program itself: each EXPECT names the exception that must come, its
// error code and, for a page fault, CR2. A failure is counted in `failures` and its line number kept in `failed_lines`.
// Not traced: the test looks at `failures`.
#include "lockstep.inc"

.set PML4, page_tables
.set PDPT, page_tables + 0x1000
.set PD, page_tables + 0x2000
.set PT, page_tables + 0x3000
.set IDT64, page_tables + 0x8000
.set IST_TOP, page_tables + 0xa000
.set failures, scratch + 0xe00
.set failed_lines, scratch + 0xe10
.set want_vector, scratch + 0xd00
.set want_error, scratch + 0xd08
.set want_line, scratch + 0xd10
.set want_cr2, scratch + 0xd18

.macro FAIL32
  inc dword ptr [failures]
  mov esi, [failures]
  and esi, 15
  mov edi, [want_line]
  mov [failed_lines + esi * 4], edi
.endm

// The code must raise `vector` with `error`; it is a failure when it goes through.
#define WANT(vector, error) mov dword ptr [want_vector], vector; mov dword ptr [want_error], error; mov dword ptr [want_line], __LINE__
#define EXPECT32(vector, error, ...) WANT(vector, error); mov [resume_esp], esp; mov dword ptr [resume_ip], offset 779f; __VA_ARGS__; call unexpected32; 779:
#define EXPECT64(vector, error, ...) WANT(vector, error); mov [resume_esp], rsp; mov qword ptr [resume_ip], offset 779f; __VA_ARGS__; call unexpected64; 779:

BEGIN
  FILL_IDT32 stubs32, 64
  lidt [idt_pointer]
  mov dword ptr [tss_place + 4], offset stack_top
  mov dword ptr [tss_place + 8], 16
  mov word ptr [tss_place + 102], 104
  mov eax, 0x48
  ltr ax

  mov eax, 0x600                             // OSXMMEXCPT OSFXSR
  mov cr4, eax

  // Segment limits and rights, 32 bits
  mov eax, 0x70                              // limit ff
  mov gs, eax
  mov byte ptr gs:[0xff], 0
  mov dword ptr gs:[0xfc], 0
  EXPECT32(13, 0, mov byte ptr gs:[0x100], 0)
  EXPECT32(13, 0, mov eax, gs:[0xfd])
  EXPECT32(13, 0, mov ax, gs:[0xff])
  EXPECT32(13, 0, mov al, gs:[0xffffffff])
  EXPECT32(13, 0, movups xmm0, gs:[0xf8])
  EXPECT32(13, 0, fld qword ptr gs:[0xfc])
  mov eax, 0x78                              // expand down: 100 and up
  mov gs, eax
  EXPECT32(13, 0, mov byte ptr gs:[0], 0)
  EXPECT32(13, 0, mov byte ptr gs:[0xff], 0)
  EXPECT32(13, 0, mov eax, gs:[0xfd])
  mov al, gs:[0x210000]
  mov eax, 0x68                              // read only
  mov gs, eax
  mov al, gs:[scratch]
  EXPECT32(13, 0, mov gs:[scratch], al)
  EXPECT32(13, 0, lock inc dword ptr gs:[scratch])
  EXPECT32(13, 0, mov cs:[scratch], al)
  EXPECT32(13, 0, fst dword ptr cs:[scratch])
  mov al, cs:[scratch]
  mov eax, 0x10
  mov gs, eax
  xor eax, eax
  mov fs, eax
  EXPECT32(13, 0, mov al, fs:[scratch])
  EXPECT32(13, 0, mov fs:[scratch], al)
  mov eax, 0x10
  mov fs, eax
  // code limit
  mov dword ptr [gdt_place + 0xb0], 0x000000ff
  mov dword ptr [gdt_place + 0xb4], 0x00409b10
  EXPECT32(13, 0, jmp 0xb0:0x100)
  // accessed bits of code
  and byte ptr [gdt_place + 0x80 + 5], 0xfe
  call 0x80:far_return32
  test byte ptr [gdt_place + 0x80 + 5], 1
  jnz 1f
  mov dword ptr [want_line], __LINE__
  FAIL32
1:
  // control registers, 32 bits
  mov ebx, cr0
  mov eax, 0x80000010                        // PG without PE
  EXPECT32(13, 0, mov cr0, eax)
  mov eax, 0x20000011                        // NW without CD
  EXPECT32(13, 0, mov cr0, eax)
  mov eax, 0x80000000
  EXPECT32(13, 0, mov cr4, eax)
  mov eax, 0x2000                            // DR7.GD
  mov dr7, eax
  EXPECT32(1, 0, mov eax, dr0)
  mov eax, dr7
  test eax, 0x2000                           // cleared by the #DB
  jz 1f
  mov dword ptr [want_line], __LINE__
  FAIL32
1: EXPECT32(1, 0, .byte 0xf1)
  // the EXT bit: a gate that is not present, met while delivering #UD
  and byte ptr [idt_place + 6 * 8 + 5], 0x7f
  EXPECT32(11, 6 * 8 + 3, ud2)
  or byte ptr [idt_place + 6 * 8 + 5], 0x80
  and byte ptr [idt_place + 0x30 * 8 + 5], 0x7f
  EXPECT32(11, 0x30 * 8 + 2, int 0x30)
  EXPECT32(13, 0x40 * 8 + 2, int 0x40)
  mov byte ptr [idt_place + 0x31 * 8 + 2], 0x10
  EXPECT32(13, 0x10, int 0x31)
  and byte ptr [idt_place + 13 * 8 + 5], 0x7f
  xor ecx, ecx
  mov fs, ecx
  EXPECT32(8, 0, mov al, fs:[0])             // #GP, then #NP: a double fault
  or byte ptr [idt_place + 13 * 8 + 5], 0x80
  mov eax, 0x10
  mov fs, eax

  // Long mode
  mov dword ptr [PML4], offset PDPT + 7
  mov dword ptr [PDPT], offset PD + 7
  mov dword ptr [PD], 0x87
  mov dword ptr [PD + 8], offset PT + 7
  mov edi, offset PT
  mov eax, 0x200007
  mov ecx, 512
1: mov [edi], eax
  add edi, 8
  add eax, 4096
  loop 1b
  mov edi, offset IDT64
  mov eax, offset stubs64
  mov ecx, 64
1: mov edx, eax
  and edx, 0xffff
  or edx, 0x180000
  mov [edi], edx
  mov edx, eax
  and edx, 0xffff0000
  or edx, 0x8e00
  mov [edi + 4], edx
  add eax, 16
  add edi, 16
  loop 1b
  or byte ptr [IDT64 + 8 * 16 + 4], 1
  mov dword ptr [tss_place + 36], offset IST_TOP
  lidt [idt_pointer64]
  mov eax, 0x10620                           // FSGSBASE OSXMMEXCPT OSFXSR PAE
  mov cr4, eax
  mov eax, offset PML4
  mov cr3, eax
  mov ecx, 0xc0000080
  rdmsr
  or eax, 0x900
  wrmsr
  mov eax, 0x80010011
  mov cr0, eax
  jmp 0x18:1f
.code64
1: and byte ptr [gdt_place + 0x4d], 0xfd
  mov eax, 0x48
  ltr ax

  EXPECT64(13, 0x23 * 8 + 2, and byte ptr [IDT64 + 0x23 * 16 + 5], 0xf0; int 0x23)
  and byte ptr [IDT64 + 0x24 * 16 + 5], 0x7f
  EXPECT64(11, 0x24 * 8 + 2, int 0x24)
  mov byte ptr [IDT64 + 0x25 * 16 + 2], 0x10
  EXPECT64(13, 0x10, int 0x25)
  mov byte ptr [IDT64 + 0x26 * 16 + 2], 0
  EXPECT64(13, 0, int 0x26)
  mov byte ptr [IDT64 + 0x27 * 16 + 2], 8
  EXPECT64(13, 8, int 0x27)
  mov byte ptr [IDT64 + 0x28 * 16 + 2], 0x88
  mov byte ptr [gdt_place + 0x8e], 0xaf      // 64-bit code, not present
  EXPECT64(11, 0x88, int 0x28)
  EXPECT64(13, 0xff * 8 + 2, int 0xff)
  and byte ptr [IDT64 + 6 * 16 + 5], 0x7f
  EXPECT64(11, 6 * 8 + 3, ud2)
  or byte ptr [IDT64 + 6 * 16 + 5], 0x80
  // canonical addresses
  mov rbp, 0x800000000000
  mov rdi, rbp
  EXPECT64(12, 0, mov rax, [rbp])
  EXPECT64(12, 0, mov rax, [rbp - 4])
  EXPECT64(13, 0, mov rax, [rdi - 4])
  mov rsp, offset stack_top
  EXPECT64(8, 0, mov rsp, rbp; push rax)     // #SS, its frame cannot be pushed: #DF on IST 1
  mov eax, ss
  cmp eax, 0x10                              // no change of privilege: SS stays
  je 1f
  mov dword ptr [want_line], __LINE__
  FAIL32
1: mov rsp, offset stack_top
  EXPECT64(13, 0, jmp rdi)
  EXPECT64(13, 0, call rdi)
  EXPECT64(13, 0, push rdi; ret)
  mov rsp, offset stack_top
  EXPECT64(8, 0, mov esp, 0x30000000; ud2)   // #UD, then #PF twice
  mov rsp, offset stack_top
  mov ecx, 0xc0000101
  mov edx, 0x8000
  xor eax, eax
  EXPECT64(13, 0, wrmsr)
  mov ecx, 0xc0000082
  EXPECT64(13, 0, wrmsr)
  EXPECT64(13, 0, wrfsbase rdi)
  EXPECT64(13, 0, wrgsbase rdi)
  // control registers
  mov rax, 0x80010010
  EXPECT64(13, 0, mov cr0, rax)              // PG without PE
  mov rax, 0x00010011
  EXPECT64(13, 0, mov cr4, rax)              // PAE off in long mode
  mov rax, 0x180010011
  EXPECT64(13, 0, mov cr0, rax)
  mov rax, 0x100010620
  EXPECT64(13, 0, mov cr4, rax)
  mov eax, 0x10
  EXPECT64(13, 0, mov cr8, rax)
  mov rax, 0x4000000000000000
  EXPECT64(13, 0, mov cr3, rax)
  EXPECT64(6, 0, mov rax, cr1)
  EXPECT64(6, 0, .byte 0x0f, 0x20, 0xe8)     // MOV EAX, CR5
  mov ecx, 0xc0000080
  mov eax, 0xc01
  xor edx, edx
  EXPECT64(13, 0, wrmsr)                     // LME off while paging
  mov eax, 0xffffffff
  EXPECT64(13, 0, wrmsr)                     // reserved bits of EFER
  mov rax, 0x100000000
  EXPECT64(13, 0, mov dr7, rax)
  EXPECT64(13, 0, mov dr6, rax)
  // a TSS with a base that is not canonical
  mov dword ptr [gdt_place + 0xa0], 0x12340067
  mov dword ptr [gdt_place + 0xa4], 0x00008900
  mov dword ptr [gdt_place + 0xa8], 0x00008000
  mov dword ptr [gdt_place + 0xac], 0
  mov eax, 0xa0
  EXPECT64(13, 0xa0, ltr ax)
  // reserved bits in paging structures: P and RSVD
  mov dword ptr [PT + 0x14 * 8 + 4], 0x00080000
  invlpg [0x214000]
  EXPECT64(14, 9, mov rax, [0x214000])
  EXPECT64(14, 0xb, mov [0x214000], rax)
  mov dword ptr [PT + 0x14 * 8 + 4], 0x80000000 // NX while EFER.NXE is set
  invlpg [0x214000]
  mov rax, [0x214000]
  mov ecx, 0xc0000080
  rdmsr
  and eax, 0xfffff7ff
  wrmsr
  mov rax, cr3
  mov cr3, rax
  EXPECT64(14, 9, mov rax, [0x214000])       // reserved without NXE
  mov dword ptr [PD + 16], 0x402087
  EXPECT64(14, 9, mov rax, [0x400000])
  mov dword ptr [PDPT + 8], 0x40002087
  EXPECT64(14, 9, mov eax, 0x40000000; mov rax, [rax])
  mov dword ptr [PML4 + 8], offset PDPT + 0x87
  EXPECT64(14, 9, mov rax, 0x8000000000; mov rax, [rax])
  mov ecx, 0xc0000080
  rdmsr
  or eax, 0x800
  wrmsr
  // read-modify-write asks for the right to write first
  mov dword ptr [PT + 0x14 * 8 + 4], 0
  and byte ptr [PT + 0x14 * 8], 0xfc
  invlpg [0x214000]
  EXPECT64(14, 2, add dword ptr [0x214000], 1)
  EXPECT64(14, 2, cmpxchg [0x214000], rax)
  or byte ptr [PT + 0x14 * 8], 1
  invlpg [0x214000]
  EXPECT64(14, 3, lock xadd [0x214000], rax)
  // SYSRET to an address that is not canonical: #GP in ring 0
  mov ecx, 0xc0000080
  rdmsr
  or eax, 1
  wrmsr
  mov rcx, 0x800000000000
  mov r11d, 2
  EXPECT64(13, 0, sysretq)
  mov rsp, offset stack_top
  push 0x10
  push 0
  push 2
  push 0x18
  mov rax, 0x8000000000000000
  push rax
  EXPECT64(13, 0, iretq)
  mov rsp, offset stack_top
  push 0x4002                                // NT
  popfq
  push 0x10
  push rsp
  push 2
  push 0x18
  push offset 1f
  EXPECT64(13, 0, iretq)
1: mov rsp, offset stack_top
  push 2
  popfq
  // FXSAVE and aligned SSE
  EXPECT64(13, 0, fxsave [scratch + 8])
  EXPECT64(13, 0, movaps xmm0, [scratch + 8])
  EXPECT64(13, 0, cmpxchg16b [scratch + 8])
  mov dword ptr [scratch], 0x80000000
  EXPECT64(13, 0, ldmxcsr [scratch])
  mov eax, [failures]
  CHECK
  FINISH

.code32
far_return32:
  retf

unexpected32:
  FAIL32
  mov esp, [resume_esp]
  jmp [resume_ip]

common32:
  push eax
  push ecx
  mov eax, [esp + 8]
  mov ecx, [esp + 12]
  cmp eax, [want_vector]
  jne 2f
  cmp ecx, [want_error]
  je 3f
2: FAIL32
3: pop ecx
  pop eax
  mov esp, [resume_esp]
  jmp [resume_ip]

  .balign 16
stubs32:
  STUBS32 0, 63

.code64
unexpected64:
  FAIL32
  jmp 3f
common64:
  mov r8, [rsp]
  mov r9, [rsp + 8]
  cmp r8d, [want_vector]
  jne 2f
  cmp r9d, [want_error]
  je 3f
2: FAIL32
3: mov rsp, [resume_esp]
  mov rdi, 0x800000000000
  mov rbp, rdi
  jmp qword ptr [resume_ip]

  .balign 16
stubs64:
  .set vector, 0
  .rept 64
  .balign 16
  .if vector == 8 || vector == 10 || vector == 11 || vector == 12 || vector == 13 || vector == 14 || vector == 17
  .else
  push 0
  .endif
  push vector
  jmp common64
  .set vector, vector + 1
  .endr

.section .rodata
idt_pointer: .short 64 * 8 - 1
  .long idt_place
idt_pointer64: .short 64 * 16 - 1
  .quad IDT64
