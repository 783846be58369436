import { describe, expect, test } from 'vitest';
import type { VcpuRegisters } from '../../core/machine/registers.ts';
import type { Target } from '../../core/target/target.ts';
import { pagingLevels, VirtualMemory } from '../../core/target/virtual-memory.ts';
import { MemoryFault } from '../../symbols/errors.ts';
import { registersWith } from '../support/registers.ts';

const SIZE = 0x20000;

/** 128 KiB of physical memory with the given entries; each frame is filled with its number from frame 16 on. */
function targetWith(entries: readonly (readonly [address: number, value: bigint])[], width: 4 | 8): Target {
  const ram = new Uint8Array(SIZE);
  for (let frame = 16; frame < SIZE / 4096; frame++) ram.fill(frame, frame * 4096, (frame + 1) * 4096);
  const view = new DataView(ram.buffer);
  for (const [address, value] of entries)
    width === 8 ? view.setBigUint64(address, value, true) : view.setUint32(address, Number(value), true);
  return {
    kind: 'test',
    description: 'test',
    identity: {},
    vcpus: [],
    lacks: [],
    frames: [[0, SIZE / 4096]],
    close() {},
    readPhysical(address, into) {
      if (address + into.length > SIZE) throw new MemoryFault('physical', BigInt(address), 'not in dump');
      into.set(ram.subarray(address, address + into.length));
    },
  };
}

const long = registersWith({ cr0: 0x80000001n, cr3: 0x1003n, cr4: 0x20n, efer: 0x500n });
const la57 = { ...long, cr4: 0x1020n };
const pae = registersWith({ cr0: 0x80000001n, cr3: 0x1020n, cr4: 0x20n, efer: 0n });
const legacy = registersWith({ cr0: 0x80000001n, cr3: 0x1000n, cr4: 0x10n, efer: 0n });

const fourLevels = [
  [0x1000 + 511 * 8, 0x2003n],
  [0x2000 + 510 * 8, 0x3003n],
  [0x2000 + 511 * 8, 0x40000083n], // 1 GiB page
  [0x3000 + 8 * 8, 0x4003n],
  [0x3000 + 9 * 8, 0x83n], // 2 MiB page at 0
  [0x4000 + 0 * 8, 0x8000000000011003n], // NX set
  [0x4000 + 1 * 8, 0x12003n],
  [0x4000 + 3 * 8, 0x800n], // not present, but something is written there
  [0x4000 + 4 * 8, 0x7ffff003n], // outside of memory
] as const;
const base = 0xffffffff81000000n;

const rows: [string, VcpuRegisters, Target, bigint, number | string][] = [
  ['4 levels, 4 KiB page, NX ignored', long, targetWith(fourLevels, 8), base + 0x123n, 0x11123],
  ['4 levels, 2 MiB page', long, targetWith(fourLevels, 8), base + 0x211abcn, 0x11abc],
  ['4 levels, 1 GiB page', long, targetWith(fourLevels, 8), 0xffffffffc0000005n, 0x40000005],
  [
    '4 levels, empty entry',
    long,
    targetWith(fourLevels, 8),
    base + 0x2000n,
    'not mapped (PTE at physical 0x4010)',
  ],
  [
    '4 levels, not present',
    long,
    targetWith(fourLevels, 8),
    base + 0x3000n,
    'not present (PTE at physical 0x4018)',
  ],
  ['4 levels, no table', long, targetWith(fourLevels, 8), 0n, 'not mapped (PML4E at physical 0x1000)'],
  ['4 levels, not canonical', long, targetWith([], 8), 0x8000000000000000n, 'not canonical'],
  [
    'table outside the dump',
    { ...long, cr3: 0x7f000n },
    targetWith([], 8),
    0n,
    'not in dump (PML4E at physical 0x7f000)',
  ],
  [
    '5 levels',
    la57,
    targetWith([[0x1000 + 511 * 8, 0x5003n], [0x5000 + 511 * 8, 0x2003n], ...fourLevels.slice(1)], 8),
    base + 0x1000n,
    0x12000,
  ],
  [
    '5 levels, below the 4-level canonical range',
    la57,
    targetWith([], 8),
    0xff11000000000000n,
    'not mapped (PML5E at physical 0x1888)',
  ],
  [
    'PAE',
    pae,
    targetWith(
      [
        [0x1020 + 3 * 8, 0x3001n],
        [0x3000 + 8 * 8, 0x4003n],
        [0x4000, 0x13003n],
      ],
      8,
    ),
    0xc1000010n,
    0x13010,
  ],
  ['PAE above 4 GiB', pae, targetWith([], 8), 0x100000000n, 'not canonical (above 4 GiB in PAE mode)'],
  [
    '2 levels',
    legacy,
    targetWith(
      [
        [0x1000 + 0x304 * 4, 0x2003n],
        [0x2000 + 4, 0x14003n],
      ],
      4,
    ),
    0xc1001234n,
    0x14234,
  ],
  ['2 levels, 4 MiB page', legacy, targetWith([[0x1000 + 0x304 * 4, 0x83n]], 4), 0xc1011234n, 0x11234],
  ['paging off', registersWith({ cr0: 1n }), targetWith([], 8), 0x15001n, 0x15001],
];

test.each(rows)('translate: %s', (_, registers, target, address, expected) => {
  const memory = new VirtualMemory(target, registers);
  if (typeof expected === 'number') expect(memory.translate(address)).toBe(expected);
  else expect(() => memory.translate(address)).toThrow(expected);
});

describe('read', () => {
  const memory = new VirtualMemory(targetWith(fourLevels, 8), long);
  test('crosses pages', () => {
    const into = new Uint8Array(4);
    memory.read(base + 0xffen, into);
    expect([...into]).toEqual([0x11, 0x11, 0x12, 0x12]);
  });
  test('many pages at once, up to the one that is missing', () => {
    const into = new Uint8Array(0x8000);
    memory.read(base + 0x200000n + 0x11000n, into);
    expect([into[0], into[0x0fff], into[0x1000], into[0x7fff]]).toEqual([0x11, 0x11, 0x12, 0x18]);
    expect(() => memory.read(base + 0x200000n + 0x1e000n, new Uint8Array(0x5000))).toThrow(
      'virtual ffffffff81220000: not in dump (physical 0x20000)',
    );
  });
  test('tells the first byte that is missing', () => {
    expect(() => memory.read(base + 0x1ffen, new Uint8Array(4))).toThrow(
      'virtual ffffffff81002000: not mapped',
    );
    expect(() => memory.read(base + 0x4000n, new Uint8Array(4))).toThrow('not in dump (physical 0x7ffff000)');
  });
  test('wraps at the end of the address space as a fault, not as an exception of another kind', () => {
    expect(() => memory.read(0xffffffffffffffffn, new Uint8Array(2))).toThrow(MemoryFault);
  });
});

test('tables that refer to each other without mapping anything: the walk ends, and tells', () => {
  const full = (table: number, next: bigint) =>
    Array.from({ length: 512 }, (_, index) => [table + index * 8, next] as const);
  const target = targetWith(
    [...full(0x1000, 0x2003n), ...full(0x2000, 0x3003n), ...full(0x3000, 0x4003n)],
    8,
  );
  const walk = { tables: 1000 };
  expect([...new VirtualMemory(target, long).mapped(0n, 1n << 47n, walk)]).toEqual([]);
  expect(walk.tables).toBeLessThan(0);
});

describe('page-table isolation: CR3 has the tables of user mode', () => {
  const user = { ...long, cr3: 0x7003n };
  const tables = (...entries: (readonly [number, bigint])[]) => targetWith([...fourLevels, ...entries], 8);
  const kernelHalf: readonly [number, bigint] = [0x6000 + 511 * 8, 0x2003n];
  const own: readonly [number, bigint] = [0x7000 + 0 * 8, 0x5007n];
  const same: readonly [number, bigint] = [0x6000 + 0 * 8, 0x8000000000005007n];

  test('kernel memory is read through the tables beside them', () => {
    const memory = new VirtualMemory(tables(kernelHalf, own, same), user);
    expect(memory.isolatedFrom).toBe(0x6000);
    expect(memory.translate(base + 0x123n)).toBe(0x11123);
    expect([...memory.mapped(base, base + 0x1000n)]).toEqual([{ address: base, length: 4096 }]);
  });
  test.each([
    ['other user pages', [kernelHalf, own, [0x6000, 0x9007n]]],
    ['no more of the kernel', [kernelHalf, own, same, [0x7000 + 511 * 8, 0x2003n]]],
    ['less of the kernel', [kernelHalf, own, same, [0x7000 + 510 * 8, 0x2003n]]],
  ] as const)('a neighbour that is no such table is left alone: %s', (_, entries) => {
    expect(new VirtualMemory(tables(...entries), user).isolatedFrom).toBeUndefined();
  });
});

test('what can be executed', () => {
  const memory = new VirtualMemory(targetWith(fourLevels, 8), long);
  expect(memory.isExecutable(base)).toBe(false);
  expect(memory.isExecutable(base + 0x1000n)).toBe(true);
  expect(memory.isExecutable(base + 0x2000n)).toBe(false);
  expect(memory.isExecutable(base + 0x200000n)).toBe(true);
});

test.each([
  ['EFER known', { efer: 0x500n }, 4],
  ['EFER unknown, a register above 4 GiB', { rsp: 0xffffc9000001bb90n }, 4],
  ['EFER unknown, all registers below 4 GiB', { rsp: 0xc000bb90n }, 3],
])('levels: %s', (_, values, levels) => {
  expect(pagingLevels(registersWith({ cr0: 0x80000001n, cr4: 0x20n, ...values }))).toBe(levels);
});
