// The codecs that need node: or a native package, on streams as the kernel build makes them.
import { gzipSync } from 'node:zlib';
import { check, filter, xzSync } from 'node-liblzma';
import { expect, test } from 'vitest';
import { hostCodecs } from '../../core/host/codecs.ts';
import { memorySource } from '../../symbols/bytes.ts';
import { FormatError } from '../../symbols/errors.ts';
import { unpackBzImage } from '../../symbols/kernel/bzimage.ts';
import { bzImage } from '../support/bzimage-writer.ts';

/** x86 calls, which the BCJ filter rewrites, so that an unpacker without it gives other bytes. */
const KERNEL = Buffer.alloc(64 << 10);
for (let at = 0; at + 5 <= KERNEL.length; at += 5) {
  KERNEL[at] = 0xe8;
  KERNEL.writeInt32LE(0x1000 - at, at + 1);
}
const size = Buffer.alloc(4);
size.writeUInt32LE(KERNEL.length);
// linux v6.1 scripts/xz_wrap.sh: --check=crc32 --x86 --lzma2
const xz = xzSync(KERNEL, { check: check.CRC32, filters: [filter.X86, filter.LZMA2] });

const unpack = (payload: Uint8Array): Buffer =>
  Buffer.from(unpackBzImage(memorySource('vmlinuz', bzImage(payload)), hostCodecs));

test('gzip', () => {
  expect(unpack(gzipSync(KERNEL)).equals(KERNEL)).toBe(true);
});

test('xz with the x86 filter, the size behind it', () => {
  expect(unpack(Buffer.concat([xz, size])).equals(KERNEL)).toBe(true);
});

test('xz that is cut off or larger than it says is a FormatError', () => {
  expect(() => unpack(Buffer.concat([xz.subarray(0, xz.length / 2), size]))).toThrow(FormatError);
  expect(() => unpack(Buffer.concat([xz, Buffer.from([16, 0, 0, 0])]))).toThrow(FormatError);
});
