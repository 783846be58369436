// npm run bench:triage [-- FILES]: how long `pvh-report triage` takes to index so many reports (default 20,000), to find that
// nothing has changed, and to answer from an index of five times as many rows. Of the files, 400 are different and the others copies.
// Last line: `ratio <indexing / zcat of the same files>`, both in processor seconds of this run.
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DuckDBInstance } from '@duckdb/node-api';
import { main } from '../../tools/pvh-report/main.ts';
import { packReport } from '../pvh-report/support.ts';

const FILES = Number(process.argv[2] ?? 20_000);
const DIFFERENT = 400;
const TIMES = 5;

/** As a Debian kernel's: some hundred lines, two CPUs' worth of frames. */
function madeUp(n: number): Promise<Uint8Array> {
  const lines = Array.from(
    { length: 350 },
    (_, at) =>
      `[    ${(at / 97 + n / 1e4).toFixed(6)}] driver${(at * 7) % 23}: probing ${(n * 31 + at * 17) % 9973}, status ${at % 5}`,
  );
  const cause = `cause_${n % 120}`;
  return packReport({
    name: `guest${n % 50}`,
    buildId: `${n % 7}`.repeat(40),
    frames: ['panic', cause, ...Array.from({ length: 14 }, (_, at) => `caller_${(n % 120) + at}`)],
    registers: Object.fromEntries(
      Array.from({ length: 24 }, (_, at) => [`r${at}`, ((n + 1) * (at + 7) * 99991).toString(16)]),
    ),
    console: `${lines.join('\n')}\nKernel panic - not syncing: ${cause}\n`,
    config: 'name = "guest"\nmemory = 256\n',
  });
}

async function timed(what: string, ...argv: string[]): Promise<{ wall: number; cpu: number }> {
  const start = performance.now();
  const before = process.cpuUsage();
  const status = await main(['triage', '-q', ...argv], process.env, {
    out: () => undefined,
    err: (text) => process.stderr.write(text),
  });
  const wall = (performance.now() - start) / 1000;
  const { user, system } = process.cpuUsage(before);
  const cpu = (user + system) / 1e6;
  if (status !== 0) throw new Error(`${what}: exit status ${status}`);
  console.log(`${what}: ${wall.toFixed(2)} s, ${cpu.toFixed(2)} s of processor`);
  return { wall, cpu };
}

const folder = mkdtempSync(join(tmpdir(), 'pvh-bench-'));
try {
  let bytes = 0;
  for (let n = 0; n < Math.min(DIFFERENT, FILES); n++)
    writeFileSync(join(folder, `r${n}.tar.gz`), await madeUp(n));
  for (let n = 0; n < FILES; n++) {
    const path = join(folder, `d${n % 100}`, `r${n}.tar.gz`);
    if (n < 100) mkdirSync(join(folder, `d${n}`));
    copyFileSync(join(folder, `r${n % DIFFERENT}.tar.gz`), path);
    bytes += statSync(path).size;
  }
  for (let n = 0; n < Math.min(DIFFERENT, FILES); n++) rmSync(join(folder, `r${n}.tar.gz`));
  console.log(`${FILES} reports of ${(bytes / FILES / 1024).toFixed(1)} KiB on average`);

  const { wall, cpu } = await timed('index', folder);
  const perMinute = Math.round((FILES / wall) * 60);
  console.log(`${perMinute} files a minute, ${Math.round((FILES / cpu) * 60)} a minute of processor`);
  await timed('nothing has changed', folder);

  const index = join(folder, '.pvh-triage');
  const database = await (await DuckDBInstance.create(':memory:')).connect();
  await database.run(
    `COPY (SELECT * REPLACE (path || '-' || k AS path, time + to_hours(k) AS time)
       FROM read_parquet('${index}/*.parquet'), range(1, ${TIMES}) AS t(k))
     TO '${index}/reports-00001000-00001000.parquet' (FORMAT parquet, COMPRESSION zstd, KV_METADATA {pvh_report_triage: '1'})`,
  );
  database.closeSync();
  console.log(`${FILES * TIMES} rows:`);
  await timed('groups', '--no-update', '--index', index);
  await timed(
    '--sql',
    ...['--no-update', '--index', index, '--sql'],
    'SELECT kernel_build_id, count(*) FROM reports GROUP BY ALL ORDER BY 2 DESC',
  );

  const zcat = spawnSync(
    'bash',
    ['-c', `TIMEFORMAT='%R %U %S'; time find . -name '*.tar.gz' -print0 | xargs -0 zcat >/dev/null`],
    { cwd: folder, encoding: 'utf8' },
  );
  const [real = 0, user = 0, system = 0] = zcat.stderr.trim().split(' ').map(Number);
  console.log(`zcat of the same files: ${real} s, ${(user + system).toFixed(2)} s of processor`);
  console.log(`ratio ${(cpu / (user + system)).toFixed(2)}`);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
