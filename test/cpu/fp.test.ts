// When x87, MMX and SSE instructions may run, and how their exceptions come: what user mode under Linux cannot show, so that
// the corpus of test/oracle does not have it.
import { describe, expect, test } from 'vitest';
import { CODE, DATA, Guest } from '../support/guest.ts';

const UD = 6;
const NM = 7;
const GP = 13;
const MF = 16;
const XM = 19;

const CR0 = 0x80010011n;
const MP = 0x2n;
const EM = 0x4n;
const TS = 0x8n;
const NE = 0x20n;
const CR4 = 0x20n;
const OSFXSR = 0x200n;
const OSXMMEXCPT = 0x400n;

interface FpuState {
  fcw: number;
  fsw: number;
  ftw: number;
  mxcsr: number;
}

function image(state: Partial<FpuState> = {}): Uint8Array {
  const fx = new Uint8Array(512);
  const view = new DataView(fx.buffer);
  view.setUint16(0, state.fcw ?? 0x37f, true);
  view.setUint16(2, state.fsw ?? 0, true);
  view.setUint8(4, state.ftw ?? 0);
  view.setUint32(24, state.mxcsr ?? 0x1f80, true);
  return fx;
}

/** A 64-bit guest with the floating-point unit as an operating system has it. */
function fpGuest(state: Partial<FpuState> = {}, cr0 = CR0 | MP | NE, cr4 = CR4 | OSFXSR | OSXMMEXCPT): Guest {
  const guest = new Guest('long');
  guest.set({ cr0, cr4, fxsave: image(state) });
  return guest;
}

const wordsOf = (guest: Guest): FpuState => {
  const fx = guest.registers.fxsave ?? new Uint8Array(512);
  const view = new DataView(fx.buffer, fx.byteOffset);
  return {
    fcw: view.getUint16(0, true),
    fsw: view.getUint16(2, true),
    ftw: fx[4] ?? 0,
    mxcsr: view.getUint32(24, true),
  };
};

const FLD1 = 'd9e8';
const FWAIT = '9b';
const FNINIT = 'dbe3';
const ADDPS = '0f58c1';
const PADDB = '0ffcc1';
const EMMS = '0f77';
const FXSAVE = '0fae00';
const LDMXCSR = '0fae10';

describe('who may run', () => {
  test.each([
    ['x87 runs', FLD1, 0n, OSFXSR, undefined],
    ['x87 with TS: #NM', FLD1, TS, OSFXSR, NM],
    ['x87 with EM: #NM', FLD1, EM, OSFXSR, NM],
    ['FNINIT with TS: #NM', FNINIT, TS, OSFXSR, NM],
    ['FWAIT with TS and MP: #NM', FWAIT, TS, OSFXSR, NM],
    ['MMX with TS: #NM', PADDB, TS, OSFXSR, NM],
    ['MMX with EM: #UD before #NM', PADDB, EM | TS, OSFXSR, UD],
    ['EMMS with EM: #UD', EMMS, EM, OSFXSR, UD],
    ['SSE runs', ADDPS, 0n, OSFXSR, undefined],
    ['SSE with TS: #NM', ADDPS, TS, OSFXSR, NM],
    ['SSE with EM: #UD', ADDPS, EM, OSFXSR, UD],
    ['SSE without OSFXSR: #UD before #NM', ADDPS, TS, 0n, UD],
    ['MMX needs no OSFXSR', PADDB, 0n, 0n, undefined],
    ['FXSAVE needs no OSFXSR', FXSAVE, 0n, 0n, undefined],
    ['FXSAVE with TS: #NM', FXSAVE, TS, OSFXSR, NM],
    ['FXSAVE with EM: #NM', FXSAVE, EM, OSFXSR, NM],
    ['LDMXCSR with TS: #NM', LDMXCSR, TS, OSFXSR, NM],
    ['LDMXCSR without OSFXSR: #UD', LDMXCSR, 0n, 0n, UD],
  ])('%s', (_name, code, cr0, cr4, vector) => {
    const guest = fpGuest({}, CR0 | MP | NE | cr0, CR4 | cr4);
    guest.set({ rax: BigInt(DATA) });
    guest.machine.writeU32(DATA, 0x1f80);
    const trap = guest.run(code);
    expect(trap?.vector).toBe(vector);
    if (trap) expect(trap.rip).toBe(BigInt(CODE));
  });

  test.each([
    ['fld [eax]', 'd900'],
    ['addps xmm0, [eax]', '0f5800'],
    ['paddb mm0, [eax]', '0ffc00'],
  ])('#NM comes before a fault of the operand: %s', (_name, code) => {
    const guest = new Guest('protected');
    const unusable = { selector: 0, base: 0n, limit: 0, attributes: 0x10000 };
    guest.set({ cr0: CR0 | NE | TS, cr4: 0x10n | OSFXSR, fxsave: image(), ds: unusable });
    expect(guest.run(code)?.vector).toBe(NM);
    guest.set({ cr0: CR0 | NE });
    expect(guest.run(code)?.vector).toBe(GP);
  });

  test('FWAIT with TS but not MP runs', () => {
    expect(fpGuest({}, CR0 | NE | TS).run(FWAIT)).toBeUndefined();
  });
});

describe('x87 exceptions', () => {
  test('an unmasked one comes with the next waiting instruction, not with its own', () => {
    const guest = fpGuest({ fcw: 0x37b }); // ZM clear
    // fld1; fldz; fdivp; fnstsw ax; fwait
    const trap = guest.run('d9e8 d9ee def9 dfe0 9b');
    expect(trap?.vector).toBe(MF);
    expect(trap?.rip).toBe(BigInt(CODE + 8));
    expect(guest.registers.rax & 0x8084n).toBe(0x8084n);
  });

  test('the stack stays as it was when the operation was stopped', () => {
    const guest = fpGuest({ fcw: 0x37b });
    guest.run('d9e8 d9ee def9');
    expect(wordsOf(guest).fsw >> 11).toBe(0x10 | 6); // B, TOP = 6: nothing popped
  });

  test.each([
    ['FNINIT', 'dbe3', 0],
    ['FNCLEX', 'dbe2', 0x3000],
  ])('%s does not wait, and clears what was pending', (_name, code, fsw) => {
    const guest = fpGuest({ fcw: 0x37e, fsw: 0xb081 });
    expect(guest.run(code)).toBeUndefined();
    expect(wordsOf(guest).fsw).toBe(fsw);
  });

  test('FLDCW that unmasks a flag makes it pending', () => {
    const guest = fpGuest({ fsw: 0x3004 });
    guest.machine.writeU16(DATA, 0x37b);
    guest.set({ rax: BigInt(DATA) });
    const trap = guest.run('d928 d9e8'); // fldcw [rax]; fld1
    expect([trap?.vector, trap?.rip]).toEqual([MF, BigInt(CODE + 2)]);
  });

  test('MMX waits too', () => {
    expect(fpGuest({ fcw: 0x37e, fsw: 0x8081 }).run(PADDB)?.vector).toBe(MF);
  });

  test('SSE does not', () => {
    expect(fpGuest({ fcw: 0x37e, fsw: 0x8081 }).run(ADDPS)).toBeUndefined();
  });

  test('FIP points to the last instruction that is not a control instruction', () => {
    const guest = fpGuest();
    guest.run('90 d9e8 dfe0'); // nop; fld1; fnstsw ax
    const fx = guest.registers.fxsave ?? new Uint8Array(512);
    expect(new DataView(fx.buffer, fx.byteOffset).getBigUint64(8, true)).toBe(BigInt(CODE + 1));
  });
});

describe('FNSTENV', () => {
  // An x87 instruction at CODE, then FNSTENV [bx]; all of FCW FSW FTW, FIP, selector or upper parts, FDP.
  const environment = (mode: 'real' | 'protected' | 'long', code: string, bytes: number): number[] => {
    const guest = new Guest(mode);
    guest.set({
      fxsave: image(),
      rbx: BigInt(DATA & 0xffff),
      ds: { ...guest.registers.ds, base: BigInt(DATA & ~0xffff) },
    });
    guest.machine.write(DATA, new Uint8Array(32).fill(0xaa));
    expect(guest.run(code)).toBeUndefined();
    return [...guest.machine.read(DATA, bytes)];
  };
  const tags = [0xff, 0x3f]; // R7 valid, the others empty
  const words = (...values: number[]): number[] => values.flatMap((value) => [value & 0xff, value >> 8]);

  test.each([
    [
      '16 bits in real mode',
      'real',
      'd9e8 d937',
      [...words(0x37f, 0x3800), ...tags, ...words(CODE, 0, 0, 0), 0xaa],
    ],
    [
      '32 bits in real mode',
      'real',
      'd9e8 66d937',
      [
        ...words(0x37f, 0xffff, 0x3800, 0xffff),
        ...tags,
        0xff,
        0xff,
        ...words(CODE, 0, 0, 0, 0, 0, 0, 0),
        0xaa,
      ],
    ],
    [
      '16 bits in protected mode',
      'protected',
      'd9e8 66d933',
      [...words(0x37f, 0x3800), ...tags, ...words(CODE, 0, 0, 0), 0xaa],
    ],
    [
      '32 bits in protected mode',
      'protected',
      'd9e8 d933',
      [
        ...words(0x37f, 0xffff, 0x3800, 0xffff),
        ...tags,
        0xff,
        0xff,
        ...words(CODE, 0, 0, 0, 0, 0, 0, 0xffff),
        0xaa,
      ],
    ],
  ] as const)('%s', (_name, mode, code, expected) => {
    expect(environment(mode, code, expected.length)).toEqual(expected);
  });
});

describe('SSE exceptions', () => {
  const divide = (mxcsr: number, cr4: bigint): Guest => fpGuest({ mxcsr }, CR0 | MP | NE, cr4);
  const DIVSS_ZERO = '0f57c0 f30f5ec0'; // xorps xmm0, xmm0; divss xmm0, xmm0

  test('unmasked: #XM at the instruction, flag set, register kept', () => {
    const guest = divide(0x1f00, CR4 | OSFXSR | OSXMMEXCPT);
    const trap = guest.run(DIVSS_ZERO);
    expect([trap?.vector, trap?.rip]).toEqual([XM, BigInt(CODE + 3)]);
    expect(wordsOf(guest).mxcsr).toBe(0x1f01);
    expect(guest.registers.fxsave?.subarray(160, 164)).toEqual(new Uint8Array(4));
  });

  test('unmasked without OSXMMEXCPT: #UD', () => {
    expect(divide(0x1f00, CR4 | OSFXSR).run(DIVSS_ZERO)?.vector).toBe(UD);
  });

  test('masked: the indefinite NaN', () => {
    const guest = divide(0x1f80, CR4 | OSFXSR | OSXMMEXCPT);
    expect(guest.run(DIVSS_ZERO)).toBeUndefined();
    expect([...(guest.registers.fxsave?.subarray(160, 164) ?? [])]).toEqual([0, 0, 0xc0, 0xff]);
  });

  test.each([
    ['LDMXCSR', LDMXCSR, 0],
    ['FXRSTOR', '0fae08', 24],
  ])('%s of a reserved MXCSR bit: #GP, nothing loaded', (_name, code, at) => {
    const guest = fpGuest();
    guest.machine.writeU32(DATA + at, 0x10000);
    guest.set({ rax: BigInt(DATA) });
    const trap = guest.run(code);
    expect([trap?.vector, trap?.error]).toEqual([GP, 0]);
    expect(wordsOf(guest).mxcsr).toBe(0x1f80);
  });

  test.each([
    ['movaps xmm0, [rax + 8]', '0f284008'],
    ['addps xmm0, [rax + 8]', '0f584008'],
    ['movntdq [rax + 8], xmm0', '660fe74008'],
    ['fxsave [rax + 8]', '0fae4008'],
  ])('misaligned: #GP: %s', (_name, code) => {
    const guest = fpGuest();
    guest.set({ rax: BigInt(DATA) });
    expect(guest.run(code)?.vector).toBe(GP);
  });
});

describe('the fast path gives what the slow one gives', () => {
  // With PE set, addition, multiplication, division and roots are native; rounding up and down again is never native.
  const operands = (seed: number): bigint => {
    let x = BigInt(seed + 1) * 0x9e3779b97f4a7c15n;
    x ^= x >> 29n;
    x = BigInt.asUintN(64, x * 0xbf58476d1ce4e5b9n);
    const exponent = (x >> 53n) % 120n;
    return (x & 0x800f_ffff_ffff_ffffn) | ((963n + exponent) << 52n);
  };
  const compute = (
    opcode: string,
    mxcsr: number,
    a: bigint,
    b: bigint,
  ): { result: bigint; flags: number } => {
    const guest = sharedGuest;
    const fx = image({ mxcsr });
    const view = new DataView(fx.buffer);
    view.setBigUint64(160, a, true);
    view.setBigUint64(176, b, true);
    guest.set({ fxsave: fx });
    guest.run(`f20f${opcode}c1`);
    const after = guest.registers.fxsave ?? fx;
    return {
      result: new DataView(after.buffer, after.byteOffset).getBigUint64(160, true),
      flags: wordsOf(guest).mxcsr & 0x3f,
    };
  };
  const sharedGuest = fpGuest();

  test.each([
    ['ADDSD', '58'],
    ['SUBSD', '5c'],
    ['MULSD', '59'],
    ['DIVSD', '5e'],
    ['SQRTSD', '51'],
  ])('%s', (_name, opcode) => {
    for (let i = 0; i < 200; i++) {
      const [a, b] = [operands(2 * i), operands(2 * i + 1) & ~(1n << 63n)];
      const fast = compute(opcode, 0x1fa0, a, b).result;
      const slow = compute(opcode, 0x1f80, a, b);
      expect(slow.result).toBe(fast);
      const [down, up] = [compute(opcode, 0x3f80, a, b), compute(opcode, 0x5f80, a, b)];
      expect([down.result, up.result]).toContain(fast);
      expect(slow.flags).toBe(down.result === up.result ? 0 : 0x20);
    }
  });
});
