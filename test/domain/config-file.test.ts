// Our reading of xl.cfg against libxlutil.so.4.17 (test/golden/xen-4.17/xl-config.json holds what the library answered).
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { ConfigError, parseConfigFile } from '../../core/domain/config-file.ts';

interface Case {
  readonly input: string;
  readonly output: string;
}

const cases: readonly Case[] = JSON.parse(
  readFileSync(new URL('../golden/xen-4.17/xl-config.json', import.meta.url), 'utf8'),
);

/** What the recording program printed, made from our parser. Our own additions (source line, caret) are left out. */
function replay(input: string): string {
  // The recording program printed bytes as Latin-1.
  const text = Buffer.from(input, 'utf8').toString('latin1');
  try {
    const file = parseConfigFile(text, 'f.cfg');
    const lines = ['rc 0'];
    const warned = (): string[] => file.warnings.splice(0);
    const code = (value: unknown, name: string): number =>
      value !== undefined ? 0 : file.has(name) ? 22 : 3;
    const s = file.string('s');
    lines.push(...warned(), `s ${code(s, 's')} ${s ?? ''}`);
    const n = file.number('n');
    const complaint = warned();
    lines.push(...complaint, `n ${complaint[0]?.includes('out of range') ? 34 : code(n, 'n')} ${n ?? 0}`);
    const l = file.list('l');
    const items = (l ?? []).map((item) => ` <${typeof item === 'string' ? item : '(null)'}>`);
    lines.push(...warned(), `l ${code(l, 'l')} ${l?.length ?? 0}${items.join('')}`);
    return `${lines.join('\n')}\n`;
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    const lines = error.lines.filter((line) => !line.startsWith('  ') && !line.startsWith('Failed to parse'));
    return `${lines.join('\n')}\nrc 22\n`;
  }
}

/** Where we leave libxlu on purpose. */
const deviations: Readonly<Record<string, string>> = {
  's="\\101"\n': 'octal escapes vanish in libxlu; we refuse them',
  'n="9223372036854775807"\n': 'no key takes numbers beyond 2^53; we say out of range',
  's="a"\r\n': 'libxlu prints the CR itself',
  's="a"\n@\n@\ns=\n': 'libxlu takes the last line for the one before it, which has had its error',
};
/** libxlu gives a newline token the number of the line before it: `f.cfg:0:` for the first line. */
const wrongLine =
  /^f\.cfg:(\d+)(: config parsing error near (?:<newline>|`#.*): syntax error, unexpected NEWLINE)/gm;
const corrected = (output: string): string =>
  output.replace(wrongLine, (_, line: string, rest: string) => `f.cfg:${Number(line) + 1}${rest}`);

describe('xl.cfg grammar', () => {
  test.each(cases.filter(({ input }) => deviations[input] === undefined))('$input', ({ input, output }) => {
    expect(replay(input)).toBe(corrected(output));
  });

  test.each(Object.keys(deviations))('deviation: %j', (input) => {
    const recorded = cases.find((row) => row.input === input);
    expect(recorded).toBeDefined();
    expect(replay(input)).not.toBe(recorded?.output);
  });

  test('an error shows the line and the column', () => {
    expect(() => parseConfigFile('a = 1\n\tfoo = = 3\n', 'x.cfg')).toThrow(
      ['  2 | \tfoo = = 3', `      \t      ^ column 8`].join('\n'),
    );
  });

  test.each([
    ['a NUL byte', 'a="\0"\n', 'x.cfg:1: config parsing error: NUL byte'],
    ['two megabytes', '\n'.repeat(2 << 20), 'larger than'],
    ['lists nested 10000 deep', `a=${'['.repeat(10_000)}`, 'syntax error'],
  ])('%s is refused', (_, text, message) => {
    expect(() => parseConfigFile(text, 'x.cfg')).toThrow(message);
  });
});
