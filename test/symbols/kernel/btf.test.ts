// BTF with all that makes a member hard to find, and damaged. The real thing: test/kernel/memory.test.ts.
import { expect, test } from 'vitest';
import { FormatError } from '../../../symbols/errors.ts';
import { readBtf } from '../../../symbols/kernel/btf.ts';

type Row = readonly [
  name: string,
  kind: number,
  sizeOrType: number,
  extra: readonly number[],
  flags?: number,
];

const [INT, PTR, ARRAY, STRUCT, UNION, ENUM, FWD, TYPEDEF, CONST, FUNC_PROTO, DECL_TAG] = [
  1, 2, 3, 4, 5, 6, 7, 8, 10, 13, 17,
] as const;

/** Elements that `vlen` counts, by the words each has. */
const ELEMENT: Readonly<Record<number, number>> = { [STRUCT]: 3, [UNION]: 3, [ENUM]: 2, [FUNC_PROTO]: 2 };

class Strings {
  text = '\0';
  /** Offset of a name; the empty one is 0. */
  readonly at = (name: string): number => {
    if (name === '') return 0;
    this.text += `${name}\0`;
    return this.text.length - name.length - 1;
  };
}

/** A blob of these types; type 1 is the first. */
function btfOf(strings: Strings, rows: readonly Row[]): Uint8Array {
  const words = rows.flatMap(([name, kind, sizeOrType, extra, flags = 0]) => {
    const count = extra.length / (ELEMENT[kind] ?? Number.POSITIVE_INFINITY);
    return [strings.at(name), (flags << 31) | (kind << 24) | count, sizeOrType, ...extra];
  });
  const bytes = new Uint8Array(24 + words.length * 4 + strings.text.length);
  const view = new DataView(bytes.buffer);
  [0x1_eb9f, 24, 0, words.length * 4, words.length * 4, strings.text.length, ...words].forEach(
    (word, index) => {
      view.setUint32(index * 4, word >>> 0, true);
    },
  );
  bytes.set(new TextEncoder().encode(strings.text), 24 + words.length * 4);
  return bytes;
}

const names = new Strings();
const member = (name: string, type: number, bits: number): number[] => [names.at(name), type, bits];

const sample = btfOf(names, [
  ['int', INT, 4, [32]], // 1
  ['', PTR, 1, []], // 2
  ['u32', TYPEDEF, 1, []], // 3
  ['', CONST, 3, []], // 4
  ['', ARRAY, 0, [4, 1, 6]], // 5: const u32[6]
  ['inner', STRUCT, 16, [...member('first', 1, 0), ...member('second', 2, 64)]], // 6
  ['', UNION, 16, [...member('whole', 6, 0), ...member('parts', 5, 0)]], // 7
  ['inner', FWD, 0, []], // 8
  ['call', FUNC_PROTO, 1, [0, 1, 0, 2]], // 9
  ['', DECL_TAG, 6, [0]], // 10
  ['outer', STRUCT, 64, [...member('head', 4, 0), ...member('', 7, 64), ...member('tail', 6, 256)]], // 11
  ['outer_t', TYPEDEF, 11, []], // 12
  ['flags', STRUCT, 8, [...member('low', 1, (3 << 24) | 0), ...member('high', 1, (5 << 24) | 35)], 1], // 13
  ['level', ENUM, 4, [...[names.at('LOW'), 0], ...[names.at('HIGH'), 1]]], // 14
  ['outer', TYPEDEF, 1, []], // 15: a later one of the same name
]);

test.each<[string, string, { offset: number; size: number | undefined } | undefined]>([
  ['inner', 'second', { offset: 8, size: 8 }],
  ['outer', 'head', { offset: 0, size: 4 }],
  ['outer', 'whole', { offset: 8, size: 16 }],
  ['outer', 'parts', { offset: 8, size: 24 }],
  ['outer', 'whole.second', { offset: 16, size: 8 }],
  ['outer', 'tail.second', { offset: 40, size: 8 }],
  ['outer_t', 'tail', { offset: 32, size: 16 }],
  ['flags', 'high', { offset: 4, size: 4 }],
  ['outer', 'none', undefined],
  ['outer', 'head.none', undefined],
  ['none', 'head', undefined],
  ['level', 'LOW', undefined],
])('%s.%s', (type, name, place) => {
  expect(readBtf(sample).memberOf(type, name)).toEqual(place);
});

test('sizes, also of a typedef', () => {
  const btf = readBtf(sample);
  expect(['inner', 'outer', 'outer_t', 'u32', 'none'].map((type) => btf.sizeOf(type))).toEqual([
    16,
    64,
    64,
    4,
    undefined,
  ]);
});

test.each<[string, readonly Row[]]>([
  ['a typedef of itself', [['x', TYPEDEF, 1, []]]],
  [
    'structures that hold each other',
    [
      ['x', STRUCT, 8, [0, 2, 0]],
      ['', UNION, 8, [0, 1, 0, 0, 1, 0]],
    ],
  ],
  [
    'an array of itself',
    [
      ['x', TYPEDEF, 2, []],
      ['', ARRAY, 0, [2, 2, 3]],
    ],
  ],
  ['a type that is not there', [['x', STRUCT, 8, [0, 77, 0]]]],
  [
    'a kind of the future',
    [
      ['y', 31, 0, []],
      ['x', TYPEDEF, 1, []],
    ],
  ],
])('%s: no answer, and soon', (_, rows) => {
  const btf = readBtf(btfOf(new Strings(), rows));
  expect(btf.memberOf('x', 'a')).toBeUndefined();
  expect(btf.sizeOf('none')).toBeUndefined();
});

test.each<[string, Uint8Array]>([
  ['nothing', new Uint8Array(0)],
  ['zeros', new Uint8Array(64)],
  ['cut short', sample.subarray(0, 100)],
  ['types beyond the end', Uint8Array.from(sample, (byte, at) => (at === 15 ? 0x70 : byte))],
])('%s: FormatError', (_, bytes) => {
  expect(() => readBtf(bytes)).toThrow(FormatError);
});

test('bytes cut anywhere give layouts or a FormatError', () => {
  for (let length = 0; length < sample.length; length++) {
    const view = new DataView(sample.slice(0, length).buffer);
    if (length >= 24) {
      // The header is made to fit, so that types and strings are cut instead.
      view.setUint32(12, Math.min(view.getUint32(12, true), length - 24), true);
      view.setUint32(16, 0, true);
      view.setUint32(20, length - 24, true);
    }
    try {
      readBtf(new Uint8Array(view.buffer)).memberOf('outer', 'tail.second');
    } catch (error) {
      expect(error).toBeInstanceOf(FormatError);
    }
  }
});
