// Long mode: 4-level paging with 4 KiB, 2 MiB and 1 GiB pages, NX, WP, SMEP and SMAP, exceptions through the 64-bit IDT and
// its IST stacks, double fault, SYSCALL and SYSENTER, SWAPGS, IRETQ, compatibility mode, debug registers, self-modifying code.
#include "lockstep.inc"

#define TRY64(...) mov [resume_esp], rsp; mov qword ptr [resume_ip], offset 774f; __VA_ARGS__; 774: CHECK

.set PML4, page_tables
.set PDPT, page_tables + 0x1000
.set PD, page_tables + 0x2000
.set PT, page_tables + 0x3000
.set IDT64, page_tables + 0x8000
.set IST_TOP, page_tables + 0xa000
.set CR4_PAE, 0x20
.set CR4_OSFXSR, 0x600

BEGIN
  mov dword ptr [PML4], offset PDPT + 7
  mov dword ptr [PDPT], offset PD + 7
  mov dword ptr [PDPT + 8], 0x87            // 1 GiB at 40000000 -> 0
  mov edi, offset PD
  mov eax, 0x87
  mov ecx, 32
1: mov [edi], eax
  add edi, 8
  add eax, 0x200000
  loop 1b
  mov dword ptr [PD + 8], offset PT + 7
  mov edi, offset PT
  mov eax, 0x200007
  mov ecx, 512
1: mov [edi], eax
  add edi, 8
  add eax, 4096
  loop 1b
  mov dword ptr [PML4 + 256 * 8], offset PDPT + 7
  mov dword ptr [PML4 + 511 * 8], offset PDPT + 7
  mov dword ptr [PDPT + 511 * 8], offset PD + 7
  // 64-bit IDT: interrupt gates to the 16-byte stubs, IST1 for 8
  mov edi, offset IDT64
  mov eax, offset stubs
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
  or dword ptr [IDT64 + 0x21 * 16 + 4], 0x6000
  or dword ptr [IDT64 + 0x22 * 16 + 4], 0x6101 // a trap gate, open to users, on IST 1
  mov dword ptr [tss_place + 4], offset stack_top
  mov dword ptr [tss_place + 36], offset IST_TOP
  mov dword ptr [tss_place + 44], offset IST_TOP - 1024
  mov word ptr [tss_place + 102], 104
  lidt [idt_pointer]
  mov eax, CR4_PAE + CR4_OSFXSR
  mov cr4, eax
  mov eax, offset PML4
  mov cr3, eax
  mov ecx, 0xc0000080
  rdmsr
  or eax, 0x900
  wrmsr
  CHECK
  mov eax, 0x80000011
  mov cr0, eax
  jmp 1f
1: nop
  jmp 1f                                    // a breakpoint would come before QEMU walks the tables
1: CHECK                                    // compatibility mode
  rdmsr
  CHECK
  mov eax, 0x48
  ltr ax
  jmp 0x18:start64
.code64
start64:
  xor eax, eax
  xor r8d, r8d
  xor r9d, r9d
  xor r10d, r10d
  xor r11d, r11d
  xor r12d, r12d
  xor r13d, r13d
  xor r14d, r14d
  xor r15d, r15d
  CHECK
  mov rax, cr0
  mov rbx, cr3
  mov rcx, cr4
  mov rdx, cr8
  str rsi
  sgdt [scratch]
  sidt [scratch + 16]
  CHECK

  // Exceptions
  TRY64(ud2)
  mov eax, 1
  xor ebx, ebx
  xor edx, edx
  TRY64(div rbx)
  TRY64(int3)
  TRY64(int 0x30)
  TRY64(.byte 0xce)                          // INTO
  TRY64(.byte 0x60)                          // PUSHA
  TRY64(.byte 0x27)                          // DAA
  TRY64(.byte 0x9a; .long 0; .short 0)       // CALLF
  TRY64(.byte 0xf0, 0x90)                    // LOCK NOP
  TRY64(.byte 0xf0, 0x01, 0xd8)
  mov rdi, 0x8000000000000000
  TRY64(mov rax, [rdi])
  TRY64(mov [rdi], rax)
  TRY64(add byte ptr [rdi], 1)
  mov rdi, 0x800000000000
  TRY64(mov rax, [rdi])
  TRY64(mov rax, [rdi - 8])                  // canonical, not mapped
  TRY64(mov rax, cr1)
  // The frame is aligned whatever RSP was
  sub rsp, 5
  TRY64(ud2)
  add rsp, 5

  // Descriptor loads
  xor eax, eax
  mov ss, eax
  CHECK
  mov ds, eax
  mov es, eax
  mov rbx, [scratch]
  CHECK
  mov eax, 0x2b
  TRY64(mov ss, eax)
  mov ds, eax
  mov es, eax
  CHECK
  mov eax, 0x58
  TRY64(mov fs, eax)
  mov eax, 0x60
  TRY64(mov gs, eax)
  mov eax, 0x300
  TRY64(mov gs, eax)
  mov eax, 0x10
  mov ss, eax
  mov ds, eax
  mov es, eax
  mov fs, eax
  mov gs, eax
  CHECK
  mov eax, 0x48
  TRY64(ltr ax)                              // busy
  mov eax, 0x18
  TRY64(ltr ax)
  TRY64(lldt ax)
  mov dword ptr [gdt_place + 0x94], 0x8200
  mov dword ptr [gdt_place + 0x90], 0xff
  mov eax, 0x90
  lldt ax
  sldt ebx
  CHECK
  mov eax, 0x44
  TRY64(mov fs, eax)
  xor eax, eax
  lldt ax
  .macro LOOK selector
    mov eax, \selector
    lar rbx, ax
    pushfq
    lsl ecx, eax
    pushfq
    verr ax
    pushfq
    verw ax
    pushfq
    pop rdx
    pop rsi
    pop rdi
    pop rbp
    and edx, 0x40
    and esi, 0x40
    and edi, 0x40
    and ebp, 0x40
    and ebx, 0xf0ff00                        // QEMU leaves out what silicon has of the limit
    CHECK
  .endm
  .irp selector, 0, 0x10, 0x18, 0x23, 0x33, 0x48, 0x58, 0x60, 0x80, 0x90
    LOOK \selector
  .endr

  // MSRs and FS, GS bases
  mov ecx, 0xc0000100
  mov eax, 0x11110000
  mov edx, 0x00001111
  wrmsr
  mov ecx, 0xc0000101
  mov eax, offset scratch
  xor edx, edx
  wrmsr
  mov ecx, 0xc0000102
  mov eax, 0x1000
  wrmsr
  mov qword ptr [scratch + 0x40], 0x77
  mov rbx, gs:[0x40]
  CHECK
  swapgs
  CHECK
  swapgs
  mov eax, 0x2b
  mov gs, eax                                // base of the descriptor
  CHECK
  xor eax, eax
  mov fs, eax
  CHECK
  TRY64(rdfsbase rax)                        // CR4.FSGSBASE clear
  mov rax, cr4
  or eax, 0x10000
  mov cr4, rax
  rdfsbase rax
  mov rbx, 0x123456789ab
  wrfsbase rbx
  mov ecx, 0x89abcdef
  wrgsbase ecx
  rdgsbase rdx
  CHECK
  mov eax, 0x10
  mov fs, eax
  mov gs, eax

  // Control registers
  mov eax, 5
  mov cr8, rax
  mov rbx, cr8
  xor eax, eax
  mov cr8, rax
  CHECK
  smsw rax
  and eax, 0xffff
  CHECK
  mov eax, 0x1b
  lmsw ax                                    // sets TS; never clears PE
  TRY64(fninit)
  TRY64(movaps xmm0, xmm1)
  clts
  fninit
  CHECK
  mov rax, cr0
  or eax, 4                                  // EM
  mov cr0, rax
  TRY64(fninit)
  TRY64(movaps xmm0, xmm1)
  and eax, 0xfffffffb
  mov cr0, rax
  mov rax, cr4
  and eax, 0xfffffdff                        // OSFXSR clear
  mov cr4, rax
  TRY64(movaps xmm0, xmm1)
  or eax, 0x600
  mov cr4, rax
  CHECK

  // Interrupts by software, gates
  TRY64(int 0x21)

  // Far transfers
  push 0x18
  push offset 1f
  .byte 0x48, 0xcb                           // RETF, 64-bit operands
1: CHECK
  push 8
  push offset 1f
  .byte 0x48, 0xcb                           // RETF, 64-bit operands
1:
.code32
  CHECK
  mov eax, esp
  push eax
  pushfd
  pop ecx
  and ecx, ~0x10
  inc eax
  .byte 0x40                                 // INC here, REX in 64-bit code
  CHECK
  mov dword ptr [resume_esp], esp
  mov dword ptr [resume_ip], offset 1f
  mov dword ptr [resume_esp + 4], 0
  mov dword ptr [resume_ip + 4], 0
  ud2                                        // from compatibility mode into the 64-bit handler
.code64
1: CHECK
  push 8
  push offset 1f
  .byte 0x48, 0xcb                           // RETF, 64-bit operands
.code32
1: mov edi, 0xc0000000
  lea esi, [edi + 0x40000000 + scratch]      // wraps at 4 GiB
  mov eax, [edi + 0x40000000 + scratch]
  CHECK
  pop eax
  jmp 0x18:1f
.code64
1: CHECK
  mov dword ptr [scratch + 0x80], offset 1f
  mov word ptr [scratch + 0x84], 0x18
  jmp fword ptr [scratch + 0x80]
1: CHECK
  mov qword ptr [scratch + 0x80], offset 1f
  mov word ptr [scratch + 0x88], 0x18
  .byte 0x48
  jmp fword ptr [scratch + 0x80]
1: CHECK
  mov qword ptr [scratch + 0x80], offset far_target
  mov word ptr [scratch + 0x88], 0x18
  .byte 0x48
  call fword ptr [scratch + 0x80]
  CHECK
  mov dword ptr [scratch + 0x80], offset far_target32
  mov word ptr [scratch + 0x84], 0x18
  call fword ptr [scratch + 0x80]
  CHECK
  mov word ptr [scratch + 0x84], 0x10
  TRY64(call fword ptr [scratch + 0x80])
  mov word ptr [scratch + 0x84], 0x88
  TRY64(jmp fword ptr [scratch + 0x80])
  mov word ptr [scratch + 0x84], 0
  TRY64(jmp fword ptr [scratch + 0x80])
  // IRETQ to the same ring: SS and RSP are popped too
  mov rbx, rsp
  mov rax, rsp
  push 0x10
  push rax
  push 0x4c97
  push 0x18
  push offset 1f
  iretq
1: CHECK
  push 2
  popfq
  push 0
  push rbx
  push 2
  push 0x18
  push offset 1f
  iretq                                      // NULL SS in ring 0
1: CHECK
  mov eax, 0x10
  mov ss, eax
  push 0x10
  push rbx
  push 2
  push 0x10
  push offset 1f
  TRY64(iretq)                               // data selector for CS
1: mov rsp, rbx
  mov rsp, rbx
  push 0x4002
  popfq
  push 0x10
  push rbx
  push 2
  push 0x18
  push offset 1f
  TRY64(iretq)                               // NT set
1: mov rsp, rbx
  push 2
  popfq

  // User mode
  .macro TO_USER label, cs=0x33, flags=0x202
    mov rsp, offset stack_top
    mov [resume_esp], rsp
    push 0x2b
    push offset stacks + 2048
    push \flags
    push \cs
    push offset \label
    iretq
  .endm
#define FROM_USER(...) mov qword ptr [resume_ip], offset 778f; TO_USER 777f; 777: __VA_ARGS__; ud2; 778: CHECK
  FROM_USER(nop)
  FROM_USER(cli)
  FROM_USER(hlt)
  FROM_USER(swapgs)
  FROM_USER(wrmsr)
  FROM_USER(mov rax, cr3)
  FROM_USER(mov dr0, rax)
  FROM_USER(invlpg [rax])
  FROM_USER(in al, 0x10)
  FROM_USER(out 0x10, al)
  FROM_USER(sysretq)
  FROM_USER(clts)
  FROM_USER(iretq)
  FROM_USER(int 0x21)
  FROM_USER(int 0x22)
  FROM_USER(mov eax, 0x10; mov ds, eax)
  FROM_USER(mov eax, 0x2b; mov ds, eax; mov es, eax; mov fs, eax; mov gs, eax; push rsp; mov rbx, [rsp])
  FROM_USER(push 0x3602; popfq; pushfq; pop rax)
  FROM_USER(mov eax, ss; mov ebx, ds; mov ecx, cs)
  mov eax, 0x10
  mov ds, eax
  mov es, eax
  mov fs, eax
  mov gs, eax
  // I/O permission bitmap
  mov word ptr [tss_place + 102], 104
  mov word ptr [gdt_place + 0x48], 0x7f      // limit: ports 0 to 0xbf
  and byte ptr [gdt_place + 0x4d], 0xfd      // not busy
  mov eax, 0x48
  ltr ax
  mov byte ptr [tss_place + 104 + 2], 0xfe   // of 0x10 to 0x17 only 0x10 allowed
  FROM_USER(in al, 0x11)
  FROM_USER(in ax, 0x10)
  FROM_USER(mov edx, 0x3f8; in al, dx)
  // compatibility mode user code
  mov qword ptr [resume_ip], offset 2f
  TO_USER 1f, 0x23
.code32
1: mov eax, cs
  mov ebx, esp
  push 0x12345678
  pushad
  pop edi
  ud2
.code64
2: CHECK
  // a user stack segment that is not allowed
  mov qword ptr [resume_ip], offset 2f
  mov rbx, offset stack_top
  mov rsp, rbx
  mov [resume_esp], rsp
  push 0x10
  push offset stacks + 2048
  push 0x202
  push 0x33
  push offset 1f
1: iretq
2: CHECK

  // SYSCALL and SYSRET
  mov ecx, 0xc0000081
  xor eax, eax
  mov edx, 0x00200018                        // STAR: kernel 18 and 20, user 20, 28, 30
  wrmsr
  mov ecx, 0xc0000082
  mov eax, offset on_syscall
  xor edx, edx
  wrmsr
  mov ecx, 0xc0000083
  mov eax, offset on_syscall32
  wrmsr
  mov ecx, 0xc0000084
  mov eax, 0x4701
  wrmsr
  TRY64(syscall)                             // SCE clear
  mov ecx, 0xc0000080
  rdmsr
  or eax, 1
  wrmsr
  mov qword ptr [resume_ip], offset 3f
  TO_USER 1f, 0x33, 0x603
1: stc
  syscall
2: pushfq
  pop rax
  mov ebx, cs
  mov ecx, ss
  ud2
on_syscall:
  CHECK
  mov eax, ss
  mov rbx, rsp
  mov rsp, offset stack_top
  CHECK
  sysretq
3: CHECK
  mov qword ptr [resume_ip], offset 3f
  TO_USER 1f, 0x23
.code32
1: mov eax, 0x33
  sysenter                                   // SYSENTER_CS is 0: #GP
.code64
3: CHECK
  mov ecx, 0x174
  mov eax, 0x18
  xor edx, edx
  wrmsr
  mov ecx, 0x175
  mov eax, offset stack_top
  wrmsr
  mov ecx, 0x176
  mov eax, offset 1f
  wrmsr
  mov qword ptr [resume_ip], offset 3f
  TO_USER 2f, 0x33, 0x246
2: sysenter
  nop
on_syscall32:
1: mov eax, cs
  mov ebx, ss
  CHECK
  mov rdx, offset 2f
  mov rcx, offset stacks + 2048
  .byte 0x48, 0x0f, 0x35                     // SYSEXIT, 64-bit operands
2: mov eax, cs
  mov ebx, ss
  ud2
3: CHECK
  // SYSRET to compatibility mode
  mov ecx, offset 1f
  mov r11d, 0x202
  mov qword ptr [resume_ip], offset 3f
  mov qword ptr [resume_esp], offset stack_top
  sysretd
.code32
1: mov eax, cs
  mov ebx, ss
  pushfd
  pop edx
  ud2
.code64
3: CHECK
  mov eax, 0x10
  mov ds, eax
  mov es, eax
  mov fs, eax
  mov gs, eax

  // Paging
  .set PTE, PT + 0x10 * 8
#define MAP(low, high) mov dword ptr [PTE], 0x210000 + (low); mov dword ptr [PTE + 4], high; invlpg [0x210000]
  mov rax, cr0
  or eax, 0x10000
  mov cr0, rax
  mov eax, 0x1234
  MAP(3, 0)
  mov rbx, [0x210008]
  CHECK
  MAP(3, 0)
  mov [0x210008], rax
  CHECK
  MAP(0, 0)
  TRY64(mov [0x210010], rax)
  TRY64(mov rax, [0x210010])
  MAP(1, 0)
  TRY64(mov [0x210010], rax)
  MAP(0x83, 0)                               // PAT bit in a PTE: allowed
  mov rax, [0x210010]
  CHECK
  MAP(3, 0x80000000)                         // NX while EFER.NXE is set
  mov byte ptr [0x210000], 0xc3
  mov rbx, 0x210000
  TRY64(call rbx)
  MAP(3, 0)
  call rbx
  CHECK
  MAP(3, 0)
  FROM_USER(mov rax, [0x210010])
  FROM_USER(mov rbx, 0x210000; call rbx)
  MAP(5, 0)
  FROM_USER(mov rax, [0x210010])
  FROM_USER(mov [0x210010], rax)
  FROM_USER(mov rbx, 0x210000; call rbx)
  MAP(7, 0x80000000)
  FROM_USER(mov [0x210010], rsp)
  FROM_USER(mov rbx, 0x210000; call rbx)
  // rights come from all levels
  MAP(7, 0)
  mov dword ptr [PD + 16], offset PT + 5     // 400000 by the same tables, read only
  invlpg [0x400000]
  mov rbx, [0x410018]
  CHECK
  TRY64(mov [0x410018], rax)
  mov dword ptr [PD + 16], offset PT + 3     // not for users
  mov rax, cr3
  mov cr3, rax
  mov [0x410018], rax
  CHECK
  FROM_USER(mov rax, [0x410018])
  mov dword ptr [PD + 16], offset PT + 7
  mov dword ptr [PD + 20], 0x80000000        // no code
  mov rax, cr3
  mov cr3, rax
  mov byte ptr [0x410000], 0xc3
  mov rbx, 0x410000
  TRY64(call rbx)
  mov dword ptr [PD + 20], 0
  mov cr3, rax
  // 1 GiB and 2 MiB pages, negative addresses
  mov rax, [0x40000000 + scratch]
  mov rbx, 0xffffffffc0000000
  mov rcx, [rbx + scratch]
  mov rdx, 0xffff800000000000
  mov [rdx + scratch + 0x100], rcx
  lock xadd [rdx + scratch + 0x100], rbx
  CHECK
  mov eax, 0x80000000
  mov dword ptr [PDPT + 16], 0x1087          // bit 12 is PAT
  mov rbx, [rax + scratch]
  CHECK
  mov rax, 0x300000000000
  TRY64(mov rbx, [rax])
  TRY64(jmp rax)
  // page borders
  MAP(3, 0)
  mov dword ptr [PTE + 8], 0x213003
  invlpg [0x211000]
  mov rax, 0x1122334455667788
  mov [0x210ffd], rax
  mov rbx, [0x210ffc]
  mov rcx, [0x213000]
  CHECK
  movaps xmm1, xmm0
  movups xmm0, [0x210ff7]
  movups [0x210ff3], xmm0
  CHECK
  mov dword ptr [PTE + 8], 0
  invlpg [0x211000]
  TRY64(mov [0x210ffb], rax)
  TRY64(movups [0x210ff3], xmm0)
  mov dword ptr [PTE + 8], 0x211001
  invlpg [0x211000]
  TRY64(mov [0x210ffb], rax)
  mov dword ptr [PTE + 8], 0x211003
  invlpg [0x211000]
  // code over a page border, the second page not there
  mov dword ptr [0x210ffc], 0xb8909090       // nop nop nop; mov eax, imm32
  mov dword ptr [0x211000], 0x12345678
  mov byte ptr [0x211004], 0xc3
  mov rbx, 0x210ffc
  call rbx
  CHECK
  mov dword ptr [PTE + 8], 0
  invlpg [0x211000]
  TRY64(call rbx)
  mov dword ptr [PTE + 8], 0x213003
  invlpg [0x211000]
  mov dword ptr [0x211000], 0x87654321
  mov byte ptr [0x211004], 0xc3
  call rbx                                   // the same code bytes, another second page
  CHECK
  mov dword ptr [PTE + 8], 0x211003
  invlpg [0x211000]
  call rbx
  CHECK
  // global pages stay over a CR3 load, not over INVLPG
  mov rax, cr4
  or eax, 0x80
  mov cr4, rax
  CHECK
  // SMEP and SMAP: from here on everything is supervisor memory but for one page
  and byte ptr [PD], 0xfb
  mov edi, offset PT
  mov ecx, 512
1: and byte ptr [rdi], 0xfb
  add edi, 8
  loop 1b
  MAP(7, 0)
  mov rax, cr3
  mov cr3, rax
  mov rax, cr4
  or eax, 0x300000
  mov cr4, rax
  CHECK
  TRY64(mov byte ptr [0x40210000], 0xc3)     // a 1 GiB page of users
  TRY64(mov byte ptr [0x210000], 0xc3)
  TRY64(mov rax, [0x210008])
  mov rbx, 0x210000
  TRY64(call rbx)
  .byte 0x0f, 0x01, 0xcb                     // STAC
  mov byte ptr [0x210000], 0xc3
  mov rax, [0x210000]
  CHECK
  TRY64(call rbx)
  pushfq
  pop rdx
  .byte 0x0f, 0x01, 0xca                     // CLAC
  pushfq
  pop rcx
  and edx, 0x40000
  and ecx, 0x40000
  CHECK
  mov rax, cr4
  and eax, 0xffcfffff
  mov cr4, rax
  MAP(3, 0)
  CHECK

  // Self-modifying code
  mov eax, 0
  mov byte ptr [1f + 1], 0x55
1: mov eax, 0x11
  CHECK
  mov ecx, 3
1: add eax, 1
2: nop
  add byte ptr [1b + 2], 1
  dec ecx
  jnz 1b
  CHECK
  mov dword ptr [2b], 0x90909040             // inc over the NOP and what follows: not run again
  CHECK
  mov rdi, 0x210800
  mov ecx, 64
  mov al, 0x90
  mov r8, rdi
  rep stosb
  mov byte ptr [rdi], 0xc3
  call r8
  mov word ptr [r8 + 20], 0xc0ff             // inc eax
  xor eax, eax
  call r8
  CHECK
  mov byte ptr [0x40210814 + 1], 0xc8        // dec eax, through another address of the same frame
  xor eax, eax
  call r8
  CHECK

  // Debug: single step, breakpoints
  xor eax, eax
  mov dr6, rax
  mov rax, offset 9f
  mov [resume_ip], rax
  mov [resume_esp], rsp
  pushfq
  or dword ptr [rsp], 0x100
  popfq
  nop
  nop
9: mov rax, dr6
  CHECK
  mov rax, offset 1f
  mov dr0, rax
  mov eax, 1
  mov dr7, rax
  TRY64(nop; 1: nop; nop)
  mov rax, dr6
  CHECK
  xor eax, eax
  mov dr6, rax
  mov rax, offset scratch + 0x200
  mov dr1, rax
  mov eax, 0x00d00008                        // DR1: 4 bytes, write, global
  mov dr7, rax
  TRY64(mov rbx, [scratch + 0x200]; mov dword ptr [scratch + 0x202], 5; nop)
  mov rax, dr6
  CHECK
  mov eax, 0x00f00008                        // read or write
  mov dr7, rax
  TRY64(mov bl, [scratch + 0x203]; nop)
  xor eax, eax
  mov dr7, rax
  mov dr6, rax
  mov rax, dr7
  mov rbx, dr6
  CHECK
  mov rax, cr4
  or eax, 8
  mov cr4, rax
  TRY64(mov rax, dr4)                        // CR4.DE
  mov rax, 0x100000000
  TRY64(mov dr7, rax)
  FINISH

far_target:
  mov rsi, [rsp]
  CHECK
  .byte 0x48, 0xcb                           // RETF, 64-bit operands
far_target32:
  mov rsi, [rsp]
  CHECK
  .byte 0xcb                                 // RETF, 32-bit operands

// On entry: error code, rip, cs, rflags, rsp, ss, with the vector above them.
common64:
  and dword ptr [rsp + 32], ~0x10010
  push rax
  push rdx
  mov eax, ds
  push rax
  mov rdx, cr2
  xor eax, eax
  CHECK
  pop rdx
  pop rdx
  pop rax
  mov rsp, [resume_esp]
  jmp qword ptr [resume_ip]

  .balign 16
stubs:
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
idt_pointer: .short 64 * 16 - 1
  .quad IDT64
