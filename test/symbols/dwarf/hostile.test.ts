// Files that would take for ever or all memory if their counts were believed.
import { expect, test } from 'vitest';
import { memorySource } from '../../../symbols/bytes.ts';
import { openDebugInfo } from '../../../symbols/dwarf/debug-info.ts';
import { writeDebugIndex } from '../../../symbols/dwarf/index-file.ts';
import { type ElfFile, openElf } from '../../../symbols/elf/elf-file.ts';
import { writeElf } from '../../support/elf-writer.ts';

const TEXT = 0x1000;
const MAX_MS = 30_000;

const u32 = (value: number): number[] => [0, 8, 16, 24].map((shift) => (value >>> shift) & 0xff);
const u64 = (value: number): number[] => [...u32(value), ...u32(0)];
const uleb = (value: number): number[] =>
  value < 0x80 ? [value] : [(value & 0x7f) | 0x80, ...uleb(value >>> 7)];

/** DW_TAG_compile_unit with DW_AT_low_pc (address) and DW_AT_high_pc (data4), then these attributes. */
const unitAbbrev = (...attributes: readonly number[]): number[] => [
  ...[1, 0x11, 0, 0x11, 0x01, 0x12, 0x06],
  ...attributes,
  ...[0, 0],
];

/** A unit of DWARF 5 around its entries. */
function unit(entries: readonly number[], abbrevs = 0): number[] {
  const body = [5, 0, 1, 8, ...u32(abbrevs), ...entries];
  return [...u32(body.length), ...body];
}

function file(sections: Readonly<Record<string, Uint8Array>>): ElfFile {
  const text = { name: '.text', flags: 6, address: BigInt(TEXT), data: new Uint8Array(0x1000) };
  const rest = Object.entries(sections).map(([name, data]) => ({ name, data }));
  return openElf(memorySource('hostile', writeElf({ type: 2, sections: [text, ...rest] })));
}

function expectQuick(run: () => void): void {
  const start = performance.now();
  run();
  expect(performance.now() - start).toBeLessThan(MAX_MS);
}

test('ten thousand units that name two large abbreviation tables, which are one', () => {
  // 20,000 that nobody uses.
  const abbrevs = unitAbbrev();
  for (let code = 2; code < 20_000; code++) abbrevs.push(...uleb(code), 0x34, 0, 0, 0);

  const root = [1, ...u64(TEXT), ...u32(0x100)];
  const elf = file({
    '.debug_abbrev': Uint8Array.from([...abbrevs, 0]),
    '.debug_info': Uint8Array.from(
      Array.from({ length: 10_000 }, (_, index) =>
        unit(root, index % 2 === 0 ? 0 : abbrevs.indexOf(2)),
      ).flat(),
    ),
  });
  expectQuick(() => openDebugInfo(elf)?.lookup(0x1010n));
  expectQuick(() => {
    try {
      for (const _ of writeDebugIndex(elf));
    } catch {
      // Too much of it is one of the right answers.
    }
  });
});

test('a thousand functions that name one long range list', () => {
  // Code 2: DW_TAG_subprogram with DW_AT_ranges (sec_offset).
  const abbrevs = [1, 0x11, 1, 0x11, 0x01, 0x12, 0x06, 0, 0, 2, 0x2e, 0, 0x55, 0x17, 0, 0, 0];
  const functions = Array.from({ length: 1000 }, () => [2, ...u32(12)]).flat();
  const pairs = Array.from({ length: 50_000 }, (_, index) => [
    4,
    ...uleb(index % 0x700),
    ...uleb(0x800),
  ]).flat();
  const elf = file({
    '.debug_abbrev': Uint8Array.from(abbrevs),
    '.debug_info': Uint8Array.from(unit([1, ...u64(TEXT), ...u32(0x1000), ...functions, 0])),
    '.debug_rnglists': Uint8Array.from([...u32(0), ...u64(0), ...pairs, 0]),
  });
  const info = openDebugInfo(elf);
  expectQuick(() => info?.lookup(0x1010n));
  expect(info?.warnings.join()).toMatch(/too many ranges/);
});

test('ten thousand units that name a large abbreviation table without an end', () => {
  const abbrevs = Array.from({ length: 50_000 }, () => [...uleb(2), 0x34, 0, 0, 0]).flat();
  const elf = file({
    '.debug_abbrev': Uint8Array.from(abbrevs),
    '.debug_info': Uint8Array.from(Array.from({ length: 10_000 }, () => unit([1, ...u64(TEXT)])).flat()),
  });
  const info = openDebugInfo(elf);
  expectQuick(() => expect(info?.lookup(0x1010n)).toEqual([]));
});

test('a thousand units that name one long range list', () => {
  // DW_AT_ranges (sec_offset) of a list of empty ranges, none of which is kept.
  const pairs = Array.from({ length: 200_000 }, () => [4, 1, 1]).flat();
  const elf = file({
    '.debug_abbrev': Uint8Array.from([1, 0x11, 0, 0x55, 0x17, 0, 0, 0]),
    '.debug_info': Uint8Array.from(Array.from({ length: 2000 }, () => unit([1, ...u32(12)])).flat()),
    '.debug_rnglists': Uint8Array.from([...u32(0), ...u64(0), ...pairs, 0]),
  });
  const info = openDebugInfo(elf);
  expectQuick(() => expect(info?.lookup(0x1010n)).toEqual([]));
});

test('a line table of more files than there are', () => {
  // One format, DW_LNCT_directory_index (data1), for directories and for files: a byte makes an entry.
  const entries = [1, 2, 0x0b, ...uleb(1 << 19), ...new Array<number>(1 << 19).fill(0)];
  const header = [1, 1, 1, 0, 1, 1, ...entries, ...entries];
  const body = [5, 0, 8, 0, ...u32(header.length), ...header];
  const elf = file({
    // DW_AT_stmt_list (sec_offset).
    '.debug_abbrev': Uint8Array.from([...unitAbbrev(0x10, 0x17), 0]),
    '.debug_info': Uint8Array.from(unit([1, ...u64(TEXT), ...u32(0x100), ...u32(0)])),
    '.debug_line': Uint8Array.from([...u32(body.length), ...body]),
  });
  const info = openDebugInfo(elf);
  expect(info?.lookup(0x1010n)).toEqual([]);
  expect(info?.warnings.join()).toMatch(/too many files/);
});

test('a compressed section that is damaged is unpacked once', () => {
  const compressed = Uint8Array.from([...u32(1), ...u32(0), ...u64(100), ...u64(1), 0x78, 0x9c]);
  // Four units with a line table each.
  const units = [0, 0x100, 0x200, 0x300].flatMap((at) =>
    unit([1, ...u64(TEXT + at), ...u32(0x100), ...u32(0)]),
  );
  const bytes = writeElf({
    sections: [
      { name: '.text', flags: 6, address: BigInt(TEXT), data: new Uint8Array(0x1000) },
      { name: '.debug_abbrev', data: Uint8Array.from([...unitAbbrev(0x10, 0x17), 0]) },
      { name: '.debug_info', data: Uint8Array.from(units) },
      { name: '.debug_line', flags: 0x800, data: compressed },
    ],
  });
  let unpacked = 0;
  const zlib = (): Uint8Array => {
    unpacked++;
    throw new Error('damaged');
  };
  const info = openDebugInfo(openElf(memorySource('hostile', bytes), { zlib }));
  for (let at = 0n; at < 0x400n; at += 0x40n) info?.lookup(BigInt(TEXT) + at);
  expect(unpacked).toBe(1);
});
