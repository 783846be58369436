// The same preserved domain gives the same report, whoever makes it, when and where; and a file is whole or not there.
import { spawn, spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { sha256 } from '../../tools/pvh-report/archive.ts';
import { verifyFiles } from '../../tools/pvh-report/manifest.ts';
import { unpackReport } from '../../tools/pvh-report/report.ts';
import { Host } from '../kernel/guest.ts';
import { collectReport, crash, type Made, vmlinuxOf } from './crashed.ts';

const bin = fileURLToPath(new URL('../../dist/tools/bin/pvh-report.js', import.meta.url));
let host: Host;
let domid: number;
let first: Made;

beforeAll(async () => {
  host = new Host();
  domid = await crash(host, 'crash-on-vcpu1');
  first = collectReport(host, domid, '-o', join(host.stateDir, 'first.tar.gz'));
});
afterAll(() => host[Symbol.dispose]());

/** Makes the clock of a process go wrong by so many days. */
const clock = (days: number): string => {
  const script = `const D=Date;globalThis.Date=class extends D{constructor(...a){a.length?super(...a):super(D.now()+${days}*864e5)}static now(){return D.now()+${days}*864e5}}`;
  return `--import=data:text/javascript,${encodeURIComponent(script)}`;
};

const ZONES = ['UTC', 'Asia/Kathmandu', 'America/St_Johns', 'Pacific/Apia'];
const LANGUAGES = ['C', 'C.UTF-8', 'de_DE.UTF-8', 'tr_TR.UTF-8', 'ja_JP.eucJP'];
const MASKS = ['000', '022', '077'];

test('twenty people, clocks, languages and folders: one SHA-256', { timeout: 300_000 }, () => {
  const digests = Array.from({ length: 20 }, (_, round) => {
    const folder = join(host.stateDir, `folder ${round}`);
    mkdirSync(folder, { mode: 0o755 });
    const pick = (list: readonly string[]): string => list[round % list.length] ?? '';
    const { stdout, stderr } = spawnSync(
      'sh',
      ['-c', `umask ${pick(MASKS)}; exec "$0" "$@"`, process.execPath, bin, 'collect', String(domid), '-q'],
      {
        cwd: folder,
        encoding: 'utf8',
        env: {
          PATH: process.env['PATH'],
          PVH_STATE_DIR: host.stateDir,
          NODE_OPTIONS: clock(round * 97 - 400),
          TZ: pick(ZONES),
          LANG: pick(LANGUAGES),
          LC_ALL: pick(LANGUAGES),
          USER: `user${round}`,
          LOGNAME: `user${round}`,
          HOSTNAME: `host${round}`,
          HOME: folder,
        },
      },
    );
    expect(stderr).not.toMatch(/Error/);
    const path = stdout.trimEnd();
    // The name has the guest's own time.
    expect(path.slice(folder.length)).toMatch(
      /^\/pvh-report_crash-on-vcpu1_2026-01-01T00_00_00Z_[0-9a-f]{8}\.tar\.gz$/,
    );
    return sha256(gunzipSync(readFileSync(path)));
  });
  expect(new Set([...digests, first.digest]).size).toBe(1);
});

test('a collection that is killed at any moment leaves the old file or the new one', async () => {
  const path = join(host.stateDir, 'killed.tar.gz');
  const old = collectReport(host, domid, '-o', path);
  const now = collectReport(
    host,
    domid,
    '-s',
    vmlinuxOf('crash-on-vcpu1'),
    '-o',
    join(host.stateDir, 'n.tar.gz'),
  );
  for (let round = 0; round < 12; round++) {
    const args = ['collect', String(domid), '-q', '-s', vmlinuxOf('crash-on-vcpu1'), '-o', path];
    const child = spawn(process.execPath, [bin, ...args], {
      env: { ...process.env, PVH_STATE_DIR: host.stateDir },
      stdio: 'ignore',
    });
    const ended = new Promise((resolve) => child.on('exit', resolve));
    const timer = setTimeout(() => child.kill('SIGKILL'), 100 + round * 50);
    await ended;
    clearTimeout(timer);
    const report = await unpackReport(path);
    verifyFiles(report.manifest, report.files, path);
    expect([old.digest, now.digest]).toContain(report.digest);
  }
});
