// Runs a program of the host that only reads: no input, bounded output, an end in any case. Knows nothing of Xen.
import { spawn } from 'node:child_process';
import { accessSync, constants, realpathSync, statSync } from 'node:fs';
import { delimiter, isAbsolute, join } from 'node:path';
import { systemError } from '../../shared/failure.ts';
import { type Bounded, BoundedOutput } from './bounded-output.ts';

type Env = Readonly<Record<string, string | undefined>>;

/** How a program ended. `stopped`: we ended it, for the reason that its signal had. */
export type ProgramEnd =
  | { readonly kind: 'exit'; readonly status: number }
  | { readonly kind: 'signal'; readonly signal: string }
  | { readonly kind: 'stopped'; readonly why: unknown }
  | { readonly kind: 'not started'; readonly why: string };

export interface ProgramRun {
  readonly output: Bounded;
  /** What it complained of: one line, bounded, nothing that steers a terminal. */
  readonly complaint: string;
  readonly end: ProgramEnd;
}

/** A program that prints more than this does not stop by itself. */
const MAX_PRINTED = 64 << 20;
const MAX_COMPLAINT = 2048;
/** Between asking a program to end and ending it. */
const GRACE_MS = 500;

/** Our own `xl` may stand in PATH before Xen's, as a link that npm made. */
const OWN_PROGRAM = /\/tools\/bin\/[\w-]+\.[jt]s$/;

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile() && !OWN_PROGRAM.test(realpathSync(path));
  } catch {
    return false;
  }
}

/** Where PATH has the program; ours of the same name are passed over. */
export const findProgram = (name: string, env: Env): string | undefined =>
  (env['PATH'] ?? '')
    .split(delimiter)
    .filter((folder) => isAbsolute(folder))
    .map((folder) => join(folder, name))
    .find(isProgram);

const oneLine = (text: string): string =>
  text
    .trim()
    .replace(/\s*[\r\n]+\s*/g, '; ')
    .replace(/\p{Cc}/gu, '?');

/** A signal to a program and to all that it started. */
function signalGroup(pid: number | undefined, signal: NodeJS.Signals): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, signal);
  } catch {
    // It has ended.
  }
}

/**
 * @param path an absolute path; the program runs in `/`, with messages in English.
 * @param bound bytes of its output to keep.
 * @param signal ends it. The promise is kept soon after, even by a program that cannot be ended.
 */
export function runProgram(
  path: string,
  args: readonly string[],
  { env, bound, signal }: { readonly env: Env; readonly bound: number; readonly signal: AbortSignal },
): Promise<ProgramRun> {
  return new Promise((resolve) => {
    const output = new BoundedOutput(bound);
    const complaint = new BoundedOutput(MAX_COMPLAINT);
    let stopped: { why: unknown } | undefined;
    let grace: NodeJS.Timeout | undefined;
    // A group of its own: the user's Ctrl-C is ours to deal with, and what it starts ends with it.
    const child = spawn(path, args, {
      cwd: '/',
      env: { ...env, LC_ALL: 'C' },
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    });
    const finish = (end: ProgramEnd): void => {
      clearTimeout(grace);
      signal.removeEventListener('abort', onAbort);
      child.stdout.destroy();
      child.stderr.destroy();
      child.unref();
      resolve({
        output: output.end(),
        complaint: oneLine(Buffer.from(complaint.end().bytes).toString()),
        end: stopped === undefined ? end : { kind: 'stopped', why: stopped.why },
      });
    };
    const stop = (why: unknown): void => {
      if (stopped !== undefined) return;
      stopped = { why };
      signalGroup(child.pid, 'SIGTERM');
      grace = setTimeout(() => {
        signalGroup(child.pid, 'SIGKILL');
        finish({ kind: 'stopped', why });
      }, GRACE_MS);
    };
    const onAbort = (): void => stop(signal.reason);
    child.stdout.on('data', (bytes: Buffer) => {
      output.push(bytes);
      if (output.total > MAX_PRINTED) stop(new Error(`it printed more than ${MAX_PRINTED} bytes`));
    });
    child.stderr.on('data', (bytes: Buffer) => complaint.push(bytes));
    child.once('error', (error) => finish({ kind: 'not started', why: systemError(error) ?? error.message }));
    const ended = (status: number | null, end: string | null): void =>
      finish(end === null ? { kind: 'exit', status: status ?? 0 } : { kind: 'signal', signal: end });
    // The grace may end before this process, busy for so long, has read at all: each turn of the event loop reads.
    const onceRead = (then: () => void, before?: number): void => {
      const now = output.total + complaint.total;
      if (now === before) then();
      else setImmediate(onceRead, then, now);
    };
    child.once('close', ended);
    // Something that it left in the background may hold its output open: nobody waits for that.
    child.once('exit', (status, end) => {
      clearTimeout(grace);
      // Nor does it outlive the program that we ended.
      if (stopped !== undefined) signalGroup(child.pid, 'SIGKILL');
      grace = setTimeout(() => setImmediate(onceRead, () => ended(status, end)), GRACE_MS);
    });
    if (signal.aborted) onAbort();
    else signal.addEventListener('abort', onAbort, { once: true });
  });
}
