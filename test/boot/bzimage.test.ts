import { gunzipSync, gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { memorySource } from '../../symbols/bytes.ts';
import { FormatError } from '../../symbols/errors.ts';
import { isBzImage, unpackBzImage } from '../../symbols/kernel/bzimage.ts';
import { bzImage, lz4Legacy } from '../support/bzimage-writer.ts';

const codecs = {
  gzip: (stream: Uint8Array, maxBytes: number) => gunzipSync(stream, { maxOutputLength: maxBytes }),
};
/** 600 bytes with long and short repetitions, and some that repeat nothing. */
const KERNEL = Buffer.from(
  `${'ELF '.repeat(100)}${Array.from({ length: 100 }, (_, i) => (i * i) % 7).join('')}${'z'.repeat(100)}`,
);
const unpack = (image: Uint8Array, name = 'vmlinuz') => unpackBzImage(memorySource(name, image), codecs);
const size = (n: number): Uint8Array => {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, n, true);
  return bytes;
};

describe('what is packed comes out', () => {
  test('gzip: the size is the stream\u2019s own end', () => {
    expect(Buffer.from(unpack(bzImage(gzipSync(KERNEL))))).toEqual(KERNEL);
  });

  test('lz4 legacy frame, literals and overlapping matches', () => {
    const stream = lz4Legacy([
      // "ELF " as literals, a match at distance 4 of 396 bytes, the rest as literals
      { literals: KERNEL.subarray(0, 4), distance: 4, length: 396 },
      { literals: KERNEL.subarray(400) },
    ]);
    expect(Buffer.from(unpack(bzImage(Buffer.concat([stream, size(600)]))))).toEqual(KERNEL);
  });

  test('zstd', () => {
    // `zstd -19 --no-check` of 1000 times "a": Node 20 has no encoder.
    const stream = Buffer.from('28b52ffd006845000008610100e42b2004', 'hex');
    expect(Buffer.from(unpack(bzImage(Buffer.concat([stream, size(1000)])))).toString()).toBe(
      'a'.repeat(1000),
    );
  });
});

describe('what is wrong is a FormatError that says so', () => {
  const good = bzImage(gzipSync(KERNEL));
  test.each([
    ['empty', new Uint8Array(0), 'no HdrS magic'],
    ['no magic', new Uint8Array(4096), 'no HdrS magic'],
    [
      'cut off inside the payload',
      good.subarray(0, good.length - 40),
      'bzImage is truncated: payload ends at',
    ],
    ['old boot protocol', bzImage(gzipSync(KERNEL), { version: 0x207 }), 'boot protocol 2.7'],
    ['payload of 3 bytes', bzImage(new Uint8Array(3)), 'payload of 3 bytes'],
    ['unknown compression', bzImage(new Uint8Array(100).fill(0x77)), 'claims to unpack to'],
    [
      'unknown compression of a possible size',
      bzImage(Buffer.concat([Buffer.alloc(100, 'w'), size(600)])),
      'is not known',
    ],
    [
      'size that cannot be',
      bzImage(Buffer.concat([Buffer.from('02214c18', 'hex'), Buffer.alloc(20), size(0xffff_ffff)])),
      'claims to unpack to 4294967295',
    ],
    ['damaged gzip', bzImage(gzipSync(KERNEL).fill(0xaa, 20, 24)), 'gzip stream is damaged'],
    [
      'xz without a codec',
      bzImage(Buffer.concat([Buffer.from('fd377a585a00', 'hex'), Buffer.alloc(20), size(600)])),
      'no xz codec',
    ],
    [
      'lzo',
      bzImage(Buffer.concat([Buffer.from('894c5a4f', 'hex'), Buffer.alloc(20), size(600)])),
      'no lzo codec',
    ],
    [
      'lz4 match before the start',
      bzImage(
        Buffer.concat([
          lz4Legacy([{ literals: KERNEL.subarray(0, 4), distance: 5, length: 600 }]),
          size(600),
        ]),
      ),
      'LZ4 block is damaged',
    ],
    [
      'lz4 that ends early',
      bzImage(Buffer.concat([lz4Legacy([{ literals: KERNEL.subarray(0, 100) }]), size(600)])),
      'LZ4 stream ends early',
    ],
    [
      'lz4 block longer than the file',
      bzImage(Buffer.concat([Buffer.from('02214c18ffffff00', 'hex'), Buffer.alloc(20), size(600)])),
      'LZ4 block of',
    ],
  ])('%s', (_name, image, message) => {
    expect(() => unpack(image)).toThrow(FormatError);
    expect(() => unpack(image)).toThrow(message);
  });

  test('any damage to an image is a FormatError, or harmless', () => {
    const images = [
      good,
      bzImage(
        Buffer.concat([
          lz4Legacy([
            { literals: KERNEL.subarray(0, 4), distance: 4, length: 396 },
            { literals: KERNEL.subarray(400) },
          ]),
          size(600),
        ]),
      ),
    ];
    fc.assert(
      fc.property(
        fc.constantFrom(...images),
        fc.array(fc.tuple(fc.nat(0x1000), fc.integer({ min: 0, max: 255 })), { maxLength: 8 }),
        fc.nat(0x1000),
        (image, changes, cut) => {
          const damaged = Uint8Array.from(image).subarray(0, image.length - (cut % image.length));
          for (const [at, value] of changes) damaged[0x1f0 + (at % (damaged.length || 1))] = value;
          try {
            unpack(damaged);
          } catch (error) {
            expect(error).toBeInstanceOf(FormatError);
          }
        },
      ),
      { seed: 1, numRuns: 2000 },
    );
  });

  test('isBzImage never throws', () => {
    expect(isBzImage(memorySource('x', new Uint8Array(10)))).toBe(false);
    expect(isBzImage(memorySource('x', good))).toBe(true);
  });
});
