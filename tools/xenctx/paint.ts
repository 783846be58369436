// Colours for xenctx on a terminal. The characters of a line are never changed.
import type { ChalkInstance } from 'chalk';

const TITLE =
  /^(?:vcpu\d+.*|Code .*|Stack:|Call Trace:|Stack Trace:|Memory .*|Disassembly:|Registers of frame .*|task:.*)$/;
const PANIC = /^(?:Panic|Cause): /;
/** A frame of the true trace: its name, with the guess before and the file behind it. */
const FRAME = /^( (?:\? )?)([A-Za-z_.][\w.$]*\+0x[0-9a-f]+\/0x[0-9a-f]+)(.*)$/;
/** Why a trace ended early, where its stacks begin, whose inlined code it is. */
const REMARK = /^ +(?:\(.*\)|<.*>|\(inlined by\) .*)$/;
const HERE = /^=> .*$/;
const SYMBOL = / ([A-Za-z_.][\w.$]*(?:\+0x[0-9a-f]+)?)(?= <--$|$)/;

/** Titles bold, names of functions cyan, what could not be read red. */
export function paintLine(line: string, chalk: ChalkInstance): string {
  if (TITLE.test(line)) return chalk.bold(line);
  if (PANIC.test(line)) return chalk.red(line);
  if (HERE.test(line)) return chalk.bold(line);
  if (REMARK.test(line)) return chalk.dim(line);
  const [, guess, frame, rest] = FRAME.exec(line) ?? [];
  if (frame !== undefined) {
    const name = guess === ' ' ? chalk.cyan(frame) : chalk.dim(frame);
    return `${guess}${name}${chalk.dim(rest)}`;
  }
  const named = /\[<|^(?:rip|cs:eip): /.test(line)
    ? line.replace(SYMBOL, (_, name: string) => ` ${chalk.cyan(name)}`)
    : line;
  return named.replace(/\?\?+/g, (marks) => chalk.red(marks));
}
