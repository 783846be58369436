// Finds the file with a kernel's or a module's symbols, given its build-id: in the stash, in the folders where distributions put
// them, and from the debuginfod servers that the user has named. Opens what it finds; takes no file of another build.
import { type Dirent, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { PvhError } from '../../symbols/errors.ts';
import { buildIdAt } from '../../symbols/kernel/identity.ts';
import type { MemorySource } from '../../symbols/memory.ts';
import { followDebugLink } from './debug-link.ts';
import { fetchDebugInfo } from './debuginfod.ts';
import { explainFailure, systemError } from './failure.ts';
import { Stash, stashDirectory } from './stash.ts';
import { isBuildId, moduleName } from './stash-entry.ts';
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
  /** What was there and no use, and why, and what servers answered: for a message. */
  readonly looked: readonly string[];
}

/** Releases come from the guest: nothing that leads out of a folder. */
const isRelease = (text: string): boolean => /^\w[\w.+~-]*$/.test(text);

/** Build-ids come from anybody's report, and become parts of paths and addresses. */
const isAskable = (buildId: string | undefined): buildId is string =>
  buildId !== undefined && isBuildId(buildId);

/** GDB's convention, and what Debian, Fedora, Ubuntu, Arch and a kernel's own `make install` do. */
function* places({ buildId, release }: WantedSymbols): Generator<string> {
  if (isAskable(buildId)) yield `usr/lib/debug/.build-id/${buildId.slice(0, 2)}/${buildId.slice(2)}.debug`;
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
  wanted: { readonly buildId: string | undefined },
  looked: string[],
  open: () => SymbolFile | undefined,
): SymbolFile | undefined {
  let file: SymbolFile | undefined;
  try {
    file = open();
  } catch (error) {
    const reason = whyNot(error);
    if (reason !== undefined) looked.push(reason);
    return undefined;
  }
  if (file && wanted.buildId !== undefined && file.buildId !== wanted.buildId) {
    looked.push(`${what}: is another build (${file.buildId ?? 'no build-id'})`);
    file.close();
    return undefined;
  }
  return file;
}

/** Opens one place; of a file whose debug information was split off, the file that has it. */
function attemptFile(
  path: string,
  wanted: { readonly buildId: string | undefined },
  root: string,
  looked: string[],
): SymbolFile | undefined {
  const file = attempt(path, wanted, looked, () => openSymbolFile(path));
  if (!file || file.debugInfo) return file;
  const linked = attempt(path, { buildId: undefined }, looked, () => followDebugLink(file, root, looked));
  if (linked) file.close();
  return linked ?? file;
}

function withWarning(file: SymbolFile, warning: string): SymbolFile {
  return { ...file, warnings: [...file.warnings, warning] };
}

/**
 * Looks everywhere. Nothing found is an answer, and so are a file that is damaged and a stash that cannot be written: `looked` has
 * the reasons.
 */
export async function searchSymbols(wanted: WantedSymbols, options: SearchOptions): Promise<SearchResult> {
  const { env, root = '/', progress = () => undefined } = options;
  const { buildId, release } = wanted;
  const looked: string[] = [];
  const stash = new Stash(stashDirectory(env));
  const guess = (file: SymbolFile): SymbolFile =>
    buildId === undefined
      ? withWarning(
          file,
          `${file.path} is taken for its release ${release}; the build-id of the guest is not known`,
        )
      : file;
  const stashed = (): SymbolFile | undefined => {
    const entry =
      buildId === undefined
        ? stash.list().find((each) => each.kind === 'kernel' && each.release === release)
        : stash.find(buildId);
    return entry && stash.open(entry);
  };
  // A file without source lines is better than none, and one with them better still.
  let plain: SymbolFile | undefined;
  const isBest = (file: SymbolFile | undefined): file is SymbolFile => {
    if (!file || file.debugInfo) return file !== undefined;
    if (plain) file.close();
    plain ??= file;
    return false;
  };
  const best = (file: SymbolFile): SearchResult => {
    plain?.close();
    return { file: guess(file), looked };
  };
  const kept = attempt(`stash ${stash.folder}`, wanted, looked, stashed);
  if (isBest(kept)) return best(kept);
  for (const place of places(wanted)) {
    const path = join(root, place);
    const file = attemptFile(path, wanted, root, looked);
    if (isBest(file)) return best(file);
  }
  const fetched = !isAskable(buildId) ? undefined : await fetchDebugInfo(buildId, stash, { env, progress });
  looked.push(...(fetched?.failures ?? []));
  const file = fetched?.found ? attempt('stash', wanted, looked, stashed) : undefined;
  if (file) return best(file);
  return { file: plain && guess(plain), looked };
}

/**
 * The stashed kernel, with source lines, whose build-id lies in the guest's memory where that kernel has its own: asks nothing else of
 * the guest, and so answers in a fifth of the time that the guest's kallsyms take. Finds no kernel that KASLR has moved.
 */
export function searchStashInPlace(memory: MemorySource, options: SearchOptions): SymbolFile | undefined {
  const stash = new Stash(stashDirectory(options.env));
  const entry = stash.list().find(({ kind, debug, notes, buildId }) => {
    if (kind !== 'kernel' || !debug || !notes) return false;
    return buildIdAt(memory, BigInt(`0x${notes.address}`), notes.size) === buildId;
  });
  return entry && attempt('stash', entry, [], () => stash.open(entry));
}

/** A sentence for a search in vain. */
export function searchFailure({ buildId, release }: WantedSymbols, looked: readonly string[]): string {
  const what = [release, buildId && `build-id ${buildId}`].filter(Boolean).join(', ');
  const reasons = looked.length > 0 ? ` (${looked.join('; ')})` : '';
  return `no vmlinux of ${what} in the stash, in /usr/lib/debug, /boot and /lib/modules${reasons}`;
}

export interface WantedModule {
  /** As the kernel calls it: underscores. */
  readonly name: string;
  readonly buildId: string | undefined;
  readonly release: string | undefined;
}

/** Folders of one kernel's modules hold some 5,000 files, in folders five deep. */
const MAX_MODULE_FILES = 50_000;

/** Files of modules below a folder, by name; a folder that is not there has none. */
function* moduleFiles(folder: string, name: string): Generator<string> {
  let left = MAX_MODULE_FILES;
  const folders = [folder];
  for (let next = folders.pop(); next !== undefined && left > 0; next = folders.pop()) {
    let entries: Dirent[];
    try {
      entries = readdirSync(next, { withFileTypes: true });
    } catch (error) {
      if (systemError(error) === undefined) throw error;
      continue;
    }
    for (const entry of entries) {
      left--;
      const path = join(next, entry.name);
      if (entry.isDirectory()) folders.push(path);
      else if (moduleName(entry.name) === name) yield path;
    }
  }
}

/** Finds the file of a module with source lines: by its build-id as searchSymbols does, or by name and release. */
export async function searchModule(wanted: WantedModule, options: SearchOptions): Promise<SearchResult> {
  const { name, buildId, release } = wanted;
  const found = buildId === undefined ? undefined : await searchSymbols({ buildId }, options);
  if (found?.file) return found;
  const looked = [...(found?.looked ?? [])];
  const { env, root = '/' } = options;
  const stash = new Stash(stashDirectory(env));
  const file = attempt(`stash ${stash.folder}`, wanted, looked, () => {
    const entry = stash
      .list()
      .find((each) => each.kind === 'module' && each.release === release && moduleName(each.name) === name);
    return entry && stash.open(entry);
  });
  if (file || release === undefined || !isRelease(release)) return { file, looked };
  for (const folder of ['usr/lib/debug/lib/modules', 'lib/modules'])
    for (const path of moduleFiles(join(root, folder, release), name)) {
      const module = attemptFile(path, wanted, root, looked);
      if (module?.debugInfo) return { file: module, looked };
      if (module) looked.push(`${path}: no debug information`);
      module?.close();
    }
  return { file: undefined, looked };
}
