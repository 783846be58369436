// DuckDB, which reads and writes the index. An optional package: loaded only when triage is asked for.
import type { DuckDBConnection, DuckDBInstance } from '@duckdb/node-api';
import { ToolFailure } from '../../shared/failure.ts';
import { EXIT } from '../exit.ts';

export type DuckDB = typeof import('@duckdb/node-api');

/** @throws ToolFailure that says what to install. */
async function loadDuckDB(): Promise<DuckDB> {
  try {
    return await import('@duckdb/node-api');
  } catch (cause) {
    throw new ToolFailure(
      [
        'pvh-report: triage keeps its index with the optional package @duckdb/node-api, which cannot be loaded',
        "  run 'npm install @duckdb/node-api'",
      ],
      EXIT.unusable,
      { cause },
    );
  }
}

/** A database in memory. */
export class Database implements Disposable {
  readonly duckdb: DuckDB;
  readonly connection: DuckDBConnection;
  readonly #instance: DuckDBInstance;

  private constructor(duckdb: DuckDB, instance: DuckDBInstance, connection: DuckDBConnection) {
    this.duckdb = duckdb;
    this.#instance = instance;
    this.connection = connection;
  }

  static async open(): Promise<Database> {
    const duckdb = await loadDuckDB();
    // Nothing is fetched, nothing is put beside the user's files: by default .tmp in the current folder.
    const instance = await duckdb.DuckDBInstance.create(':memory:', {
      autoinstall_known_extensions: 'false',
      autoload_known_extensions: 'false',
      temp_directory: '',
    });
    return new Database(duckdb, instance, await instance.connect());
  }

  async run(sql: string, values: readonly (string | number)[] = []): Promise<void> {
    await this.connection.run(sql, [...values]);
  }

  /** Rows as JSON has them: big numbers and times are texts. */
  async rows(sql: string, values: readonly (string | number)[] = []): Promise<Record<string, unknown>[]> {
    return (await this.connection.runAndReadAll(sql, [...values])).getRowObjectsJson();
  }

  /** From now on no file is read or written, nothing is loaded, and that cannot be changed. */
  async seal(): Promise<void> {
    await this.run('SET enable_external_access = false');
    await this.run('SET lock_configuration = true');
  }

  [Symbol.dispose](): void {
    this.connection.closeSync();
    this.#instance.closeSync();
  }
}

/** A text of ours as SQL writes it, where a parameter cannot stand. */
export const quoted = (text: string): string => `'${text.replaceAll("'", "''")}'`;

/** A path for read_parquet, which takes patterns. */
export const literalPath = (path: string): string => path.replace(/[[*?]/g, '[$&]');
