// What of a comparison is asked for: which of its sections, and what in them by name. Compares nothing.
import { ToolFailure } from '../../shared/failure.ts';
import { EXIT } from '../exit.ts';
import { matchesName } from '../glob.ts';

/** The keys of the JSON, most decisive first. */
export const SECTIONS = [
  'conditions',
  'stack',
  'vcpus',
  'registers',
  'config',
  'console',
  'xenLog',
  'timing',
  'missing',
] as const;
export type Section = (typeof SECTIONS)[number];

/** As the text and the page call them. */
const TITLES: Readonly<Record<string, Section>> = { configuration: 'config', 'xen-log': 'xenLog' };

/** A section, or what in it has a name like the pattern. */
interface Selector {
  /** As it was given. */
  readonly text: string;
  readonly section: Section;
  readonly pattern?: string;
}

export interface Scope {
  /** Empty: everything. */
  readonly only: readonly Selector[];
  readonly ignore: readonly Selector[];
}

/** Nothing is left out. */
export const EVERYTHING: Scope = { only: [], ignore: [] };

const usage = (...lines: readonly string[]): ToolFailure =>
  new ToolFailure([`pvh-report: ${lines[0]}`, ...lines.slice(1).map((line) => `  ${line}`)], EXIT.unusable);

function parseSelector(text: string, option: string): Selector {
  const [, name = '', pattern] = /^([^:]*)(?::(.*))?$/s.exec(text) ?? [];
  const section = SECTIONS.find((known) => known === name) ?? TITLES[name];
  if (section === undefined)
    throw usage(`${option} ${text}: no section ${name}; there are: ${SECTIONS.join(' ')}`);
  return { text, section, ...(pattern !== undefined && { pattern }) };
}

/** Commas stand between sections; with a pattern, they belong to it. */
const parseSelectors = (texts: readonly string[], option: string): Selector[] =>
  texts
    .flatMap((text) => (text.includes(':') ? [text] : text.split(',')))
    .filter((text) => text !== '')
    .map((text) => parseSelector(text, option));

export const takesSection = ({ only, ignore }: Scope, section: Section): boolean =>
  (only.length === 0 || only.some((selector) => selector.section === section)) &&
  !ignore.some((selector) => selector.section === section && selector.pattern === undefined);

/** @throws ToolFailure for a section that there is not, and when none is left. */
export function parseScope(only: readonly string[] = [], ignore: readonly string[] = []): Scope {
  const scope = { only: parseSelectors(only, '--only'), ignore: parseSelectors(ignore, '--ignore') };
  if (!SECTIONS.some((section) => takesSection(scope, section)))
    throw usage('with this --only and --ignore there is nothing to look at');
  return scope;
}

/** Whether some of a section's names may be left out. */
export const isNarrowed = ({ only, ignore }: Scope, section: Section): boolean =>
  [...only, ...ignore].some((selector) => selector.section === section && selector.pattern !== undefined);

/** Whether something of that name is left out; `by` is the pattern of --ignore that says so. */
export function leavesOut(
  { only, ignore }: Scope,
  section: Section,
  key: string,
): { readonly isLeftOut: boolean; readonly by?: string } {
  const fits = (selector: Selector): boolean =>
    selector.section === section && (selector.pattern === undefined || matchesName(selector.pattern, key));
  const ignored = ignore.find(fits);
  if (ignored !== undefined) return { isLeftOut: true, by: ignored.text };
  return { isLeftOut: only.length > 0 && !only.some(fits) };
}
