import { describe, expect, test } from 'vitest';
import type { Machine } from '../../core/machine/machine.ts';
import { bytes, CODE, DATA, Guest, HANDLERS, IDT, type Mode, SELECTORS, STACK } from '../support/guest.ts';
import { testMachine } from '../support/machine.ts';

const LINE = 0x5000;
const VECTOR = 0xf3;

function guestWithLine(mode: Mode = 'long'): Guest {
  const guest = new Guest(mode);
  guest.machine.setInterruptLine(0, { flagGpa: LINE, vector: VECTOR });
  return guest;
}

/** Runs vCPU 0 until it halts, at most `limit` instructions. */
function runToHalt(machine: Machine, vcpu = 0, limit = 100_000): string {
  const end = machine.retired(vcpu) + limit;
  while (machine.retired(vcpu) < end) {
    const exit = machine.run(vcpu, 10_000);
    if (exit.kind !== 'budget') return exit.kind;
  }
  throw new Error('the guest does not end');
}

describe('the interrupt line', () => {
  test('waits for IF, and interrupts behind the instruction after STI', () => {
    const guest = guestWithLine();
    guest.machine.writeU8(LINE, 1);
    // nop; sti; inc eax; inc eax
    const trap = guest.run('90 fb ff c0 ff c0');
    expect(trap).toMatchObject({ vector: VECTOR, rip: BigInt(CODE + 4) });
    expect(guest.registers.rax).toBe(1n);
  });

  test('sti; nop; cli lets it in', () => {
    const guest = guestWithLine();
    guest.machine.writeU8(LINE, 1);
    expect(guest.run('fb 90 fa')).toMatchObject({ vector: VECTOR, rip: BigInt(CODE + 2) });
  });

  test('POPF and IRET that set IF let it in at once', () => {
    for (const [code, frame] of [
      ['9d', [0x202]],
      ['48 cf', [CODE + 2, SELECTORS.code64, 0x202, STACK, SELECTORS.data]],
    ] as const) {
      const guest = guestWithLine();
      guest.machine.writeU8(LINE, 1);
      frame.forEach((word, i) => {
        guest.machine.writeU64(STACK - 0x80 + 8 * i, BigInt(word));
      });
      guest.set({ rsp: BigInt(STACK - 0x80) });
      expect(guest.run(`${code} ff c0`)?.vector).toBe(VECTOR);
      expect(guest.registers.rax).toBe(0n);
    }
  });

  test('MOV SS holds it off for one instruction', () => {
    const guest = guestWithLine();
    guest.set({ rflags: 0x202n, rax: BigInt(SELECTORS.data) });
    guest.machine.write(CODE, bytes('8e d0 ff c1 ff c1 f4'));
    guest.set({ rip: BigInt(CODE) });
    guest.machine.run(0, 1);
    expect(guest.registers.rip).toBe(BigInt(CODE + 2));
    guest.machine.writeU8(LINE, 1);
    expect(guest.resume()).toMatchObject({ vector: VECTOR, rip: BigInt(CODE + 4) });
  });

  test('wakes from HLT; the handler returns behind it', () => {
    const guest = guestWithLine();
    const { machine } = guest;
    // handler: mov byte [LINE], 0; inc ebx; iretq
    machine.write(HANDLERS + 16 * VECTOR, bytes('c6 04 25 00 50 00 00 00 ff c3 48 cf'));
    machine.write(CODE, bytes('fb f4 ff c1 f4'));
    guest.set({ rip: BigInt(CODE) });
    expect(machine.run(0, 1000).kind).toBe('halt');
    expect([machine.state(0), machine.isIdle(0)]).toEqual(['halted', true]);
    expect(machine.run(0, 1000).kind).toBe('halt');
    machine.writeU8(LINE, 1);
    expect(machine.isIdle(0)).toBe(false);
    expect(runToHalt(machine)).toBe('halt');
    expect([guest.registers.rbx, guest.registers.rcx, guest.registers.rip]).toEqual([
      1n,
      1n,
      BigInt(CODE + 5),
    ]);
  });

  test('a busy loop is interrupted', () => {
    const guest = guestWithLine();
    guest.machine.write(CODE, bytes('fb eb fe'));
    guest.set({ rip: BigInt(CODE) });
    expect(guest.machine.run(0, 1000)).toEqual({ kind: 'budget' });
    guest.machine.writeU8(LINE, 1);
    expect(guest.resume()).toMatchObject({ vector: VECTOR, rip: BigInt(CODE + 1) });
  });
});

describe('NMI', () => {
  test('comes through vector 2 with IF clear, and the next waits for IRET', () => {
    const guest = new Guest('long');
    // handler: inc ebx; cmp ebx, 2; je +2 (hlt); iretq
    guest.machine.write(HANDLERS + 32, bytes('ff c3 83 fb 02 74 02 48 cf f4'));
    guest.machine.write(CODE, bytes('90 eb fd'));
    guest.set({ rip: BigInt(CODE) });
    guest.machine.raiseNmi(0);
    guest.machine.run(0, 1);
    guest.machine.raiseNmi(0);
    guest.resume();
    expect(guest.registers.rbx).toBe(2n);
    expect(guest.registers.rip).toBe(BigInt(HANDLERS + 32 + 10));
  });

  test('wakes HLT with IF clear', () => {
    const guest = new Guest('long');
    expect(guest.run('')).toBeUndefined();
    expect(guest.lastExit).toBe('halt-forever');
    guest.machine.setState(0, 'halted');
    guest.machine.raiseNmi(0);
    expect(guest.resume()).toMatchObject({ vector: 2, rip: BigInt(CODE + 1) });
  });
});

const APIC_PAGE = 0xfee00000;

/** A 64-bit guest whose window is the xAPIC page, software-enabled. */
function apicGuest(vcpus = 1): Guest {
  const guest = new Guest('long', testMachine({ vcpus }));
  guest.entry = BigInt(APIC_PAGE) | 3n;
  write(guest, 0xf0, 0x1ff);
  return guest;
}

/** mov dword [0x400000 + offset], value */
function write(guest: Guest, offset: number, value: number): void {
  guest.set({ rbx: BigInt(0x400000 + offset), rax: BigInt(value) });
  guest.run('89 03');
}

function read(guest: Guest, offset: number): number {
  guest.set({ rbx: BigInt(0x400000 + offset) });
  guest.run('8b 03');
  return Number(guest.registers.rax);
}

describe('the local APIC', () => {
  test('id, version, reset values', () => {
    const guest = apicGuest();
    expect(read(guest, 0x20)).toBe(0);
    expect(read(guest, 0x30)).toBe(0x50014);
    expect(read(guest, 0x320)).toBe(0x10000);
    expect(read(guest, 0xe0)).toBe(0xffffffff);
    expect(read(guest, 0x24)).toBe(0);
  });

  test('a self IPI is taken when IF is set, is in service until EOI, and the task priority holds it', () => {
    const guest = apicGuest();
    write(guest, 0x80, 0x40);
    write(guest, 0x300, 0x40031);
    expect(read(guest, 0x210)).toBe(1 << 17);
    expect(guest.run('fb 90 90')).toBeUndefined();
    guest.set({ rflags: 2n });
    write(guest, 0x80, 0);
    expect(guest.run('fb 90 90')?.vector).toBe(0x31);
    guest.set({ rflags: 2n, rsp: BigInt(STACK) });
    expect([read(guest, 0x210), read(guest, 0x110), read(guest, 0xa0)]).toEqual([0, 1 << 17, 0x30]);
    // A lower class waits, a higher one does not.
    guest.machine.lapicInterrupt(0, 0x3f);
    expect(guest.run('fb 90 90')).toBeUndefined();
    guest.machine.lapicInterrupt(0, 0x41);
    expect(guest.run('fb 90 90')?.vector).toBe(0x41);
    guest.set({ rflags: 2n });
    write(guest, 0xb0, 0);
    write(guest, 0xb0, 0);
    expect([read(guest, 0x110), read(guest, 0x120)]).toEqual([0, 0]);
    expect(guest.run('fb 90 90')?.vector).toBe(0x3f);
  });

  test('a software-disabled APIC takes no IPI, but keeps what the hypervisor requests', () => {
    const guest = apicGuest();
    write(guest, 0xf0, 0xff);
    write(guest, 0x300, 0x40050);
    expect(read(guest, 0x220)).toBe(0);
    guest.machine.lapicInterrupt(0, 0x50);
    expect(read(guest, 0x220)).toBe(1 << 16);
  });

  test('the timer: one-shot and periodic', () => {
    const guest = apicGuest();
    write(guest, 0x3e0, 0xb);
    write(guest, 0x320, 0x60);
    write(guest, 0x380, 5000);
    const armed = guest.machine.nextTimer() ?? 0;
    expect(armed - guest.machine.now()).toBeGreaterThan(4000);
    expect(read(guest, 0x390)).toBeLessThan(5000);
    guest.machine.write(CODE, bytes('fb eb fe'));
    guest.set({ rip: BigInt(CODE) });
    expect(guest.resume()?.vector).toBe(0x60);
    expect(guest.machine.now()).toBeGreaterThanOrEqual(armed);
    expect(guest.machine.now()).toBeLessThan(armed + 100);
    expect(guest.machine.nextTimer()).toBeUndefined();
    guest.reset();
    write(guest, 0xb0, 0);
    write(guest, 0x320, 0x20060);
    write(guest, 0x380, 1000);
    const first = guest.machine.nextTimer() ?? 0;
    guest.machine.skipTo(first + 2500);
    expect(guest.machine.nextTimer()).toBe(first + 3000);
    expect(read(guest, 0x230)).toBe(1);
  });

  test('x2APIC: MSRs instead of the page', () => {
    const guest = new Guest('long', testMachine({ vcpus: 1, apicIds: [0x123] }));
    const rdmsr = (index: number): bigint => {
      guest.set({ rcx: BigInt(index) });
      const trap = guest.run('0f 32');
      if (trap !== undefined) throw new Error(`vector ${trap.vector}`);
      return (guest.registers.rdx << 32n) | guest.registers.rax;
    };
    const wrmsr = (index: number, value: bigint): number | undefined => {
      guest.set({ rcx: BigInt(index), rax: value & 0xffffffffn, rdx: value >> 32n, rsp: BigInt(STACK) });
      return guest.run('0f 30')?.vector;
    };
    expect(rdmsr(0x1b)).toBe(0xfee00900n);
    expect(() => rdmsr(0x802)).toThrow('vector 13');
    expect(wrmsr(0x1b, 0xfee00500n)).toBe(13);
    expect(wrmsr(0x1b, 0xfee00d00n)).toBeUndefined();
    expect(rdmsr(0x802)).toBe(0x123n);
    expect(rdmsr(0x80d)).toBe((0x12n << 16n) | 8n);
    expect(wrmsr(0x80d, 0n)).toBe(13);
    expect(wrmsr(0x80f, 0x1ffn)).toBeUndefined();
    expect(wrmsr(0x83f, 0xf6n)).toBeUndefined();
    expect(rdmsr(0x827)).toBe(1n << 22n);
    expect(wrmsr(0x830, (0x123n << 32n) | 0x55n)).toBeUndefined();
    expect(rdmsr(0x822)).toBe(1n << 21n);
    expect(wrmsr(0x1b, 0xfee00900n)).toBe(13);
  });
});

describe('several vCPUs', () => {
  test('INIT and SIPI start an AP in real mode; a fixed IPI and an NMI reach it', () => {
    const guest = apicGuest(2);
    const { machine } = guest;
    // AP at 0x9000, real mode: inc word [0x5010]; sti; hlt; inc word [0x5014]; hlt; hlt
    machine.write(0x9000, bytes('ff 06 10 50 fb f4 ff 06 14 50 f4 f4'));
    // real-mode handlers: vector 0x45: inc word [0x5012]; iret; NMI: inc word [0x5016]; iret
    machine.write(0x9800, bytes('ff 06 12 50 cf ff 06 16 50 cf'));
    machine.write(4 * 0x45, bytes('00 98 00 00'));
    machine.write(8, bytes('05 98 00 00'));
    expect(machine.run(1, 100).kind).toBe('halt');
    machine.lapicInterrupt(1, 0x45);
    write(guest, 0x310, 2 << 24);
    write(guest, 0x300, 0x4500); // INIT
    expect(machine.state(1)).toBe('wait-for-sipi');
    write(guest, 0x300, 0x4609); // SIPI, page 9
    write(guest, 0x300, 0x4609);
    expect(machine.state(1)).toBe('running');
    expect(machine.registers(1)).toMatchObject({ rip: 0n, cr0: 0x60000010n });
    expect(machine.registers(1).cs).toMatchObject({ selector: 0x900, base: 0x9000n });
    expect(runToHalt(machine, 1)).toBe('halt');
    const counters = (): number[] => [0x5010, 0x5012, 0x5014, 0x5016].map((at) => machine.readU16(at));
    // The data segment of the AP is 0. What was latched before the INIT of a vCPU that waits wakes its HLT.
    expect(counters()).toEqual([1, 1, 1, 0]);
    write(guest, 0x300, 0x4445); // NMI mode ignores the vector
    expect(runToHalt(machine, 1)).toBe('halt');
    expect(counters()).toEqual([1, 1, 1, 1]);
    // A fixed IPI waits until the AP's own APIC is software-enabled.
    write(guest, 0x300, 0x4045);
    expect(machine.isIdle(1)).toBe(true);
  });

  test.each([
    ['all but self', 0xc0040, [0, 1, 1]],
    ['all', 0x80040, [1, 1, 1]],
    ['self', 0x40040, [1, 0, 0]],
  ])('shorthand: %s', (_, command, expected) => {
    const guest = apicGuest(3);
    const irr = (vcpu: number): number => guest.machine.snapshot().vcpus[vcpu]?.block[0x480 + 0x88] ?? -1;
    // The others enable their APICs through a snapshot: SVR is at APIC + (0xf0 >> 2).
    const saved = guest.machine.snapshot();
    for (const { block } of saved.vcpus) block[0x480 + 0x3d] = 1;
    guest.machine.restore(saved);
    write(guest, 0x300, command);
    expect([0, 1, 2].map((vcpu) => irr(vcpu))).toEqual(expected);
  });
});

describe('exits', () => {
  test('hypercall: rip is past it, rax is the answer', () => {
    const guest = new Guest('long');
    for (const code of ['0f 01 c1', '0f 01 d9']) {
      guest.machine.write(CODE, bytes(`${code} 48 89 c3 f4`));
      guest.set({ rip: BigInt(CODE), rax: 17n });
      expect(guest.machine.run(0, 100)).toEqual({ kind: 'hypercall' });
      expect(guest.registers.rip).toBe(BigInt(CODE + 3));
      guest.machine.setReg(0, 'rax', 0xffffffffffffffdan);
      guest.resume();
      expect(guest.registers.rbx).toBe(0xffffffffffffffdan);
    }
  });

  test('an unknown MSR: answered, or refused with #GP(0) at the instruction', () => {
    const guest = new Guest('long');
    const { machine } = guest;
    machine.write(CODE, bytes('0f 32 f4'));
    guest.set({ rip: BigInt(CODE), rcx: 0x40000000n });
    expect(machine.run(0, 100)).toEqual({ kind: 'msr-read', index: 0x40000000 });
    machine.answer(0, 0x1122334455667788n);
    guest.resume();
    expect([guest.registers.rdx, guest.registers.rax]).toEqual([0x11223344n, 0x55667788n]);
    machine.write(CODE, bytes('0f 30 f4'));
    guest.set({ rip: BigInt(CODE), rax: 5n, rdx: 6n });
    expect(machine.run(0, 100)).toEqual({ kind: 'msr-write', index: 0x40000000, value: 0x600000005n });
    machine.injectFault(0, 13, 0);
    expect(guest.resume()).toMatchObject({ vector: 13, error: 0, rip: BigInt(CODE) });
  });

  test('ports', () => {
    const guest = new Guest('long');
    const { machine } = guest;
    // mov edx, 0x3f8; out dx, al; in al, 0x61; in ax, dx; in eax, dx
    machine.write(CODE, bytes('ba f8 03 00 00 ee e4 61 66 ed ed f4'));
    guest.set({ rip: BigInt(CODE), rax: 0xaabbccddeeff1122n });
    expect(machine.run(0, 100)).toEqual({ kind: 'port-out', port: 0x3f8, size: 1, value: 0x22 });
    expect(machine.run(0, 100)).toEqual({ kind: 'port-in', port: 0x61, size: 1 });
    machine.answer(0, 0x77n);
    expect(guest.registers.rax).toBe(0xaabbccddeeff1177n);
    expect(machine.run(0, 100)).toEqual({ kind: 'port-in', port: 0x3f8, size: 2 });
    machine.answer(0, 0x3344n);
    expect(guest.registers.rax).toBe(0xaabbccddeeff3344n);
    expect(machine.run(0, 100)).toEqual({ kind: 'port-in', port: 0x3f8, size: 4 });
    machine.answer(0, 0xffffffffn);
    expect(guest.registers.rax).toBe(0xffffffffn);
  });

  test('rep ins and rep outs: one exit an element', () => {
    const guest = new Guest('long');
    const { machine } = guest;
    machine.write(CODE, bytes('f3 6c f4'));
    guest.set({ rip: BigInt(CODE), rcx: 3n, rdx: 0x1f0n, rdi: BigInt(DATA) });
    for (const value of [1n, 2n, 3n]) {
      expect(machine.run(0, 100)).toEqual({ kind: 'port-in', port: 0x1f0, size: 1 });
      machine.answer(0, value);
    }
    guest.resume();
    expect([...machine.read(DATA, 4)]).toEqual([1, 2, 3, 0]);
    expect(guest.registers).toMatchObject({ rcx: 0n, rdi: BigInt(DATA + 3), rip: BigInt(CODE + 3) });
    machine.write(CODE, bytes('f3 66 6f f4'));
    guest.set({ rip: BigInt(CODE), rcx: 2n, rsi: BigInt(DATA) });
    expect(machine.run(0, 100)).toEqual({ kind: 'port-out', port: 0x1f0, size: 2, value: 0x0201 });
    expect(machine.run(0, 100)).toEqual({ kind: 'port-out', port: 0x1f0, size: 2, value: 0x0003 });
    guest.resume();
    expect(guest.registers.rsi).toBe(BigInt(DATA + 4));
  });

  test('a triple fault ends the machine', () => {
    const guest = new Guest('long');
    guest.set({ idtr: { base: BigInt(IDT), limit: 0 } });
    guest.run('0f 0b');
    expect(guest.lastExit).toBe('shutdown');
  });
});

describe('self-modifying code', () => {
  test('a store to the next instruction counts at once', () => {
    const guest = new Guest('long');
    // mov byte [rip+1], 0x2a; mov al, 0x11  (the store changes the immediate)
    expect(guest.run('c6 05 01 00 00 00 2a b0 11')).toBeUndefined();
    expect(guest.registers.rax).toBe(0x2an);
  });

  test('code that was executed and is changed through another mapping', () => {
    const guest = new Guest('long');
    guest.entry = BigInt(CODE) | 3n;
    // call f; mov byte [0x400021], 2; call f; hlt; ... f at +0x20: mov al, 1; add bl, al; ret
    guest.machine.write(CODE + 0x20, bytes('b0 01 00 c3 c3'));
    guest.run('e8 1b 00 00 00 c6 04 25 21 00 40 00 02 e8 0e 00 00 00');
    expect(guest.registers.rbx).toBe(3n);
  });

  test('the host writes code', () => {
    const guest = new Guest('long');
    guest.run('b0 01');
    guest.run('b0 02');
    expect(guest.registers.rax & 0xffn).toBe(2n);
  });
});

describe('determinism', () => {
  test('RDRAND repeats for a seed and sets CF', () => {
    const values = [1, 1, 2].map((seed) => {
      const guest = new Guest('long', testMachine({ seed }));
      guest.run('48 0f c7 f0 48 0f c7 f1');
      expect(guest.registers.rflags & 1n).toBe(1n);
      return [guest.registers.rax, guest.registers.rcx];
    });
    expect(values[0]).toEqual(values[1]);
    expect(values[0]).not.toEqual(values[2]);
    expect(values[0]?.[0]).not.toBe(values[0]?.[1]);
  });

  test('the TSC counts retired instructions, also inside a block', () => {
    const guest = new Guest('long');
    guest.machine.skipTo(1_000_000);
    // rdtsc; mov ebx, eax; nop; nop; rdtsc; sub eax, ebx
    guest.run('0f 31 89 c3 90 90 0f 31 29 d8');
    expect(guest.registers.rax).toBe(4n);
  });

  test('slices do not change what is computed', () => {
    const run = (budget: number): unknown => {
      const guest = new Guest('long');
      // mov ecx, 500; l: imul eax, eax, 7; inc eax; dec ecx; jnz l
      guest.machine.write(CODE, bytes('b9 f4 01 00 00 6b c0 07 ff c0 ff c9 75 f7 f4'));
      guest.set({ rip: BigInt(CODE) });
      while (guest.machine.run(0, budget).kind === 'budget');
      return [guest.registers.rax, guest.machine.retired(0), guest.machine.now()];
    };
    const whole = run(100_000);
    for (const budget of [1, 2, 3, 7, 100]) expect(run(budget)).toEqual(whole);
  });
});
