// The symbol stash: what goes in comes out bit for bit, and nothing half made is ever seen.
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeEach, describe, expect, test } from 'vitest';
import { FormatError } from '../../symbols/errors.ts';
import { Stash } from '../../tools/shared/stash.ts';
import { openSymbolFile } from '../../tools/shared/symbol-file.ts';
import { buildIdOf, TEXT, tinyVmlinux } from './elf.ts';

const top = mkdtempSync(join(tmpdir(), 'pvh-stash-'));
afterAll(() => rmSync(top, { recursive: true }));

let folder: string;
let stash: Stash;
beforeEach(() => {
  folder = mkdtempSync(join(top, 'stash-'));
  stash = new Stash(join(folder, 'stash'));
});

/** Bytes that do not pack well, the same every time. */
function noise(length: number): Uint8Array {
  const words = new Uint32Array(length / 4);
  let state = 1;
  for (const index of words.keys()) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    words[index] = state;
  }
  return new Uint8Array(words.buffer);
}

function file(name: string, bytes: Uint8Array): string {
  const path = join(folder, name);
  writeFileSync(path, bytes);
  return path;
}

const everythingOf = (id: number): Buffer => {
  const entry = stash.find(buildIdOf(id));
  if (!entry) throw new Error(`nothing with ${id}`);
  const source = stash.content(entry);
  try {
    return Buffer.from(source.read(0, source.size));
  } finally {
    source.close();
  }
};

const hiddenIn = (path: string): string[] => readdirSync(path).filter((name) => /^\.(new|old)/.test(name));

describe('a file that was put in', () => {
  // Around the size of a block, 65280 bytes, and some blocks that cannot be packed.
  test.each([0, 60_000, 64_000, 64_512, 65_280, 300_000])(
    'comes out bit for bit: %d bytes of noise',
    async (length) => {
      const bytes = tinyVmlinux({ id: 1, payload: noise(length) });
      const { entry, how } = await stash.add(file('vmlinux', bytes));
      expect(how).toBe('new');
      expect(entry).toMatchObject({
        buildId: buildIdOf(1),
        name: 'vmlinux',
        size: bytes.length,
        debug: false,
      });
      expect(everythingOf(1).equals(bytes)).toBe(true);
      const gunzip = spawnSync('gzip', ['-dc', join(stash.folder, buildIdOf(1), 'elf.gz')], {
        maxBuffer: 1 << 24,
      });
      expect(gunzip.stdout.equals(bytes)).toBe(true);
    },
  );

  test('gives the same symbols', async () => {
    const path = file('vmlinux', tinyVmlinux({ id: 2, symbols: ['_stext', 'schedule', 'panic'] }));
    const { entry } = await stash.add(path);
    const [kept, plain] = [stash.open(entry), openSymbolFile(path)];
    const list = ({ table }: typeof kept) =>
      Array.from({ length: table.length }, (_, i) => [
        table.name(i),
        table.address(i),
        table.size(i),
        table.letter(i),
      ]);
    expect(list(kept)).toEqual(list(plain));
    expect(kept.table.addressOf('panic')).toBe(TEXT + 32n);
    expect(kept.buildId).toBe(buildIdOf(2));
    expect(kept.elf?.sections).toEqual(plain.elf?.sections);
    kept.close();
    plain.close();
  });

  test('is listed and can be removed', async () => {
    await stash.add(file('b', tinyVmlinux({ id: 4 })));
    await stash.add(file('a', tinyVmlinux({ id: 3, debug: true })));
    expect(stash.list().map(({ name, debug }) => [name, debug])).toEqual([
      ['a', true],
      ['b', false],
    ]);
    expect(stash.match('0303')).toEqual([buildIdOf(3)]);
    expect(await stash.remove(buildIdOf(3))).toBe(true);
    expect(await stash.remove(buildIdOf(3))).toBe(false);
    expect(stash.list().map(({ name }) => name)).toEqual(['b']);
    expect(hiddenIn(stash.folder)).toEqual([]);
  });
});

describe('a second file of the same build', () => {
  const plain = tinyVmlinux({ id: 5 });
  const debug = tinyVmlinux({ id: 5, debug: true });
  test.each([
    ['the same', plain, plain, 'there', plain],
    ['one with more in it', plain, debug, 'replaced', debug],
    ['one with less in it', debug, plain, 'better', debug],
  ])('%s', async (_, first, second, how, stays) => {
    await stash.add(file('first', first));
    expect((await stash.add(file('second', second))).how).toBe(how);
    expect(everythingOf(5).equals(stays)).toBe(true);
    expect(hiddenIn(stash.folder)).toEqual([]);
  });

  test('at the same moment: one wins, both are content', async () => {
    const path = file('vmlinux', tinyVmlinux({ id: 6, payload: noise(1 << 20) }));
    const outcomes = await Promise.all([stash.add(path), new Stash(stash.folder).add(path), stash.add(path)]);
    expect(outcomes.map(({ how }) => how).sort()).toEqual(['new', 'there', 'there']);
    expect(everythingOf(6).equals(readFileSync(path))).toBe(true);
    expect(hiddenIn(stash.folder)).toEqual([]);
  });
});

describe('what cannot be kept', () => {
  const bzImageHead = new Uint8Array(4096);
  bzImageHead.set(new TextEncoder().encode('HdrS'), 0x202);
  test.each([
    [
      'a System.map',
      new TextEncoder().encode('ffffffff81000000 T _text\n'),
      'not an ELF file: keep the vmlinux',
    ],
    ['a bzImage', bzImageHead, 'a bzImage, which has no source lines: keep the vmlinux'],
    ['a stripped file', tinyVmlinux({ id: 7, symbols: [] }), 'no symbols in it'],
    ['half an ELF file', tinyVmlinux({ id: 7 }).subarray(0, 200), 'bytes wanted'],
  ])('%s', async (_, bytes, message) => {
    await expect(stash.add(file('given', bytes))).rejects.toThrow(message);
    expect(existsSync(stash.folder)).toBe(false);
  });
  test.each(['../../etc', '', 'xyz', 'AB'.repeat(20), '..'])('no build-id: %j', async (id) => {
    expect(stash.find(id)).toBeUndefined();
    expect(await stash.remove(id)).toBe(false);
  });
});

describe('damage is noticed', () => {
  const bytes = tinyVmlinux({ id: 8, payload: noise(200_000) });
  const inEntry = (name: string): string => join(stash.folder, buildIdOf(8), name);
  const flip = (name: string, at: number): void => {
    const content = readFileSync(inEntry(name));
    content[at] = (content[at] ?? 0) ^ 0x10;
    writeFileSync(inEntry(name), content);
  };
  beforeEach(async () => {
    await stash.add(file('vmlinux', bytes));
  });
  const entry = () => {
    const found = stash.find(buildIdOf(8));
    if (!found) throw new Error('gone');
    return found;
  };

  test.each([
    ['a bit of a block', () => flip('elf.gz', 100_000)],
    ['the header of a block', () => flip('elf.gz', 3)],
    ['the index of the blocks', () => flip('elf.gz.gzi', 9)],
    [
      'the end is missing',
      () => writeFileSync(inEntry('elf.gz'), readFileSync(inEntry('elf.gz')).subarray(0, 90_000)),
    ],
    ['the index is missing', () => rmSync(inEntry('elf.gz.gzi'))],
    ['the symbol table', () => flip('symbols', 40)],
  ])('%s', async (_, damage) => {
    stash.verify(entry());
    damage();
    expect(() => stash.verify(entry())).toThrow(
      /damaged|FormatError|wanted|index|no such file|order|possible/,
    );
  });
  test('a damaged symbol table is made anew from the file', () => {
    flip('symbols', 40);
    const kept = stash.open(entry());
    expect(kept.table.addressOf('panic')).toBe(TEXT + 16n);
    kept.close();
  });
  test('a damaged entry is told, and the others are listed', async () => {
    await stash.add(file('other', tinyVmlinux({ id: 9 })));
    writeFileSync(inEntry('entry.json'), '{');
    const told: Error[] = [];
    expect(stash.list((problem) => told.push(problem)).map(({ name }) => name)).toEqual(['other']);
    expect(told).toHaveLength(1);
    expect(told[0]).toBeInstanceOf(FormatError);
    expect((await stash.add(join(folder, 'vmlinux'))).how).toBe('replaced');
    stash.verify(entry());
  });
});

const compiler = spawnSync('gcc', ['--version']).status === 0 || process.env['CI'] === 'true';
describe.runIf(compiler)('source lines', () => {
  const SOURCE =
    'static inline __attribute__((always_inline)) int twice(int x) {\n  volatile int y = x;\n  return y * 2;\n}\nint calls(int x) {\n  return twice(x) + 1;\n}\nint _start(void) { return calls(1); }\n';
  /** An executable or a relocatable file, with its build-id. */
  function compiled(kind: 'executable' | 'relocatable'): string {
    writeFileSync(join(folder, 'lines.c'), SOURCE);
    const path = join(folder, kind);
    const link = kind === 'executable' ? ['-nostdlib', '-static'] : ['-r', '-nostdlib'];
    const flags = ['-g', '-O1', '-fno-inline-small-functions', '-Wl,--build-id', ...link];
    const { status, stderr } = spawnSync('gcc', [...flags, '-o', path, 'lines.c'], { cwd: folder });
    if (status !== 0) throw new Error(String(stderr));
    return path;
  }
  test.each(['executable', 'relocatable'] as const)('are the same from the stash: %s', async (kind) => {
    const path = compiled(kind);
    const { entry } = await stash.add(path);
    expect(entry.debug).toBe(true);
    stash.verify(entry);
    const [kept, plain] = [stash.open(entry), openSymbolFile(path)];
    const index = plain.table.find('calls') ?? 0;
    const [start, size] = [plain.table.address(index), plain.table.size(index)];
    expect(size).toBeGreaterThan(4);
    const lines = new Set<number | undefined>();
    for (let at = 0; at < size; at++) {
      const frames = plain.debugInfo?.lookup(start + BigInt(at)) ?? [];
      expect(kept.debugInfo?.lookup(start + BigInt(at))).toEqual(frames);
      for (const { line, file } of frames) lines.add(file?.endsWith('lines.c') ? line : undefined);
    }
    expect([...lines]).toEqual(expect.arrayContaining([2, 3, 6]));
    kept.close();
    plain.close();
  });
  test('a damaged index is told by verify', async () => {
    const { entry } = await stash.add(compiled('executable'));
    const path = join(stash.folder, entry.buildId, 'debug-index');
    const bytes = readFileSync(path);
    bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 1;
    writeFileSync(path, bytes);
    expect(() => stash.verify(entry)).toThrow('index of source lines is damaged');
    rmSync(path);
    const kept = stash.open(entry);
    expect(kept.debugInfo?.lookup(kept.table.addressOf('calls') ?? 0n)).not.toEqual([]);
    kept.close();
  });
});

/** Puts a file into a stash in a process of its own, which says `started` when it has begun to write. */
const ADDER = fileURLToPath(new URL('add.ts', import.meta.url));
const LOADER = fileURLToPath(new URL('../../tools/dev/typescript.mjs', import.meta.url));

describe('a process that is killed half way', () => {
  test('leaves nothing that is seen, and the next one cleans up', async () => {
    const path = file('vmlinux', tinyVmlinux({ id: 10, payload: noise(8 << 20) }));
    const child = spawn(process.execPath, ['--import', LOADER, ADDER, stash.folder, path], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const ended = new Promise((resolve) => child.once('exit', resolve));
    await new Promise((resolve) => child.stdout.once('data', resolve));
    child.kill('SIGKILL');
    await ended;
    expect(hiddenIn(stash.folder)).toHaveLength(1);
    expect(stash.list()).toEqual([]);
    expect((await stash.add(path)).how).toBe('new');
    expect(hiddenIn(stash.folder)).toEqual([]);
    expect(everythingOf(10).equals(readFileSync(path))).toBe(true);
  });
});

const mayMount = spawnSync('mount', ['--version']).status === 0 && process.getuid?.() === 0;
test.runIf(mayMount)('a full disk leaves nothing', async ({ skip }) => {
  const disk = mkdtempSync(join(top, 'disk-'));
  if (spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', disk]).status !== 0) skip('no mount here');
  try {
    const full = new Stash(join(disk, 'stash'));
    const path = file('vmlinux', tinyVmlinux({ id: 11, payload: noise(4 << 20) }));
    await expect(full.add(path)).rejects.toThrow('ENOSPC');
    expect(readdirSync(full.folder)).toEqual([]);
    expect((await full.add(file('small', tinyVmlinux({ id: 12 })))).how).toBe('new');
  } finally {
    spawnSync('umount', [disk]);
  }
});
