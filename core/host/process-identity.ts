// Tells whether a process that was written down earlier still runs. Linux says when it started; elsewhere its pid must do.
import { readFileSync } from 'node:fs';
import type { ProcessIdentity } from '../domain/record.ts';

function bootId(): string {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
  } catch {
    return '';
  }
}

/** Field 22 of proc(5) /proc/PID/stat with the boot it belongs to; undefined when there is no such process. */
function startTime(pid: number): string | undefined {
  let stat: string;
  try {
    stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  } catch {
    return undefined;
  }
  // The second field is a name in parentheses that may itself hold blanks and parentheses.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const [state] = fields;
  if (state === 'Z' || state === 'X') return undefined; // dead, only not yet waited for
  return `${bootId()}:${fields[19] ?? ''}`;
}

const hasProc = (): boolean => startTime(process.pid) !== undefined;

/** The identity of a running process, by default this one. */
export function identifyProcess(pid: number = process.pid): ProcessIdentity {
  return { pid, startTime: startTime(pid) ?? '' };
}

export function isAlive({ pid, startTime: recorded }: ProcessIdentity): boolean {
  if (!Number.isSafeInteger(pid) || pid <= 0) return false;
  const now = startTime(pid);
  if (now !== undefined) return recorded === '' || now === recorded;
  if (hasProc()) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'; // errors of process.kill carry a code
  }
}
