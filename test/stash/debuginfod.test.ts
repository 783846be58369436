// Debian's own debuginfod as the server. It listens on every address, so it gets a network of its own, where loopback is all. CI may
// run where none can be made: there it listens in CI's own.
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, expect, test } from 'vitest';
import { openSymbolFile } from '../../tools/shared/symbol-file.ts';
import { hasProgram } from '../support/compile.ts';

/** A network without anything but loopback, for a user who may make one. */
const ALONE = ['--map-root-user', '--net', 'sh', '-c'];
const canBeAlone = spawnSync('unshare', [...ALONE, 'ip link set lo up']).status === 0;
const can = process.env['CI'] === 'true' || (hasProgram('debuginfod') && hasProgram('gcc') && canBeAlone);

/** A port that nobody has, now. */
async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
  const { port } = server.address() as AddressInfo; // a TCP server has no other kind
  await new Promise((closed) => server.close(closed));
  return port;
}

const folder = mkdtempSync(join(tmpdir(), 'pvh-debuginfod-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** Starts the server, waits until it has the file, and runs the client. The server ends with the script. */
const SCRIPT = `
: >"$FOLDER/log"
debuginfod -v -p "$PORT" -d "$FOLDER/index.sqlite" -F "$FOLDER/files" >"$FOLDER/log" 2>&1 &
server=$!
trap 'kill -9 $server; wait $server' EXIT
for attempt in $(seq 100); do
  if grep -q 'files scanned (#) 1' "$FOLDER/log"; then break; fi
  sleep 0.1
done
"$NODE" --import "$LOADER" "$CLIENT" "$BUILD_ID"
`;

test.runIf(can)('a file from debuginfod', async () => {
  mkdirSync(join(folder, 'files'));
  const path = join(folder, 'files', 'vmlinux');
  writeFileSync(join(folder, 'start.c'), 'int x;\nvoid _start(void) {\n  x = 1;\n}\n');
  const made = spawnSync('gcc', [
    '-g',
    '-nostdlib',
    '-static',
    '-Wl,--build-id',
    '-o',
    path,
    join(folder, 'start.c'),
  ]);
  expect(String(made.stderr)).toBe('');
  const file = openSymbolFile(path);
  const port = String(await freePort());
  const script = canBeAlone ? ['unshare', ...ALONE, `ip link set lo up; ${SCRIPT}`] : ['sh', '-c', SCRIPT];
  const { stdout, stderr } = spawnSync(script[0] ?? '', script.slice(1), {
    encoding: 'utf8',
    timeout: 60_000,
    env: {
      ...process.env,
      FOLDER: folder,
      NODE: process.execPath,
      LOADER: fileURLToPath(new URL('../../tools/dev/typescript.mjs', import.meta.url)),
      CLIENT: fileURLToPath(new URL('fetch.ts', import.meta.url)),
      BUILD_ID: file.buildId ?? '',
      PORT: port,
      DEBUGINFOD_URLS: `http://127.0.0.1:${port}`,
      PVH_STASH_DIR: join(folder, 'stash'),
    },
  });
  expect(stderr.replace(/^.*Killed.*\n/gm, '')).toBe('');
  const result = JSON.parse(stdout);
  expect(result).toMatchObject({ buildId: file.buildId, looked: [] });
  expect(result.lines).toEqual(file.debugInfo?.lookup(file.table.addressOf('_start') ?? 0n));
  expect(result.lines[0]).toMatchObject({ function: '_start', line: 2 });
  file.close();
});
