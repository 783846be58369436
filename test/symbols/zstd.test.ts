// zstd frames of known size: whole ones, and ones that hold less or more than was announced. Made by hand and by `zstd -19`.
import { readFileSync } from 'node:fs';
import { decompress as decompressAny } from 'fzstd';
import { describe, expect, test } from 'vitest';
import { FormatError } from '../../symbols/errors.ts';
import { decompress } from '../../symbols/kernel/decompress.ts';
import { unpackZstd } from '../../symbols/zstd.ts';

const MAGIC = [0x28, 0xb5, 0x2f, 0xfd];
/** No content size, a window of 128 KiB. */
const HEADER = [0, 0x38];
const RAW = 0;
const RLE = 1;
const COMPRESSED = 2;

const header = (type: number, size: number, last: boolean): number[] => {
  const value = (size << 3) | (type << 1) | (last ? 1 : 0);
  return [value & 0xff, (value >> 8) & 0xff, value >> 16];
};
const frameOf = (...blocks: number[][]): Uint8Array =>
  Uint8Array.from([...MAGIC, ...HEADER, ...blocks.flat()]);

const frame = frameOf([...header(RAW, 3, false), 1, 2, 3], [...header(RLE, 5, true), 9]);

describe('a frame of raw and run-length blocks', () => {
  test('of the size announced', () => {
    expect([...unpackZstd(frame, 8)]).toEqual([1, 2, 3, 9, 9, 9, 9, 9]);
  });
  test.each([
    [7, 'zstd frame holds more than the 7 bytes expected'],
    [9, 'zstd frame holds 8 bytes, 9 expected'],
    [4096, 'zstd frame holds 8 bytes, 4096 expected'],
  ])('not of %i bytes', (size, message) => {
    expect(() => unpackZstd(frame, size)).toThrow(new FormatError(message));
  });
  test.each([0, 4, 6, 8, frame.length - 1])('cut to %i bytes', (length) => {
    expect(() => unpackZstd(frame.subarray(0, length), 8)).toThrow(FormatError);
  });
  test('with something behind it', () => {
    expect(() => unpackZstd(Uint8Array.from([...frame, 0]), 8)).toThrow(FormatError);
  });
});

describe('a frame of compressed blocks', () => {
  const map = new URL('../golden/xen-4.17/System.map.zst', import.meta.url);
  const packed = readFileSync(map);
  const whole = decompressAny(packed);

  test('of the size announced', () => {
    expect(Buffer.compare(unpackZstd(packed, whole.length), whole)).toBe(0);
  });
  test.each([-1, 1, 4096])('%i bytes from it', (difference) => {
    const size = whole.length + difference;
    expect(() => unpackZstd(packed, size)).toThrow(/^zstd frame holds .* expected$/);
    expect(() => decompress(packed, size, 'vmlinuz', {})).toThrow(FormatError);
  });
});

describe('a compressed block that says too much', () => {
  /** Literals `a`, `b`, `c`, then as many sequences as wanted, all with these codes: they take no bits but the codes' own. */
  const block = (count: number, [length, offset, match]: number[], ...bits: number[]): number[] => [
    ...[3 << 3, 0x61, 0x62, 0x63],
    ...(count < 0x80 ? [count] : [0xff, (count - 0x7f00) & 0xff, (count - 0x7f00) >> 8]),
    ...[0b01_01_01_00, length ?? 0, offset ?? 0, match ?? 0],
    ...bits,
  ];
  /** Behind a block of nine bytes. */
  const frameWith = (content: number[]): Uint8Array =>
    frameOf([...header(RLE, 9, false), 0x5f], [...header(COMPRESSED, content.length, true), ...content]);

  test('three letters and the match behind them are read', () => {
    // Distance 1 (offset 4: code 2 and two zero bits), 5 bytes.
    const bytes = unpackZstd(frameWith(block(1, [3, 2, 2], 0b100)), 17);
    expect(new TextDecoder().decode(bytes)).toBe('_________abcccccc');
  });
  test.each([
    // 98,047 matches of 131,074 bytes: fzstd would make them all, 12 GB that nobody sees, for a block of some bytes.
    ['matches without an end', block(0x7f00 + 0xffff, [0, 0, 52], 0xff, 0xff, 0xff, 1), 'too many bytes'],
    ['matches that take no bits', block(0x7f00 + 0xffff, [0, 0, 31], 1), 'too many bytes'],
    ['more literals than there are', block(2, [3, 2, 2], 0b10000), 'too many bytes'],
    ['fewer bits than sequences', block(3, [0, 0, 32], 0b11), 'sequences end early'],
    ['a match before the first byte', block(1, [0, 4, 2], 0b10000), 'match 13 bytes back'],
    ['bits behind the last match', block(1, [3, 2, 2], 0b1000), 'more than its sequences'],
    ['no end of the bits', block(1, [3, 2, 2], 0), 'without an end'],
    ['a code that is none', block(1, [3, 2, 53], 0b100), 'code 53'],
    ['tables of no block before', [0, 1, 0b11_11_11_00, 1], 'repeats tables of none'],
    ['literals alone that are cut', [3 << 3, 0x61], 'ends early'],
  ])('%s', (_, content, message) => {
    expect(() => unpackZstd(frameWith(content), 1 << 30)).toThrow(new RegExp(`^zstd block .*${message}`));
  });
});
