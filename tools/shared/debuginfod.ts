// Debug information from debuginfod servers, into the stash: the client's side of debuginfod(8), with the environment variables of
// debuginfod-client-config(7). Nothing is asked unless DEBUGINFOD_URLS is set. What a server sends is checked before it is used.
import { createWriteStream, readFileSync, statSync } from 'node:fs';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { ReadableStream } from 'node:stream/web';
import { replaceFile } from '../../core/host/files.ts';
import { PvhError } from '../../symbols/errors.ts';
import { systemError } from './failure.ts';
import type { Stash } from './stash.ts';
import { openSymbolFile } from './symbol-file.ts';
import { packageVersion } from './version.ts';

export interface FetchOptions {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly progress: (text: string) => void;
}

export interface Fetched {
  /** True when the stash now has it. */
  readonly found: boolean;
  /** What each server said, in words. */
  readonly failures: readonly string[];
}

/** Above what any kernel's debug information takes today (1.2 GB); DEBUGINFOD_MAXSIZE says another bound. */
const MAX_SIZE = 4 * 2 ** 30;
const DEFAULT_TIMEOUT = 90;
/** The server has to send this much within the timeout. */
const FIRST_BYTES = 100 << 10;

interface Limits {
  readonly timeoutSeconds: number;
  readonly totalSeconds: number;
  readonly maxSize: number;
}

function limitsOf(env: FetchOptions['env']): Limits {
  const number = (name: string): number | undefined => {
    const value = env[name];
    return value !== undefined && /^-?\d+$/.test(value) ? Number(value) : undefined;
  };
  const positive = (value: number | undefined): number | undefined =>
    value !== undefined && value > 0 ? value : undefined;
  const timeout = number('DEBUGINFOD_TIMEOUT') ?? DEFAULT_TIMEOUT;
  return {
    timeoutSeconds: timeout > 0 ? timeout : Number.POSITIVE_INFINITY,
    totalSeconds: positive(number('DEBUGINFOD_MAXTIME')) ?? Number.POSITIVE_INFINITY,
    maxSize: positive(number('DEBUGINFOD_MAXSIZE')) ?? MAX_SIZE,
  };
}

/** Thrown for an answer that is no use; the text is for the user. */
class ServerError extends PvhError {
  constructor(message: string) {
    super('ESERVER', message);
  }
}

/** The server works and has no such file. */
class AbsentError extends ServerError {}

/** Aborts the transfer when the server is too slow. */
class Watch {
  readonly #controller = new AbortController();
  readonly #timers: NodeJS.Timeout[] = [];
  #received = 0;
  readonly #limits: Limits;

  constructor(limits: Limits) {
    this.#limits = limits;
    this.#after(limits.timeoutSeconds, () => this.#received < FIRST_BYTES);
    this.#after(limits.totalSeconds, () => true);
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** @throws ServerError when it is more than the limit. */
  count(bytes: number): number {
    this.#received += bytes;
    if (this.#received > this.#limits.maxSize) throw new ServerError(tooLarge(this.#limits.maxSize));
    return this.#received;
  }

  stop(): void {
    for (const timer of this.#timers) clearTimeout(timer);
  }

  #after(seconds: number, late: () => boolean): void {
    // setTimeout takes at most 2^31 - 1 ms.
    if (seconds * 1000 >= 2 ** 31) return;
    const check = (): void => {
      if (late()) this.#controller.abort(new ServerError(`nothing useful within ${seconds} s`));
    };
    this.#timers.push(setTimeout(check, seconds * 1000));
  }
}

const tooLarge = (limit: number): string => `larger than ${limit} bytes (DEBUGINFOD_MAXSIZE)`;

/** `DEBUGINFOD_PROGRESS` set: how far it is, on and on; else one line at the start. */
function teller(
  url: string,
  { env, progress }: FetchOptions,
): (received: number, total: number | undefined) => void {
  const always = Boolean(env['DEBUGINFOD_PROGRESS']);
  let last = -1;
  return (received, total) => {
    const mebibytes = Math.floor(received / 2 ** 20);
    if (mebibytes === last || (last >= 0 && !always)) return;
    last = mebibytes;
    const of = total === undefined ? '' : ` of ${Math.ceil(total / 2 ** 20)}`;
    progress(`Downloading from ${url}: ${mebibytes}${of} MiB`);
  };
}

async function download(url: string, path: string, options: FetchOptions): Promise<void> {
  const limits = limitsOf(options.env);
  const watch = new Watch(limits);
  try {
    const response = await fetch(url, {
      redirect: 'follow',
      signal: watch.signal,
      headers: { 'user-agent': `pvh-report/${packageVersion()}` },
    });
    if (response.status === 404) throw new AbsentError('does not have it');
    if (!response.ok || !response.body)
      throw new ServerError(`answers ${response.status} ${response.statusText}`);
    const length = response.headers.get('content-length');
    const total = length !== null && /^\d+$/.test(length) ? Number(length) : undefined;
    if (total !== undefined && total > limits.maxSize) throw new ServerError(tooLarge(limits.maxSize));
    const tell = teller(new URL(url).host, options);
    tell(0, total);
    const counted = async function* (chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
      for await (const chunk of chunks) {
        tell(watch.count(chunk.length), total);
        yield chunk;
      }
    };
    // fetch's own type of stream and node's are two declarations of one thing.
    const body = Readable.fromWeb(response.body as ReadableStream<Uint8Array>);
    await pipeline(body, counted, createWriteStream(path, { flags: 'wx', mode: 0o600 }));
  } catch (error) {
    if (watch.signal.aborted && watch.signal.reason instanceof Error) throw watch.signal.reason;
    throw error;
  } finally {
    watch.stop();
  }
}

/** Why there is nothing from a server, in words. */
function failureText(error: unknown): string {
  if (error instanceof PvhError && error.code !== 'EINTERNAL') return error.message;
  if (!(error instanceof Error) || error instanceof PvhError) throw error;
  const system = 'path' in error ? systemError(error) : undefined;
  if (system !== undefined && 'path' in error) return `${String(error.path)}: ${system}`;
  // fetch says "fetch failed" and keeps the reason behind it.
  const { cause } = error;
  return cause instanceof Error
    ? cause.message || String((cause as NodeJS.ErrnoException).code)
    : error.message;
}

/** `<prefix>/buildid/<id>/debuginfo`. @throws ServerError for what is no address of the web. */
function address(prefix: string, buildId: string): string {
  const url = `${prefix.replace(/\/+$/, '')}/buildid/${buildId}/debuginfo`;
  if (URL.canParse(url) && /^https?:$/.test(new URL(url).protocol)) return url;
  throw new ServerError('not an http address (DEBUGINFOD_URLS)');
}

/** What nobody has is not asked for again so soon: debuginfod-client-config(7), cache_miss_s. */
const MISS_SECONDS = 600;

/** Remembers, for some minutes, that none of the servers has a file. */
class Miss {
  readonly #path: string;
  readonly #servers: string;

  constructor(stash: Stash, buildId: string, servers: readonly string[]) {
    this.#path = join(stash.folder, `.missing.${buildId}`);
    this.#servers = servers.join('\n');
  }

  isFresh(): boolean {
    try {
      const age = (Date.now() - statSync(this.#path).mtimeMs) / 1000;
      return age >= 0 && age < MISS_SECONDS && readFileSync(this.#path, 'utf8') === this.#servers;
    } catch {
      return false;
    }
  }

  note(): void {
    replaceFile(this.#path, this.#servers);
  }
}

/** Downloads one file into the stash. @throws ServerError, FormatError, the system's errors. */
async function fetchFrom(url: string, buildId: string, stash: Stash, options: FetchOptions): Promise<void> {
  await mkdir(stash.folder, { recursive: true, mode: 0o700 });
  const folder = await mkdtemp(join(stash.folder, `.new.${process.pid}.fetch-`));
  try {
    const path = join(folder, 'debuginfo');
    await download(url, path, options);
    checkBuildId(path, buildId);
    options.progress(`Keeping it in the stash ${stash.folder}`);
    await stash.add(path, undefined, `${buildId}.debug`);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/**
 * Asks the servers in DEBUGINFOD_URLS one by one and puts the file of the first that has it into the stash. Servers that fail and a
 * stash that cannot be written are answers.
 */
export async function fetchDebugInfo(buildId: string, stash: Stash, options: FetchOptions): Promise<Fetched> {
  const prefixes = (options.env['DEBUGINFOD_URLS'] ?? '').split(/\s+/).filter((prefix) => prefix !== '');
  const miss = new Miss(stash, buildId, prefixes);
  if (prefixes.length > 0 && miss.isFresh())
    return { found: false, failures: [`the servers of DEBUGINFOD_URLS did not have it some minutes ago`] };
  const failures: string[] = [];
  let absent = 0;
  for (const prefix of prefixes) {
    try {
      await fetchFrom(address(prefix, buildId), buildId, stash, options);
      return { found: true, failures };
    } catch (error) {
      if (error instanceof AbsentError) absent++;
      failures.push(`${prefix}: ${failureText(error).replace(/\S*\/\.new\.[^/]*\//, '')}`);
    }
  }
  if (absent > 0 && absent === prefixes.length) miss.note();
  return { found: false, failures };
}

/** @throws FormatError, ServerError when it is not what was asked for. */
function checkBuildId(path: string, buildId: string): void {
  const file = openSymbolFile(path);
  file.close();
  if (file.buildId !== buildId)
    throw new ServerError(`sent another file: build-id ${file.buildId ?? 'none'} instead of ${buildId}`);
}
