import { describe, expect, test } from 'vitest';
import { guestCpuid, parseCpuidFilters } from '../../core/xen/cpuid.ts';
import { testMachine } from '../support/machine.ts';

const options = { vendor: 'GenuineIntel', vcpus: 2, domid: 7, version: { major: 4, minor: 17 } } as const;
const leaf = (rows: ReturnType<typeof guestCpuid>, number: number, subleaf = 0) =>
  rows.find((row) => row.leaf === number && (row.subleaf === subleaf || row.subleaf === -1));

describe('CPUID of a guest', () => {
  test('Xen leaves', () => {
    const rows = guestCpuid(options);
    expect(leaf(rows, 0x40000000)).toMatchObject({ eax: 0x40000004, ebx: 0x566e6558 });
    expect(leaf(rows, 0x40000001)).toMatchObject({ eax: 0x40011 });
    expect(leaf(rows, 0x40000002)).toMatchObject({ eax: 1, ebx: 0x40000000 });
    expect(leaf(rows, 0x40000003, 0)).toMatchObject({ ecx: 1_000_000 });
    expect(leaf(rows, 0x40000004)).toMatchObject({ eax: 0x58, ecx: 7 });
    expect((leaf(rows, 1)?.ecx ?? 0) >>> 31).toBe(1);
  });

  test('each vCPU reads its own number', () => {
    const machine = testMachine({ vcpus: 2, cpuid: guestCpuid(options) });
    machine.write(0x1000, Uint8Array.of(0x0f, 0xa2, 0xf4)); // CPUID; HLT
    const flat = { selector: 0, base: 0n, limit: 0xffff_ffff };
    for (const vcpu of [0, 1]) {
      machine.setRegisters(vcpu, {
        ...{ rax: 0x40000004n, rcx: 0n, rip: 0x1000n, cr0: 0x11n, rflags: 2n },
        cs: { ...flat, attributes: 0xc09b },
        ss: { ...flat, attributes: 0xc093 },
      });
      machine.setState(vcpu, 'running');
      machine.run(vcpu, 10);
      expect(machine.reg(vcpu, 'rbx')).toBe(BigInt(vcpu));
      expect(machine.reg(vcpu, 'rcx')).toBe(7n);
    }
  });

  test.each([
    ['host,rdrand=0', 1, 'ecx', 1 << 30],
    ['host,sse4.2=0,avx=0', 1, 'ecx', 1 << 20],
    [['1:ecx=x0xxxxxxxxxxxxxxxxxxxxxxxxxxxxxx'], 1, 'ecx', 1 << 30],
    [[`7,0:ebx=${'x'.repeat(22)}0${'x'.repeat(9)}`], 7, 'ebx', 1 << 9],
  ] as const)('%j hides a bit', (setting, number, register, bit) => {
    const plain = leaf(guestCpuid(options), number)?.[register] ?? 0;
    const filtered =
      leaf(guestCpuid({ ...options, filters: parseCpuidFilters(setting) }), number)?.[register] ?? 0;
    expect((plain ^ filtered) >>> 0).toBe(bit);
    expect(plain & bit).not.toBe(0);
  });

  test.each([
    ['host,nonsense=0', 'unknown CPUID flag name "nonsense"'],
    ['host,avx=1', 'avx is not implemented'],
    ['host,sse2=2', 'is not name=value'],
    ['none', 'does not start with "host"'],
    [['1:ecx=01'], 'is not leaf'],
    [['x'], 'is not leaf'],
    [[['x']], 'no string'],
  ])('%j is refused', (setting, message) => {
    expect(() => guestCpuid({ ...options, filters: parseCpuidFilters(setting) })).toThrow(message);
  });

  test('a demanded bit that is there is fine, one that is not is refused', () => {
    expect(() => guestCpuid({ ...options, filters: parseCpuidFilters('host,sse2=1') })).not.toThrow();
    const filters = parseCpuidFilters([`1:ecx=xxx1${'x'.repeat(28)}`]);
    expect(() => guestCpuid({ ...options, filters })).toThrow('bit 28 of ecx in leaf 0x1 is not implemented');
  });
});
