#!/usr/bin/env node
// `xenctx`: vCPU contexts, stack and code of a domain or of a dump file.
import { LineOutput, OutputClosed } from '../shared/line-output.ts';
import { outputFailure } from '../shared/output-end.ts';
import { main } from '../xenctx/main.ts';

const stdout = new LineOutput(1);
const stderr = new LineOutput(2);
try {
  process.exitCode = await main(process.argv.slice(2), process.env, {
    line: (text) => stdout.line(text),
    text: (text) => stdout.text(text),
    error(line) {
      // What went to stdout before the complaint stays before it.
      stdout.flush();
      stderr.line(line);
      stderr.flush();
    },
    colour: process.stdout.isTTY === true && !process.env['NO_COLOR'] && process.env['TERM'] !== 'dumb',
  });
  stdout.flush();
} catch (error) {
  // `xenctx | head` ends here; nothing else is wrong.
  if (!(error instanceof OutputClosed)) {
    process.stderr.write(`${outputFailure('xenctx', error)}\n`);
    process.exitCode = 1;
  }
}
