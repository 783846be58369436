// pvh-report redact, and what `collect --redact` shares with it.
import { existsSync, realpathSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { replaceFile } from '../../core/host/files.ts';
import { cleanText } from '../shared/clean-text.ts';
import { ToolFailure } from '../shared/failure.ts';
import type { Collected } from './collect.ts';
import { EXIT, type Streams } from './exit.ts';
import { readable } from './redact/document.ts';
import { newKey, readKey, readMap, renderMap } from './redact/key-file.ts';
import { KEEPABLE, type Redacted, redactReport, whyLeftOut } from './redact/redact-report.ts';
import { type Unpacked, unpackedFrom, unpackedOf, unpackReport } from './report.ts';

export interface RedactCommandOptions {
  readonly output?: string;
  readonly key?: string;
  readonly map?: string;
  readonly keep?: readonly string[];
  readonly show?: true;
  readonly json?: true;
  readonly quiet?: true;
}

/** What `redact` gives and where it goes. */
export interface RedactionPlan {
  readonly redacted: Redacted;
  /**
   * Writes the map, then the report: a report never stands without the map of its stand-ins, nor does the one that it replaces.
   * @param bytes of the report, as redacted or made of that.
   */
  readonly write: (output: string, bytes: Uint8Array) => { readonly map: string };
}

const usage = (text: string): ToolFailure => new ToolFailure([`pvh-report: ${text}`], EXIT.unusable);

function kept(keep: readonly string[]): Set<string> {
  const names = keep.flatMap((each) => each.split(',')).filter((name) => name !== '');
  for (const name of names)
    if (!KEEPABLE.includes(name))
      throw usage(`--keep ${name}: no such rule; there are: ${KEEPABLE.join(' ')}`);
  return new Set(names);
}

/** @throws RedactionRefused @throws FormatError @throws ToolFailure for options that are none */
export async function planRedaction(
  unpacked: Unpacked,
  options: Pick<RedactCommandOptions, 'key' | 'map' | 'keep'>,
): Promise<RedactionPlan> {
  const keep = kept(options.keep ?? []);
  const before = options.map === undefined ? undefined : readMap(options.map);
  const given = options.key === undefined ? undefined : readKey(options.key);
  const key = given ?? before?.key ?? newKey();
  const redacted = await redactReport(unpacked, { key, keep, earlier: before?.values ?? [] });
  return {
    redacted,
    write(output, bytes) {
      const map = resolve(options.map ?? `${output}.private-map.json`);
      if (map === output) throw usage('--map and the report are the same file');
      const old = before ?? readMap(map);
      const write = (rows: typeof old): void =>
        replaceFile(map, renderMap(given ? undefined : key, redacted.values, rows));
      write(old);
      replaceFile(output, bytes);
      // The report that was there has gone, and with it the meaning of its stand-ins.
      if (options.map === undefined && old) write(undefined);
      return { map };
    },
  };
}

/** How much was replaced, by rule. */
export function renderCounts({ counts, removed }: Redacted): string {
  const rows = counts.map(({ rule, replacements, values }) => [rule, replacements, values] as const);
  const width = Math.max(4, ...rows.map(([rule]) => rule.length));
  const line = (...[rule, replacements, values]: readonly (string | number)[]): string =>
    `${String(rule).padEnd(width)} ${String(replacements).padStart(12)} ${String(values).padStart(8)}\n`;
  return [
    ...(rows.length === 0 ? ['nothing private was found\n'] : [line('rule', 'replacements', 'values')]),
    ...rows.map((row) => line(...row)),
    ...removed.map((name) => `left out: ${name}: ${whyLeftOut(name)}\n`),
  ].join('');
}

/** Every value and its stand-in: for the eyes of whoever has the report. */
function renderValues({ values }: Redacted): string {
  const rows = values.map(({ rule, value, standIn, everywhere }) => [
    rule,
    standIn,
    cleanText(readable(value)),
    everywhere ? '' : ' (only there: the word has other meanings)',
  ]);
  const widths = [0, 1].map((column) =>
    Math.max(0, ...rows.map((row) => Math.min(40, row[column]?.length ?? 0))),
  );
  return rows
    .map(([rule = '', standIn = '', value = '', note = '']) => {
      const short = value.length > 60 ? `${value.slice(0, 57)}...` : value;
      return `${rule.padEnd(widths[0] ?? 0)}  ${standIn.slice(0, 40).padEnd(widths[1] ?? 0)}  ${short}${note}\n`;
    })
    .join('');
}

/** The input's name without what is private, and what was done to it. */
function defaultOutput(path: string, { rename }: Redacted): string {
  const name = rename(basename(path).replace(/\.(?:tar\.gz|tgz)$/, ''));
  return join(dirname(path), `${name.replace(/-redacted$/, '')}-redacted.tar.gz`);
}

/** Says why nothing may be written. @returns the exit status of that, or undefined when it may. */
function refusal(refused: string | undefined, { err }: Pick<Streams, 'err'>): number | undefined {
  if (refused === undefined) return undefined;
  err(`pvh-report: ${cleanText(refused)}; nothing was written\n`);
  return EXIT.different;
}

/** What `collect` made, as it may be passed on; everything about it is of the report that is written. */
export interface RedactedCollection {
  readonly collected: Collected;
  readonly write: RedactionPlan['write'];
  /** Exit status when nothing may be written; it was said why. */
  readonly refused: number | undefined;
}

/**
 * @param keyFile key of the stand-ins; undefined makes one.
 * @param shrink makes it small enough. What that gives is looked through once more.
 */
export async function redactCollected(
  whole: Collected,
  keyFile: string | undefined,
  shrink: (redacted: Collected) => Promise<Collected>,
  streams: Pick<Streams, 'err'>,
): Promise<RedactedCollection> {
  const unpacked = unpackedOf(whole, whole.fileName);
  const { redacted, write } = await planRedaction(unpacked, keyFile === undefined ? {} : { key: keyFile });
  const { bytes, digest, manifest, folder, files, rename } = redacted;
  const made = {
    ...whole,
    ...{ bytes, digest, manifest, folder, files, fileName: rename(whole.fileName) },
    ...{ image: undefined, imageMember: undefined },
  };
  if (redacted.refused !== undefined)
    return { collected: made, write, refused: refusal(redacted.refused, streams) };
  const collected = await shrink(made);
  const objection =
    collected.digest === digest
      ? undefined
      : redacted.objection(await unpackedFrom(collected.bytes, made.fileName));
  return { collected, write, refused: refusal(objection, streams) };
}

/** @returns the exit status: 1 when what would be written is not what it should be. */
export async function runRedact(
  path: string,
  options: RedactCommandOptions,
  streams: Streams,
): Promise<number> {
  const unpacked = await unpackReport(path);
  const { redacted, write } = await planRedaction(unpacked, options);
  if (options.show) {
    streams.out(renderValues(redacted) + (redacted.values.length === 0 ? '' : '\n') + renderCounts(redacted));
    return refusal(redacted.refused, streams) ?? EXIT.ok;
  }
  const refused = refusal(redacted.refused, streams);
  if (refused !== undefined) return refused;
  const output = resolve(options.output ?? defaultOutput(path, redacted));
  if (existsSync(output) && realpathSync(output) === realpathSync(path))
    throw usage(`${output} is the report itself: a report is never written over`);
  const { map } = write(output, redacted.bytes);
  const { digest, counts, removed } = redacted;
  if (!options.quiet) {
    streams.err(renderCounts(redacted));
    streams.err(`stand-ins and what they stand for: ${map} (keep it to yourself)\n`);
  }
  const schema = 'pvh-report-redact/1';
  const result = { schema, path: output, digest, map, counts, removed, signature: 'same', leaks: 0 };
  streams.out(options.json ? `${JSON.stringify(result, undefined, 2)}\n` : `${output}\n`);
  return EXIT.ok;
}
