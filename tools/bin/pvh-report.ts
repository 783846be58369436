#!/usr/bin/env node
// `pvh-report`: one file about a crashed guest, and what two such files differ in.
import { main } from '../pvh-report/main.ts';

// A reader that stops early (`pvh-report diff ... | head`) is no error.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0);
  throw error;
});
process.exitCode = await main(process.argv.slice(2), process.env, {
  out: (text) => process.stdout.write(text),
  err: (text) => process.stderr.write(text),
});
