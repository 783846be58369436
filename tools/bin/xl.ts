#!/usr/bin/env node
// `xl`: the toolstack command of the emulated Xen PVH runtime.
import { endWithOutput } from '../shared/output-end.ts';
import { main } from '../xl/main.ts';

endWithOutput('xl');
process.exitCode = await main(process.argv.slice(2), process.env, {
  out: (text) => process.stdout.write(text),
  err: (text) => process.stderr.write(text),
});
