// Reports grouped by signature: the answer of `triage`, as data and as text.
import { cleanText } from '../../shared/clean-text.ts';
import type { Database } from './duckdb.ts';

/** A value and how many reports have it. */
interface Share {
  readonly value: string;
  readonly reports: number;
}

export interface Group {
  readonly signature: string;
  readonly sha8: string;
  readonly version: string;
  /** Without names of functions: another build of the same kernel is another group. */
  readonly weak: boolean;
  readonly reports: number;
  /** UTC, `yyyy-mm-dd hh:mm:ss`. */
  readonly first: string;
  readonly last: string;
  readonly endings: readonly Share[];
  /** Build-ids, most frequent first; `unknown` for reports without. */
  readonly kernels: readonly Share[];
  readonly xen: readonly Share[];
  readonly domains: number;
  readonly partial: number;
  /** The latest. */
  readonly example: string;
}

export interface Unreadable {
  readonly path: string;
  readonly error: string;
}

export interface Triage {
  readonly schema: 'pvh-report-triage/1';
  readonly index: string;
  readonly reports: number;
  readonly groups: number;
  /** The largest ones first; no more than were asked for. */
  readonly largest: readonly Group[];
  readonly unreadable: number;
  readonly unreadableFiles: readonly Unreadable[];
}

/** Lists of a group end here in the JSON, too: thousands of kernels are no answer. */
const MAX_SHARES = 20;

const share = (column: string): string =>
  `(SELECT list({value: v, reports: n} ORDER BY n DESC, v)[1:${MAX_SHARES}] FROM (
     SELECT coalesce(${column}, 'unknown') AS v, count(*)::INTEGER AS n FROM chosen
     WHERE chosen.signature = g.signature AND chosen.signature_version = g.version GROUP BY v))`;

/** $1: how many groups. */
const GROUPS = `
  WITH chosen AS (SELECT * FROM reports WHERE error IS NULL),
  g AS (
    SELECT signature, signature_version AS version, any_value(signature_sha8) AS sha8, any_value(weak) AS weak,
      count(*)::INTEGER AS reports, min(time) AS first, max(time) AS last,
      count(DISTINCT domain)::INTEGER AS domains, count(*) FILTER (partial)::INTEGER AS partial,
      max_by(path, (time, path)) AS example
    FROM chosen GROUP BY signature, signature_version
    ORDER BY reports DESC, last DESC, signature LIMIT $1::INTEGER)
  SELECT signature, sha8, version, weak, reports, strftime(first, '%Y-%m-%d %H:%M:%S') AS first,
    strftime(last, '%Y-%m-%d %H:%M:%S') AS last, domains, partial, example,
    ${share('ending')} AS endings, ${share('kernel_build_id')} AS kernels, ${share('xen')} AS xen
  FROM g ORDER BY reports DESC, g.last DESC, signature`;

const TOTALS = `
  SELECT count(*)::INTEGER AS reports, count(error)::INTEGER AS unreadable,
    (SELECT count(*)::INTEGER FROM (SELECT DISTINCT signature, signature_version FROM reports WHERE error IS NULL)) AS groups
  FROM reports`;

const UNREADABLE = 'SELECT path, error FROM reports WHERE error IS NOT NULL ORDER BY path LIMIT $1::INTEGER';

/**
 * @param limit of groups, and of unreadable files.
 * @param pathOf where a file of the index is.
 */
export async function triage(
  database: Database,
  index: string,
  limit: number,
  pathOf: (name: string) => string,
): Promise<Triage> {
  const [totals = {}] = await database.rows(TOTALS);
  const largest = (await database.rows(GROUPS, [limit])) as unknown as Group[]; // its columns
  const unreadable = (await database.rows(UNREADABLE, [limit])) as unknown as Unreadable[]; // its columns
  return {
    schema: 'pvh-report-triage/1',
    index,
    reports: Number(totals['reports']),
    groups: Number(totals['groups']),
    largest: largest.map((group) => ({ ...group, example: pathOf(group.example) })),
    unreadable: Number(totals['unreadable']),
    unreadableFiles: unreadable.map(({ path, error }) => ({ path: pathOf(path), error })),
  };
}

const WIDTH = 100;
const SHOWN_SHARES = 3;

const cut = (text: string, width: number): string =>
  text.length > width ? `${text.slice(0, width - 1)}…` : text;
/** One line, nothing that steers a terminal or turns it round. */
const plain = (text: string): string => cleanText(text).replace(/[\t\p{Cf}]/gu, '?');

/** @param width of a value; the beginning of a build-id is enough to know it by. */
function shares(list: readonly Share[], width: number): string {
  const shown = list.slice(0, SHOWN_SHARES).map(({ value, reports }) => {
    const text = plain(value).slice(0, width);
    return list.length === 1 ? text : `${text} (${reports})`;
  });
  const more = list.length - SHOWN_SHARES;
  return `${shown.join(', ')}${more > 0 ? `, ${more === MAX_SHARES - SHOWN_SHARES ? 'at least ' : ''}${more} more` : ''}`;
}

function groupLines(group: Group): string[] {
  const { weak, reports, sha8, signature, first, last, endings, kernels, xen, domains, partial, example } =
    group;
  const indent = ' '.repeat(18);
  const [title = '', ...frames] = plain(signature).split(' | ');
  const when = first === last ? first : `${first} to ${last}`;
  return [
    `${String(reports).padStart(7)}  ${plain(sha8)} ${cut(title, WIDTH - 18)}`,
    ...(frames.length > 0
      ? [indent + cut(`${weak ? 'weak, without names: ' : 'in '}${frames.join(' < ')}`, WIDTH - 18)]
      : []),
    `${indent}${shares(endings, 20)}; ${when} UTC; ${domains} domain${domains === 1 ? '' : 's'}${partial > 0 ? `; ${partial} partial` : ''}`,
    `${indent}kernel ${shares(kernels, 12)}; Xen ${shares(xen, 24)}`,
    `${indent}${plain(example)}`,
  ];
}

const count = (number: number, noun: string): string => `${number} ${noun}${number === 1 ? '' : 's'}`;

export function renderTriage({
  reports,
  groups,
  largest,
  unreadable,
  unreadableFiles,
  index,
}: Triage): string {
  const hidden = groups - largest.length;
  const unread = unreadable - unreadableFiles.length;
  const lines = [
    `${count(reports, 'report')} in ${count(groups, 'group')}${unreadable > 0 ? `, ${unreadable} not readable` : ''} (index ${plain(index)})`,
    ...largest.flatMap((group) => ['', ...groupLines(group)]),
    ...(hidden > 0 ? ['', `... ${count(hidden, 'smaller group')} more (--limit)`] : []),
    ...(unreadable > 0
      ? ['', 'Not readable', ...unreadableFiles.map(({ path, error }) => `  ${plain(path)}: ${plain(error)}`)]
      : []),
    ...(unread > 0 ? [`  ... ${unread} more (--limit)`] : []),
  ];
  return `${lines.join('\n')}\n`;
}
