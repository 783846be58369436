// Records the labelled corpus again: runs every cause in every configuration. Arguments: labels; none: all of them.

import { readReport } from '../../../tools/pvh-report/report.ts';
import { Host } from '../../kernel/guest.ts';
import { CAUSES, collectRun, RUNS } from './causes.ts';
import { type Entry, entryOf, writeEntries } from './entries.ts';

const wanted = process.argv.slice(2);

for (const { label, run } of CAUSES.filter((cause) => wanted.length === 0 || wanted.includes(cause.label))) {
  const entries: Entry[] = [];
  for (let index = 0; index < RUNS; index++) {
    using host = new Host();
    const made = run(index);
    const { report } = await collectRun(host, 'corpus', made);
    const read = await readReport(report);
    entries.push(entryOf(made.what, read));
    process.stdout.write(`${label} (${made.what}): ${read.signature.sha8} ${read.signature.text}\n`);
  }
  writeEntries(label, entries);
}
