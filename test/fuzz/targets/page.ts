// Packed pages of kdump files: LZO and Snappy by our own code, zlib by node's, zstd by fzstd behind a check. The first byte says which.
import { deflateSync } from 'node:zlib';
import { unpackPage } from '../../../core/target/kdump-page.ts';
import type { FuzzTarget } from '../target.ts';

const SIZE = 300;
const content = Uint8Array.from({ length: SIZE }, (_, index) => (index < 100 ? index * 7 : 0x41));

/** A length, the first 101 bytes as they are, and copies of the last of them. */
const SNAPPY = [
  ...[(SIZE & 0x7f) | 0x80, SIZE >> 7, 60 << 2, 100, ...content.subarray(0, 101)],
  ...Array.from({ length: 3 }, () => [(63 << 2) | 2, 1, 0]).flat(),
  ...[(6 << 2) | 2, 1, 0],
];
/** 101 bytes as they are, a far match of length 199 that repeats the last of them, the end mark. */
const LZO = [101 + 17, ...content.subarray(0, 101), 0x20, 199 - 2 - 31, 0, 0, 0x11, 0, 0];

/** A frame of one segment, one block: 101 letters, one match of 199 bytes. */
const ZSTD = [
  ...[0x28, 0xb5, 0x2f, 0xfd, 0x60, SIZE - 256, 0, 0x6d, 0x03, 0, 0x54, 0x06, ...content.subarray(0, 101)],
  ...[1, 0, 0x25, 0x91, 0x02, 0x51],
];

const packed = (flag: number, bytes: Iterable<number>): Uint8Array => Uint8Array.of(flag, ...bytes);

export const PAGE: FuzzTarget = {
  name: 'page',
  seeds: () => [
    packed(1, deflateSync(content)),
    packed(2, LZO),
    packed(4, SNAPPY),
    packed(0x20, ZSTD),
    packed(0, content),
  ],
  run: (bytes) => unpackPage(bytes.subarray(1), bytes[0] ?? 0, SIZE).length,
};
