// Programs of the host, when this process is too busy to look after them.
import { spawn } from 'node:child_process';
import { expect, test } from 'vitest';
import { runProgram } from '../../tools/pvh-report/host/program.ts';

/** Nothing else happens in this process for so long. */
function beBusy(milliseconds: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds);
}

test('what a program printed is read, however late', async () => {
  const program = runProgram('/bin/sh', ['-c', 'sleep 0.3; echo hello'], {
    env: process.env,
    bound: 1024,
    signal: AbortSignal.timeout(60_000),
  });
  // The ends of both are told at once, before the program's output is looked for; then the grace for its output passes unused.
  const other = spawn('/bin/echo', ['other']);
  beBusy(200);
  other.stdout.once('data', () => beBusy(700));
  other.once('exit', () => beBusy(700));
  const { output, end } = await program;
  expect(Buffer.from(output.bytes).toString()).toBe('hello\n');
  expect(end).toEqual({ kind: 'exit', status: 0 });
});
