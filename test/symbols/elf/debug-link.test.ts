// Names of separate debug files, as objcopy and dwz write them.
import { expect, test } from 'vitest';
import { memorySource } from '../../../symbols/bytes.ts';
import { readDebugAltLink, readDebugLink } from '../../../symbols/elf/debug-link.ts';
import { type ElfFile, openElf } from '../../../symbols/elf/elf-file.ts';
import { FormatError } from '../../../symbols/errors.ts';
import { writeElf } from '../../support/elf-writer.ts';

function withSection(name: string, ...parts: readonly (string | readonly number[])[]): ElfFile {
  const data = parts.flatMap((part) =>
    typeof part === 'string' ? [...new TextEncoder().encode(part)] : part,
  );
  return openElf(memorySource('x', writeElf({ sections: [{ name, data: Uint8Array.from(data) }] })));
}

test('a debug link has a file name and, aligned behind it, a CRC', () => {
  const elf = withSection('.gnu_debuglink', 'af_key.ko\0', [0, 0], [0x78, 0x56, 0x34, 0x12]);
  expect(readDebugLink(elf)).toEqual({ file: 'af_key.ko', crc: 0x12345678 });
});

test('an alternate link has a path and a build-id', () => {
  const elf = withSection('.gnu_debugaltlink', '../.dwz/linux\0', [0xab, 0x01]);
  expect(readDebugAltLink(elf)).toEqual({ file: '../.dwz/linux', buildId: 'ab01' });
});

test.each<[string, number, object | undefined]>([
  ['names the supplementary file', 0, { file: '../.dwz/linux', buildId: 'ab01' }],
  ['says that it is the supplementary file', 1, undefined],
])('.debug_sup %s', (_, isSupplement, expected) => {
  const elf = withSection('.debug_sup', [5, 0, isSupplement], '../.dwz/linux\0', [2, 0xab, 0x01]);
  expect(readDebugAltLink(elf)).toEqual(expected);
});

test('a file without them has none', () => {
  const elf = withSection('.text', [0x90]);
  expect([readDebugLink(elf), readDebugAltLink(elf)]).toEqual([undefined, undefined]);
});

test('a link that ends early is a FormatError', () => {
  expect(() => readDebugLink(withSection('.gnu_debuglink', 'af_key.ko\0'))).toThrow(FormatError);
  expect(() => readDebugAltLink(withSection('.gnu_debugaltlink', 'linux'))).toThrow(FormatError);
});
