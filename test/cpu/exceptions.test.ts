import { describe, expect, test } from 'vitest';
import {
  CODE,
  DATA,
  Guest,
  HANDLERS,
  IDT,
  IST1_STACK,
  type Mode,
  RING0_STACK,
  SELECTORS,
  STACK,
  TABLES,
  TSS,
  WINDOW,
} from '../support/guest.ts';

const PROTECTED: readonly Mode[] = ['protected', 'pae', 'compat', 'long'];

describe.each(PROTECTED)('exceptions in %s mode', (mode) => {
  test.each([
    ['DIV by zero', '31 c9 f7 f1', 0, undefined, 2],
    ['UD2', '90 0f 0b', 6, undefined, 1],
    ['INT3 is a trap', 'cc', 3, undefined, 1],
    ['INT 0x80', 'cd 80', 0x80, undefined, 2],
    ['a load of a page that is not there', '8a 03', 14, 0, 0],
    ['MOV DS of a selector outside the GDT', 'b8 f8 ff 00 00 8e d8', 13, 0xfff8, 5],
    ['MOV DS of an absent segment', 'b8 88 00 00 00 8e d8', 11, 0x88, 5],
    ['MOV SS of a read-only segment', 'b8 80 00 00 00 8e d0', 13, 0x80, 5],
    ['MOV CR4 with an undefined bit', '0f 20 e0 0d 00 00 00 80 0f 22 e0', 13, 0, 8],
    ['INT1', 'f1', 1, undefined, 1],
  ])('%s', (_, code, vector, error, ripOffset) => {
    const guest = new Guest(mode);
    guest.set({ rbx: BigInt(WINDOW + 0x5000) });
    const before = guest.registers;
    const trap = guest.run(code);
    expect(trap).toMatchObject({ vector, error, rip: BigInt(CODE + ripOffset), cs: before.cs.selector });
    // Faults push RF, traps and software interrupts do not.
    expect((trap?.rflags ?? 0n) & 0x10000n).toBe([1, 3, 0x80].includes(vector) ? 0n : 0x10000n);
    expect(guest.registers.rflags & 0x10300n).toBe(0n);
    if (mode === 'long') expect([trap?.rsp, trap?.ss]).toEqual([BigInt(STACK), SELECTORS.data]);
  });

  test('a trap gate leaves IF, an interrupt gate clears it', () => {
    const guest = new Guest(mode);
    guest.setGate(0x80, 0x8f);
    guest.set({ rflags: 0x202n });
    expect(guest.run('cd 80')?.rflags).toBe(0x202n);
    expect(guest.registers.rflags & 0x200n).toBe(0x200n);
    guest.set({ rflags: 0x202n });
    guest.run('cd 81');
    expect(guest.registers.rflags & 0x200n).toBe(0n);
  });

  test('from ring 3: the stack comes from the TSS, and the gate must let ring 3 in', () => {
    const guest = new Guest(mode);
    guest.setGate(0x80, 0xee);
    guest.enterUser();
    const user = guest.registers;
    const trap = guest.run('cd 80');
    expect(trap).toMatchObject({
      vector: 0x80,
      rip: BigInt(CODE + 2),
      cs: user.cs.selector,
      rsp: BigInt(STACK),
      ss: SELECTORS.userData,
    });
    expect(Number(guest.registers.rsp)).toBe(RING0_STACK - (guest.isLong ? 40 : 20));
    expect(guest.machine.cpl(0)).toBe(0);
    expect(guest.registers.ss.selector).toBe(guest.isLong ? 0 : SELECTORS.data);
    guest.reset();
    guest.enterUser();
    expect(guest.run('cd 81')).toMatchObject({ vector: 13, error: 0x81 * 8 + 2, rip: BigInt(CODE) });
    guest.reset();
    guest.enterUser();
    expect(guest.run('f1')).toMatchObject({ vector: 1, rip: BigInt(CODE + 1) });
  });

  test.each([
    'f4',
    'fa',
    'fb',
    '0f 22 c0',
    '0f 20 c0',
    '0f 32',
    '0f 30',
    '0f 01 17',
    '0f 06',
    '0f 09',
    '0f 23 c0',
    'ec',
    '0f 00 d8',
  ])('ring 3 may not execute %s', (code) => {
    const guest = new Guest(mode);
    guest.machine.writeU16(TSS + 0x66, 0xffff);
    guest.enterUser();
    expect(guest.run(code)).toMatchObject({ vector: 13, error: 0, rip: BigInt(CODE) });
  });

  test('a fault while #GP is delivered is #DF, and one while that is delivered ends the machine', () => {
    const guest = new Guest(mode);
    guest.setGate(13, 0x0e);
    expect(guest.run('b8 f8 ff 00 00 8e d8')).toMatchObject({ vector: 8, error: 0, rip: BigInt(CODE + 5) });
    guest.setGate(8, 0x0e);
    guest.reset();
    guest.run('b8 f8 ff 00 00 8e d8');
    expect(guest.lastExit).toBe('shutdown');
  });

  test('#PF on #PF is #DF with the second address in CR2; #NP on #UD is served after it', () => {
    const guest = new Guest(mode);
    guest.set({ idtr: { base: BigInt(WINDOW + 0x8000), limit: 0xfff }, rbx: BigInt(WINDOW + 0x4000) });
    guest.run('8a 03');
    expect(guest.lastExit).toBe('shutdown');
    guest.reset();
    guest.setGate(6, 0x0e);
    expect(guest.run('0f 0b')).toMatchObject({ vector: 11, error: 6 * 8 + 3 });
  });

  test('a gate outside the IDT is #GP with its number', () => {
    const guest = new Guest(mode);
    guest.set({ idtr: { base: BigInt(IDT), limit: 0x20 * (guest.isLong ? 16 : 8) - 1 } });
    expect(guest.run('cd 30')).toMatchObject({ vector: 13, error: 0x30 * 8 + 2, rip: BigInt(CODE) });
  });

  test('IRET goes back to ring 3 and drops ring 0 data segments', () => {
    const guest = new Guest(mode);
    guest.setGate(0x80, 0xee);
    const long = mode === 'long';
    // A ring 0 frame for ring 3 at CODE + 0x100, which asks for INT 0x80.
    guest.machine.write(CODE + 0x100, Uint8Array.of(0xcd, 0x80));
    const frame = [
      CODE + 0x100,
      long ? SELECTORS.userCode64 : SELECTORS.userCode32,
      0x203202,
      0x9800,
      SELECTORS.userData,
    ];
    frame.forEach((word, i) => {
      if (long) guest.machine.writeU64(STACK - 0x100 + 8 * i, BigInt(word));
      else guest.machine.writeU32(STACK - 0x100 + 4 * i, word);
    });
    guest.set({
      rsp: BigInt(STACK - 0x100),
      es: { selector: SELECTORS.userData, base: 0n, limit: 0xffffffff, attributes: 0xc0f3 },
    });
    const trap = guest.run(long ? '48 cf' : 'cf');
    expect(trap).toMatchObject({
      vector: 0x80,
      rip: BigInt(CODE + 0x102),
      rsp: 0x9800n,
      ss: SELECTORS.userData,
    });
    expect((trap?.rflags ?? 0n) & 0x203202n).toBe(0x203202n);
    expect([guest.registers.ds.selector, guest.registers.es.selector]).toEqual([0, SELECTORS.userData]);
  });
});

describe('64-bit mode', () => {
  test('an IST gate switches stacks in ring 0 too', () => {
    const guest = new Guest('long');
    guest.setGate(6, 0x8e, 1);
    const trap = guest.run('0f 0b');
    expect(trap).toMatchObject({ vector: 6, rsp: BigInt(STACK), ss: SELECTORS.data });
    expect(guest.registers.rsp).toBe(BigInt(IST1_STACK - 40));
  });

  test('the frame is 16-byte aligned', () => {
    const guest = new Guest('long');
    guest.set({ rsp: BigInt(STACK - 5) });
    expect(guest.run('0f 0b')?.rsp).toBe(BigInt(STACK - 5));
    expect(guest.registers.rsp).toBe(BigInt(STACK - 16 - 40));
  });

  test('a guard page under the ring 0 stack: #DF on its own stack', () => {
    const guest = new Guest('long');
    guest.setGate(8, 0x8e, 1);
    guest.set({ rsp: BigInt(WINDOW + 0x8000) });
    // push rax into nothing
    expect(guest.run('50')).toMatchObject({
      vector: 8,
      error: 0,
      rip: BigInt(CODE),
      rsp: BigInt(WINDOW + 0x8000),
    });
    expect(guest.registers.cr2).toBe(BigInt(WINDOW + 0x8000 - 8));
  });

  test('IRET to a non-canonical address, a bad CS, or with NT is #GP', () => {
    const rows: [number[], number, bigint?][] = [
      [[0, SELECTORS.code64, 2, STACK, SELECTORS.data], 0, 1n << 47n],
      [[CODE, 0, 2, STACK, SELECTORS.data], 0],
      [[CODE, SELECTORS.data, 2, STACK, SELECTORS.data], SELECTORS.data],
      [[CODE, SELECTORS.code64, 2, STACK, SELECTORS.userData], SELECTORS.userData & ~3],
    ];
    for (const [frame, error, rip] of rows) {
      const guest = new Guest('long');
      frame.forEach((word, i) => {
        guest.machine.writeU64(STACK - 0x100 + 8 * i, i === 0 && rip !== undefined ? rip : BigInt(word));
      });
      guest.set({ rsp: BigInt(STACK - 0x100) });
      expect(guest.run('48 cf')).toMatchObject({
        vector: 13,
        error,
        rip: BigInt(CODE),
        rsp: BigInt(STACK - 0x100),
      });
    }
    const guest = new Guest('long');
    guest.set({ rflags: 0x4002n });
    expect(guest.run('48 cf')).toMatchObject({ vector: 13, error: 0 });
  });

  test('SYSCALL and SYSRET', () => {
    const guest = new Guest('long');
    guest.set({ efer: 0xd01n, star: 0x0028_0008_0000_0000n, lstar: BigInt(CODE + 0x200), fmask: 0x300n });
    // ring 0 side: mov rsi, rcx; sysretq to the same place + 2 is made by hand: hlt here
    guest.machine.write(CODE + 0x200, Uint8Array.of(0xf4));
    guest.enterUser();
    guest.set({ rflags: 0x302n & ~0x100n });
    guest.run('0f 05');
    const inside = guest.registers;
    expect([inside.rcx, inside.r11, inside.rip]).toEqual([BigInt(CODE + 2), 0x202n, BigInt(CODE + 0x201)]);
    expect(inside.cs).toEqual({ selector: 8, base: 0n, limit: 0xffffffff, attributes: 0xa09b });
    expect(inside.ss).toEqual({ selector: 0x10, base: 0n, limit: 0xffffffff, attributes: 0xc093 });
    expect([guest.machine.cpl(0), inside.rflags]).toEqual([0, 2n]);
    guest.set({ rcx: BigInt(CODE + 0x300), r11: 0x246n });
    guest.machine.write(CODE + 0x300, Uint8Array.of(0x0f, 0x0b));
    const trap = guest.run('48 0f 07');
    expect(trap).toMatchObject({ vector: 6, rip: BigInt(CODE + 0x300), cs: 0x3b, ss: 0x33 });
    expect((trap?.rflags ?? 0n) & 0xffffn).toBe(0x246n);
  });

  test('SYSCALL without EFER.SCE is #UD; SYSRET to a non-canonical rip is #GP in ring 0', () => {
    const guest = new Guest('long');
    expect(guest.run('0f 05')?.vector).toBe(6);
    guest.reset();
    guest.set({ efer: 0xd01n, star: 0x0028_0008_0000_0000n, rcx: 1n << 47n });
    expect(guest.run('48 0f 07')).toMatchObject({ vector: 13, error: 0, cs: SELECTORS.code64 });
  });

  test('SYSENTER and SYSEXIT', () => {
    const guest = new Guest('long');
    guest.set({ sysenter_cs: 8n, sysenter_eip: BigInt(CODE + 0x200), sysenter_esp: 0x9000n });
    guest.machine.write(CODE + 0x200, Uint8Array.of(0xf4));
    guest.enterUser();
    guest.run('0f 34');
    expect(guest.registers).toMatchObject({ rip: BigInt(CODE + 0x201), rsp: 0x9000n });
    expect(guest.machine.cpl(0)).toBe(0);
    guest.set({ rdx: BigInt(CODE + 0x300), rcx: 0x9800n });
    guest.machine.write(CODE + 0x300, Uint8Array.of(0x0f, 0x0b));
    expect(guest.run('48 0f 35')).toMatchObject({ vector: 6, cs: 0x2b, ss: 0x33, rsp: 0x9800n });
  });

  test('SWAPGS exchanges the two bases', () => {
    const guest = new Guest('long');
    guest.set({ kernel_gs_base: 0x1234n, gs: { selector: 0, base: 0x5678n, limit: 0, attributes: 0x10000 } });
    guest.run('0f 01 f8');
    expect([guest.registers.gs.base, guest.registers.kernel_gs_base]).toEqual([0x1234n, 0x5678n]);
  });

  test('far return to compatibility mode and back', () => {
    const guest = new Guest('long');
    guest.machine.writeU64(STACK - 16, BigInt(CODE + 0x100));
    guest.machine.writeU64(STACK - 8, BigInt(SELECTORS.code32));
    // compat: mov eax, 0x12345678 (b8); jmp far code64:CODE+0x200
    guest.machine.write(
      CODE + 0x100,
      Uint8Array.of(0xb8, 0x78, 0x56, 0x34, 0x12, 0x48, 0xea, 0x00, 0x82, 0, 0, 0x08, 0),
    );
    // 64-bit: dec rax is 48 ff c8
    guest.machine.write(CODE + 0x200, Uint8Array.of(0x48, 0xff, 0xc8, 0xf4));
    guest.set({ rsp: BigInt(STACK - 16) });
    guest.run('48 cb');
    // 48 in compatibility mode is dec eax
    expect(guest.registers.rax).toBe(0x12345676n);
    expect([guest.registers.rip, guest.registers.rsp]).toEqual([BigInt(CODE + 0x204), BigInt(STACK)]);
  });

  test('a call gate from ring 3 switches to the TSS stack', () => {
    const guest = new Guest('long');
    const target = CODE + 0x200;
    guest.machine.write(target, Uint8Array.of(0xf4));
    guest.machine.writeU64(
      0x1000 + SELECTORS.gate,
      BigInt(target) | (BigInt(SELECTORS.code64) << 16n) | (0xecn << 40n),
    );
    guest.machine.writeU64(0x1000 + SELECTORS.gate + 8, 0n);
    // Ring 3 code in compatibility mode: call far gate:0
    guest.enterUser();
    guest.set({ cs: { selector: SELECTORS.userCode32, base: 0n, limit: 0xffffffff, attributes: 0xc0fb } });
    guest.run('9a 00 00 00 00 6b 00');
    expect(guest.registers.rip).toBe(BigInt(target + 1));
    expect(guest.registers.rsp).toBe(BigInt(RING0_STACK - 32));
    const words = [0, 1, 2, 3].map((i) => Number(guest.machine.readU64(RING0_STACK - 32 + 8 * i)));
    expect(words).toEqual([CODE + 7, SELECTORS.userCode32, STACK, SELECTORS.userData]);
  });
});

describe('debug', () => {
  test('TF traps after each instruction', () => {
    const guest = new Guest('long');
    guest.set({ rflags: 0x102n });
    expect(guest.run('90 90')).toMatchObject({ vector: 1, rip: BigInt(CODE + 1), rflags: 0x102n });
    expect((guest.registers.dr6 ?? 0n) & 0x400fn).toBe(0x4000n);
  });

  test('an execution breakpoint faults before its instruction, once', () => {
    const guest = new Guest('long');
    guest.set({ dr0: BigInt(CODE + 1), dr7: 0x401n });
    const trap = guest.run('90 ff c0');
    expect(trap).toMatchObject({ vector: 1, rip: BigInt(CODE + 1) });
    expect((guest.registers.dr6 ?? 0n) & 0x400fn).toBe(1n);
    expect(guest.registers.rax).toBe(0n);
  });

  test('a data breakpoint traps after the store', () => {
    const guest = new Guest('long');
    guest.set({ dr1: BigInt(DATA + 4), dr7: 0xd0_0404n | (0xdn << 20n), rbx: BigInt(DATA) });
    // mov [rbx], eax; mov [rbx+4], eax; nop
    const trap = guest.run('89 03 89 43 04 90');
    expect(trap).toMatchObject({ vector: 1, rip: BigInt(CODE + 5) });
    expect((guest.registers.dr6 ?? 0n) & 0xfn).toBe(2n);
  });
});

describe('real mode', () => {
  test('interrupts go through the vector table', () => {
    const guest = new Guest('real');
    const trap = guest.run('31 c9 f7 f1');
    expect(trap).toMatchObject({ vector: 0, rip: BigInt(CODE + 2), cs: 0, error: undefined });
    expect(guest.registers.rip).toBe(BigInt(HANDLERS + 1));
  });

  test('segments are selector * 16, with a 64 KiB limit', () => {
    const guest = new Guest('real');
    guest.machine.writeU16(DATA + 0x10, 0xbeef);
    // mov ax, 0x2000; mov ds, ax; mov ax, [0x10]
    guest.run('b8 00 20 8e d8 a1 10 00');
    expect(guest.registers.rax).toBe(0xbeefn);
    guest.reset();
    // mov ax, [0xffff]
    expect(guest.run('a1 ff ff')).toMatchObject({ vector: 13 });
  });

  test('into protected mode and long mode, as a boot trampoline goes', () => {
    const guest = new Guest('real');
    const long = new Guest('long');
    // The tables of the long mode guest: identity map and a 64-bit code segment.
    for (const [from, size] of [
      [0x1000, 0x100],
      [TABLES, 0x6000],
    ] as const)
      guest.machine.write(from, long.machine.read(from, size));
    guest.machine.write(0x7000, Uint8Array.of(0xff, 0, 0, 0x10, 0, 0));
    guest.machine.write(
      CODE + 0x100,
      Uint8Array.from(
        // bits 32: mov eax, 0x20; mov cr4, eax; mov eax, TABLES; mov cr3, eax; mov ecx, 0xc0000080; rdmsr; or eax, 0x100; wrmsr
        // mov eax, 0x80000001; mov cr0, eax; jmp far 0x08:CODE+0x200
        'b820000000 0f22e0 b800000100 0f22d8 b9800000c0 0f32 0d00010000 0f30 b801000080 0f22c0 ea008200000800'
          .replaceAll(' ', '')
          .match(/../g)
          ?.map((digits) => Number.parseInt(digits, 16)) ?? [],
      ),
    );
    // bits 64: mov rax, 0x123456789a; hlt
    guest.machine.write(CODE + 0x200, Uint8Array.of(0x48, 0xb8, 0x9a, 0x78, 0x56, 0x34, 0x12, 0, 0, 0, 0xf4));
    // bits 16: lgdt [0x7000]; mov eax, cr0; or al, 1; mov cr0, eax; jmp far dword 0x18:CODE+0x100
    guest.run('0f 01 16 00 70 0f 20 c0 0c 01 0f 22 c0 66 ea 00 81 00 00 18 00');
    expect(guest.registers).toMatchObject({ rax: 0x123456789an, rip: BigInt(CODE + 0x20b), efer: 0x500n });
    expect(guest.registers.cs.selector).toBe(8);
  });
});
