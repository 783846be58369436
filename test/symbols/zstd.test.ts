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
  test.each([7, 9, 4096])('not of %i bytes', (size) => {
    expect(() => unpackZstd(frame, size)).toThrow(
      new FormatError(`zstd frame holds 8 bytes, ${size} expected`),
    );
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
    expect(() => unpackZstd(packed, size)).toThrow(
      `zstd frame holds ${whole.length} bytes, ${size} expected`,
    );
    expect(() => decompress(packed, size, 'vmlinuz', {})).toThrow(FormatError);
  });
});
