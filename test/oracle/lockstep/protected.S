// 32-bit protected mode without and with paging: segments, exceptions and their error codes, privilege changes, 2-level
// page tables with 4 KiB and 4 MiB pages, PAE with NX.
#include "lockstep.inc"

BEGIN
  FILL_IDT32 stubs, 64
  // user code may use 0x21
  or dword ptr [idt_place + 0x21 * 8 + 4], 0x6000
  lidt [idt_pointer]
  mov dword ptr [tss_place + 4], offset stack_top
  mov dword ptr [tss_place + 8], 16
  mov word ptr [tss_place + 102], 104
  mov eax, 0x48
  ltr ax
  CHECK
  str ebx
  sldt ecx
  smsw edx
  and edx, 0xffff
  sgdt [scratch]
  sidt [scratch + 16]
  CHECK

  // Exceptions that need no privilege
  TRY32(ud2)
  xor edx, edx
  xor ebx, ebx
  mov eax, 5
  TRY32(div ebx)
  mov eax, 0x80000000
  mov edx, -1
  mov ebx, -1
  TRY32(idiv ebx)
  TRY32(int3)
  TRY32(int 0x20)
  mov eax, 0x7fffffff
  add eax, 1
  TRY32(into)
  mov dword ptr [scratch], 5
  mov dword ptr [scratch + 4], 9
  mov eax, 4
  TRY32(bound eax, [scratch])
  mov eax, 9
  TRY32(bound eax, [scratch])
  TRY32(.byte 0xf0, 0x01, 0xd8) // lock add eax, ebx

  // Segment loads
  mov eax, 0x58
  TRY32(mov ds, eax)
  TRY32(mov ss, eax)
  mov eax, 0x60
  TRY32(mov ds, eax)
  mov eax, 8
  TRY32(mov ss, eax)
  TRY32(mov es, eax)
  mov eax, 0x13
  TRY32(mov ss, eax)
  mov eax, 0x200
  TRY32(mov es, eax)
  mov eax, 0x14
  TRY32(mov fs, eax)
  xor eax, eax
  TRY32(mov ss, eax)
  TRY32(mov fs, eax)
  mov eax, 0x68
  TRY32(mov gs, eax)
  mov eax, gs:[scratch]
  CHECK
  mov eax, 16
  mov es, eax
  mov fs, eax
  mov gs, eax
  .macro LOOK selector
    mov eax, \selector
    lar ebx, eax
    pushfd
    lsl ecx, eax
    pushfd
    verr ax
    pushfd
    verw ax
    pushfd
    pop edx
    pop esi
    pop edi
    pop ebp
    and edx, 0x40
    and esi, 0x40
    and edi, 0x40
    and ebp, 0x40
    and ebx, 0xf0ff00                        // QEMU leaves out what silicon has of the limit
    CHECK
  .endm
  .irp selector, 0, 8, 0x10, 0x18, 0x23, 0x2b, 0x48, 0x58, 0x60, 0x68, 0x70, 0x78, 0x80, 0x88, 0x90, 0x110
    LOOK \selector
  .endr
  mov eax, 0x20
  mov ebx, 0x13
  arpl ax, bx
  pushfd
  arpl bx, ax
  pushfd
  pop ecx
  pop edx
  and ecx, 0x40
  and edx, 0x40
  test eax, eax
  CHECK

  // Far transfers
  TRY32(jmp 0x10:far_target)
  TRY32(jmp 0x200:far_target)
  TRY32(jmp 0x88:far_target)
  TRY32(jmp 0x23:far_target)
  TRY32(jmp 0:far_target)
  call 8:far_target
  call 0x80:far_target
  push 8
  push offset 1f
  retf
1: CHECK
  push 0x200
  push offset 1f
  TRY32(retf)
1: mov esp, offset stack_top
  push 0xaaaa
  push 0xbbbb
  push 8
  push offset 1f
  retf 8
1: CHECK
  pushfd
  push 8
  push offset 1f
  iretd
1: CHECK
  // 16-bit code segment and back: one real instruction there
  mov eax, 0x12345678
  mov ebx, 0x11111111
  push offset 16f
  jmp 8:1f
1: CHECK

  // POPF, CLI and IOPL in ring 0
  push 0x3246ff
  popfd
  pushfd
  pop eax
  and eax, ~0x10
  CHECK
  push 2
  popfd
  CHECK
16:
  // User mode
  mov esp, offset stack_top
  .macro TO_USER label
    mov esp, offset stack_top
    mov dword ptr [resume_esp], esp
    push 0x2b
    push offset stacks + 2048
    push 0x202
    push 0x23
    push offset \label
    iretd
  .endm
// INT 0x20 is not open to users: it comes back with #GP in any case.
#define FROM_USER(...) mov dword ptr [resume_ip], offset 778f; TO_USER 777f; 777: __VA_ARGS__; int 0x20; 778: CHECK
  FROM_USER(nop)
  FROM_USER(cli)
  FROM_USER(hlt)
  FROM_USER(int 0x21)
  FROM_USER(int3)
  FROM_USER(mov eax, cr0)
  FROM_USER(lgdt [gdt_pointer])
  FROM_USER(in al, 0x10)
  FROM_USER(mov ds, eax)
  FROM_USER(call 8:far_return)
  FROM_USER(call 0x80:far_return)
  FROM_USER(jmp 0x10:far_return)
  FROM_USER(mov eax, 0x10; mov es, eax)
  FROM_USER(mov eax, 0x2b; mov ds, eax; mov es, eax; mov eax, [scratch])
  FROM_USER(push 0x3002; popfd; pushfd; pop eax)
  FROM_USER(mov eax, 0x12; sysexit)
  mov eax, 16
  mov ds, eax
  mov es, eax
  // IOPL 3 lets CLI and IN through
  mov dword ptr [resume_ip], offset 2f
  mov dword ptr [resume_esp], offset stack_top
  push 0x2b
  push offset stacks + 2048
  push 0x3202
  push 0x23
  push offset 1f
  iretd
1: cli
  pushfd
  pop eax
  sti
  pushfd
  pop ebx
  int 0x20
2: CHECK
  // null data segments after a return to user mode
  mov eax, 0x2b
  mov es, eax
  mov eax, 0x10
  mov fs, eax
  xor eax, eax
  mov gs, eax
  FROM_USER(mov eax, es; mov ebx, fs; mov ecx, gs; mov edx, ds)
  mov eax, 16
  mov ds, eax
  mov es, eax
  mov fs, eax
  mov gs, eax
  CHECK

  // RETF to an outer ring
  mov dword ptr [resume_ip], offset 2f
  push 0x2b
  push offset stacks + 1024
  push 0x23
  push offset 1f
  retf
1: mov eax, esp
  int3
2: CHECK

  // 2-level paging: the first 4 MiB by 4 KiB pages, the next by one 4 MiB page
  .set PD, page_tables
  .set PT, page_tables + 4096
  mov edi, offset PT
  mov eax, 7
  mov ecx, 1024
1: stosd
  add eax, 4096
  loop 1b
  mov dword ptr [PD], offset PT + 7
  mov dword ptr [PD + 4], 0x87     // 400000 -> 0, 4 MiB
  mov dword ptr [PD + 8], 0xe7     // 800000 -> 0, 4 MiB, A and D set
  mov dword ptr [PD + 12], 0x85      // read only
  mov eax, cr4
  or eax, 0x10
  mov cr4, eax
  mov eax, offset PD
  mov cr3, eax
  mov eax, cr0
  or eax, 0x80000000
  mov cr0, eax
  jmp 1f
1: CHECK
  mov eax, cr0
  mov ebx, cr3
  mov ecx, cr4
  CHECK
  .set PROBE_PTE, PT + (0x210000 >> 12) * 4
  .macro PTE bits
    mov dword ptr [PROBE_PTE], 0x210000 + \bits
    invlpg [0x210000]
  .endm
  mov eax, 0x01020304
  PTE 3
  mov [0x210010], eax
  CHECK
  PTE 3
  mov ebx, [0x210010]
  CHECK
  PTE 0
  TRY32(mov eax, [0x210010])
  TRY32(mov [0x210014], eax)
  PTE 1
  mov [0x210020], eax             // CR0.WP clear: a supervisor write passes
  CHECK
  mov ecx, cr0
  or ecx, 0x10000
  mov cr0, ecx
  PTE 1
  TRY32(mov [0x210024], eax)
  // user accesses need a user data segment
#define USER_ACCESS(...) FROM_USER(mov edx, 0x2b; mov ds, edx; __VA_ARGS__); mov eax, 16; mov ds, eax; mov es, eax
  PTE 3
  USER_ACCESS(mov eax, [0x210010])
  USER_ACCESS(mov [0x210010], eax)
  PTE 5
  USER_ACCESS(mov eax, [0x210010])
  USER_ACCESS(mov [0x210010], eax)
  PTE 7
  USER_ACCESS(mov [0x210010], eax)
  PTE 0
  USER_ACCESS(mov eax, [0x210010])
  USER_ACCESS(jmp 0x210000)
  // an access over the border of two pages, the second not there
  mov dword ptr [PROBE_PTE], 0x210003
  mov dword ptr [PROBE_PTE + 4], 0
  invlpg [0x210000]
  invlpg [0x211000]
  mov eax, 0x55667788
  TRY32(mov [0x210ffe], eax)
  TRY32(mov eax, [0x210ffd])
  TRY32(push dword ptr [0x210fff])
  mov eax, [0x210ffc]
  CHECK
  mov dword ptr [PROBE_PTE + 4], 0x212003  // next page, another frame
  invlpg [0x211000]
  mov dword ptr [0x210ffe], 0xa1b2c3d4
  mov ebx, [0x210ffd]
  mov ecx, [0x212000]
  CHECK
  // rep movs stops at the missing page, registers tell how far
  mov dword ptr [PROBE_PTE + 4], 0
  invlpg [0x211000]
  mov esi, offset start
  mov edi, 0x210fe0
  mov ecx, 100
  TRY32(rep movsb)
  CHECK
  mov edi, 0x210fe2
  mov ecx, 100
  mov eax, 0x77777777
  TRY32(rep stosd)
  // 4 MiB pages
  mov eax, [0x400000 + 0x100000]
  mov ebx, [0x800000 + 0x100004]
  mov [0x400000 + scratch], eax
  CHECK
  TRY32(mov [0xc00000], eax)
  TRY32(mov eax, [0x1000000])
  // a TLB entry is kept until INVLPG or CR3
  mov eax, cr3
  mov cr3, eax
  CHECK

  // PAE with NX
  jmp 1f
1: mov eax, cr0
  and eax, 0x7fffffff
  mov cr0, eax
  mov eax, cr4
  or eax, 0x20
  mov cr4, eax
  .set PDPT, page_tables + 0x2000
  .set PDE, page_tables + 0x3000
  .set PTE_TABLE, page_tables + 0x4000
  mov dword ptr [PDPT], offset PDE + 1
  mov dword ptr [PDPT + 8], offset PDE + 1
  mov dword ptr [PDE], 0x87
  mov dword ptr [PDE + 8], offset PTE_TABLE + 7
  mov dword ptr [PDE + 16], 0x83
  mov dword ptr [PDE + 20], 0x80000000
  mov edi, offset PTE_TABLE
  mov eax, 0x200007
  xor edx, edx
  mov ecx, 512
2: mov [edi], eax
  mov [edi + 4], edx
  add edi, 8
  add eax, 4096
  loop 2b
  mov ecx, 0xc0000080
  rdmsr
  or eax, 0x800
  wrmsr
  mov eax, offset PDPT
  mov cr3, eax
  mov eax, cr0
  or eax, 0x80000000
  mov cr0, eax
  jmp 1f
1: CHECK
  .set PAE_PTE, PTE_TABLE + 0x10 * 8
  .macro PPTE low, high
    mov dword ptr [PAE_PTE], 0x210000 + \low
    mov dword ptr [PAE_PTE + 4], \high
    invlpg [0x210000]
  .endm
  PPTE 3, 0
  mov eax, [0x210000]
  CHECK
  mov byte ptr [0x210000], 0xc3
  PPTE 3, 0
  mov eax, 0x210000
  call eax
  CHECK
  PPTE 3, 0x80000000
  mov eax, 0x210000
  mov ebx, esp
  TRY32(call eax)
  mov esp, ebx
  mov eax, offset resumed + 0x400000
  TRY32(call eax)
  PPTE 7, 0x80000000
  USER_ACCESS(mov eax, [0x210010])
  USER_ACCESS(jmp 0x210000)
  PPTE 6, 0
  TRY32(mov eax, [0x210000])
  mov dword ptr [0x40000000 + scratch], 0x600d
  mov eax, [scratch]
  CHECK
  TRY32(mov eax, [0x80000000 + scratch])
resumed:
  FINISH

far_target:
  mov esi, cs
  mov edi, [esp]
  CHECK
  lea esp, [esp]
  retf

far_return:
  mov esi, cs
  retf

common32:
  and dword ptr [esp + 16], ~0x10010
  push eax
  push edx
  mov eax, ds
  push eax
  mov eax, 16
  mov ds, eax
  mov es, eax
  mov edx, cr2
  xor eax, eax
  CHECK
  pop edx
  pop edx
  pop eax
  mov esp, [resume_esp]
  jmp [resume_ip]

  .balign 16
stubs:
  STUBS32 0, 63

.section .rodata
idt_pointer: .short 64 * 8 - 1
  .long idt_place
