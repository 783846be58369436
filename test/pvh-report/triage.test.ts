// `pvh-report triage`: what a user sees of many reports, and that the index stays right whatever happens to it and beside it.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  appendFileSync,
  chmodSync,
  copyFileSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { DuckDBInstance } from '@duckdb/node-api';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { parseCrash } from '../../tools/pvh-report/crash.ts';
import { renderManifest } from '../../tools/pvh-report/manifest.ts';
import { packArchive } from '../../tools/pvh-report/pack.ts';
import { renderSignature, signatureOf } from '../../tools/pvh-report/signature.ts';
import type { Triage } from '../../tools/pvh-report/triage/groups.ts';
import { pvhReport } from './run.ts';
import { type MadeUpCrash, madeUpFiles, madeUpManifest, packReport, scratchFolder } from './support.ts';

let folder: ReturnType<typeof scratchFolder>;
beforeEach(() => {
  folder = scratchFolder();
});
afterEach(() => folder.remove());

const run = (...argv: string[]) => pvhReport('triage', ...argv);

const NO_ROOT: MadeUpCrash = {
  frames: ['panic', 'mount_root', 'prepare_namespace'],
  console: 'Linux version 6.1.0-56 (x)\nKernel panic - not syncing: VFS: no root\n',
  buildId: 'aaaa1111bbbb2222',
};
const NULL: MadeUpCrash = {
  frames: ['exc_page_fault', 'sum_ring', 'audit'],
  console: 'BUG: kernel NULL pointer dereference, address: 0000000000000008\n',
  buildId: 'cccc3333',
};

/** Writes a report with a modification time of its own: minutes after noon. */
async function report(name: string, crash: MadeUpCrash, minute = 0): Promise<string> {
  const path = folder.write(name, await packReport(crash));
  const time = new Date(Date.UTC(2026, 10, 22, 12, minute));
  utimesSync(path, time, time);
  return path;
}

const json = async (...argv: string[]): Promise<Triage> => {
  const { out, err } = await run(...argv, '--json', '-q');
  expect(err).toBe('');
  return JSON.parse(out);
};

const built = fileURLToPath(new URL('../../dist/tools/bin/pvh-report.js', import.meta.url));

const parts = (): string[] =>
  readdirSync(join(folder.path, '.pvh-triage')).filter((name) => name.endsWith('.parquet'));

describe('groups', () => {
  test('reports of one crash together, most frequent first, what is no report at the end', async () => {
    await report('a.tar.gz', NO_ROOT, 0);
    await report('b.tar.gz', { ...NO_ROOT, name: 'other', buildId: 'dddd4444' }, 2);
    await report('c.tar.gz', { ...NO_ROOT, missing: [{ item: 'x', reason: 'y', required: true }] }, 1);
    mkdirSync(join(folder.path, 'sub'));
    await report('sub/d.tar.gz', NULL, 3);
    folder.write('e.tar.gz', new TextEncoder().encode('no report'));
    folder.write('notes.txt', new TextEncoder().encode('is not looked at'));
    const { status, out, err } = await run(folder.path);
    expect(err).toMatch(/^index: 5 read, 0 as before, 0 gone$/m);
    expect(
      out.replaceAll(folder.path, 'DIR'),
    ).toBe(`5 reports in 2 groups, 1 not readable (index DIR/.pvh-triage)

      3  ${sha8('panic: VFS: no root | mount_root | prepare_namespace')} panic: VFS: no root
                  in mount_root < prepare_namespace
                  crash; 2026-11-22 12:00:00 to 2026-11-22 12:02:00 UTC; 2 domains; 1 partial
                  kernel aaaa1111bbbb (2), dddd4444 (1); Xen 4.17.0-pvh-report
                  DIR/b.tar.gz

      1  ${sha8('page fault: kernel NULL pointer dereference, address: <address> | sum_ring | audit')} page fault: kernel NULL pointer dereference, address: <address>
                  in sum_ring < audit
                  crash; 2026-11-22 12:03:00 UTC; 1 domain
                  kernel cccc3333; Xen 4.17.0-pvh-report
                  DIR/sub/d.tar.gz

Not readable
  DIR/e.tar.gz: not a whole gzip file
`);
    expect(status).toBe(3);
  });

  test('since and limit', async () => {
    await report('a.tar.gz', NO_ROOT, 0);
    await report('b.tar.gz', NULL, 5);
    await report('c.tar.gz', NULL, 6);
    const { out, status } = await run(folder.path, '-q', '--limit', '1');
    expect(out).toMatch(/^3 reports in 2 groups \(/);
    expect(out).toContain('... 1 smaller group more (--limit)');
    expect(status).toBe(0);
    expect(await json(folder.path, '--since', '2026-11-22T12:06')).toMatchObject({ reports: 1, groups: 1 });
    expect(await json(folder.path, '--since', '2026-11-23')).toMatchObject({ reports: 0, groups: 0 });
    expect((await run(folder.path, '--since', 'monday')).err).toMatch(/neither a date like/);
  });

  test('a pattern means the files that match it, and others in the index are not forgotten', async () => {
    mkdirSync(join(folder.path, 'x/y'), { recursive: true });
    await report('web1.tar.gz', NULL);
    await report('x/y/web2.tar.gz', NULL);
    await report('x/y/db.tar.gz', NO_ROOT);
    const index = ['--index', join(folder.path, 'index')];
    expect((await json(folder.path, ...index)).reports).toBe(3);
    expect((await json(join(folder.path, '**/web?.tar.gz'), ...index)).reports).toBe(2);
    expect((await json(join(folder.path, 'x/*/*'), ...index)).reports).toBe(2);
    expect((await json(join(folder.path, 'x/y/db.tar.gz'), ...index)).largest).toMatchObject([
      { reports: 1, example: join(folder.path, 'x/y/db.tar.gz') },
    ]);
    const { err } = await run(folder.path, ...index);
    expect(err).toBe('index: 0 read, 3 as before, 0 gone\n');
  });

  test('texts of a report do not reach the terminal as they are, nor the database as SQL', async () => {
    await report('a.tar.gz', {
      ...NULL,
      name: "x'); DROP TABLE known; --",
      console: 'BUG: \x1b[31mred\u202e\x9b2J\n',
    });
    const { out } = await run(folder.path, '-q');
    expect(out).toMatch(/BUG: \?\[31mred\?+2J/);
    const asked = await run(folder.path, '-q', '--sql', 'SELECT domain FROM reports');
    expect(asked.out).toBe("domain\nx'); DROP TABLE known; --\n");
  });
});

describe('the index', () => {
  test('reads only what is new or changed, and marks what has gone', async () => {
    const first = await report('a.tar.gz', NO_ROOT);
    await report('b.tar.gz', NULL);
    expect((await run(folder.path)).err).toContain('index: 2 read, 0 as before, 0 gone\n');
    expect((await run(folder.path)).err).toBe('index: 0 read, 2 as before, 0 gone\n');
    await report('c.tar.gz', NULL);
    await report('b.tar.gz', NO_ROOT, 7);
    rmSync(first);
    const { out, err } = await run(folder.path, '--json');
    expect(err).toContain('index: 2 read, 0 as before, 1 gone\n');
    expect(JSON.parse(out).largest.map(({ reports }: { reports: number }) => reports)).toEqual([1, 1]);
    expect((await run(folder.path, '-q', '--sql', 'SELECT path FROM removed')).out).toBe('path\na.tar.gz\n');
    await report('a.tar.gz', NO_ROOT);
    expect(await json(folder.path)).toMatchObject({ reports: 3 });
    expect((await run(folder.path, '-q', '--sql', 'SELECT count(*) AS n FROM removed')).out).toBe('n\n0\n');
  });

  test('can be moved with its reports, and asked without them', async () => {
    mkdirSync(join(folder.path, 'here'));
    await report('here/a.tar.gz', NO_ROOT);
    await run(join(folder.path, 'here'));
    renameSync(join(folder.path, 'here'), join(folder.path, 'there'));
    const index = join(folder.path, 'there/.pvh-triage');
    expect((await run(join(folder.path, 'there'))).err).toBe('index: 0 read, 1 as before, 0 gone\n');
    rmSync(join(folder.path, 'there/a.tar.gz'));
    const asked = await json('--no-update', '--index', index);
    expect(asked).toMatchObject({ reports: 1, groups: 1 });
    expect((await run('--no-update', '--index', join(folder.path, 'none'))).status).toBe(2);
  });

  test('many small additions become one part, with the same rows', async () => {
    for (let n = 0; n < 12; n++) {
      await report(`r${n}.tar.gz`, n % 3 === 0 ? NULL : NO_ROOT);
      await run(folder.path, '-q');
    }
    expect(parts().length).toBeLessThanOrEqual(8);
    expect(await json(folder.path)).toMatchObject({ reports: 12, largest: [{ reports: 8 }, { reports: 4 }] });
  });

  /** A part is as good with a hole before its last lines, which say where everything is. */
  function enlarge(name: string, bytes: number): void {
    const path = join(folder.path, '.pvh-triage', name);
    const content = readFileSync(path);
    const footer = content.subarray(content.length - 8 - content.readUInt32LE(content.length - 8));
    truncateSync(path, bytes - footer.length);
    appendFileSync(path, footer);
  }
  const onePart = (at: number): string => `reports-0000000${at}-0000000${at}.parquet`;

  test('a part that is larger than all younger ones stays when these become one', async () => {
    for (let n = 1; n <= 12; n++) {
      await report(`r${n}.tar.gz`, NO_ROOT);
      await run(folder.path, '-q');
      if (n === 2) enlarge(onePart(2), 1 << 20);
    }
    expect(parts().sort()).toEqual([
      onePart(1),
      onePart(2),
      'reports-00000003-00000009.parquet',
      ...['10', '11', '12'].map((at) => `reports-000000${at}-000000${at}.parquet`),
    ]);
    expect(await json(folder.path)).toMatchObject({ reports: 12 });
  });

  test('parts of 256 MiB stay, however many there are', async () => {
    for (let n = 1; n <= 9; n++) {
      await report(`r${n}.tar.gz`, NO_ROOT);
      await run(folder.path, '-q');
      if (n < 9) enlarge(onePart(n), 256 << 20);
    }
    enlarge(onePart(9), 256 << 20);
    await report('a.tar.gz', NO_ROOT);
    await run(folder.path, '-q');
    expect(parts()).toHaveLength(10);
    expect(await json(folder.path)).toMatchObject({ reports: 10 });
  });

  test('parts that another one stands for are not counted twice, and go with the next addition', async () => {
    await report('a.tar.gz', NO_ROOT);
    await run(folder.path, '-q');
    await report('a.tar.gz', NULL, 1);
    await run(folder.path, '-q');
    const index = join(folder.path, '.pvh-triage');
    const all = 'SELECT * FROM reports';
    const before = await run(folder.path, '-q', '--json', '--sql', all);
    // As if the end had come between writing the whole and removing the parts: the whole is the later of the two.
    const bytes = parts().sort().at(-1) ?? '';
    expect(bytes).toBe('reports-00000002-00000002.parquet');
    renameSync(join(index, bytes), join(index, 'reports-00000001-00000002.parquet'));
    writeFileSync(join(index, '.reports-00000003-00000003.parquet.1.1.tmp'), 'half');
    expect((await run(folder.path, '-q', '--json', '--sql', all)).out).toBe(before.out);
    await report('b.tar.gz', NULL);
    await run(folder.path, '-q');
    expect(readdirSync(index).sort()).toEqual([
      'reports-00000001-00000002.parquet',
      'reports-00000003-00000003.parquet',
    ]);
  });

  test.each([
    ['that is no Parquet', 'hello'],
    ['that is empty', ''],
  ])('a part %s is named, and nothing is overwritten', async (_, content) => {
    await report('a.tar.gz', NO_ROOT);
    mkdirSync(join(folder.path, '.pvh-triage'));
    const part = join(folder.path, '.pvh-triage/reports-00000001-00000001.parquet');
    writeFileSync(part, content);
    const { status, err } = await run(folder.path, '-q');
    expect(status).toBe(2);
    expect(err).toMatch(/reports-00000001-00000001\.parquet cannot be read: .*\n.*remove the folder/);
    expect(parts()).toEqual(['reports-00000001-00000001.parquet']);
  });

  test('a part that was damaged in the middle is named among others', async () => {
    for (const name of ['a', 'b', 'c']) {
      await report(`${name}.tar.gz`, NO_ROOT);
      await run(folder.path, '-q');
    }
    const part = join(folder.path, '.pvh-triage', onePart(2));
    writeFileSync(part, readFileSync(part).fill(0xff, 20, 200));
    const { status, out, err } = await run(folder.path, '-q');
    expect([status, out]).toEqual([2, '']);
    expect(err).toMatch(/reports-00000002-00000002\.parquet cannot be read: .*\n.*remove the folder/);
    expect(parts()).toHaveLength(3);
  });

  test('of a newer version is left alone', async () => {
    await report('a.tar.gz', NO_ROOT);
    await run(folder.path, '-q');
    const part = join(folder.path, '.pvh-triage', onePart(1));
    const database = await (await DuckDBInstance.create(':memory:')).connect();
    await database.run(
      `COPY (SELECT *, 1 AS more FROM read_parquet('${part}')) TO '${part}' (FORMAT parquet, KV_METADATA {pvh_report_triage: '2'})`,
    );
    database.closeSync();
    const before = readFileSync(part);
    await report('b.tar.gz', NO_ROOT);
    const { status, err } = await run(folder.path, '-q');
    expect(status).toBe(2);
    expect(err).toMatch(/is of schema 2, not 1\n {2}another version of pvh-report made it: use that one/);
    expect(readFileSync(part)).toEqual(before);
    expect(parts()).toHaveLength(1);
  });

  test('a disk that is full leaves it as it was', async () => {
    await report('a.tar.gz', NO_ROOT);
    await run(folder.path, '-q');
    const files = readdirSync(join(folder.path, '.pvh-triage'));
    await report('b.tar.gz', NO_ROOT);
    // Files may have no more than a kilobyte.
    const script = `trap '' XFSZ; ulimit -f 1; exec "$@"`;
    const { status, stdout, stderr } = spawnSync(
      'bash',
      ['-c', script, 'bash', process.execPath, built, 'triage', '-q', folder.path],
      { encoding: 'utf8' },
    );
    expect([status, stdout]).toEqual([2, '']);
    expect(stderr).toMatch(/^pvh-report: index .*: cannot be written: .*File too large/);
    expect(readdirSync(join(folder.path, '.pvh-triage'))).toEqual(files);
    expect(await json(folder.path)).toMatchObject({ reports: 2 });
  });

  test('a report that is not yet whole is read again when it is, with whatever time', async () => {
    const whole = await packReport(NO_ROOT);
    const path = folder.write('a.tar.gz', whole.subarray(0, 500));
    expect(await json(folder.path)).toMatchObject({ reports: 1, unreadable: 1 });
    folder.write('a.tar.gz', whole);
    utimesSync(path, new Date(0), new Date(0));
    expect(await json(folder.path)).toMatchObject({ reports: 1, unreadable: 0 });
  });

  test('in a folder with a name that is a pattern and has quotes', async () => {
    mkdirSync(join(folder.path, "we[i]r*d 'name'"));
    await report("we[i]r*d 'name'/a.tar.gz", NO_ROOT);
    const path = join(folder.path, "we[i]r*d 'name'");
    expect(await json(path)).toMatchObject({ reports: 1 });
    expect(await json(path)).toMatchObject({ reports: 1 });
  });

  test.runIf(process.geteuid?.() !== 0)(
    'a folder that may not be read is told, and forgets nothing',
    async () => {
      mkdirSync(join(folder.path, 'closed'));
      await report('closed/a.tar.gz', NO_ROOT);
      await run(folder.path, '-q');
      chmodSync(join(folder.path, 'closed'), 0);
      try {
        const { err } = await run(folder.path);
        expect(err).toContain('closed: Permission denied');
        expect(err).toContain('0 gone');
      } finally {
        chmodSync(join(folder.path, 'closed'), 0o755);
      }
    },
  );
});

describe('of a large report', () => {
  const encode = (text: string): Uint8Array => new TextEncoder().encode(text);
  const image = createHash('shake256', { outputLength: 3 << 20 })
    .update('memory')
    .digest();

  /** With a memory image, and what `collect` writes before it. */
  async function large(
    name: string,
    change: (files: Map<string, Uint8Array>) => void = () => undefined,
  ): Promise<string> {
    const vcpus = parseCrash(new TextDecoder().decode(madeUpFiles(NULL)[0]?.bytes), 'made up');
    const signature = renderSignature(signatureOf('crash', NULL.console ?? '', vcpus, undefined));
    const made = [
      { name: 'signature.json', bytes: encode(signature) },
      ...madeUpFiles(NULL),
      { name: 'memory.core', bytes: image },
    ];
    const files = new Map(made.map((file) => [file.name, file.bytes]));
    change(files);
    const listed = [...files].map(([file, bytes]) => ({ name: file, bytes }));
    const manifest = renderManifest(madeUpManifest(NULL, listed));
    const all = [{ name: 'manifest.json', bytes: encode(manifest) }, ...listed];
    return folder.write(name, (await packArchive('report', all)).bytes);
  }
  const rows = async (): Promise<Record<string, string>[]> =>
    JSON.parse((await run(folder.path, '-q', '--json', '--sql', 'SELECT * FROM reports ORDER BY path')).out);

  test('only the beginning is read, and says the same as the whole', async () => {
    await large('large.tar.gz');
    await large('small.tar.gz', (files) => files.delete('memory.core'));
    const [big, small] = await rows();
    expect(big).toMatchObject({
      digest: null,
      error: null,
      signature: expect.stringContaining('sum_ring | audit'),
    });
    expect(small?.['digest']).toMatch(/^[0-9a-f]{64}$/);
    const { path: _, bytes: __, modified_ns: ___, time: ____, digest: _____, ...rest } = big ?? {};
    expect(small).toMatchObject(rest);
  });

  test.each<[string, (path: string) => void, RegExp]>([
    ['that was cut off', (path) => truncateSync(path, 2 << 20), /not a whole gzip file/],
    ['with something behind it', (path) => appendFileSync(path, 'more'), /not a whole gzip file/],
  ])('one %s is not taken for whole', async (_, damage, words) => {
    damage(await large('large.tar.gz'));
    expect((await rows())[0]?.['error']).toMatch(words);
  });

  test('with a signature of another version, or none, the whole is read', async () => {
    await large('none.tar.gz', (files) => files.delete('signature.json'));
    await large('other.tar.gz', (files) =>
      files.set('signature.json', encode('{"schema":"pvh-report-signature/1"}')),
    );
    await large('wrong.tar.gz', (files) => files.set('signature.json', encode('[[[[')));
    const read = await rows();
    expect(read.map(({ error, digest }) => [error, digest?.length])).toEqual([
      [null, 64],
      [null, 64],
      [null, 64],
    ]);
    expect(new Set(read.map(({ signature }) => signature)).size).toBe(1);
  });

  test('a bomb is a row with a reason', async () => {
    folder.write('bomb.tar.gz', gzipSync(Buffer.alloc(300 << 20)));
    expect((await rows())[0]?.['error']).toMatch(/unpacks to more than/);
  });
});

describe('questions', () => {
  beforeEach(async () => {
    await report('a.tar.gz', NO_ROOT);
    await report('b.tar.gz', NULL);
  });

  test('a SELECT answers as a table, or as JSON', async () => {
    const sql = 'SELECT domain, count(*) AS n, max(vcpus) AS vcpus FROM reports GROUP BY ALL';
    expect((await run(folder.path, '-q', '--sql', sql)).out).toBe('domain  n  vcpus\nguest   2      1\n');
    const { out } = await run(folder.path, '-q', '--sql', 'FROM reports SELECT path ORDER BY 1', '--json');
    expect(JSON.parse(out)).toEqual([{ path: 'a.tar.gz' }, { path: 'b.tar.gz' }]);
    const cut = await run(folder.path, '-q', '--limit', '1', '--sql', 'FROM reports SELECT path ORDER BY 1');
    expect(cut.out).toBe('path\na.tar.gz\n... (more rows: --limit)\n');
    expect((await run(folder.path, '-q', '--sql', 'DESCRIBE reports')).out).toMatch(
      /^signature_sha8 +VARCHAR/m,
    );
  });

  test.each([
    ['reads a file', "SELECT * FROM read_text('/etc/hostname')", /disabled by configuration/],
    ['lists a folder', "SELECT * FROM glob('/etc/*')", /disabled by configuration/],
    ['reads a file by its name', "SELECT * FROM '/etc/hostname.csv'", /disabled by configuration/],
    ['writes a file', "COPY reports TO 'stolen.csv'", /only a SELECT|disabled/],
    ['opens a database', "ATTACH 'x.db'", /only a SELECT|disabled/],
    ['loads an extension', 'INSTALL httpfs', /only a SELECT|disabled/],
    ['opens the door again', 'SET enable_external_access = true', /only a SELECT|locked/],
    ['changes a table', 'DELETE FROM reports', /only a SELECT|base table/],
    ['is two statements', 'SELECT 1; SELECT 2', /one statement/],
    ['is empty', '', /one statement/],
    ['is no SQL', 'how many?', /Parser Error/],
    ['names what is not there', 'SELECT nothing FROM reports', /Binder Error/],
  ])('one that %s is refused', async (_, sql, words) => {
    const { status, out, err } = await run(folder.path, '-q', '--sql', sql);
    expect([status, out]).toEqual([2, '']);
    expect(err).toMatch(words);
    expect(readdirSync(folder.path).sort()).toEqual(['.pvh-triage', 'a.tar.gz', 'b.tar.gz']);
  });
});

test('thousands of files that are no reports', async () => {
  for (let n = 0; n < 3000; n++) folder.write(`${n}.tar.gz`, new TextEncoder().encode(`no report ${n}`));
  const { status, out } = await run(folder.path, '-q');
  expect(status).toBe(3);
  expect(out).toMatch(/^3000 reports in 0 groups, 3000 not readable/);
  expect(out.split('\n')).toHaveLength(55);
});

describe('nothing to read', () => {
  test.each([
    ['a folder without reports', 'empty', /empty: no report there\n/],
    ['a pattern that nothing matches', 'empty/*.tar.gz', /empty\/\*\.tar\.gz: no report there\n/],
    ['a pattern in a folder that is not there', 'none/**/*.tar.gz', /none: No such file or directory\n/],
    ['a folder that is not there', 'none', /none: No such file or directory\n/],
  ])('%s', async (_, place, words) => {
    mkdirSync(join(folder.path, 'empty'));
    const { status, out, err } = await run(join(folder.path, place));
    expect([status, out]).toEqual([2, '']);
    expect(err).toMatch(words);
    expect(readdirSync(folder.path, { recursive: true })).toEqual(['empty']);
  });

  test('what is no file', async () => {
    expect((await run('/dev/null', '--index', join(folder.path, 'index'))).status).toBe(2);
    expect(readdirSync(folder.path)).toEqual([]);
  });

  test('where there was something it has gone, and that is noted', async () => {
    await report('a.tar.gz', NO_ROOT);
    await run(folder.path, '-q');
    rmSync(join(folder.path, 'a.tar.gz'));
    const { status, err } = await run(folder.path);
    expect(status).toBe(2);
    expect(err).toMatch(/^index: 0 read, 0 as before, 1 gone\npvh-report: .*: no report there/);
    expect(await json('--no-update', '--index', join(folder.path, '.pvh-triage'))).toMatchObject({
      reports: 0,
    });
  });
});

test('reports on object storage are refused with what to do', async () => {
  const { status, err } = await run('s3://bucket/reports');
  expect(status).toBe(2);
  expect(err).toMatch(/only the index can be elsewhere: --index s3:/);
});

test('a link in the place of the index is not followed unless the user says so', async () => {
  await report('a.tar.gz', NO_ROOT);
  const elsewhere = scratchFolder();
  try {
    symlinkSync(elsewhere.path, join(folder.path, '.pvh-triage'));
    expect((await run(folder.path)).err).toMatch(/is a link/);
    expect(readdirSync(elsewhere.path)).toEqual([]);
    expect(await json(folder.path, '--index', join(folder.path, '.pvh-triage'))).toMatchObject({
      reports: 1,
    });
  } finally {
    elsewhere.remove();
  }
});

test.each([
  ['@duckdb/node-api', []],
  ['aws4fetch', ['--index', 's3://bucket/index']],
])('without the optional package %s it is said what to install', async (name, more) => {
  await report('a.tar.gz', NO_ROOT);
  const module = (source: string): string => `data:text/javascript,${encodeURIComponent(source)}`;
  const resolve = `export const resolve = (name, context, next) => {
    if (name.startsWith('${name}')) throw Object.assign(new Error(name), { code: 'ERR_MODULE_NOT_FOUND' });
    return next(name, context);
  };`;
  const hook = module(
    `import { register } from 'node:module'; register(${JSON.stringify(module(resolve))});`,
  );
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    ['--import', hook, built, 'triage', folder.path, ...more],
    { encoding: 'utf8', env: { ...process.env, AWS_ACCESS_KEY_ID: 'id', AWS_SECRET_ACCESS_KEY: 'key' } },
  );
  expect([status, stdout]).toEqual([2, '']);
  expect(stderr).toMatch(
    new RegExp(`^pvh-report: .* the optional package ${name}, .*\n  run 'npm install ${name}'\n$`),
  );
  expect(readdirSync(folder.path)).toEqual(['a.tar.gz']);
});

test('threads come to the same rows', async () => {
  await report('r.tar.gz', NO_ROOT);
  await report('s.tar.gz', NULL);
  for (let n = 0; n < 250; n++)
    copyFileSync(join(folder.path, n % 3 === 0 ? 'r.tar.gz' : 's.tar.gz'), join(folder.path, `c${n}.tar.gz`));
  folder.write('bad.tar.gz', new TextEncoder().encode('bad'));
  const { status, stderr } = spawnSync(process.execPath, [built, 'triage', '-q', folder.path], {
    encoding: 'utf8',
  });
  expect([status, stderr]).toEqual([3, '']);
  const all = ['--json', '--limit', '1000', '--sql', 'SELECT * FROM reports ORDER BY path'];
  const inThreads = (await run(folder.path, '-q', ...all)).out;
  const index = join(folder.path, '.pvh-triage');
  renameSync(index, `${index}.threads`);
  expect((await run(folder.path, '-q', ...all)).out).toBe(inThreads);
  expect(JSON.parse(inThreads)).toHaveLength(253);
});

describe('other processes', () => {
  const cli = fileURLToPath(new URL('triage-cli.ts', import.meta.url));
  const loader = new URL('../../tools/dev/typescript.mjs', import.meta.url).href;
  const start = (...args: string[]): ChildProcess =>
    spawn(process.execPath, ['--import', loader, cli, folder.path, ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
  const ended = (child: ChildProcess): Promise<number | NodeJS.Signals | null> =>
    new Promise((resolve) => child.once('exit', (status, signal) => resolve(status ?? signal)));

  test("two at once do not get in each other's way", async () => {
    for (let n = 0; n < 40; n++) await report(`r${n}.tar.gz`, n % 2 === 0 ? NULL : NO_ROOT);
    const both = [start(), start()];
    expect(await Promise.all(both.map(ended))).toEqual([0, 0]);
    expect(await json(folder.path)).toMatchObject({
      reports: 40,
      largest: [{ reports: 20 }, { reports: 20 }],
    });
    expect((await run(folder.path)).err).toBe('index: 0 read, 40 as before, 0 gone\n');
  });

  test('questions while one adds get all that there was', async () => {
    await report('r.tar.gz', NO_ROOT);
    const child = start('forever');
    const dead = ended(child);
    await new Promise((ready) => child.stdout?.once('data', ready));
    let before = 1;
    for (let n = 0; n < 20; n++) {
      const { reports } = await json('--no-update', '--index', join(folder.path, '.pvh-triage'));
      expect(reports).toBeGreaterThanOrEqual(before);
      before = reports;
    }
    child.kill('SIGKILL');
    expect(await dead).toBe('SIGKILL');
  });

  test('kill -9 while it adds leaves an index that is whole', async () => {
    // The child adds one report after the other, so that it dies between any two steps.
    await report('r.tar.gz', NO_ROOT);
    for (const wait of [0, 20, 60]) {
      const child = start('forever');
      const dead = ended(child);
      await new Promise((ready) => child.stdout?.once('data', ready));
      await new Promise((wake) => setTimeout(wake, wait));
      child.kill('SIGKILL');
      expect(await dead).toBe('SIGKILL');
      const asked = await json(folder.path);
      expect(asked.reports).toBe(readdirSync(folder.path).filter((name) => name.endsWith('.tar.gz')).length);
      expect(asked.unreadable).toBe(0);
    }
  });
});

function sha8(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 8);
}
