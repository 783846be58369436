// pvh-report stash: puts files into the symbol stash, and shows, checks, takes out and removes what is in it.
import { writeSync } from 'node:fs';
import { basename } from 'node:path';
import { explainFailure, ToolFailure } from '../shared/failure.ts';
import { Progress, stderrOutput } from '../shared/progress.ts';
import { Stash, type Stashed, stashDirectory } from '../shared/stash.ts';
import type { StashEntry } from '../shared/stash-entry.ts';
import { EXIT, type Streams } from './exit.ts';

export interface StashOptions {
  readonly list?: true;
  readonly json?: true;
  readonly remove?: true;
  readonly verify?: true;
  readonly extract?: true;
  readonly quiet?: true;
}

/** Something was not done; what and why is on stderr. */
const NOT_ALL = 1;
const PIECE = 1 << 20;

const HOW: Readonly<Record<Stashed, string>> = {
  new: 'kept',
  replaced: 'kept, in place of what was there',
  there: 'was there already',
  better: 'not kept: the file of this build that is there has more in it',
};

const mebibytes = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(1)} MiB`;

function whatIsIt({ kind, name, release, debug, symbols }: StashEntry): string {
  const what = kind === 'kernel' ? `Linux ${release ?? ''}` : kind === 'module' ? 'module' : 'ELF file';
  return `${what} (${name}), ${symbols} symbols, ${debug ? 'file and line' : 'no file and line'}`;
}

/** One command on a stash. */
class StashCommand {
  readonly #stash: Stash;
  readonly #streams: Streams;
  readonly #progress: Progress;
  #status: number = EXIT.ok;

  constructor(stash: Stash, streams: Streams, progress: Progress) {
    this.#stash = stash;
    this.#streams = streams;
    this.#progress = progress;
  }

  get status(): number {
    return this.#status;
  }

  async add(path: string): Promise<void> {
    const name = basename(path);
    await this.#attempt(async () => {
      const { entry, how } = await this.#stash.add(path, (done, total) =>
        this.#progress.step(`Keeping ${name}`, done, total),
      );
      this.#progress.clear();
      this.#streams.out(`${entry.buildId}  ${name}: ${HOW[how]}\n`);
    });
  }

  list(json: boolean): void {
    const entries = this.#stash.list((problem) => this.#complain(problem));
    if (json) {
      const document = { schema: 'pvh-report-stash-list/1', folder: this.#stash.folder, entries };
      this.#streams.out(`${JSON.stringify(document, undefined, 2)}\n`);
      return;
    }
    for (const entry of entries) {
      const sizes = `${mebibytes(entry.size)} in ${mebibytes(this.#stash.room(entry.buildId))}`;
      this.#streams.out(`${entry.buildId}  ${whatIsIt(entry)}, ${sizes}\n`);
    }
    if (entries.length === 0) this.#streams.err(`pvh-report: nothing is kept in ${this.#stash.folder}\n`);
  }

  async remove(start: string): Promise<void> {
    await this.#attempt(async () => {
      const buildId = this.#only(start);
      await this.#stash.remove(buildId);
      this.#streams.out(`${buildId}  removed\n`);
    });
  }

  async verify(buildId: string): Promise<void> {
    await this.#attempt(async () => {
      this.#progress.step(`Reading ${buildId}`);
      this.#stash.verify(this.#entry(buildId));
      this.#progress.clear();
      this.#streams.out(`${buildId}  sound\n`);
    });
  }

  async extract(start: string): Promise<void> {
    await this.#attempt(async () => {
      const source = this.#stash.content(this.#entry(this.#only(start)));
      try {
        for (let offset = 0; offset < source.size; offset += PIECE)
          if (!writeAll(source.read(offset, Math.min(PIECE, source.size - offset)))) break;
      } finally {
        source.close();
      }
    });
  }

  /** The build-id that begins so. @throws ToolFailure when none or several do. */
  #only(start: string): string {
    const found = this.#stash.match(start);
    const [buildId] = found;
    if (found.length > 1)
      throw new ToolFailure([
        `pvh-report: ${start} is the beginning of ${found.length} build-ids: ${found.join(' ')}`,
      ]);
    if (buildId === undefined || start === '')
      throw new ToolFailure([`pvh-report: nothing with build-id ${start} in ${this.#stash.folder}`]);
    return buildId;
  }

  all(): string[] {
    return this.#stash.match('');
  }

  each(starts: readonly string[]): string[] {
    return starts.flatMap((start) => {
      try {
        return [this.#only(start)];
      } catch (error) {
        this.#complain(error);
        return [];
      }
    });
  }

  #entry(buildId: string): StashEntry {
    const entry = this.#stash.find(buildId);
    if (!entry) throw new ToolFailure([`pvh-report: ${buildId} is damaged: entry.json is missing`]);
    return entry;
  }

  async #attempt(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      this.#complain(error);
    }
  }

  #complain(error: unknown): void {
    this.#progress.clear();
    this.#status = NOT_ALL;
    for (const line of explainFailure('pvh-report', error, false).lines) this.#streams.err(`${line}\n`);
  }
}

/** To stdout, waiting until it is taken: 600 MB do not wait in memory. @returns false when nobody reads any more. */
function writeAll(bytes: Uint8Array): boolean {
  for (let done = 0; done < bytes.length; ) {
    try {
      done += writeSync(1, bytes, done);
    } catch (error) {
      const code = error instanceof Error && 'code' in error ? error.code : undefined;
      if (code === 'EPIPE') return false;
      if (code !== 'EAGAIN') throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5);
    }
  }
  return true;
}

function checkUsage(args: readonly string[], { list, json, remove, verify, extract }: StashOptions): void {
  const actions = [list, remove, verify, extract].filter(Boolean).length;
  const problem =
    actions > 1
      ? 'only one of --list, --remove, --verify, --extract'
      : list && args.length > 0
        ? '--list takes no argument'
        : json && !list
          ? '--json goes with --list'
          : extract && args.length !== 1
            ? '--extract takes one build-id'
            : extract && process.stdout.isTTY
              ? '--extract writes a binary file: send it somewhere (> vmlinux)'
              : args.length === 0 && !list && !verify
                ? 'no file'
                : undefined;
  if (problem !== undefined)
    throw new ToolFailure([`pvh-report: stash: ${problem}; see pvh-report stash --help`], EXIT.unusable);
}

/** @returns the exit status. @throws ToolFailure for wrong usage. */
export async function runStash(
  args: readonly string[],
  options: StashOptions,
  env: Readonly<Record<string, string | undefined>>,
  streams: Streams,
): Promise<number> {
  checkUsage(args, options);
  const silent = { write: () => undefined, isTerminal: false, colour: false, columns: 80 };
  const command = new StashCommand(
    new Stash(stashDirectory(env)),
    streams,
    new Progress(options.quiet ? silent : stderrOutput()),
  );
  if (options.list) command.list(options.json === true);
  else if (options.extract) await command.extract(args[0] ?? '');
  else if (options.remove) for (const start of args) await command.remove(start);
  else if (options.verify)
    for (const buildId of args.length > 0 ? command.each(args) : command.all()) await command.verify(buildId);
  else for (const path of args) await command.add(path);
  return command.status;
}
