// npm run bench:triage [-- FILES]: how long `pvh-report triage` takes to index so many reports (default 20,000), to find that
// nothing has changed, and to answer from an index of five times as many rows. Of the files, 400 are different and the others copies.
// Start of node included. Last line: `ratio <indexing / zcat of the same files>`, both in processor seconds of this run.
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { DuckDBInstance } from '@duckdb/node-api';
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

interface Took {
  readonly wall: number;
  readonly cpu: number;
}

/** @param command for a shell in `cwd`, with `args` from $1 on. */
function timed(what: string, cwd: string, command: string, ...args: string[]): Took {
  const script = `TIMEFORMAT='%R %U %S'; time { ${command}; } >/dev/null`;
  const { status, stderr } = spawnSync('bash', ['-c', script, 'bench', ...args], { cwd, encoding: 'utf8' });
  const [wall = 0, user = 0, system = 0] = stderr.trim().split('\n').at(-1)?.split(' ').map(Number) ?? [];
  if (status !== 0) throw new Error(`${what}: exit status ${status}\n${stderr}`);
  console.log(`${what}: ${wall.toFixed(2)} s, ${(user + system).toFixed(2)} s of processor`);
  return { wall, cpu: user + system };
}

const cli = fileURLToPath(new URL('../../dist/tools/bin/pvh-report.js', import.meta.url));
const triage = (what: string, ...args: string[]): Took =>
  timed(what, tmpdir(), '"$@"', process.execPath, cli, 'triage', '-q', ...args);

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

  const { wall, cpu } = triage('index', folder);
  const perMinute = Math.round((FILES / wall) * 60);
  console.log(`${perMinute} files a minute, ${Math.round((FILES / cpu) * 60)} a minute of processor`);
  triage('nothing has changed', folder);

  const index = join(folder, '.pvh-triage');
  const database = await (await DuckDBInstance.create(':memory:')).connect();
  await database.run(
    `COPY (SELECT * REPLACE (path || '-' || k AS path, time + to_hours(k) AS time)
       FROM read_parquet('${index}/*.parquet'), range(1, ${TIMES}) AS t(k))
     TO '${index}/reports-00001000-00001000.parquet' (FORMAT parquet, COMPRESSION zstd, KV_METADATA {pvh_report_triage: '1'})`,
  );
  database.closeSync();
  console.log(`${FILES * TIMES} rows:`);
  triage('groups', '--no-update', '--index', index);
  triage(
    '--sql',
    ...['--no-update', '--index', index, '--sql'],
    'SELECT kernel_build_id, count(*) FROM reports GROUP BY ALL ORDER BY 2 DESC',
  );

  const zcat = timed('zcat of the same files', folder, "find . -name '*.tar.gz' -print0 | xargs -0 zcat");
  console.log(`ratio ${(cpu / zcat.cpu).toFixed(2)}`);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
