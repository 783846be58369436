import { describe, expect, test } from 'vitest';
import { MAX_RAM_BYTES, Machine, MachineError } from '../../core/machine/machine.ts';
import { MemoryFault } from '../../symbols/errors.ts';
import { cpuModule, testMachine } from '../support/machine.ts';

const PAGE = 4096;

describe('creation', () => {
  const good = { module: cpuModule(), ramBytes: PAGE, vcpus: 1, cpuid: [], apicIds: [0], seed: 0 };
  test.each([
    ['RAM of half a page', { ramBytes: 2048 }],
    ['no RAM', { ramBytes: 0 }],
    ['too much RAM', { ramBytes: MAX_RAM_BYTES + PAGE }],
    ['no vCPU', { vcpus: 0 }],
    ['33 vCPUs', { vcpus: 33 }],
    ['fewer APIC ids than vCPUs', { vcpus: 2 }],
  ])('%s is refused', (_, change) => {
    expect(() => Machine.create({ ...good, ...change })).toThrow(MachineError);
  });

  test('the largest guest costs nothing until it is touched', () => {
    const before = process.memoryUsage().rss;
    const machine = testMachine({ ramBytes: MAX_RAM_BYTES, vcpus: 32 });
    machine.writeU8(MAX_RAM_BYTES - 1, 7);
    expect(machine.readU8(MAX_RAM_BYTES - 1)).toBe(7);
    expect([...machine.touchedFrames()]).toEqual([MAX_RAM_BYTES / PAGE - 1]);
    expect(process.memoryUsage().rss - before).toBeLessThan(100 << 20);
  });

  test('reset state: vCPU 0 runs, the others wait for SIPI', () => {
    const machine = testMachine({ vcpus: 3 });
    expect([0, 1, 2].map((vcpu) => machine.state(vcpu))).toEqual([
      'running',
      'wait-for-sipi',
      'wait-for-sipi',
    ]);
    const registers = machine.registers(2);
    expect(registers.rip).toBe(0xfff0n);
    expect(registers.cs).toEqual({ selector: 0xf000, base: 0xffff0000n, limit: 0xffff, attributes: 0x9b });
    expect(registers.cr0).toBe(0x60000010n);
    expect(machine.isIdle(1)).toBe(true);
  });
});

describe('registers', () => {
  test('what was set is read back, of every vCPU for itself', () => {
    const machine = testMachine({ vcpus: 2 });
    for (const vcpu of [0, 1]) {
      const before = machine.registers(vcpu);
      const fxsave = before.fxsave?.slice() ?? new Uint8Array(512);
      fxsave[3] = 0x18; // TOP = 3
      for (let i = 32; i < 416; i++) if (i >= 160 || (i & 15) < 10) fxsave[i] = i + vcpu;
      const wanted = { ...before, rax: 0xfedcba9876543210n + BigInt(vcpu), r15: 5n, rflags: 0x246n, fxsave };
      machine.setRegisters(vcpu, wanted);
      expect(machine.registers(vcpu)).toEqual(wanted);
    }
    expect(machine.reg(0, 'rax')).toBe(0xfedcba9876543210n);
    expect(machine.reg(1, 'rax')).toBe(0xfedcba9876543211n);
    machine.setReg(1, 'rax', 9n);
    expect([machine.reg(0, 'rax'), machine.registers(1).rax]).toEqual([0xfedcba9876543210n, 9n]);
  });

  test('ss.attributes sets the CPL', () => {
    const machine = testMachine();
    machine.setRegisters(0, { ss: { selector: 0x2b, base: 0n, limit: 0xffffffff, attributes: 0xc0f3 } });
    expect(machine.cpl(0)).toBe(3);
  });
});

describe('frames', () => {
  test('RAM is backed from 0 to its end, and nothing behind it', () => {
    const machine = testMachine();
    expect([0, 4095, 4096, 0xfee00].map((gfn) => machine.isBacked(gfn))).toEqual([true, true, false, false]);
    expect(() => machine.readU8(16 << 20)).toThrow(MemoryFault);
    expect(() => machine.write((16 << 20) - 4, new Uint8Array(8))).toThrow(MemoryFault);
    expect(machine.readU32((16 << 20) - 4)).toBe(0);
  });

  test.each([5, 0xfeff8, 0x1234567])('a frame at gfn %i hides what was there', (gfn) => {
    const machine = testMachine();
    machine.writeU32(5 * PAGE, 0x11111111);
    const frame = machine.allocateFrame();
    machine.mapFrame(gfn, frame);
    expect(machine.readU32(gfn * PAGE)).toBe(0);
    machine.writeU32(gfn * PAGE + 8, 0xabcdef01);
    expect(machine.frameDataView(frame).getUint32(8, true)).toBe(0xabcdef01);
    expect(machine.mappedFrame(gfn)).toBe(frame);
    expect([...machine.touchedFrames()]).toContain(gfn);
    machine.unmapFrame(gfn);
    expect(machine.isBacked(gfn)).toBe(gfn === 5);
    expect(machine.readU32(5 * PAGE)).toBe(0x11111111);
  });

  test('a thousand frames', () => {
    const machine = testMachine();
    const gfns = Array.from({ length: 1000 }, (_, i) => 0xf0000 + 7 * i);
    const frames = gfns.map((gfn, i) => {
      const frame = machine.allocateFrame();
      machine.mapFrame(gfn, frame);
      machine.writeU32(gfn * PAGE + 4, i + 1);
      return frame;
    });
    expect(frames.map((frame) => machine.frameDataView(frame).getUint32(4, true))).toEqual(
      gfns.map((_, i) => i + 1),
    );
    for (const gfn of gfns) machine.unmapFrame(gfn);
    expect(gfns.some((gfn) => machine.isBacked(gfn))).toBe(false);
  });

  test('a removed page is not backed, and comes back zeroed', () => {
    const machine = testMachine();
    machine.writeU32(3 * PAGE, 1);
    machine.removePage(3);
    expect(machine.isBacked(3)).toBe(false);
    expect([...machine.touchedFrames()]).toEqual([]);
    machine.restorePage(3);
    expect(machine.readU32(3 * PAGE)).toBe(0);
  });

  test.each([
    [1, 'readU8'],
    [2, 'readU16'],
    [4, 'readU32'],
  ] as const)('%i bytes across a page border', (size, name) => {
    const machine = testMachine();
    machine.mapFrame(2, machine.allocateFrame());
    machine.write(2 * PAGE - 1, Uint8Array.of(0x11, 0x22, 0x33, 0x44));
    expect(machine[name](2 * PAGE - 1)).toBe([0, 0x11, 0x2211, 0, 0x44332211][size]);
  });
});

test('time moves forward only', () => {
  const machine = testMachine();
  machine.skipTo(5000);
  machine.skipTo(100);
  expect(machine.now()).toBe(5000);
});

test('a snapshot restores into another machine', () => {
  const machine = testMachine({ vcpus: 2 });
  machine.write(0x5000, Uint8Array.of(1, 2, 3));
  machine.mapFrame(0xfeff8, machine.allocateFrame());
  machine.writeU32(0xfeff8000, 77);
  machine.removePage(9);
  machine.setRegisters(1, { rax: 12n });
  machine.skipTo(42);
  machine.setInterruptLine(0, { flagGpa: 0x5000, vector: 0xf3 });
  const saved = structuredClone(machine.snapshot());
  const other = testMachine({ vcpus: 2 });
  other.writeU8(0x7000, 1);
  other.restore(saved);
  expect(other.snapshot()).toEqual(saved);
  expect([other.readU32(0xfeff8000), other.readU8(0x7000), other.now()]).toEqual([77, 0, 42]);
  expect(other.registers(1).rax).toBe(12n);
  expect(() => testMachine().restore(saved)).toThrow(MachineError);
});
