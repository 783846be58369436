#!/usr/bin/env node
// `pvh-report`: one file about a crashed guest, and what two such files differ in.
import { main } from '../pvh-report/main.ts';
import { endWithOutput } from '../shared/output-end.ts';

endWithOutput('pvh-report');
process.exitCode = await main(process.argv.slice(2), process.env, {
  out: (text) => process.stdout.write(text),
  err: (text) => process.stderr.write(text),
});
