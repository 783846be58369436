// The index on disk: Parquet files, each of rows that were added together. A part is written aside and renamed, so that it is
// there whole or not at all; of two rows about one file that of the later part counts.
//
// A part's name has the first and the last of the parts that it stands for: reports-00000007-00000007.parquet was written as
// the seventh, reports-00000001-00000007.parquet holds everything up to it. A part that lies within another one is not read:
// so it does not matter when the end comes between writing the one and removing the other.
//
// In a bucket nothing can be renamed or locked. There a part's name ends in a token that nobody else comes upon: so nothing is
// overwritten, a name has one content for ever, and the folder is a copy. Others may add a part with a number that one which
// stands for many has as well, so all parts are read, and those that were made one are removed by their names, oldest first.
import { randomBytes } from 'node:crypto';
import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
} from 'node:fs';
import { join } from 'node:path';
import { replaceFile, temporaryBeside } from '../../../core/host/files.ts';
import { withLock } from '../../../core/host/lock.ts';
import { systemError, ToolFailure } from '../../shared/failure.ts';
import { EXIT } from '../exit.ts';
import type { Bucket } from './bucket.ts';
import { type Database, literalPath, quoted } from './duckdb.ts';
import { COLUMNS } from './row.ts';

const INDEX_SCHEMA = '1';
const SCHEMA_KEY = 'pvh_report_triage';

/** When there are more parts the youngest become one. */
const MAX_PARTS = 8;
/** Parts as large as this are left alone: one is written, sent and fetched whole, from memory. */
const FULL_BYTES = 256 << 20;

interface Part {
  readonly name: string;
  readonly first: number;
  readonly last: number;
  /** Of a part that was put into a bucket. */
  readonly token?: string | undefined;
}

const NAME = /^reports-(\d{8})-(\d{8})(?:-([0-9a-f]{16}))?\.parquet$/;
const TEMPORARY = /^\.reports-.*\.tmp$/;

const partName = (first: number, last: number, token?: string): string =>
  `${['reports', ...[first, last].map((at) => String(at).padStart(8, '0')), ...(token ? [token] : [])].join('-')}.parquet`;

/** Where the parts are. */
export interface IndexPlace {
  /** Of the parts, or of their copies. */
  readonly folder: string;
  readonly bucket?: Bucket;
}

/** Of what DuckDB says of a part. */
const MAX_REASON = 300;
/** While parts are fetched others may go, as often as they are made one. */
const MAX_ROUNDS = 10;

const columnNames = COLUMNS.map(({ name }) => name).join(', ');
const columnKinds = COLUMNS.map(({ name, kind }) => `${name} ${kind}`).join(', ');

/** What the index says of the files, in the database: one row a file, the latest. `removed` ones were there once. */
const CREATE = [
  `CREATE TABLE known (${columnKinds}, removed BOOLEAN)`,
  `CREATE TABLE batch (${columnKinds}, removed BOOLEAN)`,
];

export class Index {
  readonly folder: string;
  /** As the user knows it. */
  readonly name: string;
  readonly #bucket: Bucket | undefined;
  readonly #database: Database;

  private constructor({ folder, bucket }: IndexPlace, database: Database) {
    this.folder = folder;
    this.name = bucket?.url ?? folder;
    this.#bucket = bucket;
    this.#database = database;
  }

  /** Makes the folder when `create`, and fills the table `known`. @throws ToolFailure when that cannot be. */
  static async open(place: IndexPlace, database: Database, create: boolean): Promise<Index> {
    const index = new Index(place, database);
    const { folder } = index;
    for (const statement of CREATE) await database.run(statement);
    try {
      if (create || place.bucket)
        mkdirSync(folder, { recursive: true, ...(place.bucket && { mode: 0o700 }) });
      await index.#load(create);
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
      await this.#fetch();
      this.#sweep();
      const last = Math.max(0, ...this.#all().map((part) => part.last));
      await this.#write(last + 1, last + 1, `SELECT ${columnNames}, removed FROM batch`);
      await this.#compact();
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
      const [, first, last, token] = NAME.exec(name) ?? [];
      return first === undefined ? [] : [{ name, first: Number(first), last: Number(last), token }];
    });
  }

  /** Those that count, oldest first: by their names. */
  #parts(): Part[] {
    const all = this.#all();
    const isWithin = (inner: Part, outer: Part): boolean =>
      inner !== outer &&
      inner.token === undefined &&
      outer.token === undefined &&
      outer.first <= inner.first &&
      inner.last <= outer.last;
    return all
      .filter((part) => !all.some((other) => isWithin(part, other)))
      .sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  /** Removes what an end at the wrong moment left. Only under the lock. */
  #sweep(): void {
    const counting = new Set(this.#parts().map(({ name }) => name));
    for (const name of readdirSync(this.folder))
      if (TEMPORARY.test(name) || (NAME.test(name) && !counting.has(name)))
        rmSync(join(this.folder, name), { force: true });
  }

  /** Makes the folder hold what the bucket holds. */
  async #fetch(): Promise<void> {
    const bucket = this.#bucket;
    if (bucket === undefined) return;
    for (let round = 0; round < MAX_ROUNDS; round++) {
      const there = (await bucket.list('reports-')).filter(({ name }) => NAME.test(name));
      const names = new Set(there.map(({ name }) => name));
      for (const { name } of this.#all())
        if (!names.has(name)) rmSync(join(this.folder, name), { force: true });
      let gone = false;
      for (const { name, bytes } of there) gone ||= !(await this.#copy(bucket, name, bytes));
      if (!gone) return;
    }
    throw new ToolFailure(
      [
        `pvh-report: index ${this.name}: others make its parts one faster than they can be fetched: try again later`,
      ],
      EXIT.unusable,
    );
  }

  /** @returns false when it is not there any more. */
  async #copy(bucket: Bucket, name: string, bytes: number): Promise<boolean> {
    const path = join(this.folder, name);
    const token = NAME.exec(name)?.[3];
    if (token !== undefined && statSync(path, { throwIfNoEntry: false })?.size === bytes) return true;
    const content = await bucket.get(name);
    if (content !== undefined) replaceFile(path, content);
    return content !== undefined;
  }

  /** The parts that count, those of a bucket fetched. Who may only read the folder has to do without the lock. */
  async #current(create: boolean): Promise<Part[]> {
    try {
      return await this.#locked(async () => {
        await this.#fetch();
        return this.#parts();
      });
    } catch (error) {
      // A copy that cannot be brought up to date is no use.
      if (create || this.#bucket || !['EACCES', 'EROFS'].includes(codeOf(error))) throw error;
      return this.#parts();
    }
  }

  /** Without the lock, for which others would wait: parts may go meanwhile, as often as they are made one. */
  async #load(create: boolean): Promise<void> {
    for (let round = 1; ; round++) {
      const parts = await this.#current(create);
      try {
        await this.#loadParts(parts);
        return;
      } catch (error) {
        if (round === MAX_ROUNDS || parts.every(({ name }) => existsSync(join(this.folder, name))))
          throw error;
      }
    }
  }

  async #loadParts(parts: readonly Part[]): Promise<void> {
    for (const part of parts) await this.#check(part);
    await this.#database.run('DELETE FROM known');
    if (parts.length === 0) return;
    try {
      await this.#database.run(`INSERT INTO known ${this.#latest(parts)}`);
    } catch (error) {
      // DuckDB does not always say which of them it is.
      for (const part of parts)
        await this.#database
          .run(`CREATE OR REPLACE TEMP TABLE tried AS ${this.#latest([part])}`)
          .catch((cause: unknown) => {
            throw this.#damaged(part.name, cause);
          });
      throw this.#damaged('its parts together', error);
    }
  }

  /** A query for the rows of the parts, of each file the latest. Names of parts are in the order of their age. */
  #latest(parts: readonly Part[]): string {
    const paths = parts.map(({ name }) => quoted(literalPath(join(this.folder, name))));
    const which =
      parts.length === 1 ? '' : 'QUALIFY row_number() OVER (PARTITION BY path ORDER BY filename DESC) = 1';
    return `SELECT ${columnNames}, removed FROM read_parquet([${paths.join(', ')}], filename = true) ${which}`;
  }

  #unusable(what: string, advice: string, cause?: unknown): ToolFailure {
    return new ToolFailure([`pvh-report: index ${this.name}: ${what}`, `  ${advice}`], EXIT.unusable, {
      cause,
    });
  }

  #damaged(what: string, cause: unknown): ToolFailure {
    const why = (cause instanceof Error ? cause.message.split('\n')[0] : String(cause))?.slice(0, MAX_REASON);
    return this.#unusable(
      `${what} cannot be read: ${why}`,
      this.#bucket
        ? `it was damaged: remove the copy in ${this.folder} or, should that not help, the part, and it is made anew`
        : 'it was damaged: remove the folder, and it is made anew; or use --index DIR',
      cause,
    );
  }

  /** @throws ToolFailure unless it is a part of this version. */
  async #check({ name }: Part): Promise<void> {
    const sql = `SELECT decode(value) AS schema FROM parquet_kv_metadata($1) WHERE decode(key) = '${SCHEMA_KEY}'`;
    const [found] = await this.#database
      .rows(sql, [literalPath(join(this.folder, name))])
      .catch((error: unknown) => {
        throw this.#damaged(name, error);
      });
    if (found?.['schema'] !== INDEX_SCHEMA)
      throw this.#unusable(
        `${name} is of schema ${String(found?.['schema'] ?? '(none)').slice(0, MAX_REASON)}, not ${INDEX_SCHEMA}`,
        'another version of pvh-report made it: use that one, or --index for an index of its own',
      );
  }

  /** @param rows a query. */
  async #write(first: number, last: number, rows: string): Promise<void> {
    const name = partName(first, last, this.#bucket && randomBytes(8).toString('hex'));
    const path = join(this.folder, name);
    const temporary = temporaryBeside(path);
    try {
      await this.#database.run(
        `COPY (${rows} ORDER BY signature, time, path) TO ${quoted(temporary)}
           (FORMAT parquet, COMPRESSION zstd, KV_METADATA {${SCHEMA_KEY}: '${INDEX_SCHEMA}'})`,
      );
      sync(temporary);
      await this.#bucket?.put(name, readFileSync(temporary));
      renameSync(temporary, path);
      sync(this.folder);
    } catch (cause) {
      if (cause instanceof ToolFailure) throw cause;
      const why =
        systemError(cause) ?? (cause instanceof Error ? cause.message.split('\n')[0] : String(cause));
      throw new ToolFailure([`pvh-report: index ${this.name}: cannot be written: ${why}`], EXIT.unusable, {
        cause,
      });
    } finally {
      rmSync(temporary, { force: true });
    }
  }

  /**
   * Of the parts behind the last full one, the youngest: at least two, and on with older ones as long as these are no larger than
   * all younger ones together. So a row is written anew a few times, not once for every so many additions.
   */
  #mergeable(): Part[] {
    const sized = this.#parts().map((part) => ({ part, bytes: statSync(join(this.folder, part.name)).size }));
    const open = sized.slice(sized.findLastIndex(({ bytes }) => bytes >= FULL_BYTES) + 1);
    if (open.length <= MAX_PARTS) return [];
    let from = open.length;
    for (let younger = 0; from > 0; from--) {
      const bytes = open[from - 1]?.bytes ?? 0;
      if (from < open.length - 1 && bytes > younger) break;
      younger += bytes;
    }
    return open.slice(from).map(({ part }) => part);
  }

  async #compact(): Promise<void> {
    const parts = this.#mergeable();
    if (parts.length === 0) return;
    for (const part of parts) await this.#check(part);
    const [first, last] = [
      Math.min(...parts.map((part) => part.first)),
      Math.max(...parts.map((part) => part.last)),
    ];
    await this.#write(first, last, this.#latest(parts));
    for (const { name } of parts) {
      await this.#bucket?.remove(name);
      rmSync(join(this.folder, name), { force: true });
    }
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
