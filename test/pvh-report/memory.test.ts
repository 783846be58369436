// `collect --memory=all` and `--memory=kernel`: the image in a report as its receivers meet it, whole, cut and hostile.
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gunzipSync, gzipSync } from 'node:zlib';
import { decompress } from 'fzstd';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type DumpImage, writeDumpCore } from '../../core/dump/dump-core.ts';
import { replaceFileBy } from '../../core/host/files.ts';
import { openCoreFile } from '../../core/target/preserved.ts';
import { FormatError } from '../../symbols/errors.ts';
import { type ArchiveFile, IMAGE, type LargeFile, sha256 } from '../../tools/pvh-report/archive.ts';
import { fitReport } from '../../tools/pvh-report/fit.ts';
import { renderManifest } from '../../tools/pvh-report/manifest.ts';
import { CompressedDump } from '../../tools/pvh-report/memory/compressed-dump.ts';
import { takeImage } from '../../tools/pvh-report/memory/image.ts';
import { Spool } from '../../tools/pvh-report/memory/spool.ts';
import { openCompressor } from '../../tools/pvh-report/memory/zstd.ts';
import { packArchive, packedSize, piecesOf } from '../../tools/pvh-report/pack.ts';
import { readReport, unpackReport } from '../../tools/pvh-report/report.ts';
import { Host } from '../kernel/guest.ts';
import { collectReport, crash, type Made, vmlinuxOf } from './crashed.ts';
import { madeUpFiles, madeUpManifest, scratchFolder } from './support.ts';

const SAMPLE = 'crash-on-vcpu1';
const MIB = 1 << 20;
const GOLDEN = fileURLToPath(new URL('../golden/xen-4.17/core.sysrq1.reduced.gz', import.meta.url));
const bin = fileURLToPath(new URL('../../dist/tools/bin/pvh-report.js', import.meta.url));

async function whole(pieces: AsyncIterable<Uint8Array> | Iterable<Uint8Array>): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const piece of pieces) parts.push(piece.slice());
  return Buffer.concat(parts);
}

/** The report again with other bytes for its image. */
async function repacked(path: string, change: (image: Buffer) => Buffer): Promise<Buffer> {
  const { files, image, folder } = await unpackReport(path);
  if (!image) throw new Error('no image');
  const bytes = change(await whole(image.chunks()));
  const listed = [...files].map(([name, content]) => ({ name, bytes: content }));
  return whole(
    piecesOf(await packArchive(folder, listed, { ...image, size: bytes.length, chunks: () => [bytes] })),
  );
}

describe('a report with all of the memory', { timeout: 180_000 }, () => {
  let host: Host;
  let domid: number;
  let all: Made;
  const file = (name: string): string => join(host.stateDir, name);
  const collected = (name: string, ...options: string[]): Made =>
    collectReport(host, domid, '-o', file(name), ...options);

  beforeAll(async () => {
    host = new Host();
    domid = await crash(host, SAMPLE);
    all = collected('all.tar.gz', '--memory=all');
  });
  afterAll(() => host[Symbol.dispose]());

  test('tar and zstd give a dump of which xenctx prints what it prints of the domain', () => {
    const folder = file('all');
    mkdirSync(folder);
    execFileSync('tar', ['xzf', all.path, '-C', folder, '--strip-components=1']);
    const [readme, text, page] = ['README.txt', 'report.txt', 'report.html'].map((name) =>
      readFileSync(join(folder, name), 'utf8'),
    );
    const opened = 'zstd -d memory-image.core.zst, then xenctx -C memory-image.core';
    expect(readme).toContain(`\n${IMAGE} has the memory of the guest`);
    expect(readme).toContain(`\n${opened}`);
    expect(text).toMatch(new RegExp(`^memory image +everything, (\\d+) of \\1 frames: ${opened}$`, 'm'));
    expect(page).toContain('<dt>memory image</dt>');
    writeFileSync(file('all.core'), decompress(readFileSync(join(folder, IMAGE))));
    const flags = ['-s', vmlinuxOf(SAMPLE), '-f', '-a', '-C'];
    expect(host.ok('xenctx', ...flags, file('all.core'))).toBe(host.ok('xenctx', ...flags, String(domid)));
  });

  test.each<[string, (path: string) => unknown]>([
    ['a dump of QEMU', (path) => host.ok('pvh-report', 'export', '-q', '-o', path, String(domid))],
    ['a dump of a real Xen', (path) => writeFileSync(path, gunzipSync(readFileSync(GOLDEN)))],
  ])('of %s it has the registers that are known, and is as good as that', (kind, make) => {
    const dump = file(kind);
    make(dump);
    const folder = file(`${kind}, unpacked`);
    mkdirSync(folder);
    const path = file(`${kind}.tar.gz`);
    host.ok('pvh-report', 'collect', '-q', '--memory=all', '-o', path, dump);
    execFileSync('tar', ['xzf', path, '-C', folder, '--strip-components=1']);
    writeFileSync(join(folder, 'image.core'), decompress(readFileSync(join(folder, IMAGE))));
    const seen = host.ok('xenctx', '-a', '-C', dump);
    expect(seen).toContain('cr3: ');
    for (const name of ['image.core', 'memory.core'])
      expect(host.ok('xenctx', '-a', '-C', join(folder, name))).toBe(seen);
  });

  test('it is listed with its SHA-256, comes last, and is not compressed twice', async () => {
    const { manifest, image, digest } = await unpackReport(all.path);
    if (!image) throw new Error('no image');
    expect(manifest.files.find(({ name }) => name === IMAGE)).toMatchObject({
      sha256: image.sha256,
      bytes: image.size,
      origin: 'raw',
      privacy: 'maybe',
    });
    expect(manifest.memory?.image).toMatchObject({ taken: 'all', unknown: 0 });
    const packed = readFileSync(all.path);
    expect(packed.includes((await whole(image.chunks())).subarray(0, 4096))).toBe(true);
    const tar = gunzipSync(packed);
    expect([sha256(tar), sha256(tar)]).toEqual([all.digest, digest]);
    expect(execFileSync('tar', ['tzf', all.path], { encoding: 'utf8' }).trim().endsWith(`/${IMAGE}`)).toBe(
      true,
    );
  });

  test('twenty times the same bytes', () => {
    const digests = Array.from({ length: 20 }, (_, round) => {
      const cwd = file(`folder ${round}`);
      mkdirSync(cwd);
      const env = { ...process.env, PVH_STATE_DIR: host.stateDir, TZ: round % 2 ? 'Asia/Kathmandu' : 'UTC' };
      const args = [bin, 'collect', String(domid), '-q', '--memory=all'];
      const { stdout } = spawnSync(process.execPath, args, { cwd, env, encoding: 'utf8' });
      return sha256(readFileSync(stdout.trim()));
    });
    expect(new Set(digests)).toEqual(new Set([sha256(readFileSync(all.path))]));
  });

  test('verify finds a changed image', async () => {
    expect(host.run('pvh-report', 'verify', all.path)).toMatchObject({ status: 0, stderr: '' });
    const flipped = readFileSync(all.path);
    flipped.writeUInt8(flipped.readUInt8(flipped.length - 3000) ^ 1, flipped.length - 3000);
    writeFileSync(file('flipped.tar.gz'), flipped);
    expect(host.run('pvh-report', 'verify', file('flipped.tar.gz'))).toMatchObject({
      status: 2,
      stderr: expect.stringContaining('not a whole gzip file'),
    });
    const zeros = await repacked(all.path, (image) => Buffer.alloc(image.length));
    writeFileSync(file('changed.tar.gz'), zeros);
    const differs = `${IMAGE} is not what the manifest says: its SHA-256 differs`;
    expect(host.run('pvh-report', 'verify', file('changed.tar.gz'))).toMatchObject({
      status: 1,
      stdout: `${differs}\n`,
    });
    await expect(readReport(file('changed.tar.gz'))).rejects.toThrow(differs);
  });

  test('symbols later give the bytes of symbols at once', () => {
    const vmlinux = vmlinuxOf(SAMPLE);
    const named = collected('named.tar.gz', '--memory=all', '-s', vmlinux);
    host.ok('pvh-report', 'symbolize', all.path, '-s', vmlinux, '-o', file('later.tar.gz'));
    expect(readFileSync(file('later.tar.gz')).equals(readFileSync(named.path))).toBe(true);
  });

  test('it is the same crash as without the image', () => {
    const without = collected('without.tar.gz');
    expect(host.run('pvh-report', 'diff', without.path, all.path).status).toBe(0);
    expect(host.run('pvh-report', 'diff', all.path, all.path).status).toBe(0);
  });

  test('show, mail, signature, triage and replay take it', () => {
    for (const [command, ...options] of [
      ['show', '--html', '-o', file('page.html')],
      ['mail'],
      ['signature'],
      ['triage'],
      ['replay'],
    ])
      expect(host.run('pvh-report', command ?? '', all.path, ...options)).toMatchObject({ status: 0 });
  });

  test('fit leaves it out first, and takes the report as it is where it fits', async () => {
    const size = statSync(all.path).size;
    const fitted = await fitReport(await unpackReport(all.path), size, { bytes: size - 1, what: 'a test' });
    expect(fitted?.dropped.map(({ item }) => item)).toEqual([IMAGE]);
    writeFileSync(file('fitted.tar.gz'), fitted?.bytes ?? '');
    const { manifest, image } = await unpackReport(file('fitted.tar.gz'));
    expect(image).toBeUndefined();
    expect(manifest.memory).toMatchObject({ taken: 'stacks', image: undefined });
    expect(host.ok('pvh-report', 'show', file('fitted.tar.gz'))).not.toContain('memory image');
    expect(host.run('pvh-report', 'verify', file('fitted.tar.gz'))).toMatchObject({ status: 0, stderr: '' });
    host.ok('pvh-report', 'fit', all.path, '--fit=none', '-o', file('same.tar.gz'));
    expect(readFileSync(file('same.tar.gz')).equals(readFileSync(all.path))).toBe(true);
    expect(collected('small.tar.gz', '--memory=all', '--fit=none').digest).toBe(all.digest);
  });

  test.each([[[]], [['--keep', 'memory']]])('redact never keeps it (%s)', async (options) => {
    host.ok('pvh-report', 'redact', all.path, '-o', file('redacted.tar.gz'), ...options);
    const { manifest, image, files } = await unpackReport(file('redacted.tar.gz'));
    expect(image ?? files.get(IMAGE)).toBeUndefined();
    expect(manifest.missing.find(({ item }) => item === IMAGE)?.cause).toBe('redacted');
    expect(manifest.memory?.image).toBeUndefined();
    expect(manifest.memory?.taken).toBe(options.length > 0 ? 'stacks' : 'none');
    expect(host.run('pvh-report', 'diff', file('redacted.tar.gz'), all.path).status).toBe(0);
  });

  test('collect --redact does not have it either', async () => {
    host.ok('pvh-report', 'collect', String(domid), '-q', '--memory=all', '--redact', '-o', file('r.tar.gz'));
    expect((await unpackReport(file('r.tar.gz'))).image).toBeUndefined();
  });

  test('what no kernel tells of is left out with the reason, and the report says that it is partial', async () => {
    const path = file('kernel.tar.gz');
    const ran = host.run('pvh-report', 'collect', String(domid), '-q', '--memory=kernel', '-o', path);
    expect(ran).toMatchObject({ status: 3, stderr: expect.stringMatching(/^missing: memory-image/m) });
    const { manifest, image } = await unpackReport(path);
    expect(image).toBeUndefined();
    expect(manifest.missing).toContainEqual({
      item: IMAGE,
      reason: expect.stringContaining('what its pages are used for cannot be told: not a Linux kernel'),
      cause: 'failed',
      required: true,
    });
  });

  test('--skip leaves it out, and what takes too long has that as its reason', async () => {
    const { path } = collected('late.tar.gz', '--memory=all', '--skip', IMAGE);
    const { manifest } = await unpackReport(path);
    expect(manifest.missing).toContainEqual(expect.objectContaining({ item: IMAGE, cause: 'skipped' }));
    const target = openCoreFile(join(host.stateDir, 'domains', String(domid), 'core.elf'));
    using spool = new Spool(host.stateDir);
    const known = { linux: undefined, kept: new Set<number>() };
    const { signal } = new AbortController();
    const taken = await takeImage(target, { kind: 'all', spool, seconds: 0 }, known, signal);
    target.close();
    expect(taken).toMatchObject({ problem: expect.stringContaining('not done in time'), cause: 'time' });
  });

  test('--dry-run tells of it only when it is asked for', () => {
    const plan = (...options: string[]) =>
      host.ok('pvh-report', 'collect', String(domid), '--dry-run', ...options);
    expect(plan()).not.toContain(IMAGE);
    expect(plan('--memory=kernel')).toContain(IMAGE);
    expect(host.ok('pvh-report', 'collect', String(domid), '-q', '--memory=all', '--estimate')).toMatch(
      /^memory-image\.core\.zst +\d+ +\(above\)$/m,
    );
  });

  test('a collection that is killed at any moment leaves the old file or the new one, and nothing aside', async () => {
    const folder = file('killed');
    mkdirSync(folder);
    const path = join(folder, 'killed.tar.gz');
    const old = collectReport(host, domid, '-o', path);
    for (let round = 0; round < 12; round++) {
      const args = [bin, 'collect', String(domid), '-q', '--memory=all', '-o', path];
      const env = { ...process.env, PVH_STATE_DIR: host.stateDir };
      const child = spawn(process.execPath, args, { env, stdio: 'ignore' });
      const ended = new Promise((resolve) => child.on('exit', resolve));
      const timer = setTimeout(() => child.kill('SIGKILL'), 200 + round * 60);
      await ended;
      clearTimeout(timer);
      const report = await readReport(path);
      expect([old.digest, all.digest]).toContain(report.digest);
      expect(readdirSync(folder).filter((name) => name.includes('memory-image'))).toEqual([]);
    }
  });
});

describe('an image from somebody else', { timeout: 120_000 }, () => {
  const folder = scratchFolder();
  afterAll(() => folder.remove());
  const crashed = { frames: ['panic', 'mount_root'], console: 'Panic: no root\n' };

  const imageOf = (bytes: Buffer, count = 1): LargeFile => {
    const hash = createHash('sha256');
    for (let index = 0; index < count; index++) hash.update(bytes);
    return {
      name: IMAGE,
      size: bytes.length * count,
      sha256: hash.digest('hex'),
      *chunks() {
        for (let index = 0; index < count; index++) yield bytes;
      },
    };
  };

  function filesWith(image: LargeFile): ArchiveFile[] {
    const files = madeUpFiles(crashed);
    const manifest = madeUpManifest(crashed, files);
    const entry = {
      name: IMAGE,
      sha256: image.sha256,
      bytes: image.size,
      origin: 'raw',
      privacy: 'maybe',
    } as const;
    const text = renderManifest({ ...manifest, files: [...manifest.files, entry] });
    return [{ name: 'manifest.json', bytes: Buffer.from(text) }, ...files];
  }

  const noise = (bytes: number): Buffer =>
    createHash('shake256', { outputLength: bytes }).update(`${bytes}`).digest();

  async function reportWith(name: string, image: LargeFile): Promise<string> {
    const path = join(folder.path, name);
    const archive = await packArchive('report', filesWith(image), image);
    await replaceFileBy(path, piecesOf(archive));
    expect(statSync(path).size).toBe(packedSize(archive));
    return path;
  }

  test('a large one is read in little memory', async () => {
    const image = imageOf(noise(MIB), 256);
    const path = await reportWith('large.tar.gz', image);
    expect((await readReport(path)).digest).toMatch(/^[0-9a-f]{64}$/);
    const script = "process.on('exit',()=>process.stderr.write('RSS '+process.resourceUsage().maxRSS))";
    const { stderr, stdout } = spawnSync(
      process.execPath,
      [`--import=data:text/javascript,${encodeURIComponent(script)}`, bin, 'signature', path],
      { encoding: 'utf8' },
    );
    expect(stdout).toContain('mount_root');
    expect(Number(/RSS (\d+)/.exec(stderr)?.[1])).toBeLessThan(200 << 10);
  });

  test('one that is a bomb of zstd is never unpacked', async () => {
    // A frame of 2^40 bytes without end: blocks that repeat one byte 128 KiB (RFC 8878 3.1.1.2).
    const frame = Buffer.concat([
      Buffer.from('28b52ffdc0580000000000010000', 'hex'),
      ...Array.from({ length: 1000 }, () => Buffer.from([0x02, 0x00, 0x10, 0])),
    ]);
    const path = await reportWith('zstd-bomb.tar.gz', imageOf(frame));
    expect((await readReport(path)).signature.title).toBe('Panic: no root');
  });

  test.each([
    ['at once', 1],
    ['piece by piece', 20],
  ])('one that unpacks to more than it takes is refused (read %s)', async (_, mebibytes) => {
    const start = noise(mebibytes * MIB);
    const zeros = Buffer.alloc(16 * MIB);
    const image = imageOf(zeros, 32);
    const { bytes, imageMember } = await packArchive('report', filesWith(image), image);
    let header = Buffer.alloc(0);
    for await (const piece of imageMember?.pieces() ?? [])
      if (piece.length > 512 && header.length === 0) header = Buffer.from(piece.subarray(5, 512 + 5));
    const bomb = [bytes, gzipSync(Buffer.concat([header, start])), ...Array(32).fill(gzipSync(zeros))];
    const path = folder.write('bomb.tar.gz', Buffer.concat(bomb));
    await expect(readReport(path)).rejects.toThrow(/^unpacks to more than \d+ bytes/);
  });

  test.each([
    ['at once', 1],
    ['piece by piece', 20],
  ])('one that is cut is refused, and what follows one (read %s)', async (_, mebibytes) => {
    const path = await reportWith('cut.tar.gz', imageOf(noise(MIB), mebibytes));
    await expect(readReport(path)).resolves.toBeDefined();
    const packed = readFileSync(path);
    for (const length of [packed.length - 4, packed.length - 2000, packed.length >> 1]) {
      writeFileSync(path, packed.subarray(0, length));
      const error = await readReport(path).catch((thrown) => thrown);
      expect(error).toBeInstanceOf(FormatError);
      expect(error.message).toMatch(/not a whole (gzip file|tar archive)/);
    }
    // zlib takes a zero behind the end for padding.
    writeFileSync(path, Buffer.concat([packed, Buffer.from('\0more')]));
    await expect(readReport(path)).rejects.toThrow(/^5 bytes behind its end/);
  });

  test('one that is not the last file, not listed or not there is refused', async () => {
    const image = imageOf(noise(1000));
    const [manifest, ...files] = filesWith(image);
    if (!manifest) throw new Error('no manifest');
    const inside = { name: IMAGE, bytes: noise(1000) };
    const cases: [ArchiveFile[], LargeFile | undefined, RegExp][] = [
      [[manifest, inside, ...files], undefined, /follows the image of the memory/],
      [[manifest, ...files], imageOf(noise(999)), /is not what the manifest says/],
      [[manifest, ...files], undefined, /"memory-image\.core\.zst" is missing/],
    ];
    for (const [listed, last, message] of cases) {
      const packed = await whole(piecesOf(await packArchive('report', listed, last)));
      await expect(readReport(folder.write('odd.tar.gz', packed))).rejects.toThrow(message);
    }
    const unlisted = await packArchive(
      'report',
      [
        { name: 'manifest.json', bytes: Buffer.from(renderManifest(madeUpManifest(crashed, files))) },
        ...files,
      ],
      image,
    );
    const path = folder.write('unlisted.tar.gz', await whole(piecesOf(unlisted)));
    await expect(readReport(path)).rejects.toThrow(/memory-image\.core\.zst is not in the manifest/);
  });
});

test('a compressed dump is the dump, wherever its zeros are', () => {
  const compress = openCompressor();
  if (!compress) throw new Error('no compressor');
  const layouts: (readonly [first: number, count: number, zero: (gfn: number) => boolean, run: number])[] = [
    [0, 0, () => false, 1],
    [0, 1000, () => false, 1],
    [0, 3000, () => true, 1],
    [5, 3000, (gfn) => gfn < 1500, 1],
    [7, 3000, (gfn) => gfn > 100 && gfn < 2000 && gfn !== 1500, 1],
    // 1 MiB at once, before, between and behind smaller ones and zeros.
    [0, 1024, () => false, 256],
    [3, 1100, (gfn) => gfn > 300 && gfn < 500, 256],
    [3, 1100, (gfn) => gfn < 700, 100],
  ];
  for (const [first, count, zero, run] of layouts) {
    const frames = (): DumpImage['frames'] =>
      Array.from({ length: Math.ceil(count / run) }, (_, index) => {
        const gfn = first + index * run;
        const length = Math.min(run, first + count - gfn);
        const pages = Array.from({ length }, (_, at) => new Uint8Array(4096).fill((gfn + at) % 256 || 1));
        return [gfn, zero(gfn) ? undefined : Buffer.concat(pages), length];
      });
    const image = { vcpus: [], xen: { major: 4, minor: 17, extra: '' } };
    const plain = new Uint8Array(16 * MIB);
    const size = writeDumpCore(
      { write: (offset, bytes) => plain.set(bytes, offset) },
      { ...image, frames: frames() },
    );
    const body: Uint8Array[] = [];
    const dump = new CompressedDump(compress, (frame) => body.push(frame));
    writeDumpCore(dump, { ...image, frames: frames() });
    const back = Buffer.concat([...dump.finish(), ...body].map((frame) => decompress(frame)));
    expect(back.equals(plain.subarray(0, size))).toBe(true);
  }
});
