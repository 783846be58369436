// Brings the index up to date: reads what is new or changed, marks what has gone, leaves the rest alone.
import { dirname, isAbsolute, join, relative, sep } from 'node:path';
import { type Database, quoted } from './duckdb.ts';
import { isBelow, listFiles, type Place } from './listing.ts';
import type { Index } from './parts.ts';
import { readRows } from './read-rows.ts';
import { COLUMNS, type NamedFile, type Row, SIGNATURE_VERSION } from './row.ts';

/** Rows that are put on disk together: what the end at a wrong moment can cost. */
const BATCH_ROWS = 20_000;
const BATCH_MS = 20_000;

export interface Updated {
  readonly read: number;
  readonly unchanged: number;
  readonly removed: number;
  /** Folders that could not be read, and why. */
  readonly problems: readonly string[];
}

type OnStep = (text: string, done: number, total: number) => void;

/**
 * A file's name in the index: as seen from the folder that the index is in, if it is below that, so that both can be moved or
 * mounted elsewhere together.
 */
export class Names {
  readonly #folder: string;

  constructor(index: string) {
    this.#folder = dirname(index);
  }

  inIndex(path: string): string {
    const name = relative(this.#folder, path);
    return name === '..' || name.startsWith(`..${sep}`) ? path : name;
  }

  onDisk(name: string): string {
    return isAbsolute(name) ? name : join(this.#folder, name);
  }
}

async function appendRows(database: Database, rows: readonly Row[], removed: boolean): Promise<void> {
  const { DuckDBTimestampValue } = database.duckdb;
  const appender = await database.connection.createAppender('batch');
  for (const row of rows) {
    for (const { name, kind } of COLUMNS) {
      const value = row[name];
      if (value === undefined) appender.appendNull();
      else if (typeof value === 'string') appender.appendVarchar(value);
      else if (typeof value === 'boolean') appender.appendBoolean(value);
      else if (typeof value === 'number') appender.appendInteger(value);
      else if (kind === 'TIMESTAMP') appender.appendTimestamp(new DuckDBTimestampValue(value));
      else appender.appendBigInt(value);
    }
    appender.appendBoolean(removed);
    appender.endRow();
  }
  appender.closeSync();
}

/** Fills the table `listing` with what is there. @returns the folders that could not be read. */
async function list(
  places: readonly Place[],
  database: Database,
  names: Names,
): Promise<ReadonlyMap<string, string>> {
  await database.run('CREATE TABLE listing (path VARCHAR, bytes BIGINT, modified_ns BIGINT)');
  const closed = new Map<string, string>();
  const appender = await database.connection.createAppender('listing');
  for (const { path, bytes, modified } of listFiles(places, (folder, why) => closed.set(folder, why))) {
    appender.appendVarchar(names.inIndex(path));
    appender.appendBigInt(bytes);
    appender.appendBigInt(modified);
    appender.endRow();
  }
  appender.closeSync();
  return closed;
}

const CHANGED = `SELECT path, bytes, modified_ns FROM listing ANTI JOIN
  (SELECT path, bytes, modified_ns FROM known WHERE NOT removed AND signature_version = ${quoted(SIGNATURE_VERSION)})
  USING (path, bytes, modified_ns) ORDER BY path`;

async function changedFiles(database: Database, names: Names): Promise<NamedFile[]> {
  const rows = await database.rows(CHANGED);
  return rows.map(({ path, bytes, modified_ns }) => ({
    name: String(path),
    path: names.onDisk(String(path)),
    bytes: BigInt(String(bytes)),
    modified: BigInt(String(modified_ns)),
  }));
}

/** Marks what the places mean and is not there any more. @returns how many. */
async function markRemoved(
  places: readonly Place[],
  closed: Iterable<string>,
  { database, index, names }: Surroundings,
): Promise<number> {
  const hidden = [...closed];
  const gone = (
    await database.rows('SELECT path FROM known ANTI JOIN listing USING (path) WHERE NOT removed')
  )
    .map(({ path }) => String(path))
    .filter((name) => {
      const path = names.onDisk(name);
      return places.some(({ covers }) => covers(path)) && !hidden.some((folder) => isBelow(folder, path));
    });
  if (gone.length === 0) return 0;
  await database.run('CREATE OR REPLACE TABLE gone (path VARCHAR)');
  const appender = await database.connection.createAppender('gone');
  for (const path of gone) {
    appender.appendVarchar(path);
    appender.endRow();
  }
  appender.closeSync();
  await database.run(
    'INSERT INTO batch SELECT * REPLACE (true AS removed) FROM known SEMI JOIN gone USING (path)',
  );
  await index.add();
  return gone.length;
}

export interface Surroundings {
  readonly database: Database;
  readonly index: Index;
  readonly names: Names;
}

/** Leaves the table `listing`: the files that the places mean. */
export async function update(
  places: readonly Place[],
  around: Surroundings,
  onStep: OnStep,
): Promise<Updated> {
  const { database, index, names } = around;
  const closed = await list(places, database, names);
  const files = await changedFiles(database, names);
  let rows: Row[] = [];
  const flush = async (): Promise<void> => {
    await appendRows(database, rows, false);
    rows = [];
    await index.add();
  };
  let since = performance.now();
  let done = 0;
  const what = `Reading ${files.length} report${files.length === 1 ? '' : 's'}`;
  if (files.length > 0) onStep(what, done, files.length);
  for await (const portion of readRows(files)) {
    rows.push(...portion);
    done += portion.length;
    onStep(what, done, files.length);
    if (rows.length < BATCH_ROWS && performance.now() - since < BATCH_MS) continue;
    await flush();
    since = performance.now();
  }
  if (rows.length > 0) await flush();
  const removed = await markRemoved(places, closed.keys(), around);
  const [counted] = await database.rows('SELECT count(*)::INTEGER AS n FROM listing');
  return {
    read: files.length,
    unchanged: Number(counted?.['n'] ?? 0) - files.length,
    removed,
    problems: [...closed].map(([folder, why]) => `${folder}: ${why}`),
  };
}
