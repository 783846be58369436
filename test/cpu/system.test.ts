import { describe, expect, test } from 'vitest';
import {
  bytes,
  CODE,
  DATA,
  descriptor,
  GDT,
  Guest,
  type Mode,
  RING0_STACK,
  SELECTORS,
  STACK,
  TSS,
} from '../support/guest.ts';

const PROTECTED: readonly Mode[] = ['protected', 'pae', 'compat', 'long'];
const ZF = 0x40n;

describe.each(PROTECTED)('selectors in %s mode', (mode) => {
  test.each([
    ['LAR of code', '0f 02 c1', SELECTORS.code32, 0xcf9b00n],
    ['LAR of a null selector', '0f 02 c1', 3, undefined],
    ['LAR outside the GDT', '0f 02 c1', 0x1000, undefined],
    ['LAR of an inner segment for RPL 3', '0f 02 c1', SELECTORS.data | 3, undefined],
    [
      'LAR of a conforming segment for RPL 3',
      '0f 02 c1',
      SELECTORS.conforming | 3,
      mode === 'protected' || mode === 'pae' ? 0xcf9f00n : 0xaf9f00n,
    ],
    ['LAR of the LDT descriptor', '0f 02 c1', SELECTORS.ldt, 0x008200n],
    ['LSL of data', '0f 03 c1', SELECTORS.data, 0xffffffffn],
    ['LSL of 16-bit code', '0f 03 c1', SELECTORS.code16, 0xffffn],
    ['LSL of the LDT', '0f 03 c1', SELECTORS.ldt, 0xffn],
  ])('%s', (_, code, selector, answer) => {
    const guest = new Guest(mode);
    for (const at of [SELECTORS.code32, SELECTORS.conforming]) {
      const place = GDT + at + 5;
      guest.machine.writeU8(place, guest.machine.readU8(place) | 1);
    }
    guest.set({ rax: 0x77n, rcx: BigInt(selector) });
    expect(guest.run(code)).toBeUndefined();
    expect([guest.registers.rax, guest.registers.rflags & ZF]).toEqual(
      answer === undefined ? [0x77n, 0n] : [answer, ZF],
    );
  });

  test.each([
    ['VERR data', '0f 00 e1', SELECTORS.data, true],
    ['VERW data', '0f 00 e9', SELECTORS.data, true],
    ['VERW read-only data', '0f 00 e9', SELECTORS.readOnly, false],
    ['VERR code', '0f 00 e1', SELECTORS.code32, true],
    ['VERW code', '0f 00 e9', SELECTORS.code32, false],
    ['VERR a system segment', '0f 00 e1', SELECTORS.ldt, false],
  ])('%s', (_, code, selector, answer) => {
    const guest = new Guest(mode);
    guest.set({ rcx: BigInt(selector) });
    guest.run(code);
    expect((guest.registers.rflags & ZF) !== 0n).toBe(answer);
  });

  test('LTR marks the TSS busy and refuses it then; LLDT; STR, SLDT', () => {
    const guest = new Guest(mode);
    guest.set({ rcx: BigInt(SELECTORS.tss) });
    expect(guest.run('0f 00 d9')).toBeUndefined();
    expect(guest.machine.readU8(GDT + SELECTORS.tss + 5)).toBe(0x8b);
    expect(guest.registers.tr).toEqual({
      selector: SELECTORS.tss,
      base: BigInt(TSS),
      limit: 0x2067,
      attributes: 0x8b,
    });
    expect(guest.run('0f 00 d9')).toMatchObject({ vector: 13, error: SELECTORS.tss });
    guest.reset();
    guest.set({ rcx: BigInt(SELECTORS.ldt) });
    expect(guest.run('0f 00 d1 0f 00 c0 0f 00 cb')).toBeUndefined();
    expect(guest.registers.ldtr).toMatchObject({ selector: SELECTORS.ldt, base: BigInt(DATA), limit: 0xff });
    expect([guest.registers.rax, guest.registers.rbx]).toEqual([
      BigInt(SELECTORS.ldt),
      BigInt(SELECTORS.tss),
    ]);
    // A segment of the LDT: index 1.
    guest.machine.writeU64(DATA + 8, descriptor(0x1000, 0xfff, 0x93));
    guest.set({ rcx: 0xcn });
    expect(guest.run('8e e1')).toBeUndefined();
    expect(guest.registers.fs).toMatchObject({ selector: 0xc, base: 0x1000n, limit: 0xfff });
    guest.set({ rcx: 0x104n });
    expect(guest.run('8e e1')).toMatchObject({ vector: 13, error: 0x104 });
  });

  test('loading a segment sets its accessed bit; null is fine for data, not for SS', () => {
    const guest = new Guest(mode);
    guest.machine.writeU8(GDT + SELECTORS.data + 5, 0x92);
    guest.set({ rcx: BigInt(SELECTORS.data) });
    guest.run('8e e1');
    expect(guest.machine.readU8(GDT + SELECTORS.data + 5)).toBe(0x93);
    guest.set({ rcx: 0n });
    expect(guest.run('8e e1')).toBeUndefined();
    expect(guest.registers.fs.attributes).toBe(0x10000);
    if (mode === 'long') expect(guest.run('8e d1')).toBeUndefined();
    else expect(guest.run('8e d1')).toMatchObject({ vector: 13, error: 0 });
  });

  test('ports in ring 3: IOPL, or the bitmap of the TSS', () => {
    const guest = new Guest(mode);
    const { machine } = guest;
    machine.writeU8(TSS + 0x68 + (0x3f8 >> 3), 0xfe);
    guest.enterUser();
    guest.set({ rdx: 0x3f8n });
    machine.write(CODE, bytes('ee'));
    guest.set({ rip: BigInt(CODE) });
    expect(machine.run(0, 10).kind).toBe('port-out');
    guest.set({ rdx: 0x3f9n });
    expect(guest.run('ee')).toMatchObject({ vector: 13, error: 0, rip: BigInt(CODE) });
    guest.reset();
    guest.enterUser();
    guest.set({ rflags: 0x3002n, rdx: 0x3f9n, rip: BigInt(CODE) });
    machine.write(CODE, bytes('ee'));
    expect(machine.run(0, 10).kind).toBe('port-out');
  });

  test('ring 3 with IOPL 3 may change IF; without, POPF leaves it', () => {
    const guest = new Guest(mode);
    const push = mode === 'long' ? '68 02 32 00 00' : '68 02 32 00 00';
    guest.enterUser();
    // push 0x3202; popf; pushf; pop rax; then hlt faults
    const trap = guest.run(`${push} 9d 9c 58`);
    expect(trap?.vector).toBe(13);
    expect(guest.registers.rax & 0x3200n).toBe(0n);
    guest.reset();
    guest.enterUser();
    guest.set({ rflags: 0x3002n });
    guest.run(`${push} 9d 9c 58`);
    expect(guest.registers.rax & 0x3200n).toBe(0x3200n);
    guest.reset();
    guest.enterUser();
    guest.set({ rflags: 0x3002n });
    expect(guest.run('fb 90')).toMatchObject({ vector: 13, rip: BigInt(CODE + 2) });
  });
});

describe.each(['protected', 'pae'] as const)('32-bit transfers in %s mode', (mode) => {
  test('limits: a load past the end is #GP, through SS #SS; expand-down; a write to code', () => {
    const rows = [
      ['8b 03', 0x93, 0xfff, 0xffd, 13],
      ['8b 03', 0x93, 0xfff, 0xffc, undefined],
      ['8b 03', 0x97, 0xfff, 0xfff, 13],
      ['8b 03', 0x97, 0xfff, 0x1000, undefined],
      ['8b 03', 0x97, 0xfff, 0xfffd, 13],
      ['89 03', 0x91, 0xfff, 0, 13],
    ] as const;
    for (const [code, attributes, limit, address, vector] of rows) {
      const guest = new Guest(mode);
      guest.set({ ds: { selector: 0x10, base: BigInt(DATA), limit, attributes }, rbx: BigInt(address) });
      expect(guest.run(code)?.vector).toBe(vector);
    }
    const guest = new Guest(mode);
    guest.set({
      ss: { selector: 0x10, base: 0n, limit: STACK - 5, attributes: 0x4093 },
      rsp: BigInt(STACK - 4),
      idtr: { base: 0x2000n, limit: 0xfff },
    });
    // pop eax crosses the limit: #SS, whose own frame still fits
    expect(guest.run('58')).toMatchObject({ vector: 12, error: 0, rip: BigInt(CODE) });
    // mov cs:[0], eax
    expect(new Guest(mode).run('2e a3 00 00 02 00')?.vector).toBe(13);
  });

  test('far call and return, with the stack they leave', () => {
    const guest = new Guest(mode);
    // f: mov eax, [esp+4]; retf 4
    guest.machine.write(CODE + 0x100, bytes('8b 44 24 04 ca 04 00'));
    // push 7; call far code32:CODE+0x100
    expect(guest.run('6a 07 9a 00 81 00 00 18 00')).toBeUndefined();
    expect([guest.registers.rax, guest.registers.rsp]).toEqual([BigInt(SELECTORS.code32), BigInt(STACK)]);
    expect(guest.run('9a 00 81 00 00 13 00')).toMatchObject({ vector: 13, error: 0x10 });
    expect(guest.run('9a 00 81 00 00 00 00')).toMatchObject({ vector: 13, error: 0 });
  });

  test('a call gate copies parameters to the inner stack, and RETF goes back', () => {
    const guest = new Guest(mode);
    const gate = BigInt(CODE + 0x100) | (BigInt(SELECTORS.code32) << 16n) | (2n << 32n) | (0xecn << 40n);
    guest.machine.writeU64(GDT + SELECTORS.gate, gate);
    // f: mov eax, [esp+8]; add eax, [esp+12]; mov ebx, esp; retf 8
    guest.machine.write(CODE + 0x100, bytes('8b 44 24 08 03 44 24 0c 89 e3 ca 08 00'));
    guest.enterUser();
    // push 5; push 6; call far gate; then hlt: #GP in ring 3
    const trap = guest.run('6a 05 6a 06 9a 00 00 00 00 6b 00');
    expect(trap).toMatchObject({
      vector: 13,
      rip: BigInt(CODE + 11),
      cs: SELECTORS.userCode32,
      rsp: BigInt(STACK),
    });
    expect([guest.registers.rax, guest.registers.rbx]).toEqual([11n, BigInt(RING0_STACK - 24)]);
  });

  test('a task gate and a TSS are no targets here', () => {
    const guest = new Guest(mode);
    guest.setGate(0x40, 0x85);
    expect(guest.run('cd 40')).toMatchObject({ vector: 13, error: 0x40 * 8 + 2 });
    expect(guest.run('ea 00 00 00 00 40 00')).toMatchObject({ vector: 13, error: SELECTORS.tss });
  });

  test('16-bit code: operand and address sizes, and an interrupt from it', () => {
    const guest = new Guest(mode);
    guest.setGate(0x80, 0x8e);
    guest.machine.write(CODE + 0x100, bytes('b8 34 12 66 bb 78 56 34 12 cd 80'));
    const trap = guest.run('ea 00 81 00 00 50 00');
    expect(trap).toMatchObject({ vector: 0x80, rip: BigInt(CODE + 0x10b), cs: SELECTORS.code16 });
    expect([guest.registers.rax, guest.registers.rbx]).toEqual([0x1234n, 0x12345678n]);
  });

  test('the ring 0 stack of a TSS that ends too early is #TS', () => {
    const guest = new Guest(mode);
    guest.setGate(0x80, 0xee);
    guest.set({ tr: { selector: SELECTORS.tss, base: BigInt(TSS), limit: 7, attributes: 0x8b } });
    guest.enterUser();
    guest.run('cd 80');
    // #TS needs the same stack: #DF does too, so the machine ends.
    expect(guest.lastExit).toBe('shutdown');
  });
});

describe('control registers', () => {
  test.each([
    ['PG without PE', 'b8 00 00 00 80 0f 22 c0'],
    ['NW without CD', 'b8 11 00 00 a0 0f 22 c0'],
    ['upper half of CR0', '48 b8 11 00 00 80 01 00 00 00 0f 22 c0'],
    ['PAE off in long mode', '31 c0 0f 22 e0'],
    ['reserved bits of CR3', '48 b8 00 00 01 00 00 40 00 00 0f 22 d8'],
    ['CR8 above 15', 'b8 10 00 00 00 44 0f 22 c0'],
    ['DR7 above 32 bits', '48 b8 00 00 00 00 01 00 00 00 0f 23 f8'],
    ['EFER.LME off under paging', 'b9 80 00 00 c0 31 d2 b8 00 08 00 00 0f 30'],
    ['a bad memory type in PAT', 'b9 77 02 00 00 31 d2 b8 02 00 00 00 0f 30'],
    ['a non-canonical LSTAR', 'b9 82 00 00 c0 ba 00 80 00 00 31 c0 0f 30'],
    ['RDPMC', '31 c9 0f 33'],
  ])('%s is #GP(0)', (_, code) => {
    const guest = new Guest('long');
    expect(guest.run(code)).toMatchObject({ vector: 13, error: 0 });
  });

  test.each(['0f 20 c8', '0f 22 e8', '44 0f 20 c8', '44 0f 23 c0'])('%s is #UD', (code) => {
    expect(new Guest('long').run(code)?.vector).toBe(6);
  });

  test('CR8 is the task priority', () => {
    const guest = new Guest('long');
    guest.run('b8 05 00 00 00 44 0f 22 c0 44 0f 20 c3');
    expect(guest.registers.rbx).toBe(5n);
  });

  test('SMSW, LMSW, CLTS', () => {
    const guest = new Guest('protected');
    guest.run('b8 08 00 00 00 0f 01 f0 0f 01 e3 0f 06 0f 01 e1');
    expect(guest.registers.rbx & 0xffffn).toBe(0x19n);
    expect(guest.registers.rcx & 0xffffn).toBe(0x11n);
  });

  test('SGDT and SIDT store what LGDT and LIDT loaded', () => {
    for (const mode of ['protected', 'long'] as const) {
      const guest = new Guest(mode);
      const wide = mode === 'long';
      guest.machine.write(DATA, bytes('ff 01 00 10 00 00 00 00 00 00'));
      guest.set({ rbx: BigInt(DATA) });
      // lgdt [rbx]; sgdt [rbx+16]; sidt [rbx+32]
      expect(guest.run('0f 01 13 0f 01 43 10 0f 01 4b 20')).toBeUndefined();
      expect(guest.registers.gdtr).toEqual({ base: 0x1000n, limit: 0x1ff });
      expect([...guest.machine.read(DATA + 16, 10)]).toEqual([0xff, 1, 0, 0x10, 0, 0, 0, 0, 0, 0]);
      expect(guest.machine.readU16(DATA + 32)).toBe(0xfff);
      if (wide) expect(guest.machine.readU64(DATA + 34)).toBe(0x2000n);
    }
  });

  test('RDFSBASE and WRGSBASE need CR4.FSGSBASE', () => {
    const guest = new Guest('long');
    expect(guest.run('f3 48 0f ae c0')?.vector).toBe(6);
    guest.reset();
    guest.set({ cr4: 0x10020n, rax: 0xffff888012345678n });
    guest.run('f3 48 0f ae d8 f3 48 0f ae cb f3 0f ae c9');
    expect([guest.registers.gs.base, guest.registers.rbx, guest.registers.rcx]).toEqual([
      0xffff888012345678n,
      0xffff888012345678n,
      0x12345678n,
    ]);
    guest.set({ rax: 1n << 47n });
    expect(guest.run('f3 48 0f ae d8')).toMatchObject({ vector: 13, error: 0 });
  });
});

describe('debug registers', () => {
  test('an execution breakpoint is passed by IRET with RF, and hits again later', () => {
    const guest = new Guest('long');
    // #DB handler: inc ebx; cmp ebx, 3; jae +2 -> hlt; iretq  (RF is in the frame because faults push it set... #DB does not: or it in)
    guest.machine.write(0x4000 + 16, bytes('eb 3e'));
    guest.machine.write(0x4050, bytes('ff c3 83 fb 03 73 0b 48 81 4c 24 10 00 00 01 00 48 cf f4'));
    guest.machine.write(0x4012, bytes('90'));
    guest.machine.write(0x4010, bytes('eb 3e'));
    // l: nop (breakpoint here); inc ecx; jmp l
    guest.machine.write(CODE, bytes('90 ff c1 eb fb'));
    guest.set({ dr0: BigInt(CODE), dr7: 0x401n, rip: BigInt(CODE) });
    guest.resume();
    expect([guest.registers.rbx, guest.registers.rcx]).toEqual([3n, 2n]);
  });

  test('GD: an access is #DB with BD, and the handler may use the registers', () => {
    const guest = new Guest('long');
    guest.set({ dr7: 0x2400n });
    expect(guest.run('0f 23 c0')).toMatchObject({ vector: 1, rip: BigInt(CODE) });
    expect((guest.registers.dr6 ?? 0n) & 0x2000n).toBe(0x2000n);
    expect((guest.registers.dr7 ?? 0n) & 0x2000n).toBe(0n);
  });

  test('a read breakpoint, on a store across its border, and rep stos', () => {
    for (const [code, setup, rip] of [
      ['8a 03 90', { rbx: BigInt(DATA + 3) }, 2],
      ['48 89 03 90', { rbx: BigInt(DATA - 4) }, 3],
    ] as const) {
      const guest = new Guest('long');
      guest.set({ dr3: BigInt(DATA), dr7: 0xf000_0440n | 0x40n, ...setup });
      expect(guest.run(code)).toMatchObject({ vector: 1, rip: BigInt(CODE + rip) });
      expect((guest.registers.dr6 ?? 0n) & 0xfn).toBe(8n);
    }
  });

  test('TF over SYSCALL, POPF and a fault', () => {
    const guest = new Guest('long');
    // push 0x102; popf; nop; nop: the trap comes after the first nop
    expect(guest.run('68 02 01 00 00 9d 90 90')).toMatchObject({ vector: 1, rip: BigInt(CODE + 7) });
    const faulting = new Guest('long');
    faulting.set({ rflags: 0x102n });
    expect(faulting.run('0f 0b')).toMatchObject({ vector: 6, rip: BigInt(CODE), rflags: 0x10102n });
  });
});

describe('real mode', () => {
  test('far call, far return, INT and IRET', () => {
    const guest = new Guest('real');
    // f at 0900:0000: inc bx; retf. Vector 0x21 at 0000:9100: inc cx; iret
    guest.machine.write(0x9000, bytes('43 cb'));
    guest.machine.write(0x9100, bytes('41 cf'));
    guest.machine.write(4 * 0x21 + 0x2000, bytes('00 91 00 00'));
    guest.set({ rflags: 0x202n, rsp: 0xa000n });
    // call far 0900:0000; int 0x21
    guest.run('9a 00 00 00 09 cd 21');
    expect([guest.registers.rbx, guest.registers.rcx, guest.registers.rsp]).toEqual([1n, 1n, 0xa000n]);
    expect(guest.registers.rflags & 0x200n).toBe(0x200n);
    expect(guest.registers.rip).toBe(BigInt(CODE + 8));
  });

  test('unreal mode: the limit of protected mode stays', () => {
    const guest = new Guest('real');
    guest.machine.writeU32(0x200000, 0xcafe);
    guest.machine.write(GDT + SELECTORS.data, bytes('ff ff 00 00 00 93 cf 00'));
    guest.machine.write(0x7000, bytes('ff 00 00 10 00 00'));
    // lgdt; mov eax, cr0; or al, 1; mov cr0, eax; mov bx, 0x10; mov ds, bx; and al, 0xfe; mov cr0, eax; xor bx, bx; mov ds, bx
    // mov ebx, 0x200000; mov eax, [ebx]
    guest.run(
      '0f 01 16 00 70 0f 20 c0 0c 01 0f 22 c0 bb 10 00 8e db 24 fe 0f 22 c0 31 db 8e db 66 bb 00 00 20 00 67 66 8b 03',
    );
    expect(guest.registers.rax).toBe(0xcafen);
  });

  test('LLDT and its like are #UD', () => {
    for (const code of ['0f 00 d0', '0f 00 c0', '0f 02 c1', '0f 03 c1'])
      expect(new Guest('real').run(code)?.vector).toBe(6);
  });
});

test('a running guest goes on from its snapshot as if nothing had been', () => {
  const program = bytes(
    'b9 10 27 00 00 69 c0 0d 66 19 00 05 5f f3 6e 3c 89 04 8d 00 00 02 00 ff c9 75 ec f4',
  );
  const finish = (guest: Guest): unknown => {
    while (guest.machine.run(0, 1000).kind === 'budget');
    return guest.machine.snapshot();
  };
  const guest = new Guest('protected');
  guest.machine.write(CODE, program);
  guest.set({ rip: BigInt(CODE) });
  for (let i = 0; i < 7; i++) guest.machine.run(0, 1001);
  const saved = structuredClone(guest.machine.snapshot());
  const other = new Guest('long');
  other.run('90 90');
  other.machine.restore(saved);
  expect(finish(other)).toEqual(finish(guest));
});

test.each([
  ['beside the code', 0x100],
  ['into the code', 0x20],
])('where a slice ends follows from the program, not from what was decoded before: stores %s', (_, at) => {
  const guest = new Guest('long');
  // a: inc eax; inc ebx; b: inc eax; mov [rdi], al; dec cl; jnz b; mov cl, 5; jmp a
  guest.machine.write(CODE, bytes('ff c0 ff c3 ff c0 88 07 fe c9 75 f8 b1 05 eb f0'));
  guest.set({ rip: BigInt(CODE), rcx: 5n, rdi: BigInt(CODE + at) });
  for (let round = 0; round < 60; round++) {
    guest.machine.run(0, 1 + (round % 13));
    // The restored machine has decoded nothing yet.
    const other = new Guest('long');
    other.machine.restore(guest.machine.snapshot());
    for (let budget = 1; budget < 12; budget++) {
      other.machine.run(0, budget);
      guest.machine.run(0, budget);
      expect(other.machine.retired(0)).toBe(guest.machine.retired(0));
      expect(other.registers).toEqual(guest.registers);
    }
  }
});
