// 16-bit code: real mode with its IVT and segment arithmetic, operand and address size prefixes, string instructions,
// 16-bit protected mode, virtual limits of 64 KiB, and the way back to 32 bits.
#include "lockstep.inc"

// Real-mode code is copied to REAL; its data and stack are in watched memory, reached by segment 0xf000 + offset: the
// watch region starts at 2 MiB, beyond real mode, so segments are loaded in protected mode first where a test needs it.
.set REAL, 0x8000
.set REAL_SEGMENT, REAL >> 4
.set STACK16, 0x7000

#define AT(label) (label - real_start + REAL)
#define TRY16(...) mov dword ptr [0x7f00], esp; mov word ptr [0x7f08], offset AT(774f); __VA_ARGS__; 774: CHECK16

// Checkpoints of copied code stand where it was copied to.
.macro CHECK16
  .pushsection .checkpoints, "a"
  .long 771f - real_start + REAL
  .popsection
771: out 0x84, al
.endm

BEGIN
  mov esi, offset real_start
  mov edi, REAL
  mov ecx, offset real_end - real_start
  rep movsb
  // the low memory that the program uses: clean on both sides
  mov edi, 0x100
  mov ecx, (0x8000 - 0x100) / 4
  xor eax, eax
  rep stosd
  // IVT: 32 stubs
  xor edi, edi
  mov eax, offset AT(stubs16)
  mov ecx, 64
1: mov [edi], ax
  mov word ptr [edi + 2], 0
  add eax, 8
  add edi, 4
  loop 1b
  lidt [ivt_pointer]
  xor eax, eax
  xor esi, esi
  xor edi, edi
  // 16-bit protected mode
  jmp 0x38:REAL
.section .rodata
ivt_pointer: .short 0x3ff
  .long 0
idt_back: .short 0x7ff
  .long idt_place
.text

real_start:
.code16
  mov eax, 0x40
  mov ds, eax
  mov es, eax
  mov ss, eax
  mov fs, eax
  mov gs, eax
  mov sp, STACK16
  CHECK16
  // 16-bit protected mode: operand sizes
  mov ax, 0x1234
  mov ebx, 0x89abcdef
  push ax
  push ebx
  pop cx
  pop edx
  CHECK16
  mov [0x600], ebx
  mov ax, [0x602]
  add byte ptr [0x601], 0x7f
  mov cx, [0x600]
  CHECK16
  mov eax, cr0
  and eax, 0xfffffffe
  mov cr0, eax
  ljmp 0, offset AT(1f)
1: CHECK16
  xor ax, ax
  mov ds, ax
  mov es, ax
  mov ss, ax
  mov fs, ax
  mov gs, ax
  mov esp, STACK16
  test ax, ax
  CHECK16

  // Segment arithmetic
  mov ax, 0x60
  mov ds, ax
  mov word ptr [0x10], 0xbeef
  mov bx, es:[0x610]
  mov ax, 0x5f
  mov fs, ax
  mov cx, fs:[0x20]
  mov dx, 0xffff
  mov gs, dx
  CHECK16
  // 16-bit addressing forms
  mov bx, 0x100
  mov bp, 0x200
  mov si, 0x30
  mov di, 0x40
  mov byte ptr [bx + si], 1
  mov byte ptr [bx + di], 2
  mov byte ptr [bp + si], 3
  mov byte ptr [bp + di], 4
  mov byte ptr [si], 5
  mov byte ptr [di], 6
  mov byte ptr [bx], 7
  mov byte ptr [bp + 0], 8
  mov byte ptr [bx + si + 0x7f], 9
  mov byte ptr [bx + di - 0x80], 10
  mov byte ptr [bp + si + 0x1234], 11
  mov byte ptr [0x400], 12
  mov byte ptr ds:[bp + 4], 13
  lea ax, [bx + si - 0x200]
  lea ecx, [bx + di + 0x4000]
  lea dx, [ebx + esi * 4 + 0x12345]
  CHECK16
  mov ax, [bx + si]
  mov cx, [bp + di]
  mov dx, ss:[bp + si]
  CHECK16
  // wraps at 64 KiB
  mov bx, 0xfff0
  mov si, 0x20
  mov al, [bx + si + 0x600]
  lea di, [bx + si]
  CHECK16
  mov word ptr [0x7f0a], 0
  xor ax, ax
  mov ds, ax

  // Interrupts and exceptions: FLAGS CS IP, no error code
  TRY16(int 0x20)
  TRY16(int3)
  mov al, 0x7f
  add al, 1
  TRY16(into)
  xor cx, cx
  TRY16(div cx)
  TRY16(ud2)
  TRY16(.byte 0x63, 0xc0)                    // ARPL
  TRY16(.byte 0x0f, 0x00, 0xc0)              // SLDT
  TRY16(.byte 0x0f, 0x02, 0xc0)              // LAR
  mov word ptr [0x620], 5
  mov word ptr [0x622], 9
  mov ax, 10
  TRY16(bound ax, [0x620])
  TRY16(.byte 0xf0, 0x90)                    // LOCK NOP
  pushf
  pop ax
  and ax, 0xffef
  push 0x7ed7
  popf
  pushf
  pop bx
  and bx, 0xffef
  push 2
  popf
  CHECK16
  mov eax, 0xffffffff
  push eax
  mov ecx, 0x00040ad7
  push ecx
  popfd
  pushfd
  pop edx
  and edx, 0xffffffef
  push 0
  push 2
  popfd
  CHECK16

  // Near and far calls, 16 and 32 bits
  mov sp, STACK16
  call AT16_far
  CHECK16
  .byte 0x66, 0x9a                           // CALLF, 32 bits
  .long AT(far32_entry)
  .word 0
  CHECK16
  push cs
  call near_far
  CHECK16
  lcall 0x20, offset AT(far16) - 0x200
  CHECK16
  push 0
  push offset AT(1f)
  lret
1: CHECK16
  push 0x1111
  push 0x2222
  push 0
  push offset AT(1f)
  lret 4
1: CHECK16
  pushf
  push 0
  push offset AT(1f)
  iret
1: and ax, ax
  CHECK16
  mov cx, 5
  xor ax, ax
1: add ax, cx
  loop 1b
  mov ecx, 0x10002
2: inc bx
  .byte 0x67                                 // LOOP with ECX
  loop 2b
  jecxz 3f
  ud2
3: mov cx, 0
  jcxz 3f
  ud2
3: enter 8, 2
  mov [bp - 4], ax
  leave
  pusha
  popa
  pushad
  popad
  CHECK16

  // Strings
  mov si, 0x700
  mov di, 0x720
  mov cx, 16
1: mov [si], cl
  inc si
  loop 1b
  mov si, 0x700
  mov cx, 5
  rep movsw
  mov cx, 2
  rep movsd
  CHECK16
  std
  mov si, 0x70f
  mov di, 0x74f
  mov cx, 6
  rep movsb
  cld
  CHECK16
  mov di, 0xfffe
  mov ax, 0x6000
  mov es, ax
  mov cx, 4
  mov al, 0x5a
  rep stosb                                  // DI wraps
  mov ax, es:[0]
  mov bx, es:[0xfffe]
  mov word ptr es:[0], 0
  mov word ptr es:[0xfffe], 0
  CHECK16
  xor ax, ax
  mov es, ax
  mov al, 10
  mov di, 0x700
  mov cx, 30
  repne scasb
  setz dl
  mov si, 0x700
  mov di, 0x720
  mov cx, 8
  repe cmpsb
  setz dh
  lodsd
  CHECK16
  mov esi, 0x700
  mov edi, 0x760
  mov ecx, 3
  addr32 rep movsd
  mov ax, 0x60
  mov fs, ax
  mov si, 0x110
  fs lodsw
  CHECK16
  mov bx, 0x700
  mov al, 3
  xlat
  les bx, [0x620]
  lds si, [0x620]
  CHECK16
  xor ax, ax
  mov ds, ax
  mov es, ax

  // Arithmetic with 32-bit operands
  mov eax, 0xfffffffe
  add eax, 5
  adc edx, 0
  mov cx, 0xffff
  mul cx
  mov ecx, 0x12345678
  imul ecx, ecx, 77
  shld ecx, eax, 9
  bsr bx, cx
  movzx esi, cl
  movsx edi, cx
  cwde
  daa
  aam
  test ax, ax
  CHECK16

  // Unreal mode: a 4 GiB segment kept from protected mode
  cli
  mov eax, cr0
  or al, 1
  mov cr0, eax
  jmp 1f
1: mov bx, 0x10
  mov ds, bx
  and al, 0xfe
  mov cr0, eax
  jmp 1f
1: xor bx, bx
  mov ds, bx
  mov eax, 0x210000
  mov dword ptr [eax], 0x600d600d
  mov ebx, [eax + 2]
  CHECK16
  mov ax, 0x1000
  mov ds, ax                                 // the limit stays
  mov ebx, 0x200010
  mov dword ptr [ebx], 0xfeed
  CHECK16
  xor ax, ax
  mov ds, ax

  // Back to 32-bit protected mode
  data32 lidt cs:[AT(back_pointer)]
  mov eax, cr0
  or al, 1
  mov cr0, eax
  .byte 0x66, 0xea                           // JMPF, 32 bits
  .long back
  .word 8

AT16_far:
  mov ax, sp
  mov bx, [STACK16 - 2]
  ret
far32_entry:
  mov ax, sp
  .byte 0x66, 0xcb                           // RETF, 32 bits
near_far:
  mov ax, sp
  lret
far16:
  mov ax, cs
  mov bx, sp
  lret
back_pointer: .short 0x7ff
  .long idt_place

  .balign 8
stubs16:
  .set vector, 0
  .rept 64
  .balign 8
  push vector
  jmp common16
  .set vector, vector + 1
  .endr
common16:
  push bp
  mov bp, sp
  and word ptr [bp + 8], 0xffef
  mov bp, [bp + 2]
  test sp, sp
  CHECK16
  mov esp, [0x7f00]
  xor bp, bp
  jmp [0x7f08]
real_end:

.code32
back:
  mov eax, 0x10
  mov ds, eax
  mov es, eax
  mov ss, eax
  mov fs, eax
  mov gs, eax
  mov esp, offset stack_top
  // what the 16-bit code left in low memory
  mov esi, 0x600
  mov edi, offset scratch
  mov ecx, 0x400
  rep movsd
  xor eax, eax
  CHECK
  FINISH
