// One oracle case and its names. The corpus, the generator and the replay share them.
import type { OpcodeRow } from '../../core/cpu/opcodes.ts';
import type { Program } from './format.ts';
import { seedOf } from './random.ts';
import type { Profile } from './state.ts';

/** One case. With row, index, profile and mode the whole initial state is known. */
export interface OracleCase {
  /** `rowId` of the row, or PROGRAM_ROW. */
  readonly row: string;
  readonly index: number;
  readonly profile: Profile;
  readonly program: Program;
}

/** The row under which generated instruction sequences are kept. */
export const PROGRAM_ROW = 'program';

/** The name of a row in the corpus; stays the same when other rows come and go. */
export function rowId(row: OpcodeRow): string {
  return `${row.code} ${row.mnemonic} ${row.operands.join(',')}`.trim();
}

/** Seed of a case's initial state. */
export function caseSeed(row: string, index: number): number {
  return seedOf(row, index);
}
