// A user's own question to the index: one SELECT over the views `reports` and `removed`. By then the database is sealed: it holds
// copies in memory, reaches no file and loads nothing, so that a query can change nothing.
import { cleanText } from '../../shared/clean-text.ts';
import { ToolFailure } from '../../shared/failure.ts';
import { EXIT } from '../exit.ts';
import type { Database } from './duckdb.ts';

export interface Answer {
  readonly columns: readonly string[];
  readonly rows: readonly Readonly<Record<string, unknown>>[];
  /** There were more rows than asked for. */
  readonly cut: boolean;
}

const refuse = (words: string, cause?: unknown): ToolFailure =>
  new ToolFailure([`pvh-report: --sql: ${words}`], EXIT.unusable, { cause });

/** @throws ToolFailure for what is not one SELECT, or fails. */
export async function ask(database: Database, sql: string, limit: number): Promise<Answer> {
  const { StatementType } = database.duckdb;
  if (sql.trim() === '') throw refuse('one statement, please; this is none');
  try {
    const statements = await database.connection.extractStatements(sql);
    if (statements.count !== 1) throw refuse(`one statement, please; these are ${statements.count}`);
    const statement = await statements.prepare(0);
    if (statement.statementType !== StatementType.SELECT && statement.statementType !== StatementType.EXPLAIN)
      throw refuse('only a SELECT; the tables are reports and removed (DESCRIBE reports names the columns)');
    const reader = await statement.streamAndReadUntil(limit + 1);
    const rows = reader.getRowObjectsJson();
    return {
      columns: reader.deduplicatedColumnNames(),
      rows: rows.slice(0, limit),
      cut: rows.length > limit,
    };
  } catch (error) {
    if (error instanceof ToolFailure || !(error instanceof Error)) throw error;
    throw refuse(cleanText(error.message.split('\n')[0] ?? ''), error);
  }
}

const MAX_CELL = 80;

function cell(value: unknown): string {
  const text = value === null ? '-' : typeof value === 'object' ? JSON.stringify(value) : String(value);
  const plain = cleanText(text).replace(/[\t\p{Cf}]/gu, '?');
  return plain.length > MAX_CELL ? `${plain.slice(0, MAX_CELL - 1)}…` : plain;
}

/** Columns side by side, numbers to the right. */
export function renderAnswer({ columns, rows, cut }: Answer): string {
  const table = [columns.map(cell), ...rows.map((row) => columns.map((name) => cell(row[name])))];
  const isNumeric = columns.map((name) => rows.every((row) => /^-?[\d.]+$/.test(String(row[name] ?? '0'))));
  const widths = columns.map((_, at) =>
    table.reduce((most, row) => Math.max(most, (row[at] ?? '').length), 0),
  );
  const lines = table.map((row) =>
    row
      .map((text, at) => (isNumeric[at] ? text.padStart(widths[at] ?? 0) : text.padEnd(widths[at] ?? 0)))
      .join('  ')
      .trimEnd(),
  );
  return `${lines.join('\n')}\n${cut ? '... (more rows: --limit)\n' : ''}`;
}
