// Which collectors: what the source has, and what the user wants of it.
import { ToolFailure } from '../shared/failure.ts';
import { IMAGE } from './archive.ts';
import type { Collector } from './collector.ts';
import { COLLECTORS } from './collectors.ts';
import { EXIT } from './exit.ts';
import type { Source } from './manifest.ts';

export interface Selection {
  /** Names of files in the report, `*` for any characters; several with commas between. */
  readonly only?: readonly string[] | undefined;
  readonly skip?: readonly string[] | undefined;
  /** Whether the image of the memory is wanted, which is not taken unless it is asked for. */
  readonly image?: boolean | undefined;
}

const usage = (text: string): ToolFailure => new ToolFailure([`pvh-report: ${text}`], EXIT.unusable);

/** A test for one name; `console` is `console.log` too. */
function matcher(pattern: string): (file: string) => boolean {
  const expression = pattern
    .split('*')
    .map((part) => part.replace(/[^\w-]/g, '\\$&'))
    .join('.*');
  const whole = new RegExp(`^${expression}(\\.(txt|json|log|cfg))?$`);
  return (file) => whole.test(file);
}

/** @throws ToolFailure for a name that no collector has. */
function chosen(patterns: readonly string[], option: string): ((file: string) => boolean) | undefined {
  const names = patterns.flatMap((pattern) => pattern.split(',')).filter((name) => name !== '');
  if (names.length === 0) return undefined;
  const matchers = names.map((name) => {
    const matches = matcher(name);
    if (!COLLECTORS.some(({ file }) => matches(file))) {
      const known = [...new Set(COLLECTORS.map(({ file }) => file))].join(' ');
      throw usage(`${option} ${name}: no report has a file of that name; there are: ${known}`);
    }
    return matches;
  });
  return (file) => matchers.some((matches) => matches(file));
}

/** @throws ToolFailure for a name that no collector has, and when nothing is left. */
export function select(
  source: Source,
  { only = [], skip = [], image = false }: Selection,
): { readonly collectors: readonly Collector[]; readonly skipped: readonly Collector[] } {
  const isWanted = chosen(only, '--only') ?? (() => true);
  const isUnwanted = chosen(skip, '--skip') ?? (() => false);
  const rows = COLLECTORS.filter(({ from, file }) => from.includes(source) && (image || file !== IMAGE));
  const takes = ({ file }: Collector): boolean => isWanted(file) && !isUnwanted(file);
  if (!rows.some(takes)) throw usage('with this --only and --skip there is nothing to collect');
  return { collectors: rows.filter(takes), skipped: rows.filter((row) => !takes(row)) };
}

/** @throws ToolFailure unless it is a number of seconds above 0. */
export function parseSeconds(text: string, option: string): number {
  const seconds = Number(text);
  // Timers count milliseconds in 31 bits.
  if (!/^\d+(\.\d+)?$/.test(text) || seconds <= 0 || seconds > 1e6)
    throw usage(`${option} ${text}: not a number of seconds`);
  return seconds;
}
