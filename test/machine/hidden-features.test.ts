import { describe, expect, test } from 'vitest';
import { cpuidLeaves } from '../../core/cpu/features.ts';
import { FEATURES } from '../../core/cpu/opcodes.ts';
import { hiddenFeatures } from '../../core/machine/hidden-features.ts';
import { testMachine } from '../support/machine.ts';

const VENDORS = ['GenuineIntel', 'AuthenticAMD'] as const;

test.each(VENDORS)('%s: the full table hides nothing', (vendor) => {
  expect(hiddenFeatures(cpuidLeaves({ vendor, vcpus: 1 }))).toBe(0n);
});

test.each(VENDORS)('%s: a feature that is filtered out is the one that is hidden', (vendor) => {
  const rows = cpuidLeaves({ vendor, vcpus: 1, without: ['popcnt'] });
  expect(hiddenFeatures(rows)).toBe(1n << BigInt(FEATURES.indexOf('popcnt')));
});

describe('an instruction that CPUID does not offer', () => {
  // popcnt ax, cx; hlt. Real mode with an empty interrupt table: #UD ends in a triple fault.
  const code = Uint8Array.of(0xf3, 0x0f, 0xb8, 0xc1, 0xf4);
  test.each([
    ['is executed when offered', [], 'halt-forever'],
    ['is #UD when hidden', ['popcnt'], 'shutdown'],
  ] as const)('%s', (_, without, ending) => {
    const machine = testMachine({ cpuid: cpuidLeaves({ vendor: 'GenuineIntel', vcpus: 1, without }) });
    machine.write(0x100, code);
    machine.setRegisters(0, {
      rip: 0x100n,
      cs: { selector: 0, base: 0n, limit: 0xffff, attributes: 0x9b },
      idtr: { base: 0n, limit: 0 },
    });
    expect(machine.run(0, 100).kind).toBe(ending);
  });
});
