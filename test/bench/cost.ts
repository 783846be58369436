// What a program costs, and the middle one of several measurements.
import { spawnSync } from 'node:child_process';

/** Seconds, of processor and of the clock. */
export interface Cost {
  readonly user: number;
  /** User and system. */
  readonly cpu: number;
  readonly wall: number;
}

/** One run of a program; what it prints goes nowhere. @param env beside that of this process. @throws Error when it fails. */
export function costOf(env: Readonly<Record<string, string>>, ...command: readonly string[]): Cost {
  const { stderr, status } = spawnSync(
    'bash',
    ['-c', 'TIMEFORMAT="cost %U %S %R"; time "$@" >/dev/null', 'bash', ...command],
    { encoding: 'utf8', env: { ...process.env, ...env, LC_ALL: 'C' } },
  );
  const [, user, system, wall] = /^cost (\S+) (\S+) (\S+)$/m.exec(stderr) ?? [];
  if (status !== 0 || user === undefined) throw new Error(`${command[0]}: exit ${status}\n${stderr}`);
  return { user: Number(user), cpu: Number(user) + Number(system), wall: Number(wall) };
}

export const median = (values: readonly number[]): number =>
  [...values].sort((a, b) => a - b)[values.length >> 1] ?? Number.NaN;
