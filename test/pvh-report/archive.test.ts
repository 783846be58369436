import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { afterAll, describe, expect, test } from 'vitest';
import { FormatError } from '../../symbols/errors.ts';
import { safeName } from '../../tools/pvh-report/archive.ts';
import { MANIFEST_SCHEMA, renderManifest } from '../../tools/pvh-report/manifest.ts';
import { packArchive } from '../../tools/pvh-report/pack.ts';
import { readReport } from '../../tools/pvh-report/report.ts';
import { unpackArchive, unpackArchiveFile } from '../../tools/pvh-report/unpack.ts';
import { TARS } from './hostile/bundles.ts';
import { madeUpFiles, madeUpManifest, packReport, scratchFolder } from './support.ts';

const text = (content: string) => new TextEncoder().encode(content);

const files = [
  { name: 'b.txt', bytes: text('two') },
  { name: 'a.txt', bytes: new Uint8Array(100_000) },
];

describe('the container', () => {
  test('gives back what went in, in the same order', async () => {
    const { bytes, digest } = await packArchive('report', files);
    const back = await unpackArchive(bytes, 'x');
    expect([...back.files].map(([name, content]) => ({ name, bytes: new Uint8Array(content) }))).toEqual(
      files,
    );
    expect(back.digest).toBe(digest);
  });

  test('has the same bytes every time, and no time in it', async () => {
    const [first, second] = [await packArchive('report', files), await packArchive('report', files)];
    expect(first.bytes.equals(second.bytes)).toBe(true);
    expect([...first.bytes.subarray(4, 10)]).toEqual([0, 0, 0, 0, 2, 255]);
  });

  test('names that are no file names are changed', () => {
    expect(safeName('../a b/ü')).toBe('_._a_b__');
  });

  // What is no report for another reason is a container.
  const hostile = TARS.filter(([, , reason]) => !/manifest/.test(reason.source));
  test.each(hostile)('%s is refused', async (_, make, message) => {
    const error = await unpackArchive(gzipSync(await make()), 'bad.tar.gz').catch((thrown) => thrown);
    expect(error).toBeInstanceOf(FormatError);
    expect(error.message).toMatch(message);
    expect(error.message).toContain('bad.tar.gz');
  });

  test('a bomb is refused', async () => {
    const bomb = gzipSync(Buffer.alloc(200 << 20));
    await expect(unpackArchive(bomb, 'x')).rejects.toThrow(/unpacks to more than/);
  });

  test.each([
    ['empty', Buffer.alloc(0)],
    ['no gzip', Buffer.from('hello')],
  ])('%s is refused', async (_, bytes) => {
    await expect(unpackArchive(bytes, 'x')).rejects.toThrow(/not a whole gzip file/);
  });

  test.each([1, 32 << 20])('a file of %i bytes that cannot be read is not called damaged', async (size) => {
    await expect(unpackArchiveFile('/nowhere.tar.gz', size)).rejects.toThrow(/^ENOENT: .*nowhere/);
  });

  test('a damaged archive gives FormatError or the files, never anything else', async () => {
    const { bytes } = await packArchive('report', [{ name: 'a', bytes: text('some words\n') }]);
    await fc.assert(
      fc.asyncProperty(fc.nat(bytes.length - 1), fc.integer({ min: 1, max: 255 }), async (at, flip) => {
        const damaged = Buffer.from(bytes);
        damaged[at] = (damaged[at] ?? 0) ^ flip;
        const error = await unpackArchive(damaged, 'x').catch((thrown) => thrown);
        expect(error instanceof FormatError || error.files instanceof Map).toBe(true);
      }),
      { seed: 1, numRuns: 200 },
    );
  });
});

describe('a report', () => {
  const folder = scratchFolder();
  afterAll(() => folder.remove());

  const crash = { frames: ['panic', 'mount_root'], console: 'Panic: no root\n' };
  const packed = async (...changed: { name: string; bytes: Uint8Array }[]) => {
    const original = madeUpFiles(crash);
    const manifest = text(renderManifest(madeUpManifest(crash, original)));
    const all = new Map([
      ['manifest.json', manifest],
      ...original.map(({ name, bytes }) => [name, bytes] as const),
    ]);
    for (const { name, bytes } of changed) bytes.length === 0 ? all.delete(name) : all.set(name, bytes);
    const { bytes } = await packArchive(
      'report',
      [...all].map(([name, content]) => ({ name, bytes: content })),
    );
    return folder.write('report.tar.gz', bytes);
  };

  test('is read back', async () => {
    const report = await readReport(folder.write('good.tar.gz', await packReport(crash)));
    expect(report.signature).toMatchObject({
      ending: 'crash',
      title: 'Panic: no root',
      frames: [{ symbol: 'mount_root+0x1' }],
    });
  });

  test.each([
    ['a changed file', [{ name: 'console.log', bytes: text('Panic: other\n') }], /SHA-256 differs/],
    ['a file that is gone', [{ name: 'console.log', bytes: new Uint8Array() }], /"console.log" is missing/],
    ['a file too many', [{ name: 'extra', bytes: text('x') }], /extra is not in the manifest/],
    ['no manifest', [{ name: 'manifest.json', bytes: new Uint8Array() }], /not a report/],
    ['a manifest that is no JSON', [{ name: 'manifest.json', bytes: text('{') }], /not JSON/],
    ['a manifest that is a list', [{ name: 'manifest.json', bytes: text('[]') }], /not an object/],
    [
      'another schema',
      [{ name: 'manifest.json', bytes: text('{"schema":"pvh-report/9"}') }],
      /is not pvh-report\/1/,
    ],
    [
      'a manifest of the wrong shape',
      [{ name: 'manifest.json', bytes: text(`{"schema":"${MANIFEST_SCHEMA}","domain":7}`) }],
      /domain/,
    ],
  ])('%s is refused', async (_, changed, message) => {
    const error = await readReport(await packed(...changed)).catch((thrown) => thrown);
    expect(error).toBeInstanceOf(FormatError);
    expect(error.message).toMatch(message);
  });

  test('a folder is refused', async () => {
    await expect(readReport(folder.path)).rejects.toThrow(/not a file/);
  });
});
