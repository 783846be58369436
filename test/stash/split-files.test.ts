// Modules as they are installed: their debug information split off (.gnu_debuglink) or not, and packed. Made by the real tools.
import { execFileSync } from 'node:child_process';
import { appendFileSync, mkdirSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeEach, describe, expect, test } from 'vitest';
import { Stash } from '../../tools/shared/stash.ts';
import { openSymbolFile } from '../../tools/shared/symbol-file.ts';
import { searchModule } from '../../tools/shared/symbol-search.ts';

const RELEASE = '6.1.0-56-cloud-amd64';
const FOLDER = `lib/modules/${RELEASE}/kernel/drivers`;
const wanted = { name: 'my_driver', buildId: undefined, release: RELEASE };

const top = mkdtempSync(join(tmpdir(), 'pvh-split-'));
afterAll(() => rmSync(top, { recursive: true }));

let root: string;
let module: string;
const run = (program: string, ...args: string[]): Buffer =>
  execFileSync(program, args, { cwd: dirname(module) });
const search = () => searchModule(wanted, { env: { PVH_STASH_DIR: join(root, 'stash') }, root });

/** A relocatable file with source lines, at the place of a module. */
beforeEach(() => {
  root = mkdtempSync(join(top, 'root-'));
  module = join(root, FOLDER, 'my-driver.ko');
  mkdirSync(dirname(module), { recursive: true });
  writeFileSync(join(root, 'driver.c'), 'int x;\nvoid start(void) {\n  x = 1;\n}\n');
  run('gcc', '-g', '-c', '-o', module, join(root, 'driver.c'));
});

/** Splits the debug information off, into a file at `place`. */
function split(place: string): string {
  const debug = join(root, place);
  mkdirSync(dirname(debug), { recursive: true });
  run('objcopy', '--only-keep-debug', module, debug);
  run('objcopy', '--strip-debug', `--add-gnu-debuglink=${debug}`, module);
  return debug;
}

describe('debug information that was split off', () => {
  test.each([
    `${FOLDER}/driver.debug`,
    `${FOLDER}/.debug/driver.debug`,
    `usr/lib/debug/${FOLDER}/driver.debug`,
  ])('%s', async (place) => {
    const debug = split(place);
    const { file } = await search();
    expect(file?.path).toBe(debug);
    expect(file?.debugInfo?.lookup(file.table.addressOf('start') ?? 0n)).toMatchObject([
      { function: 'start', line: 2 },
    ]);
    file?.close();
  });

  test('a file of that name with another content is passed over, and told', async () => {
    const debug = split(`${FOLDER}/driver.debug`);
    appendFileSync(debug, 'x');
    const { file, looked } = await search();
    expect(file).toBeUndefined();
    expect(looked).toEqual([
      `${debug}: is not the debug file of ${module}`,
      `${module}: no debug information`,
    ]);
  });

  test('one that is damaged, too', async () => {
    const debug = split(`${FOLDER}/driver.debug`);
    truncateSync(debug, 100);
    const { file, looked } = await search();
    expect(file).toBeUndefined();
    expect(looked.join('\n')).toContain(debug);
  });
});

describe('packed files', () => {
  const packers = [
    ['gz', ['gzip']],
    ['xz', ['xz', '--check=crc32', '--lzma2=dict=1MiB']],
    ['zst', ['zstd', '-q', '--rm']],
  ] as const;
  test.each(packers)('.ko.%s is found, read and kept', async (ending, [program, ...options]) => {
    run('objcopy', '--add-section', `.note.gnu.build-id=${note()}`, module);
    run(program, ...options, module);
    const path = `${module}.${ending}`;
    const { file } = await search();
    expect(file?.path).toBe(path);
    expect(file?.debugInfo?.lookup(file.table.addressOf('start') ?? 0n)).toMatchObject([{ line: 2 }]);
    file?.close();
    const stash = new Stash(join(root, 'stash'));
    const { entry } = await stash.add(path);
    expect(entry).toMatchObject({ name: `my-driver.ko.${ending}`, debug: true, buildId: 'ab'.repeat(20) });
    const kept = stash.open(entry);
    expect(kept.table.addressOf('start')).toBeDefined();
    kept.close();
  });

  test.each(packers)('a damaged .%s file is refused', (ending, [program, ...options]) => {
    run(program, ...options, module);
    truncateSync(`${module}.${ending}`, 300);
    expect(() => openSymbolFile(`${module}.${ending}`)).toThrow(/file is damaged, or unpacks to more/);
  });

  test('more than fits into memory is refused before it is all unpacked', () => {
    writeFileSync(module, '');
    truncateSync(module, 300 << 20);
    for (const [ending, [program]] of packers) {
      run(program, '-k', '-q', '-1', module);
      expect(() => openSymbolFile(`${module}.${ending}`)).toThrow(/unpacks to more than 256 MiB/);
    }
  }, 60_000);

  /** A file with a build-id note. */
  function note(): string {
    const path = join(root, 'note');
    const bytes = Buffer.alloc(16 + 20, 0xab);
    bytes.writeUInt32LE(4, 0);
    bytes.writeUInt32LE(20, 4);
    bytes.writeUInt32LE(3, 8);
    bytes.write('GNU\0', 12);
    writeFileSync(path, bytes);
    return path;
  }
});
