// Finds the file with a kernel's or a module's symbols, given its build-id: in the stash, in the folders where distributions put
// them, and from the debuginfod servers that the user has named. Opens what it finds; takes no file of another build.
import { join } from 'node:path';
import { PvhError } from '../../symbols/errors.ts';
import { fetchDebugInfo } from './debuginfod.ts';
import { explainFailure, systemError } from './failure.ts';
import { Stash, stashDirectory } from './stash.ts';
import { openSymbolFile, type SymbolFile } from './symbol-file.ts';

export interface WantedSymbols {
  /** GNU build-id, lower-case hex. Without it a file of the same release is taken, with a warning. */
  readonly buildId: string | undefined;
  /** `uname -r`, as far as known. */
  readonly release?: string | undefined;
}

export interface SearchOptions {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Folder that stands for `/`. */
  readonly root?: string;
  /** Says what takes time (a download). */
  readonly progress?: (text: string) => void;
}

export interface SearchResult {
  readonly file: SymbolFile | undefined;
  /** Where it was looked for in vain and why each was no use, for a message. */
  readonly looked: readonly string[];
}

/** Releases come from the guest: nothing that leads out of a folder. */
const isRelease = (text: string): boolean => /^\w[\w.+~-]*$/.test(text);

/** GDB's convention, and what Debian, Fedora, Ubuntu, Arch and a kernel's own `make install` do. */
function* places({ buildId, release }: WantedSymbols): Generator<string> {
  if (buildId !== undefined && buildId.length > 2)
    yield `usr/lib/debug/.build-id/${buildId.slice(0, 2)}/${buildId.slice(2)}.debug`;
  if (release === undefined || !isRelease(release)) return;
  yield `usr/lib/debug/boot/vmlinux-${release}`;
  yield `usr/lib/debug/lib/modules/${release}/vmlinux`;
  yield `usr/lib/debug/lib/modules/${release}/vmlinux.debug`;
  yield `boot/vmlinux-${release}`;
  yield `lib/modules/${release}/vmlinux`;
  yield `lib/modules/${release}/build/vmlinux`;
}

/** In words; undefined when there is simply nothing. */
function whyNot(error: unknown): string | undefined {
  const absent =
    error instanceof Error && 'code' in error && ['ENOENT', 'ENOTDIR'].includes(String(error.code));
  if (absent) return undefined;
  if (!(error instanceof PvhError) && systemError(error) === undefined) throw error;
  return explainFailure('', error, false).lines.join('; ').replace(/^: /, '');
}

/** Tries one place; what is wrong with it goes to `looked`. */
function attempt(
  what: string,
  wanted: WantedSymbols,
  looked: string[],
  open: () => SymbolFile | undefined,
): SymbolFile | undefined {
  let file: SymbolFile | undefined;
  try {
    file = open();
  } catch (error) {
    looked.push(whyNot(error) ?? `${what}: not there`);
    return undefined;
  }
  if (!file) looked.push(`${what}: not there`);
  else if (wanted.buildId !== undefined && file.buildId !== wanted.buildId) {
    looked.push(`${what}: is another build (${file.buildId ?? 'no build-id'})`);
    file.close();
    return undefined;
  }
  return file;
}

function withWarning(file: SymbolFile, warning: string): SymbolFile {
  return { ...file, warnings: [...file.warnings, warning] };
}

/**
 * Looks everywhere. Nothing found is an answer, and so is a file that is damaged: `looked` has the reasons.
 * @throws the system's error when the stash cannot be written.
 */
export async function searchSymbols(wanted: WantedSymbols, options: SearchOptions): Promise<SearchResult> {
  const { env, root = '/', progress = () => undefined } = options;
  const { buildId, release } = wanted;
  const looked: string[] = [];
  const stash = new Stash(stashDirectory(env));
  const stashed = (): SymbolFile | undefined => {
    const entry = buildId === undefined ? undefined : stash.find(buildId);
    return entry && stash.open(entry);
  };
  if (buildId !== undefined) {
    const file = attempt(`stash ${stash.folder}`, wanted, looked, stashed);
    if (file) return { file, looked };
  }
  for (const place of places(wanted)) {
    const path = join(root, place);
    const file = attempt(path, wanted, looked, () => openSymbolFile(path));
    if (!file) continue;
    const guess = `${path} is taken for its release ${release}; the build-id of the guest is not known`;
    return { file: buildId === undefined ? withWarning(file, guess) : file, looked };
  }
  if (buildId === undefined) return { file: undefined, looked };
  const fetched = await fetchDebugInfo(buildId, stash, { env, progress });
  looked.push(...fetched.failures);
  return { file: fetched.found ? attempt('stash', wanted, looked, stashed) : undefined, looked };
}
