// The index on disk: Parquet files, each of rows that were added together. A part is written aside and renamed, so that it is
// there whole or not at all; of two rows about one file that of the later part counts.
//
// A part's name has the first and the last of the parts that it stands for: reports-00000007-00000007.parquet was written as
// the seventh, reports-00000001-00000007.parquet holds everything up to it. A part that lies within another one is not read:
// so it does not matter when the end comes between writing the one and removing the other.
import { closeSync, fsyncSync, mkdirSync, openSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { temporaryBeside } from '../../../core/host/files.ts';
import { withLock } from '../../../core/host/lock.ts';
import { systemError, ToolFailure } from '../../shared/failure.ts';
import { EXIT } from '../exit.ts';
import { type Database, literalPath, quoted } from './duckdb.ts';
import { COLUMNS } from './row.ts';

const INDEX_SCHEMA = '1';
const SCHEMA_KEY = 'pvh_report_triage';

/** More parts than these become one. */
const MAX_PARTS = 8;

interface Part {
  readonly name: string;
  readonly first: number;
  readonly last: number;
}

const NAME = /^reports-(\d{8})-(\d{8})\.parquet$/;
const TEMPORARY = /^\.reports-.*\.tmp$/;

const partName = (first: number, last: number): string =>
  `reports-${String(first).padStart(8, '0')}-${String(last).padStart(8, '0')}.parquet`;

const columnNames = COLUMNS.map(({ name }) => name).join(', ');
const columnKinds = COLUMNS.map(({ name, kind }) => `${name} ${kind}`).join(', ');

/** What the index says of the files, in the database: one row a file, the latest. `removed` ones were there once. */
const CREATE = [
  `CREATE TABLE known (${columnKinds}, removed BOOLEAN)`,
  `CREATE TABLE batch (${columnKinds}, removed BOOLEAN)`,
];

export class Index {
  readonly folder: string;
  readonly #database: Database;

  private constructor(folder: string, database: Database) {
    this.folder = folder;
    this.#database = database;
  }

  /** Makes the folder when `create`, and fills the table `known`. @throws ToolFailure when that cannot be. */
  static async open(folder: string, database: Database, create: boolean): Promise<Index> {
    const index = new Index(folder, database);
    for (const statement of CREATE) await database.run(statement);
    try {
      if (create) mkdirSync(folder, { recursive: true });
      await index
        .#locked(() => index.#load())
        .catch((error: unknown) => {
          // Who may only read it, reads it without the lock.
          if (create || !['EACCES', 'EROFS'].includes(codeOf(error))) throw error;
          return index.#load();
        });
    } catch (error) {
      const system = systemError(error);
      if (system === undefined) throw error;
      const advice = create ? ['  --index DIR keeps the index in another folder'] : [];
      throw new ToolFailure([`pvh-report: index ${folder}: ${system}`, ...advice], EXIT.unusable, {
        cause: error,
      });
    }
    return index;
  }

  /** Adds the rows of the table `batch`, on disk and to `known`; the table is empty then. */
  async add(): Promise<void> {
    await this.#locked(async () => {
      this.#sweep();
      const last = Math.max(0, ...this.#all().map((part) => part.last));
      await this.#write(last + 1, last + 1, `SELECT ${columnNames}, removed FROM batch`);
      if (this.#parts().length > MAX_PARTS) await this.#compact();
    });
    await this.#database.run('DELETE FROM known WHERE path IN (SELECT path FROM batch)');
    await this.#database.run('INSERT INTO known SELECT * FROM batch');
    await this.#database.run('DELETE FROM batch');
  }

  #locked<T>(work: () => Promise<T>): Promise<T> {
    return withLock(join(this.folder, 'lock'), work);
  }

  #all(): Part[] {
    return readdirSync(this.folder).flatMap((name) => {
      const [, first, last] = NAME.exec(name) ?? [];
      return first === undefined ? [] : [{ name, first: Number(first), last: Number(last) }];
    });
  }

  /** Those that count, oldest first. */
  #parts(): Part[] {
    const all = this.#all();
    const isWithin = (inner: Part, outer: Part): boolean =>
      inner !== outer && outer.first <= inner.first && inner.last <= outer.last;
    return all
      .filter((part) => !all.some((other) => isWithin(part, other)))
      .sort((a, b) => a.last - b.last || a.first - b.first);
  }

  /** Removes what an end at the wrong moment left. Only under the lock. */
  #sweep(): void {
    const counting = new Set(this.#parts().map(({ name }) => name));
    for (const name of readdirSync(this.folder))
      if (TEMPORARY.test(name) || (NAME.test(name) && !counting.has(name)))
        rmSync(join(this.folder, name), { force: true });
  }

  async #load(): Promise<void> {
    const parts = this.#parts();
    for (const part of parts) await this.#check(part);
    await this.#database.run('DELETE FROM known');
    if (parts.length === 0) return;
    await this.#database.run(`INSERT INTO known ${this.#latest(parts)}`).catch((error: unknown) => {
      throw this.#damaged('it', error);
    });
  }

  /** A query for the rows of the parts, of each file the latest. Names of parts are in the order of their age. */
  #latest(parts: readonly Part[]): string {
    const paths = parts.map(({ name }) => quoted(literalPath(join(this.folder, name))));
    const which =
      parts.length === 1 ? '' : 'QUALIFY row_number() OVER (PARTITION BY path ORDER BY filename DESC) = 1';
    return `SELECT ${columnNames}, removed FROM read_parquet([${paths.join(', ')}], filename = true) ${which}`;
  }

  #damaged(what: string, cause: unknown): ToolFailure {
    const why = cause instanceof Error ? cause.message.split('\n')[0] : String(cause);
    return new ToolFailure(
      [
        `pvh-report: index ${this.folder}: ${what} cannot be read: ${why}`,
        '  it was damaged or made by another version: remove the folder, and it is made anew; or use --index DIR',
      ],
      EXIT.unusable,
      { cause },
    );
  }

  /** @throws ToolFailure unless it is a part of this version. */
  async #check({ name }: Part): Promise<void> {
    const sql = `SELECT decode(value) AS schema FROM parquet_kv_metadata($1) WHERE decode(key) = '${SCHEMA_KEY}'`;
    try {
      const [found] = await this.#database.rows(sql, [literalPath(join(this.folder, name))]);
      if (found?.['schema'] !== INDEX_SCHEMA)
        throw new Error(`it is of schema ${found?.['schema'] ?? '(none)'}, not ${INDEX_SCHEMA}`);
    } catch (error) {
      throw this.#damaged(name, error);
    }
  }

  /** @param rows a query. */
  async #write(first: number, last: number, rows: string): Promise<void> {
    const path = join(this.folder, partName(first, last));
    const temporary = temporaryBeside(path);
    try {
      await this.#database.run(
        `COPY (${rows} ORDER BY signature, time, path) TO ${quoted(temporary)}
           (FORMAT parquet, COMPRESSION zstd, KV_METADATA {${SCHEMA_KEY}: '${INDEX_SCHEMA}'})`,
      );
      sync(temporary);
      renameSync(temporary, path);
      sync(this.folder);
    } catch (cause) {
      const why =
        systemError(cause) ?? (cause instanceof Error ? cause.message.split('\n')[0] : String(cause));
      throw new ToolFailure([`pvh-report: index ${this.folder}: cannot be written: ${why}`], EXIT.unusable, {
        cause,
      });
    } finally {
      rmSync(temporary, { force: true });
    }
  }

  /** All parts as one. */
  async #compact(): Promise<void> {
    const parts = this.#parts();
    for (const part of parts) await this.#check(part);
    const [first, last] = [
      Math.min(...parts.map((part) => part.first)),
      Math.max(...parts.map((part) => part.last)),
    ];
    await this.#write(first, last, this.#latest(parts));
    for (const { name } of parts) rmSync(join(this.folder, name), { force: true });
  }
}

/** Code of an error of the system. */
const codeOf = (error: unknown): string =>
  error instanceof Error && 'code' in error ? String(error.code) : '';

function sync(path: string): void {
  const file = openSync(path, 'r');
  try {
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}
