// Boot images and their payload: gzip by node's zlib, zstd by fzstd, LZ4 by our own code. xz and lzma run another program.
import { gzipSync } from 'node:zlib';
import { hostCodecs } from '../../../core/host/codecs.ts';
import { memorySource } from '../../../symbols/bytes.ts';
import { unpackBzImage } from '../../../symbols/kernel/bzimage.ts';
import { bzImage, lz4Legacy } from '../../support/bzimage-writer.ts';
import { sampleElf, sectionBytes } from '../sample.ts';
import type { FuzzTarget } from '../target.ts';

const SIZE = 1500;

/** The first 300 bytes of the sample's .text by `zstd -19 --no-check`. */
const ZSTD =
  'KLUv/WAsANUHACJPNi5QWWOk/GzxtsqCXXkCLgfrZqHEfOEhl0eajxH0lIoGn3aqM+lv7z9KFjBhE5kCL/u/sU/408cv1EYy' +
  'dtVQe+ZjFjiHXtZVIY9IIPFo8nw0jA7+zmsiBimQVP+JIzPLw/9YZsg/oucLVoTrMaQiWaGJUhC1S6b6tI1eX3//2khO8S+b' +
  'kv/CTUtu/zT2as33LpL/u3bO9ANuPG2uXaWrHq5HvwXW/6qp2M3c1Va5hhFcrbdYw1F5Dbqgdv3hFF/XabmvPWhK89c1qNy6' +
  'Fce27Mv+b+zr81TgjAwQKDCDuQ7QPqwS9y2X0ggbFsrIPjHNItw9Pjjc6AQ=';

const { gzip } = hostCodecs;
const CODECS = { gzip };

function withSize(stream: Uint8Array, size: number): Uint8Array {
  const bytes = new Uint8Array(stream.length + 4);
  bytes.set(stream);
  new DataView(bytes.buffer).setUint32(stream.length, size, true);
  return bytes;
}

export const BZIMAGE: FuzzTarget = {
  name: 'bzimage',
  seeds: () => {
    const kernel = sectionBytes(sampleElf(), '.text', SIZE);
    const lz4 = lz4Legacy([
      { literals: kernel.subarray(0, 100), distance: 40, length: 200 },
      { literals: kernel.subarray(100, 900), distance: 1, length: 30 },
      { literals: kernel.subarray(900) },
    ]);
    return [
      bzImage(gzipSync(kernel)),
      bzImage(withSize(lz4, SIZE + 230)),
      bzImage(withSize(new Uint8Array(Buffer.from(ZSTD, 'base64')), 300)),
    ];
  },
  // A payload may unpack to 20,000 times its size.
  maxBytes: 256 << 20,
  run: (bytes) => unpackBzImage(memorySource('vmlinuz', bytes), CODECS).length,
};
