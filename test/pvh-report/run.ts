// `pvh-report` in this process: what it printed, and its status.
import { main } from '../../tools/pvh-report/main.ts';

export interface Run {
  readonly status: number;
  readonly out: string;
  readonly err: string;
}

export async function pvhReportWith(env: Parameters<typeof main>[1], ...argv: string[]): Promise<Run> {
  const [out, err]: [string[], string[]] = [[], []];
  const status = await main(argv, env, { out: (text) => out.push(text), err: (text) => err.push(text) });
  return { status, out: out.join(''), err: err.join('') };
}

/** Without an environment. */
export const pvhReport = (...argv: string[]): Promise<Run> => pvhReportWith({}, ...argv);
