// Where a vmlinux is looked for, and that no other kernel's is taken: folders of distributions, the stash, servers.
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest';
import { memorySource } from '../../symbols/bytes.ts';
import { openElf } from '../../symbols/elf/elf-file.ts';
import { elfMemory } from '../../symbols/kernel/elf-memory.ts';
import { Stash } from '../../tools/shared/stash.ts';
import { searchStashInPlace, searchSymbols } from '../../tools/shared/symbol-search.ts';
import { buildIdOf, tinyVmlinux } from './elf.ts';

const top = mkdtempSync(join(tmpdir(), 'pvh-search-'));
afterAll(() => rmSync(top, { recursive: true }));

const RELEASE = '6.1.0-56-cloud-amd64';
const ID = 0xab;
const wanted = { buildId: buildIdOf(ID), release: RELEASE };

let root: string;
let stash: Stash;
let env: Record<string, string>;
beforeEach(() => {
  root = mkdtempSync(join(top, 'root-'));
  env = { PVH_STASH_DIR: join(root, 'stash') };
  stash = new Stash(join(root, 'stash'));
});

function put(place: string, bytes: Uint8Array): string {
  const path = join(root, place);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, bytes);
  return path;
}

describe('in the folders of distributions', () => {
  test.each([
    `usr/lib/debug/.build-id/ab/${'ab'.repeat(19)}.debug`,
    `usr/lib/debug/boot/vmlinux-${RELEASE}`,
    `usr/lib/debug/lib/modules/${RELEASE}/vmlinux`,
    `boot/vmlinux-${RELEASE}`,
    `lib/modules/${RELEASE}/build/vmlinux`,
  ])('%s', async (place) => {
    const path = put(place, tinyVmlinux({ id: ID }));
    const { file } = await searchSymbols(wanted, { env, root });
    expect(file).toMatchObject({ path, buildId: wanted.buildId, warnings: [] });
    file?.close();
  });

  test('a build-id that is none becomes part of no path', async () => {
    put('usr/lib/debug/outside.debug', Buffer.from('x'));
    put('usr/lib/debug/.build-id/ab/there', Buffer.from('x'));
    const { file, looked } = await searchSymbols({ buildId: 'ab/../../outside' }, { env, root });
    expect([file, looked]).toEqual([undefined, []]);
  });

  test('another build of the same release is passed over, and told', async () => {
    put(`usr/lib/debug/boot/vmlinux-${RELEASE}`, tinyVmlinux({ id: 0xcd }));
    const right = put(`boot/vmlinux-${RELEASE}`, tinyVmlinux({ id: ID }));
    const { file, looked } = await searchSymbols(wanted, { env, root });
    expect(file?.path).toBe(right);
    expect(looked.join('\n')).toContain(`vmlinux-${RELEASE}: is another build (${buildIdOf(0xcd)})`);
    file?.close();
  });

  test('a file with debug information is preferred to one without', async () => {
    put(`usr/lib/debug/boot/vmlinux-${RELEASE}`, tinyVmlinux({ id: ID }));
    const right = put(`boot/vmlinux-${RELEASE}`, tinyVmlinux({ id: ID, debug: true }));
    const { file } = await searchSymbols(wanted, { env, root });
    expect(file?.path).toBe(right);
    file?.close();
  });

  test('damaged and stripped files are passed over, and told', async () => {
    put(`usr/lib/debug/boot/vmlinux-${RELEASE}`, tinyVmlinux({ id: ID }).subarray(0, 300));
    put(`boot/vmlinux-${RELEASE}`, tinyVmlinux({ id: ID, symbols: [] }));
    const { file, looked } = await searchSymbols(wanted, { env, root });
    expect(file).toBeUndefined();
    expect(looked.join('\n')).toMatch(/bytes wanted[\s\S]*stripped/);
  });

  test('without the build-id the release decides, with a warning', async () => {
    put(`boot/vmlinux-${RELEASE}`, tinyVmlinux({ id: ID }));
    const { file } = await searchSymbols({ buildId: undefined, release: RELEASE }, { env, root });
    expect(file?.warnings.join()).toContain('is taken for its release');
    file?.close();
  });

  test.each(['../../secret', '..', '/etc/passwd', '-x', 'a/b', ''])(
    'no way out by the release %j',
    async (release) => {
      put('secret', tinyVmlinux({ id: ID }));
      const { file } = await searchSymbols({ buildId: undefined, release }, { env, root: join(root, 'usr') });
      expect(file).toBeUndefined();
    },
  );
});

test('the stash comes first', async () => {
  await stash.add(put('given', tinyVmlinux({ id: ID })));
  put(`boot/vmlinux-${RELEASE}`, tinyVmlinux({ id: ID }));
  const { file } = await searchSymbols(wanted, { env, root });
  expect(file?.path).toBe('given (stashed)');
  expect(file?.table.addressOf('panic')).toBeDefined();
  file?.close();
});

describe('in the stash by the notes that the guest has in memory', () => {
  const memoryOf = (id: number) =>
    elfMemory(openElf(memorySource('guest', tinyVmlinux({ id, linux: true, debug: true }))));
  beforeEach(async () => {
    for (const id of [0xcd, ID])
      await stash.add(put(`vmlinux-${id}`, tinyVmlinux({ id, linux: true, debug: true })));
  });

  test('the one that it runs', () => {
    const file = searchStashInPlace(memoryOf(ID), { env });
    expect(file?.buildId).toBe(buildIdOf(ID));
    file?.close();
  });
  test('none when it runs another, or nothing is mapped there', () => {
    expect(searchStashInPlace(memoryOf(0xef), { env })).toBeUndefined();
    const elsewhere = elfMemory(openElf(memorySource('guest', tinyVmlinux({ id: ID }))));
    expect(searchStashInPlace(elsewhere, { env })).toBeUndefined();
  });
  test('none that has no source lines: there may be a better one', async () => {
    await stash.remove(buildIdOf(ID));
    await stash.add(put('plain', tinyVmlinux({ id: ID, linux: true })));
    expect(searchStashInPlace(memoryOf(ID), { env })).toBeUndefined();
  });
});

describe('on debuginfod servers', () => {
  const servers: Server[] = [];
  afterEach(() => {
    for (const server of servers.splice(0)) {
      server.closeAllConnections();
      server.close();
    }
  });

  async function serve(answer: RequestListener): Promise<string> {
    const server = createServer(answer);
    servers.push(server);
    await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`; // a TCP server has no other kind
  }
  const sends =
    (bytes: Uint8Array): RequestListener =>
    (request, response) => {
      if (request.url === `/buildid/${wanted.buildId}/debuginfo`) response.end(bytes);
      else response.writeHead(404).end();
    };
  const search = (urls: string, more: Record<string, string> = {}) =>
    searchSymbols(wanted, { env: { ...env, DEBUGINFOD_URLS: urls, ...more }, root });

  test('a file that is found stays in the stash', async () => {
    let asked = '';
    const url = await serve((request, response) => {
      asked = request.headers['user-agent'] ?? '';
      sends(tinyVmlinux({ id: ID }))(request, response);
    });
    for (const urls of [`${url}/`, '']) {
      const { file } = await search(urls);
      expect(file).toMatchObject({ buildId: wanted.buildId });
      file?.close();
    }
    expect(asked).toMatch(/^pvh-report\/\d/);
  });

  test('several servers, and one that sends elsewhere', async () => {
    const has = await serve(sends(tinyVmlinux({ id: ID })));
    const hasNot = await serve((_, response) => response.writeHead(404).end());
    const broken = await serve((_, response) => response.writeHead(500).end());
    const elsewhere = await serve((request, response) =>
      response.writeHead(302, { location: `${has}${request.url}` }).end(),
    );
    const { file, looked } = await search(`${hasNot} ${broken}  ${elsewhere}`);
    expect(file).toBeDefined();
    expect(looked.slice(-2)).toEqual([
      `${hasNot}: does not have it`,
      `${broken}: answers 500 Internal Server Error`,
    ]);
    file?.close();
  });

  const slow: RequestListener = (_, response) => {
    response.write('\x7fELF');
  };
  const large: RequestListener = (_, response) => {
    // Without its length in front.
    for (let piece = 0; piece < 64; piece++) response.write(new Uint8Array(1 << 16));
    response.end();
  };
  const half: RequestListener = (_, response) => {
    response.writeHead(200, { 'content-length': '1000000' });
    response.write(new Uint8Array(1000));
    setTimeout(() => response.destroy(), 50);
  };
  const circle: RequestListener = (_, response) => response.writeHead(302, { location: '/again' }).end();
  test.each<[string, RequestListener, Record<string, string>, RegExp]>([
    [
      'another file than was asked for',
      sends(tinyVmlinux({ id: 0xcd })),
      {},
      /sent another file: build-id cdcd/,
    ],
    ['no ELF file', sends(new TextEncoder().encode('<html>')), {}, /another file: build-id none/],
    ['a damaged file', sends(tinyVmlinux({ id: ID }).subarray(0, 250)), {}, /bytes wanted/],
    ['nothing', sends(new Uint8Array(0)), {}, /debuginfo|another file/],
    ['too much', large, { DEBUGINFOD_MAXSIZE: '1000000' }, /larger than 1000000 bytes/],
    ['too slowly', slow, { DEBUGINFOD_TIMEOUT: '1' }, /nothing useful within 1 s/],
    ['not all of it in time', slow, { DEBUGINFOD_TIMEOUT: '0', DEBUGINFOD_MAXTIME: '1' }, /within 1 s/],
    ['half of it', half, {}, /terminated|closed|aborted/],
    ['a circle of redirects', circle, {}, /redirect/],
  ])('a server that sends %s', async (_, answer, more, message) => {
    const url = await serve(answer);
    const { file, looked } = await search(url, more);
    expect(file).toBeUndefined();
    expect(looked.at(-1)).toMatch(message);
    expect(looked.at(-1)).toContain(url);
    expect(stash.list()).toEqual([]);
    expect(readdirSync(stash.folder).filter((name) => name.startsWith('.new'))).toEqual([]);
  });

  test.each([
    ['nobody listens', 'http://127.0.0.1:9', /127.0.0.1:9: /],
    ['not the web', 'file:///etc', /not an http address/],
    ['nonsense', '%%%', /not an http address/],
  ])('%s', async (_, urls, message) => {
    const { file, looked } = await search(urls);
    expect(file).toBeUndefined();
    expect(looked.at(-1)).toMatch(message);
  });

  test('a server that has not got it is not asked again so soon, unless there are others', async () => {
    let asked = 0;
    const answer: RequestListener = (_, response) => {
      asked++;
      response.writeHead(404).end();
    };
    const [url, other] = [await serve(answer), await serve(answer)];
    expect((await search(url)).looked.at(-1)).toBe(`${url}: does not have it`);
    expect((await search(url)).looked.at(-1)).toContain('some minutes ago');
    expect(asked).toBe(1);
    await search(`${url} ${other}`);
    expect(asked).toBe(3);
  });

  test('a stash that cannot be written is told', async () => {
    const url = await serve(sends(tinyVmlinux({ id: ID })));
    writeFileSync(join(root, 'file'), '');
    const { file, looked } = await search(url, { PVH_STASH_DIR: join(root, 'file/stash') });
    expect(file).toBeUndefined();
    expect(looked.at(-1)).toMatch(/file\/stash: Not a directory/);
  });

  test('nobody is asked unless the user has named servers', async () => {
    const { file, looked } = await searchSymbols(wanted, { env, root });
    expect(file).toBeUndefined();
    expect(looked.some((text) => text.includes('http'))).toBe(false);
  });
});
