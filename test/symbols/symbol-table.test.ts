import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { memorySource } from '../../symbols/bytes.ts';
import { ClassicSymbols } from '../../symbols/classic-symbols.ts';
import { openElf } from '../../symbols/elf/elf-file.ts';
import { readSymbolTable } from '../../symbols/elf/symtab.ts';
import { FormatError } from '../../symbols/errors.ts';
import { parseSystemMap } from '../../symbols/kernel/system-map.ts';
import { packSymbols, unpackSymbols } from '../../symbols/symbol-columns.ts';
import { orderByAddress, type SymbolTable } from '../../symbols/symbol-table.ts';
import { formatSymbol, Symbolizer } from '../../symbols/symbolizer.ts';
import { writeElf } from '../support/elf-writer.ts';

const map = (text: string) => parseSystemMap(memorySource('System.map', new TextEncoder().encode(text)));
const list = (table: SymbolTable) =>
  Array.from(
    { length: table.length },
    (_, i) => `${table.address(i).toString(16)} ${table.letter(i)} ${table.name(i)}`,
  );

describe('/proc/kallsyms', () => {
  const text = [
    'ffffffff81000000 T _text',
    'ffffffffc0000000 t loop_init\t[loop]',
    'ffffffffc0000010 t __pfx\t[bpf]',
    'ffffffffc0000020 t other\t[loop]',
    'ffffffffc0000030 t odd\t[',
  ].join('\n');
  test('names end at the tab, modules are told', () => {
    const { table, hidden } = map(text);
    expect(hidden).toBe(false);
    expect(Array.from({ length: table.length }, (_, i) => [table.name(i), table.module(i)])).toEqual([
      ['_text', undefined],
      ['loop_init', 'loop'],
      ['__pfx', 'bpf'],
      ['other', 'loop'],
      ['odd\t[', undefined],
    ]);
    expect(table.addressOf('loop_init')).toBe(0xffffffffc0000000n);
  });
  test('addresses that the kernel hides', () => {
    expect(map('0000000000000000 T _text\n0000000000000000 t loop_init\t[loop]\n').hidden).toBe(true);
    expect(map('').hidden).toBe(false);
  });
});

describe('System.map', () => {
  test('lines become symbols in address order, ties in file order', () => {
    const { table } = map(
      'ffffffff81000010 t b\nffffffff81000000 T _text\nffffffff81000000 T _stext\n0 D percpu\n',
    );
    expect(list(table)).toEqual([
      '0 D percpu',
      'ffffffff81000000 T _text',
      'ffffffff81000000 T _stext',
      'ffffffff81000010 t b',
    ]);
  });
  test.each([
    ['no address', 'zzzz T a'],
    ['no letter', 'ffffffff81000000 '],
    ['two blanks', 'ffffffff81000000  T a'],
    ['undefined', '                 U a'],
    ['undefined with an address', '0 U a'],
    ['weak undefined', '0 w a'],
    ['address of 17 digits', 'fffffffff81000000 T a'],
    ['empty', ''],
  ])('skipped: %s', (_, line) => {
    expect(map(`${line}\n`).table.length).toBe(0);
  });
  test('the last line needs no end, and names may be long', () => {
    const name = 'x'.repeat(600);
    expect(list(map(`1 T ${name}`).table)).toEqual([`1 T ${name}`]);
  });
  test("Debian's stub is recognised", () => {
    const line = 'ffffffffffffffff B The real System.map is in the linux-image-6.1.0-56-amd64-dbg package';
    expect(map(line).stub).toContain('linux-image-6.1.0-56-amd64-dbg');
  });
  test('any bytes give a table', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        const { table } = parseSystemMap(memorySource('x', bytes));
        for (let index = 0; index < table.length; index++) table.name(index);
      }),
      { numRuns: 1000, seed: 3 },
    );
  });
});

test('orderByAddress sorts stably, whatever the halves', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat(3), fc.nat({ max: 0xffffffff }))), (rows) => {
      const high = Uint32Array.from(rows, ([value]) => value);
      const low = Uint32Array.from(rows, ([, value]) => value);
      const expected = rows
        .map(([h, l], index) => [h * 2 ** 32 + l, index] as const)
        .sort(([a, i], [b, j]) => a - b || i - j)
        .map(([, index]) => index);
      expect([...orderByAddress(low, high)]).toEqual(expected);
    }),
    { numRuns: 300, seed: 4 },
  );
});

/** One symbol: name, value, size, info, section. */
type Row = readonly [name: string, value: bigint, size: number, info: number, shndx: number];
const GLOBAL_FUNC = 0x12;
const LOCAL_FUNC = 0x02;
const WEAK_OBJECT = 0x21;
const sectionNames = ['.text', '.data', '.bss', '.rodata'];

function elfWith(rows: readonly Row[], bits: 32 | 64 = 64): SymbolTable {
  const strings = new TextEncoder().encode(`\0${rows.map(([name]) => `${name}\0`).join('')}`);
  const size = bits === 64 ? 24 : 16;
  const symtab = new Uint8Array(size * (rows.length + 1));
  const view = new DataView(symtab.buffer);
  let nameOffset = 1;
  rows.forEach(([name, value, length, info, shndx], index) => {
    const at = size * (index + 1);
    view.setUint32(at, nameOffset, true);
    nameOffset += name.length + 1;
    if (bits === 64) {
      view.setUint8(at + 4, info);
      view.setUint16(at + 6, shndx, true);
      view.setBigUint64(at + 8, value, true);
      view.setBigUint64(at + 16, BigInt(length), true);
    } else {
      view.setUint32(at + 4, Number(value), true);
      view.setUint32(at + 8, length, true);
      view.setUint8(at + 12, info);
      view.setUint16(at + 14, shndx, true);
    }
  });
  const flags = [6, 3, 3, 2];
  const sections = sectionNames.map((name, index) => ({
    name,
    type: name === '.bss' ? 8 : 1,
    flags: flags[index] ?? 0,
    data: new Uint8Array(0),
  }));
  const table = readSymbolTable(
    openElf(
      memorySource(
        'vmlinux',
        writeElf({
          bits,
          sections: [
            ...sections,
            { name: '.symtab', type: 2, data: symtab, link: 6, entrySize: size },
            { name: '.strtab', type: 3, data: strings },
          ],
        }),
      ),
    ),
  );
  if (!table) throw new Error('no table');
  return table;
}

describe('.symtab', () => {
  test.each([64, 32] as const)('ELF%d: letters and order of nm -n', (bits) => {
    const table = elfWith(
      [
        ['zeta', 0x1000n, 16, GLOBAL_FUNC, 1],
        ['alpha', 0x1000n, 16, LOCAL_FUNC, 1],
        ['undefined', 0n, 0, GLOBAL_FUNC, 0],
        ['file.c', 0n, 0, 4, 0xfff1],
        ['data', 0x2000n, 8, 0x11, 2],
        ['bss', 0x3000n, 8, 0x01, 3],
        ['rodata', 0x2800n, 8, 0x11, 4],
        ['weak', 0x1800n, 8, WEAK_OBJECT, 2],
        ['weakfn', 0x1801n, 8, 0x22, 1],
        ['absolute', 5n, 0, 0x10, 0xfff1],
      ],
      bits,
    );
    expect(list(table)).toEqual([
      '5 A absolute',
      '1000 t alpha',
      '1000 T zeta',
      '1800 V weak',
      '1801 W weakfn',
      '2000 D data',
      '2800 R rodata',
      '3000 b bss',
    ]);
    expect(table.addressOf('zeta')).toBe(0x1000n);
    expect(table.addressOf('zet')).toBeUndefined();
  });
});

describe('classic classification and names', () => {
  const { table } = map(
    [
      '0000000000000000 D __per_cpu_start',
      '0000000000000000 D fixed_percpu_data',
      'ffffffff81000000 T _text',
      'ffffffff81000000 T _stext',
      'ffffffff81000100 T beta',
      'ffffffff81000100 t beta_alias',
      'ffffffff81000200 A absolute',
      'ffffffff81000300 T _etext',
      'ffffffff82000000 D data',
      'ffffffff83000000 T _sinittext',
      'ffffffff83000100 T _einittext',
      'ffffffff84000000 B _end',
    ].join('\n'),
  );
  const plain = new ClassicSymbols({ table });
  const split = new ClassicSymbols({ table, kernelStart: 0xffff800000000000n });
  const none = new ClassicSymbols({});
  test.each([
    [0xffffffff81000000n, 'text', 'text', 'text'],
    [0xffffffff81000300n, 'text', 'text', 'text'],
    [0xffffffff81000301n, 'data', 'text', 'text'],
    [0xffffffff83000080n, 'text', 'text', 'text'],
    [0xffffffff84000001n, 'none', 'text', 'text'],
    [0xffff888000000000n, 'none', 'text', 'none'],
    [0xffffffff80000001n, 'text', 'text', 'text'],
    [0x1000n, 'none', 'none', 'none'],
  ])('%x: %s with a table, %s with -k, %s without a table', (address, ...expected) => {
    expect([plain, split, none].map((symbols) => symbols.classify(address))).toEqual(expected);
  });
  test.each([
    [0xffffffff81000100n, ' beta'],
    [0xffffffff81000101n, ' beta_alias+0x1'],
    [0xffffffff81000210n, ' beta_alias+0x110'],
    [0xffffffff82000010n, ' data+0x10'],
    [0xffff888000000000n, ''],
  ])('%x is called "%s"', (address, label) => {
    expect(plain.label(address, 'any')).toBe(label);
  });
  test('missing border symbols make no code of address 0', () => {
    const poor = new ClassicSymbols({
      table: map('ffffffff81000000 T start\nffffffff81000100 T _etext').table,
    });
    expect([0n, 0xffffffff81000010n].map((address) => poor.classify(address))).toEqual(['none', 'text']);
  });
  test('data has no name where only text is wanted', () => {
    expect(plain.label(0xffffffff82000010n, 'text')).toBe('');
  });
  test('offsets are cut to 32 bits, and below the first symbol they wrap', () => {
    expect(split.label(0xffffc9000001bc38n, 'any')).toBe(' fixed_percpu_data+0x1bc38');
    const high = new ClassicSymbols({ table: map('ffffffff81000000 T _text').table, kernelStart: 0n });
    expect(high.label(0x10n, 'any')).toBe(' _text+0x7f000010');
  });
});

describe('Symbolizer', () => {
  const table = elfWith([
    ['_text', 0x1000n, 0, GLOBAL_FUNC & 0xf0, 1],
    ['start', 0x1000n, 0x20, GLOBAL_FUNC, 1],
    ['function', 0x1040n, 0x80, GLOBAL_FUNC, 1],
    ['local_alias', 0x1040n, 0x80, LOCAL_FUNC, 1],
    ['label_inside', 0x1060n, 0, LOCAL_FUNC & 0xf0, 1],
    ['absolute', 0x1070n, 0, 0x10, 0xfff1],
    ['mark', 0x1190n, 0, GLOBAL_FUNC & 0xf0, 1],
    ['last', 0x1200n, 0x10, GLOBAL_FUNC, 1],
  ]);
  const symbolizer = new Symbolizer(table);
  const name = (address: bigint) => {
    const hit = symbolizer.symbolize(address);
    return hit && formatSymbol(hit);
  };
  test.each([
    ['start of a function with a label at it', 0x1000n, 'start+0x0/0x20'],
    ['global before local', 0x1050n, 'function+0x10/0x80'],
    ['behind a label inside a function', 0x1078n, 'label_inside+0x18/0x60'],
    ['a mark that no function holds', 0x1190n, 'mark+0x0/0x0'],
    ['behind such a mark', 0x1191n, '[padding after function+0x80]'],
    ['between functions', 0x1030n, '[padding after start+0x20]'],
    ['last byte', 0x120fn, 'last+0xf/0x10'],
    ['far behind the last', 0x9000000n, undefined],
    ['before the first', 0x10n, undefined],
  ])('%s', (_, address, expected) => {
    expect(name(address)).toBe(expected);
  });
  test('a return address behind the last instruction belongs to the caller', () => {
    const hit = symbolizer.symbolizeReturn(0x1020n);
    expect(hit && formatSymbol(hit)).toBe('start+0x20/0x20');
  });
  test('without sizes a symbol reaches to the next', () => {
    const plain = new Symbolizer(map('1000 T a\n1100 T b\n1180 T _end\n').table);
    expect(plain.symbolize(0x1110n)).toEqual({
      name: 'b',
      offset: 0x10n,
      size: 0x80n,
      letter: 'T',
      padding: false,
    });
  });
});

describe('names beside those of the image', () => {
  const kernel = map(
    [
      '0 A __per_cpu_start',
      '0 A fixed_percpu_data',
      '1000 A runqueues',
      '1800 A __per_cpu_end',
      'ffffffff81000000 T _stext',
      'ffffffff81000100 T panic',
      'ffffffff81000200 T _etext',
      'ffffffffc1000000 t told\t[other]',
      'ffffffffc1000100 t last\t[other]',
    ].join('\n'),
  ).table;
  const loop = {
    name: 'loop',
    ranges: [
      { base: 0xffffffffc0002000n, size: 0x1000 },
      { base: 0xffffffffc0000000n, size: 0x1000 },
    ],
    symbols: () =>
      map('ffffffffc0000000 t first\nffffffffc0000040 t second\nffffffffc0002000 d data\n').table,
  };
  const broken = {
    name: 'broken',
    ranges: [{ base: 0xffffffffc0008000n, size: 0x1000 }],
    symbols: () => {
      throw new FormatError('damaged');
    },
  };
  const symbolizer = new Symbolizer(kernel, {
    modules: [loop, broken],
    perCpuOffsets: [0xffff888000000000n, 0xffff888000100000n],
  });
  test.each([
    ['of the kernel', 0xffffffff81000110n, 'panic+0x10/0x100'],
    ['of a module', 0xffffffffc0000050n, 'second+0x10/0x1fc0 [loop]'],
    ['of a module, first byte', 0xffffffffc0000000n, 'first+0x0/0x40 [loop]'],
    ['between the ranges of a module', 0xffffffffc0001000n, undefined],
    ['of a module whose names cannot be read', 0xffffffffc0008010n, undefined],
    ['of a module in /proc/kallsyms', 0xffffffffc1000004n, 'told+0x4/0x100 [other]'],
    ["a CPU's copy of a variable", 0xffff888000101010n, 'runqueues+0x10/0x800 (cpu 1)'],
    ['behind the per-CPU area', 0xffff888000001800n, undefined],
    ['no address: an offset of a per-CPU variable', 0x1010n, undefined],
  ])('%s', (_, address, expected) => {
    const hit = symbolizer.symbolize(address);
    expect(hit && formatSymbol(hit)).toBe(expected);
  });
});

describe('a kept table', () => {
  const table = elfWith([
    ['start', 0x1000n, 0x20, GLOBAL_FUNC, 1],
    ['function', 0xffffffff81001040n, 0x80, GLOBAL_FUNC, 1],
  ]);
  test.each([
    ['with sizes', table],
    ['without', map('1000 T a\nffffffff81001100 T b\n').table],
    ['empty', map('').table],
  ])('is the same: %s', (_, given) => {
    const kept = unpackSymbols(packSymbols(given), 'kept');
    expect(list(kept)).toEqual(list(given));
    expect(kept.hasSizes).toBe(given.hasSizes);
    expect(kept.find('function')).toBe(given.find('function'));
  });
  test('anything else gives FormatError or a table', () => {
    const bytes = packSymbols(table);
    fc.assert(
      fc.property(fc.nat(bytes.length - 1), fc.nat(255), fc.nat(bytes.length), (at, value, length) => {
        const changed = Uint8Array.from(bytes);
        changed[at] = value;
        try {
          list(unpackSymbols(changed.subarray(0, length), 'kept'));
        } catch (error) {
          expect(error).toBeInstanceOf(FormatError);
        }
      }),
      { numRuns: 2000, seed: 7 },
    );
  });
});

test('a name is found however often names are asked for', () => {
  const lines = Array.from({ length: 500 }, (_, i) => `${(i + 1).toString(16)} T name${i % 100}`);
  const { table } = map(`${lines.join('\n')}\n5000 T ${'long'.repeat(600)}\n6000 T \n`);
  for (let round = 0; round < 30; round++) {
    expect([...table.findAll(`name${round}`)]).toEqual([400, 300, 200, 100, 0].map((row) => row + round));
    expect(table.find('name')).toBeUndefined();
    expect(table.addressOf('long'.repeat(600))).toBe(0x5000n);
    expect(table.find('long'.repeat(400))).toBeUndefined();
  }
  expect([...map('').table.findAll('x')]).toEqual([]);
});
