// An index of `pvh-report triage` in a bucket, on a server of the S3 protocol on loopback: s3rver, or the one that PVH_TEST_S3
// names (http://host:port), with a bucket `reports` and `S3RVER` for both keys.
import { type ChildProcess, spawn } from 'node:child_process';
import crypto from 'node:crypto';
import dns from 'node:dns';
import {
  copyFileSync,
  existsSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import S3rver from '@20minutes/s3rver';
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest';
import { Bucket } from '../../tools/pvh-report/triage/bucket.ts';
import type { Triage } from '../../tools/pvh-report/triage/groups.ts';
import { pvhReportWith } from './run.ts';
import { packReport, scratchFolder } from './support.ts';

const store = scratchFolder();
const server = new S3rver({
  address: '127.0.0.1',
  port: 0,
  silent: true,
  vhostBuckets: false,
  directory: store.path,
  configureBuckets: [{ name: 'reports' }],
});

const env: Record<string, string | undefined> = {
  ...process.env,
  AWS_ACCESS_KEY_ID: 'S3RVER',
  AWS_SECRET_ACCESS_KEY: 'S3RVER',
  AWS_REGION: 'eu-west-1',
};
beforeAll(async () => {
  env['AWS_ENDPOINT_URL'] = process.env['PVH_TEST_S3'] ?? `http://127.0.0.1:${(await server.run()).port}`;
});
afterAll(async () => {
  if (process.env['PVH_TEST_S3'] === undefined) await server.close();
  store.remove();
});

let folder: ReturnType<typeof scratchFolder>;
let url: string;
beforeEach(({ onTestFinished }) => {
  folder = scratchFolder();
  url = `s3://reports/team ü/${basename(folder.path)}`;
  onTestFinished(() => folder.remove());
});

/** What a machine has for itself. */
const machine = (name: string) => ({ ...env, XDG_CACHE_HOME: join(folder.path, `.cache-${name}`) });

const run = (of: typeof env, ...argv: string[]) => pvhReportWith(of, 'triage', ...argv);

async function json(of: typeof env, ...argv: string[]): Promise<Triage> {
  const { out, err } = await run(of, '-q', '--json', '--index', url, ...argv);
  expect(err).toBe('');
  return JSON.parse(out);
}

const write = async () =>
  folder.write('r.tar.gz', await packReport({ console: 'Kernel panic - not syncing: no root\n' }));

/** Another report of the same crash. */
function copy(name: string): void {
  copyFileSync(join(folder.path, 'r.tar.gz'), join(folder.path, `${name}.part`));
  renameSync(join(folder.path, `${name}.part`), join(folder.path, `${name}.tar.gz`));
}

const reports = (): number => readdirSync(folder.path).filter((name) => name.endsWith('.tar.gz')).length;

test('what one machine adds another one sees, and nothing is written beside the reports', async () => {
  await write();
  copy('s');
  expect(await run(machine('one'), folder.path, '--index', url)).toMatchObject({
    status: 0,
    err: 'index: 2 read, 0 as before, 0 gone\n',
    out: expect.stringContaining(`2 reports in 1 group (index ${url})`),
  });
  expect(existsSync(join(folder.path, '.pvh-triage'))).toBe(false);
  expect((await json(machine('two'), '--no-update')).largest).toMatchObject([
    { reports: 2, example: join(folder.path, 's.tar.gz') },
  ]);
  expect((await run(machine('two'), folder.path, '--index', `${url}/`)).err).toBe(
    'index: 0 read, 2 as before, 0 gone\n',
  );
});

test('an index that is empty, and objects that are none of it', async () => {
  expect(await json(machine('one'), '--no-update')).toMatchObject({ reports: 0 });
  const beside = await Bucket.open(url, env);
  for (const name of ['notes.txt', 'reports-1.parquet', 'more/reports-00000001-00000001.parquet'])
    await beside.put(name, new TextEncoder().encode('text'));
  await write();
  expect(await json(machine('one'), folder.path)).toMatchObject({ reports: 1, unreadable: 0 });
});

test('many parts become one, for everybody', async () => {
  await write();
  for (let n = 0; n < 20; n++) {
    copy(`c${n}`);
    expect(await json(machine(n % 2 === 0 ? 'one' : 'two'), folder.path)).toMatchObject({ reports: n + 2 });
  }
  const bucket = await Bucket.open(url, env);
  expect((await bucket.list('reports-')).length).toBeLessThanOrEqual(9);
  expect(await json(machine('three'), '--no-update')).toMatchObject({ reports: 21 });
});

/** s3rver makes its tokens with DES, which OpenSSL 3 has as triple DES with three times the same key. */
function giveDes(): void {
  for (const of of ['createCipheriv', 'createDecipheriv'] as const) {
    const original = crypto[of] as (name: string, key: Uint8Array, iv: unknown) => never; // both take these three
    vi.spyOn(crypto, of).mockImplementation((name: string, key: unknown, iv: unknown) => {
      const bytes = key as Uint8Array; // as s3rver gives it
      return name === 'des'
        ? original('des-ede3-cbc', Buffer.concat([bytes, bytes, bytes]), iv)
        : original(name, bytes, iv);
    });
  }
  onTestFinished(() => void vi.restoreAllMocks());
}

test('a part behind the first thousand objects', async () => {
  giveDes();
  await write();
  const bucket = await Bucket.open(url, env);
  const names = Array.from({ length: 1010 }, (_, n) => `reports--${String(n).padStart(4, '0')}`);
  while (names.length > 0)
    await Promise.all(names.splice(0, 101).map((name) => bucket.put(name, new Uint8Array(1))));
  expect(await json(machine('one'), folder.path)).toMatchObject({ reports: 1 });
  expect(await bucket.list('reports-')).toHaveLength(1011);
  expect(await json(machine('two'), '--no-update')).toMatchObject({ reports: 1 });
});

/** A server for one test. @returns its port. */
async function serve(answer: RequestListener): Promise<number> {
  const own = createServer(answer);
  await new Promise<void>((ready) => own.listen(0, '127.0.0.1', ready));
  onTestFinished(() => void own.close());
  return (own.address() as AddressInfo).port; // it listens on a port
}

describe('a list', () => {
  /** A server that only lists. @param page of the nth request. */
  async function listed(page: (nth: number) => string): Promise<string[]> {
    let nth = 0;
    const port = await serve(({ url: asked = '' }, response) => {
      const token = new URL(asked, 'http://host').searchParams.get('continuation-token');
      response.end(token === null || token === 'a&b "c"' ? page(nth++) : '');
    });
    const bucket = await Bucket.open(url, { ...env, AWS_ENDPOINT_URL: `http://127.0.0.1:${port}` });
    return (await bucket.list('')).map(({ name }) => name);
  }
  const part = (name: string): string => `<Contents><Key>${name}</Key><Size>1</Size></Contents>`;
  const more = '<IsTruncated>true</IsTruncated>';
  const first = `${more}<NextContinuationToken>a&amp;b &#34;c&quot;</NextContinuationToken>`;

  test('that changes between its pages is read again', async () => {
    // The second page lacks what has become the third, which came behind the first page.
    const pages = [first + part('a'), '', first + part('c'), '', first + part('c'), ''];
    expect(await listed((nth) => pages[nth] ?? '')).toEqual(['c']);
  });

  test.each<[string, (nth: number) => string, RegExp]>([
    ['does not end', (nth) => first + part(String(nth)), /list does not end \(1000 objects/],
    ['does not say how to go on', () => more, /not how to go on/],
    [
      'is never the same',
      (nth) => (nth % 2 === 0 ? first : part(String(nth))),
      /others change it faster than it can be listed/,
    ],
  ])('that %s', async (_, page, words) => {
    await expect(listed(page)).rejects.toThrow(words);
  });
});

describe('where the bucket is', () => {
  /** Hosts that were asked for; all are on loopback. */
  function hosts(): Set<string> {
    const asked = new Set<string>();
    vi.spyOn(dns, 'lookup').mockImplementation(((
      host: string,
      _: unknown,
      done: (...found: unknown[]) => void,
    ) => {
      asked.add(host);
      done(null, [{ address: '127.0.0.1', family: 4 }]);
    }) as never); // one of its forms
    onTestFinished(() => void vi.restoreAllMocks());
    return asked;
  }

  test('its name is in the host, and not in the path, when that is asked for', async () => {
    const asked: string[] = [];
    const port = await serve(({ headers: { host }, url: path }, response) => {
      asked.push(`${host}${path?.replace(/&.*/, '')}`);
      response.end();
    });
    hosts();
    const bucket = await Bucket.open('s3://reports/x', {
      ...env,
      AWS_ENDPOINT_URL_S3: `http://storage.example:${port}/`,
      AWS_S3_ADDRESSING_STYLE: 'virtual',
    });
    await bucket.list('');
    await bucket.get('a b');
    const host = `reports.storage.example:${port}`;
    expect(asked).toEqual([`${host}/?list-type=2`, `${host}/x/a%20b`]);
  });

  test.each<[string, Record<string, string | undefined>, string]>([
    ['s3://reports', {}, 'reports.s3.eu-west-1.amazonaws.com'],
    ['s3://reports', { AWS_REGION: undefined, AWS_DEFAULT_REGION: 'eu-9' }, 'reports.s3.eu-9.amazonaws.com'],
    ['s3://re.ports', {}, 's3.eu-west-1.amazonaws.com'],
    ['s3://reports', { AWS_S3_ADDRESSING_STYLE: 'path' }, 's3.eu-west-1.amazonaws.com'],
    ['s3://reports', { AWS_ENDPOINT_URL: 'https://storage.example' }, 'storage.example'],
  ])('%s with %o: %s', async (at, changed, host) => {
    const asked = hosts();
    const bucket = await Bucket.open(at, { ...env, AWS_ENDPOINT_URL: undefined, ...changed });
    await expect(bucket.list('')).rejects.toThrow(
      `${changed['AWS_ENDPOINT_URL'] ? host : 'amazonaws.com'} does not answer`,
    );
    expect([...asked]).toEqual([host]);
  });
});

test('a part that was damaged, and one that was put there by hand', async () => {
  await write();
  await json(machine('one'), folder.path);
  const bucket = await Bucket.open(url, env);
  const [part = { name: '', bytes: 0 }] = await bucket.list('reports-');
  const content = new Uint8Array((await bucket.get(part.name)) ?? []);
  await bucket.put('reports-00000002-00000002.parquet', content.slice(0, 100));
  expect(await run(machine('one'), '--no-update', '--index', url)).toMatchObject({
    status: 2,
    err: expect.stringMatching(/^pvh-report: index s3:.*: reports-00000002-00000002.parquet cannot be read/),
  });
  await bucket.put('reports-00000002-00000002.parquet', content);
  expect(await json(machine('one'), '--no-update')).toMatchObject({ reports: 1 });
});

test('a copy of a part that was damaged', async () => {
  await write();
  await json(machine('one'), folder.path);
  const copies = join(folder.path, '.cache-one/pvh-report/triage', (await Bucket.open(url, env)).id);
  const part = readdirSync(copies).find((name) => name.endsWith('.parquet')) ?? '';
  writeFileSync(join(copies, part), readFileSync(join(copies, part)).fill(0xff, 20, 200));
  const { status, err } = await run(machine('one'), '--no-update', '--index', url);
  expect(status).toBe(2);
  expect(err).toContain(`${part} cannot be read: `);
  expect(err).toContain(`remove the copy in ${copies} or`);
  rmSync(join(copies, part));
  expect(await json(machine('one'), '--no-update')).toMatchObject({ reports: 1 });
});

describe('what cannot be', () => {
  test.each<[string, string | undefined, Record<string, string | undefined>, RegExp]>([
    ['no key', undefined, { AWS_ACCESS_KEY_ID: undefined }, /lacks AWS_ACCESS_KEY_ID/],
    ['a wrong key', undefined, { AWS_SECRET_ACCESS_KEY: 'x' }, /refuses to GET: 403 SignatureDoesNotMatch/],
    [
      'nobody there',
      undefined,
      { AWS_ENDPOINT_URL: 'http://127.0.0.1:1' },
      /127\.0\.0\.1:1 does not answer: /,
    ],
    [
      'no address',
      undefined,
      { AWS_ENDPOINT_URL: 'http://S3RVER@host' },
      /AWS_ENDPOINT_URL: not of the form/,
    ],
    [
      'another style of addresses',
      undefined,
      { AWS_S3_ADDRESSING_STYLE: 'host' },
      /AWS_S3_ADDRESSING_STYLE host: not path, virtual or auto/,
    ],
    [
      'a host of no name',
      undefined,
      { AWS_S3_ADDRESSING_STYLE: 'virtual' },
      /no host can be called reports\.127\.0\.0\.1/,
    ],
    ['no bucket of that name', 's3://other/x', {}, /refuses to GET: 404 NoSuchBucket/],
    ['no name of a bucket', 's3://A', {}, /s3:\/\/A: not of the form/],
    ['a way out of the bucket', 's3://reports/../other', {}, /not of the form/],
    ['another protocol', 'gs://reports/x', {}, /gs:\/\/reports\/x: not a folder of this machine/],
  ])('%s', async (_, index, changed, message) => {
    await write();
    const { status, out, err } = await run(
      { ...machine('one'), ...changed },
      folder.path,
      '--index',
      index ?? url,
    );
    expect({ status, out }).toEqual({ status: 2, out: '' });
    expect(err).toMatch(message);
    expect(err).not.toContain('S3RVER');
  });
});

describe('other machines', () => {
  const cli = fileURLToPath(new URL('./triage-cli.ts', import.meta.url));
  const loader = fileURLToPath(new URL('../../tools/dev/typescript.mjs', import.meta.url));
  const start = (name: string, mode: string): ChildProcess =>
    spawn(process.execPath, ['--import', loader, cli, folder.path, mode, '--index', url], {
      env: machine(name),
      stdio: ['ignore', 'pipe', 'inherit'],
    });
  const ended = (child: ChildProcess): Promise<unknown> =>
    new Promise((resolve) => child.once('exit', (status, signal) => resolve(status ?? signal)));

  test('two that index the same reports at once', async () => {
    await write();
    for (let n = 0; n < 30; n++) copy(`c${n}`);
    expect(await Promise.all(['one', 'two'].map((name) => ended(start(name, 'once'))))).toEqual([0, 0]);
    expect(await json(machine('three'), '--no-update')).toMatchObject({ reports: 31 });
    expect((await run(machine('one'), folder.path, '--index', url)).err).toBe(
      'index: 0 read, 31 as before, 0 gone\n',
    );
  });

  test('kill -9 of one while both add leaves an index that is whole', async () => {
    await write();
    const other = start('other', 'forever');
    const otherEnds = ended(other);
    try {
      for (const wait of [0, 50]) {
        const child = start('one', 'forever');
        const dead = ended(child);
        await new Promise((ready) => child.stdout?.once('data', ready));
        await new Promise((wake) => setTimeout(wake, wait));
        child.kill('SIGKILL');
        expect(await dead).toBe('SIGKILL');
        expect(await json(machine('one'), '--no-update')).toMatchObject({ unreadable: 0 });
      }
    } finally {
      other.kill('SIGKILL');
    }
    expect(await otherEnds).toBe('SIGKILL');
    expect(await json(machine('two'), folder.path)).toMatchObject({ reports: reports(), unreadable: 0 });
    expect((await run(machine('one'), folder.path, '--index', url)).err).toMatch(/^index: 0 read/);
    expect(await json(machine('three'), '--no-update')).toMatchObject({ reports: reports() });
  });
});
