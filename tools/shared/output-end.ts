// What becomes of a tool whose standard output takes no more: a reader that has gone is no error, a full disk is one.
import { systemError } from './failure.ts';

const FAILED = 1;

/** Ends the process when stdout fails: quietly where the reader stopped early (`xl dmesg | head`). */
export function endWithOutput(tool: string): void {
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(0);
    process.stderr.write(`${outputFailure(tool, error)}\n`);
    process.exit(FAILED);
  });
}

/** A line for stderr. @throws what is no error of the system. */
export function outputFailure(tool: string, error: unknown): string {
  const reason = systemError(error);
  if (reason === undefined) throw error;
  return `${tool}: standard output: ${reason}`;
}
