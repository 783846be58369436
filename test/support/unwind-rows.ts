// Unwind rows as tests write them.
import type { RowSource, UnwindRow } from '../../symbols/unwind/row.ts';

/** A call whose frame address is `offset` bytes above rsp, as ORC would tell it. */
export const callRow = (offset: number, more: Partial<UnwindRow> = {}): UnwindRow => ({
  how: 'orc',
  kind: 'call',
  cfa: { base: 'rsp', offset, load: 'none' },
  saved: {},
  signal: false,
  ...more,
});

/** Rows by function: every 0x100 bytes of the code from `code` on. */
export const rowsFrom = (code: bigint, rows: readonly (UnwindRow | undefined)[]): RowSource => ({
  find: (pc) => rows[Number((pc - code) >> 8n)],
});
