// The packings of kdump pages, on what the real compressors made of one page, and on damaged input.

import { deflateSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { unpackPage } from '../../core/target/kdump-page.ts';
import { FormatError } from '../../symbols/errors.ts';
// Made of PAGE by liblzo2 2.10 (lzo1x_1, lzo1x_999), libsnappy 1.1.9 and zstd 1.5.4 -19.
import packed from './packed-page.json' with { type: 'json' };

/** Text with repeats near and far. */
const PAGE = Buffer.from(
  Array.from(
    { length: 200 },
    (_, line) => `${(line * 40).toString(16).padStart(8, '0')}: pvh guest memory, line ${line} of a page\n`,
  ).join(''),
).subarray(0, 4096);

const packings: [name: string, flag: number, bytes: Uint8Array][] = [
  ['raw', 0, PAGE],
  ['zlib', 1, deflateSync(PAGE)],
  ['LZO1X-1', 2, Buffer.from(packed.lzo, 'base64')],
  ['LZO1X-999', 2, Buffer.from(packed['lzo-999'], 'base64')],
  ['snappy', 4, Buffer.from(packed.snappy, 'base64')],
  ['zstd', 0x20, Buffer.from(packed.zstd, 'base64')],
];

describe.each(packings)('%s', (_, flag, bytes) => {
  test('gives the page back', () => {
    expect(Buffer.compare(unpackPage(bytes, flag, 4096), PAGE)).toBe(0);
  });
  test('of another size is refused', () => {
    expect(() => unpackPage(bytes, flag, 4095)).toThrow(FormatError);
    expect(() => unpackPage(bytes, flag, 8192)).toThrow(FormatError);
  });
  test('cut anywhere: FormatError', () => {
    for (let length = 0; length < bytes.length - 8; length += 7)
      expect(() => unpackPage(bytes.subarray(0, length), flag, 4096)).toThrow(FormatError);
  });
  test('damaged: FormatError or some page, and soon', () => {
    const change = fc.tuple(fc.nat(bytes.length - 1), fc.nat(255));
    fc.assert(
      fc.property(fc.array(change, { minLength: 1, maxLength: 4 }), (changes) => {
        const damaged = Uint8Array.from(bytes);
        for (const [at, value] of changes) damaged[at] = value;
        try {
          expect(unpackPage(damaged, flag, 4096).length).toBe(4096);
        } catch (error) {
          expect(error).toBeInstanceOf(FormatError);
        }
      }),
      { numRuns: 1500, seed: 4 },
    );
  });
});

test('a zstd page of one repeated byte is 11 bytes', () => {
  const frame = Buffer.from('28b52ffd60000f03800007', 'hex');
  expect(unpackPage(frame, 0x20, 4096)).toEqual(new Uint8Array(4096).fill(7));
});
test('a zstd frame that holds less than it says is refused, not filled up with zeros', () => {
  const frame = Buffer.from('28b52ffd60000f03400007', 'hex');
  expect(() => unpackPage(frame, 0x20, 4096)).toThrow(FormatError);
});
