// `npm run oracle:replay -- [--row <part of a row's name>] [--max <n>] [--case <index>]`: replays the corpus and shows what
// differs, then a line a row that has mismatches.
import { parseArgs } from 'node:util';
import { describeMismatch } from './describe.ts';
import { openCorpus, openUserMachine } from './open.ts';
import { replayCase } from './replay.ts';

const { values } = parseArgs({
  options: {
    row: { type: 'string', default: '' },
    max: { type: 'string', default: '3' },
    case: { type: 'string' },
  },
});
const wanted = values.row.toLowerCase().replaceAll(':', ' ');
const most = Number(values.max);
const corpus = openCorpus((row) => row.toLowerCase().includes(wanted));
let machine = openUserMachine();
let shown = 0;
let total = 0;
let wrong = 0;
const summary: { row: string; bad: number; of: number }[] = [];
for (const [row, cases] of corpus.rows) {
  let bad = 0;
  let shownOfRow = 0;
  for (const recorded of cases) {
    if (values.case !== undefined && recorded.index !== Number(values.case)) continue;
    total++;
    let mismatch: ReturnType<typeof replayCase>;
    try {
      mismatch = replayCase(machine, recorded);
    } catch (error) {
      mismatch = {
        recorded,
        differences: [`crash: ${error instanceof Error ? error.message : String(error)}`],
      };
      machine = openUserMachine();
    }
    if (!mismatch) continue;
    bad++;
    if (shown < most && shownOfRow < Math.max(1, most / 5)) {
      shown++;
      shownOfRow++;
      process.stdout.write(`${describeMismatch(mismatch)}\n\n`);
    }
  }
  wrong += bad;
  if (bad) summary.push({ row, bad, of: cases.length });
}
for (const { row, bad, of } of summary)
  process.stdout.write(`${String(bad).padStart(6)} of ${String(of).padEnd(6)} ${row}\n`);
process.stdout.write(
  `${total} cases of ${corpus.rows.size} rows, ${wrong} mismatches in ${summary.length} rows (${corpus.cpu})\n`,
);
