// What the corpus covers: per opcode-table row how many cases, how they ended, and why a row has none.
import { OPCODES } from '../../core/cpu/opcodes.ts';
import { PROGRAM_ROW, rowId } from './case.ts';
import type { Corpus, RecordedCase } from './corpus.ts';
import { NOT_ON_SILICON } from './generate.ts';

export interface RowCoverage {
  readonly row: string;
  readonly cases: number;
  readonly modes: { readonly 32: number; readonly 64: number };
  /** Exception vector -> cases that ended in it; the others ran to their end. */
  readonly exceptions: ReadonlyMap<number, number>;
  /** Why there are no cases. */
  readonly reason: string | undefined;
}

function count(row: string, cases: readonly RecordedCase[], reason: string | undefined): RowCoverage {
  const modes = { 32: 0, 64: 0 };
  const exceptions = new Map<number, number>();
  for (const { program, outcome } of cases) {
    modes[program.mode]++;
    if (outcome.vector !== 1) exceptions.set(outcome.vector, (exceptions.get(outcome.vector) ?? 0) + 1);
  }
  return { row, cases: cases.length, modes, exceptions, reason };
}

/** One entry a table row, in table order, then the programs. */
export function coverageOf(corpus: Corpus): RowCoverage[] {
  const rows = OPCODES.map((row) => {
    const id = rowId(row);
    return count(id, corpus.rows.get(id) ?? [], NOT_ON_SILICON[row.mnemonic]);
  });
  return [...rows, count(PROGRAM_ROW, corpus.rows.get(PROGRAM_ROW) ?? [], undefined)];
}

const VECTOR_NAMES: Readonly<Record<number, string>> = {
  0: '#DE',
  3: '#BP',
  4: '#OF',
  5: '#BR',
  6: '#UD',
  7: '#NM',
  11: '#NP',
  12: '#SS',
  13: '#GP',
  14: '#PF',
  16: '#MF',
  17: '#AC',
  19: '#XM',
};

/** The report as text: a line a row. */
export function formatCoverage(rows: readonly RowCoverage[], cpu: string): string {
  const lines = rows.map(({ row, cases, modes, exceptions, reason }) => {
    const ends = [...exceptions]
      .sort((a, b) => a[0] - b[0])
      .map(([vector, n]) => `${VECTOR_NAMES[vector] ?? vector} ${n}`);
    const note = cases ? ends.join(', ') : `not on silicon: ${reason ?? 'not recorded yet'}`;
    return `${row.padEnd(44)} ${String(cases).padStart(6)} ${String(modes[64]).padStart(6)} ${String(modes[32]).padStart(6)}  ${note}`.trimEnd();
  });
  const total = rows.reduce((sum, { cases }) => sum + cases, 0);
  const met = rows.filter(({ cases }) => cases > 0).length;
  return [
    `${'row'.padEnd(44)} ${'cases'.padStart(6)} ${'64-bit'} ${'32-bit'}  ended in an exception`,
    ...lines,
    `${total} cases; ${met} of ${rows.length} rows met; recorded on ${cpu}`,
    '',
  ].join('\n');
}
