// samples/*/expected.txt: sections of lines that must appear in order. The format is told in samples/README.md.
import { readFileSync } from 'node:fs';

interface Section {
  /** What stands in the brackets: `console`, a command, or `run COMMAND`. */
  readonly subject: string;
  readonly lines: readonly string[];
}

export function readExpected(path: string): Section[] {
  const sections: { subject: string; lines: string[] }[] = [];
  for (const line of readFileSync(path, 'utf8').split('\n')) {
    const subject = line.match(/^\[(.+)\]$/)?.[1];
    if (subject !== undefined) sections.push({ subject, lines: [] });
    else if (line !== '') sections.at(-1)?.lines.push(line);
  }
  return sections;
}

const matcher = (line: string): RegExp =>
  new RegExp(
    `^\\s*${line
      .trim()
      .split('*')
      .map((part) => part.replace(/[.+?^${}()|[\]\\]/g, '\\$&').replace(/\s+/g, '\\s+'))
      .join('.*')}\\s*$`,
  );

/** The first expected line that `text` does not have after the ones before it; undefined when all are there. */
export function firstMissing(expected: readonly string[], text: string): string | undefined {
  const lines = text.replaceAll('\r', '').split('\n');
  let at = 0;
  for (const line of expected) {
    const pattern = matcher(line);
    const found = lines.findIndex((candidate, index) => index >= at && pattern.test(candidate));
    if (found < 0) return line;
    at = found + 1;
  }
  return undefined;
}
