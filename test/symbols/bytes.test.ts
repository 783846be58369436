import { describe, expect, test } from 'vitest';
import { ByteReader, checkRange, memorySource, sliceSource } from '../../symbols/bytes.ts';
import { FormatError } from '../../symbols/errors.ts';

const bytes = Uint8Array.from({ length: 16 }, (_, index) => index + 1);

describe('ByteReader', () => {
  test('reads little-endian numbers and text', () => {
    const reader = new ByteReader('x', Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 0xff, 0xff, 65, 66, 0, 9));
    expect(reader.u8()).toBe(1);
    expect(reader.u16()).toBe(0x0302);
    expect(reader.u32()).toBe(0x07060504);
    expect(reader.i16()).toBe(-1);
    expect(reader.cstring()).toBe('AB');
    expect(reader.u8()).toBe(9);
  });
  test('text of no more characters than are allowed', () => {
    const reader = new ByteReader('x', Uint8Array.of(65, 66, 0));
    expect(() => reader.cstring(1)).toThrow(FormatError);
    expect(reader.cstring(2)).toBe('AB');
    expect(reader.remaining).toBe(0);
  });
  test.each([
    ['u64 past the end', (r: ByteReader) => r.skip(9).u64()],
    ['negative take', (r: ByteReader) => r.take(-1)],
    ['text without NUL', (r: ByteReader) => r.cstring()],
    ['size above 2^53', (r: ByteReader) => r.size64()],
    ['seek outside', (r: ByteReader) => r.seek(17)],
  ])('%s is a FormatError', (_, act) => {
    expect(() => act(new ByteReader('x', bytes))).toThrow(FormatError);
  });
  test('errors of a split reader tell the offset in the whole', () => {
    const part = new ByteReader('x', bytes, 0x100).skip(4).split(2);
    expect(() => part.u32()).toThrow('at offset 0x104');
  });
});

test.each([
  [-1, 1],
  [0, 17],
  [16, 1],
  [0.5, 1],
  [Number.NaN, 1],
  [0, 2 ** 53],
])('range %d+%d is refused', (offset, length) => {
  expect(() => checkRange('x', 16, offset, length)).toThrow(FormatError);
});

test('a slice sees its part only', () => {
  const slice = sliceSource(memorySource('x', bytes), 'y', 4, 4);
  expect([...slice.read(1, 2)]).toEqual([6, 7]);
  expect(() => slice.read(3, 2)).toThrow(FormatError);
});
