// A report without some of its files: manifest.json, README.txt, report.txt and the page say so. Chooses no files, packs nothing.
import { TextDecoder, TextEncoder } from 'node:util';
import { asArray, asObject, parseJson } from '../shared/json.ts';
import { type ArchiveFile, sha256 } from './archive.ts';
import { type Manifest, type MissingItem, parseManifest } from './manifest.ts';
import { withPage } from './page-file.ts';
import type { Redaction } from './redaction.ts';
import { missingLines, ROWS_OF_FILES, renderReadme, sayRedacted } from './summary.ts';

/** Name of a file, and what it is. */
const README_ROW = /^ {2}(\S+) +(\S.*)$/gm;

/** README.txt without the files that are not there. */
function readmeOf(text: string, isThere: (name: string) => boolean): string {
  const rows = [...text.matchAll(README_ROW)].map(([, name = '', what = '']) => [name, what] as const);
  const always = [...renderReadme([]).matchAll(README_ROW)].map(([, name = '']) => name);
  return renderReadme(rows.filter(([name]) => isThere(name) && !always.includes(name)));
}

/** report.txt without rows of its head about files that are not there, and with another list of what is missing, its last. */
function summaryOf(
  text: string,
  missing: readonly MissingItem[],
  isThere: (name: string) => boolean,
): string {
  const rows = Object.entries(ROWS_OF_FILES).filter(([, names]) => !names.every(isThere));
  const without = rows.reduce(
    (left, [row]) => left.replace(new RegExp(`^${row.padEnd(14)} .*\n`, 'm'), ''),
    text,
  );
  const at = without.lastIndexOf('\nMissing\n');
  return at < 0 ? without : `${without.slice(0, at)}\n${missingLines(missing).join('\n')}\n`;
}

/** Whole files come first in the ledger, each with a cause; behind them what is missing of others. */
function withFiles(missing: readonly MissingItem[], dropped: readonly MissingItem[]): MissingItem[] {
  const last = missing.findLastIndex(({ cause }) => cause !== undefined);
  return missing.toSpliced(last + 1, 0, ...dropped);
}

/** A file that is left. */
export interface Left {
  readonly bytes: Uint8Array;
  /** What the manifest is to say of it. */
  readonly note?: string | undefined;
}

/**
 * @param manifestText manifest.json as it was, with the names that the files have now.
 * @param files that are left, by name; some may have other bytes than they had.
 * @param dropped those that are not: for the ledger.
 * @param more fields for the manifest. @returns the files; manifest.json, texts and the page are new.
 * @throws FormatError
 */
export function leaveOut(
  manifestText: string,
  files: ReadonlyMap<string, Left>,
  dropped: readonly MissingItem[],
  more: { readonly redaction?: Redaction } = {},
): { readonly files: ReadonlyMap<string, Uint8Array>; readonly manifest: Manifest } {
  const source = 'manifest.json';
  const missing = withFiles(parseManifest(manifestText, source).missing, dropped);
  const content = new Map([...files].map(([name, { bytes }]) => [name, bytes]));
  const rewrite = (name: string, edit: (text: string) => string): void => {
    const bytes = content.get(name);
    if (bytes) content.set(name, new TextEncoder().encode(edit(new TextDecoder().decode(bytes))));
  };
  if (dropped.length > 0) {
    const isThere = (name: string): boolean => content.has(name);
    rewrite('README.txt', (text) => readmeOf(text, isThere));
    rewrite('report.txt', (text) => summaryOf(text, missing, isThere));
  }
  const { redaction } = more;
  if (redaction) rewrite('report.txt', (text) => sayRedacted(text, redaction));
  // As JSON and not as a Manifest: what a later version put there stays.
  const top = asObject(parseJson(manifestText, source), source);
  // An image of the whole memory never stays.
  const { memory: before } = top;
  const none = { taken: 'none', frames: 0, leftOut: 0 };
  const taken = before === undefined || content.has('memory.core') ? before : none;
  const memory = taken === undefined ? {} : { memory: { ...asObject(taken, source), image: undefined } };
  const manifestOf = (some: readonly ArchiveFile[]): string => {
    const contents = new Map(some.map(({ name, bytes }) => [name, bytes]));
    const entries = asArray(top['files'], source).flatMap((value) => {
      const entry = asObject(value, source);
      const name = String(entry['name']);
      const [bytes, note] = [contents.get(name), files.get(name)?.note];
      if (bytes === undefined) return [];
      return [{ ...entry, sha256: sha256(bytes), bytes: bytes.length, ...(note !== undefined && { note }) }];
    });
    const listed = {
      ...top,
      ...memory,
      files: entries,
      missing,
      ...more,
    };
    return `${JSON.stringify(listed, undefined, 2)}\n`;
  };
  const made = withPage(
    [...content].map(([name, bytes]) => ({ name, bytes })),
    manifestOf,
  );
  return { files: new Map(made.files.map(({ name, bytes }) => [name, bytes])), manifest: made.manifest };
}
