// Whether a file belongs to a guest, and where a moved kernel is, in memory made of a file's own segments.
import { describe, expect, test } from 'vitest';
import { memorySource } from '../../symbols/bytes.ts';
import { openElf } from '../../symbols/elf/elf-file.ts';
import { readSymbolTable } from '../../symbols/elf/symtab.ts';
import { MemoryFault } from '../../symbols/errors.ts';
import { releaseAt, runningBuildId } from '../../symbols/kernel/identity.ts';
import { kernelSlide, physicalBase } from '../../symbols/kernel/kaslr.ts';
import type { MemorySource } from '../../symbols/memory.ts';
import { shifted } from '../../symbols/symbol-table.ts';
import { checkIdentity, WrongSymbolsError } from '../../tools/shared/identity.ts';
import { note } from '../support/elf-writer.ts';
import { buildIdOf, TEXT, tinyVmlinux } from './elf.ts';

describe('a file against a guest', () => {
  const file = { path: 'vmlinux', buildId: 'aa' };
  const normal = { force: false, guestRuns: true };
  test.each([
    ['the same build', file, 'aa', normal, undefined],
    ['a System.map', { path: 'System.map', buildId: undefined }, 'aa', normal, undefined],
    ['the guest has none', file, undefined, normal, /may be another kernel/],
    ['the guest has not come so far', file, undefined, { ...normal, guestRuns: false }, undefined],
    [
      'another build, forced',
      file,
      'bb',
      { ...normal, force: true },
      /build-id aa\).*\(bb\): names will be wrong/,
    ],
  ])('%s', (_, given, guest, options, warning) => {
    const told = checkIdentity(given, guest, options);
    if (warning) expect(told).toMatch(warning);
    else expect(told).toBeUndefined();
  });
  test('another build is an error that says both and what to do', () => {
    const check = () => checkIdentity(file, 'bb', normal);
    expect(check).toThrow(WrongSymbolsError);
    expect(check).toThrow(/its build-id is aa, the guest's bb; .*--force-symbols/);
  });
});

/** Memory that holds some bytes and nothing else. */
const holding = (...pieces: (readonly [bigint, Uint8Array])[]): MemorySource => ({
  read(address, into) {
    for (const index of into.keys()) {
      const at = address + BigInt(index);
      const piece = pieces.find(([start, bytes]) => at >= start && at < start + BigInt(bytes.length));
      if (!piece) throw new MemoryFault('virtual', at, 'not mapped');
      into[index] = piece[1][Number(at - piece[0])] ?? 0;
    }
  },
});
const notes = (id: number): Uint8Array =>
  new Uint8Array([...note('Xen', 6, new Uint8Array(4)), ...note('GNU', 3, new Uint8Array(20).fill(id))]);
const text = (value: string): Uint8Array => new TextEncoder().encode(value.padEnd(100, '\0'));

test('the build-id of a guest by its own symbols', () => {
  const area = notes(0x77);
  const symbols: Record<string, bigint> = { __start_notes: TEXT, __stop_notes: TEXT + BigInt(area.length) };
  expect(runningBuildId(holding([TEXT, area]), (name) => symbols[name])).toBe(buildIdOf(0x77));
  expect(runningBuildId(holding([TEXT, area]), () => undefined)).toBeUndefined();
  expect(runningBuildId(holding(), (name) => symbols[name])).toBeUndefined();
});

test.each([
  ['Linux version 6.1.0-56-cloud-amd64 (debian-kernel', '6.1.0-56-cloud-amd64'],
  ['Linux version 6.12.117+deb12-cloud-amd64 (a@b', '6.12.117+deb12-cloud-amd64'],
  ['Linux version ../../etc/passwd (', undefined],
  ['Linux version .. (', undefined],
  ['Windows', undefined],
])('the release in %j', (banner, release) => {
  expect(releaseAt(holding([TEXT, text(banner)]), TEXT)).toBe(release);
});

describe('a kernel that was moved', () => {
  const elf = openElf(memorySource('vmlinux', tinyVmlinux({ id: 0x55 })));
  const table = readSymbolTable(elf);
  if (!table) throw new Error('no symbols');
  const linked = { elf, addressOf: (name: string) => table.addressOf(name) };
  const area = note('GNU', 3, new Uint8Array(20).fill(0x55));
  test.each([0n, 2n << 20n, 0x34800000n, (1n << 30n) - (2n << 20n)])('by %x bytes', (slide) => {
    const memory = holding([TEXT + 0x1000n + slide, area]);
    expect(kernelSlide(linked, { memory })).toBe(slide);
    expect(shifted(table, slide).addressOf('panic')).toBe(TEXT + 16n + slide);
    // Asking the guest's own symbols saves the search.
    expect(
      kernelSlide(linked, { memory, addressOf: (name) => (name === '_stext' ? TEXT + slide : undefined) }),
    ).toBe(slide);
  });
  test('is nowhere when the guest runs another', () => {
    expect(kernelSlide(linked, { memory: holding([TEXT + 0x1000n, notes(0x66)]) })).toBeUndefined();
  });
  test('is found by its banner where the file has no build-id', () => {
    const map = { addressOf: (name: string) => (name === 'linux_banner' ? TEXT : undefined) };
    const memory = holding([TEXT + 0x400000n, text('Linux version 6.1 (')]);
    expect(kernelSlide(map, { memory })).toBe(0x400000n);
  });
  test('per-CPU symbols and constants stay where they are', () => {
    const moved = shifted(table, 0x200000n);
    expect(moved.length).toBe(table.length);
    expect(moved.address(0) - table.address(0)).toBe(0x200000n);
  });
});

test.each([
  [TEXT, 0x1000000, 0n],
  [TEXT + 0x34800000n, 0x1a000000, -461373440n],
])('physical base of %x at physical %x', (address, physical, base) => {
  expect(physicalBase(address, physical)).toBe(base);
});
