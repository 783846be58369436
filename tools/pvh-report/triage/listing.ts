// From folders and patterns to the files that are meant. Opens none of them.
import { type Dirent, readdirSync, statSync } from 'node:fs';
import { basename, dirname, join, resolve, sep } from 'node:path';
import { systemError, ToolFailure } from '../../shared/failure.ts';
import { EXIT } from '../exit.ts';
import { matches, matchesName } from '../glob.ts';

export interface ListedFile {
  readonly path: string;
  readonly bytes: bigint;
  /** Nanoseconds since 1970. */
  readonly modified: bigint;
}

/** One argument of the command line. */
export interface Place {
  /** The folder below which all that it means lies. */
  readonly base: string;
  /** Whether it means this file, were it there. */
  covers(path: string): boolean;
  /** The one file that it is, when it is no folder and no pattern. */
  readonly file?: string;
}

/** Far deeper than people keep reports. */
const MAX_DEPTH = 32;

const isReportName = (name: string): boolean => /\.(tar\.gz|tgz)$/.test(name) && !name.startsWith('.');

/** `**` stands for any folders. */
const matchesPath = (pattern: readonly string[], parts: readonly string[]): boolean =>
  matches(pattern, parts, '**', matchesName);

export const isBelow = (folder: string, path: string): boolean =>
  path.startsWith(folder.endsWith(sep) ? folder : folder + sep);

function placeOfPattern(pattern: string): Place {
  const parts = resolve(pattern).split(sep);
  const first = parts.findIndex((part) => /[*?]/.test(part));
  const base = parts.slice(0, first).join(sep) || sep;
  const rest = parts.slice(first);
  const from = base === sep ? 1 : base.length + 1;
  return {
    base,
    covers: (path) => isBelow(base, path) && matchesPath(rest, path.slice(from).split(sep)),
  };
}

const notThere = (path: string, cause: unknown): ToolFailure =>
  new ToolFailure([`pvh-report: ${path}: ${systemError(cause) ?? String(cause)}`], EXIT.unusable, { cause });

/** What an argument means. @throws ToolFailure when there is no such file or folder. */
export function placeOf(argument: string): Place {
  const path = resolve(argument);
  try {
    if (!statSync(path).isDirectory())
      return { base: dirname(path), covers: (other) => other === path, file: path };
    return { base: path, covers: (other) => isBelow(path, other) && isReportName(basename(other)) };
  } catch (error) {
    if (!/[*?]/.test(argument)) throw notThere(argument, error);
    const place = placeOfPattern(argument);
    try {
      statSync(place.base);
    } catch (cause) {
      throw notThere(place.base, cause);
    }
    return place;
  }
}

function stamp(path: string): ListedFile | undefined {
  try {
    const found = statSync(path, { bigint: true });
    return found.isFile() ? { path, bytes: found.size, modified: found.mtimeNs } : undefined;
  } catch {
    return undefined; // it has gone, or is a link to nowhere
  }
}

/** A folder that cannot be read, and why. */
type OnProblem = (folder: string, why: string) => void;

/** Files below a folder. Hidden folders are left out, links to folders not followed: they could lead round in a circle. */
function* filesBelow(folder: string, onProblem: OnProblem, depth = 0): Generator<string> {
  let entries: Dirent[];
  try {
    entries = readdirSync(folder, { withFileTypes: true });
  } catch (error) {
    onProblem(folder, systemError(error) ?? String(error));
    return;
  }
  for (const entry of entries) {
    const path = join(folder, entry.name);
    if (!entry.isDirectory()) yield path;
    else if (!entry.name.startsWith('.') && depth < MAX_DEPTH) yield* filesBelow(path, onProblem, depth + 1);
  }
}

/** Every file that one of the places means, once. */
export function* listFiles(places: readonly Place[], onProblem: OnProblem): Generator<ListedFile> {
  const seen = new Set<string>();
  for (const { base, covers, file: only } of places) {
    for (const path of only === undefined ? filesBelow(base, onProblem) : [only]) {
      if (seen.has(path) || !covers(path)) continue;
      seen.add(path);
      const file = stamp(path);
      if (file) yield file;
    }
  }
}
