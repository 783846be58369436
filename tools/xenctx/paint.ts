// Colours for xenctx on a terminal. The characters of a line are never changed.
import type { ChalkInstance } from 'chalk';

const TITLE = /^(?:vcpu\d+.*|Code .*|Stack:|Call Trace:|Stack Trace:|Memory .*)$/;
const SYMBOL = / ([A-Za-z_.][\w.$]*(?:\+0x[0-9a-f]+)?)(?= <--$|$)/;

/** Titles bold, names of functions cyan, what could not be read red. */
export function paintLine(line: string, chalk: ChalkInstance): string {
  if (TITLE.test(line)) return chalk.bold(line);
  const named = /\[<|^(?:rip|cs:eip): /.test(line)
    ? line.replace(SYMBOL, (_, name: string) => ` ${chalk.cyan(name)}`)
    : line;
  return named.replace(/\?\?+/g, (marks) => chalk.red(marks));
}
