#!/usr/bin/env node
// `xl`: the toolstack command of the emulated Xen PVH runtime.
import { main } from '../xl/main.ts';

// A reader that stops early (`xl dmesg | head`) is no error.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0);
  throw error;
});
process.exitCode = await main(process.argv.slice(2), process.env, {
  out: (text) => process.stdout.write(text),
  err: (text) => process.stderr.write(text),
});
