// The search for kallsyms in memory that only looks like it. The real thing: test/xenctx/golden.test.ts.
import { expect, test } from 'vitest';
import { findKallsyms } from '../../symbols/kernel/kallsyms.ts';
import type { MappedMemory } from '../../symbols/memory.ts';

const START = 0xffffffff81000000n;
const SIZE = 16 << 20;

/** @param onRead told the bytes of each read. */
function memoryOf(bytes: Uint8Array, onRead: (length: number) => void = () => undefined): MappedMemory {
  return {
    mapped: () => [{ address: START, length: bytes.length }],
    read(address, into) {
      onRead(into.length);
      const at = Number(address - START);
      // Zeros around it, so that no read fails.
      into.fill(0);
      const from = Math.max(0, at);
      const part = bytes.subarray(from, Math.max(from, Math.min(bytes.length, at + into.length)));
      if (part.length > 0) into.set(part, from - at);
    },
  };
}

const repeat = (text: string) =>
  Uint8Array.from({ length: SIZE }, (_, at) => text.charCodeAt(at % text.length));

/** A token table whose tokens are all one letter but the digits, and its index, at `at`. */
function putTokens(bytes: Uint8Array, at: number): void {
  const view = new DataView(bytes.buffer);
  const index = (at + 512 + 7) & ~7;
  bytes.fill(0, at, index + 512 + 4096);
  for (let token = 0; token < 256; token++) {
    bytes[at + token * 2] = token >= 0x30 && token <= 0x39 ? token : 0x54;
    view.setUint16(index + token * 2, token * 2, true);
  }
}

test.each([
  ['zeros', () => new Uint8Array(SIZE)],
  ['nothing but runs of digits', () => repeat('0\x001\x002\x003\x004\x005\x006\x007\x008\x009\0')],
  [
    'a token table behind what looks like names everywhere',
    () => {
      // Every 64 bytes a count of 256 to 2 million, then entries of one token; the last entry leaps to the next block.
      const block = new Uint8Array(64);
      block.set([0, 0, 0x10, 0, 0, 0, 0, 0]);
      for (let at = 8; at < 54; at += 2) block.set([1, 0x41], at);
      block.set([16, 0x41], 54);
      const bytes = new Uint8Array(SIZE);
      for (let at = 0; at < SIZE; at += 64) bytes.set(block, at);
      putTokens(bytes, SIZE - 65536);
      return bytes;
    },
  ],
])('%s: none is found, and soon', (_, make) => {
  const memory = memoryOf(make());
  const start = performance.now();
  expect(findKallsyms(memory)).toBeUndefined();
  expect(performance.now() - start).toBeLessThan(10_000);
});

test('what looks like markers everywhere is not all looked at', () => {
  const bytes = new Uint8Array(SIZE);
  new Uint32Array(bytes.buffer).set(Array.from({ length: SIZE / 4 }, (_, index) => (index % 4) * 600));
  putTokens(bytes, SIZE - 65536);
  let read = 0;
  expect(findKallsyms(memoryOf(bytes, (length) => (read += length)))).toBeUndefined();
  expect(read).toBeLessThan(512 << 20);
});
