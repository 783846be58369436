// pvh-report triage
import { existsSync, lstatSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { cleanJson } from '../shared/clean-text.ts';
import { ToolFailure } from '../shared/failure.ts';
import { Progress, stderrOutput } from '../shared/progress.ts';
import { cacheDirectory } from '../shared/state-dir.ts';
import { EXIT, type Streams } from './exit.ts';
import { Bucket, isBucketUrl } from './triage/bucket.ts';
import { Database } from './triage/duckdb.ts';
import { renderTriage, triage } from './triage/groups.ts';
import { listFiles, type Place, placeOf } from './triage/listing.ts';
import { Index, type IndexPlace } from './triage/parts.ts';
import { ask, renderAnswer } from './triage/query.ts';
import { Names, update } from './triage/update.ts';

export interface TriageOptions {
  readonly index?: string;
  readonly update: boolean;
  readonly json?: true;
  readonly sql?: string;
  readonly limit?: string;
  readonly since?: string;
  readonly quiet?: true;
}

const usage = (...lines: readonly string[]): ToolFailure =>
  new ToolFailure(
    lines.map((line, at) => (at === 0 ? `pvh-report: ${line}` : `  ${line}`)),
    EXIT.unusable,
  );

const DEFAULT_GROUPS = 50;
const DEFAULT_ROWS = 1000;

function parseLimit(text: string | undefined, otherwise: number): number {
  if (text === undefined) return otherwise;
  const limit = Number(text);
  if (!/^\d{1,7}$/.test(text) || limit === 0) throw usage(`--limit ${text}: not a number from 1 to 9999999`);
  return limit;
}

const UNIT_MS: Readonly<Record<string, number>> = { h: 3_600_000, d: 86_400_000, w: 7 * 86_400_000 };

/** A date (UTC when it does not say), or how long ago. */
function parseSince(text: string, now: Date): string {
  const [, amount, unit = ''] = /^(\d{1,5})([hdw])$/.exec(text) ?? [];
  if (amount !== undefined)
    return new Date(now.getTime() - Number(amount) * (UNIT_MS[unit] ?? 0)).toISOString();
  const zoned = /^\d{4}-\d\d-\d\d$/.test(text) || /(Z|[+-]\d\d:\d\d)$/.test(text) ? text : `${text}Z`;
  const date = new Date(zoned);
  if (!/^\d{4}-\d\d-\d\d/.test(text) || Number.isNaN(date.getTime()))
    throw usage(
      `--since ${text}: neither a date like 2026-11-22 or 2026-11-22T10:00 nor a time like 12h, 7d, 4w`,
    );
  return date.toISOString();
}

function refuseRemote(path: string): void {
  if (/^[a-z][a-z0-9]+:\/\//i.test(path))
    throw usage(
      `${path}: not a folder of this machine`,
      'only the index can be elsewhere: --index s3://bucket/prefix',
    );
}

type Env = Readonly<Record<string, string | undefined>>;

async function indexPlace(
  places: readonly Place[],
  index: string | undefined,
  env: Env,
): Promise<IndexPlace> {
  if (index !== undefined && isBucketUrl(index)) {
    const bucket = await Bucket.open(index, env);
    return { folder: join(cacheDirectory(env), 'triage', bucket.id), bucket };
  }
  return { folder: indexFolder(places, index) };
}

function indexFolder(places: readonly Place[], index: string | undefined): string {
  if (index !== undefined) {
    refuseRemote(index);
    return resolve(index);
  }
  const [first] = places;
  if (first === undefined) throw usage('no folder of reports, and no --index DIR');
  const folder = join(first.base, '.pvh-triage');
  // Whoever sent the reports must not choose where we write.
  if (lstatSync(folder, { throwIfNoEntry: false })?.isSymbolicLink())
    throw usage(`${folder} is a link`, '--index DIR says that it is meant');
  return folder;
}

/** What questions are about. @param since ISO 8601. */
async function createViews(database: Database, updated: boolean, since: string | undefined): Promise<void> {
  const meant = updated ? 'known SEMI JOIN listing USING (path)' : 'known';
  const when = since === undefined ? '' : `AND time >= TIMESTAMP '${since.replace('Z', '')}'`; // digits, from toISOString
  const select = 'SELECT * EXCLUDE (removed) FROM';
  await database.run(`CREATE VIEW reports AS ${select} ${meant} WHERE NOT removed ${when}`);
  await database.run(`CREATE VIEW removed AS ${select} known WHERE removed ${when}`);
}

/** @returns the exit status. @throws ToolFailure */
export async function runTriage(
  args: readonly string[],
  options: TriageOptions,
  env: Env,
  { out, err }: Streams,
  now: () => Date = () => new Date(),
): Promise<number> {
  for (const path of args) refuseRemote(path);
  const limit = parseLimit(options.limit, options.sql === undefined ? DEFAULT_GROUPS : DEFAULT_ROWS);
  const since = options.since === undefined ? undefined : parseSince(options.since, now());
  const places = args.map(placeOf);
  if (options.update && places.length === 0)
    throw usage('no folder of reports; --no-update asks the index as it is');
  const place = await indexPlace(places, options.index, env);
  const nothing = () => usage(`${args.join(' ')}: no report there`, 'reports are files *.tar.gz and *.tgz');
  // What has gone from an index is marked there; a new one would be of nothing.
  if (options.update && !existsSync(place.folder) && listFiles(places, () => undefined).next().done)
    throw nothing();
  const names = new Names(place.folder);
  using database = await Database.open();
  const index = await Index.open(place, database, options.update);
  if (options.update) {
    const progress = new Progress(
      options.quiet
        ? { write: () => undefined, isTerminal: false, colour: false, columns: 80 }
        : stderrOutput(),
    );
    try {
      const updated = await update(places, { database, index, names }, (...step) => progress.step(...step));
      progress.clear();
      for (const problem of updated.problems) err(`pvh-report: ${problem}\n`);
      if (!options.quiet)
        err(`index: ${updated.read} read, ${updated.unchanged} as before, ${updated.removed} gone\n`);
      if (updated.read + updated.unchanged === 0) throw nothing();
    } finally {
      progress.clear();
    }
  }
  await createViews(database, options.update, since);
  await database.seal();
  const json = (value: unknown): void => out(`${cleanJson(JSON.stringify(value, undefined, 2))}\n`);
  if (options.sql !== undefined) {
    const answer = await ask(database, options.sql, limit);
    if (options.json) json(answer.rows);
    else out(renderAnswer(answer));
    return EXIT.ok;
  }
  const result = await triage(database, index.name, limit, (name) => names.onDisk(name));
  if (options.json) json(result);
  else out(renderTriage(result));
  return result.unreadable > 0 ? EXIT.partial : EXIT.ok;
}
