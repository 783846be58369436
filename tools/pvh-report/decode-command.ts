// pvh-report decode: a log from stdin to stdout with source lines added, each line as soon as it is there.
import { once } from 'node:events';
import type { Readable, Writable } from 'node:stream';
import { openSymbolFile, type SymbolFile } from '../shared/symbol-file.ts';
import { type SearchOptions, searchFailure, searchModule, searchSymbols } from '../shared/symbol-search.ts';
import { identityIn, LogDecoder, type LogIdentity, type LogModule, modulesIn } from './decode.ts';
import { EXIT } from './exit.ts';

export interface DecodeOptions {
  readonly symbolTable?: string;
  readonly base?: string;
}

const NO_SYMBOLS = 1;
/** Longer lines than this are no log's: they pass through in pieces. */
const MAX_LINE = 1 << 16;
/** A log can name any number of modules and kernels; each is looked for, perhaps on a server. */
const MAX_MODULES = 256;
const MAX_KERNELS = 64;
const MAX_WARNINGS = 64;

const moduleKey = ({ name, buildId }: LogModule): string => `${name} ${buildId ?? ''}`;

/** One run: the files that the log needs, opened when it first names them. */
class DecodeCommand {
  readonly #options: DecodeOptions;
  readonly #search: SearchOptions;
  readonly #warn: (text: string) => void;
  readonly #warned = new Set<string>();
  readonly #given: SymbolFile | undefined;
  #identity: LogIdentity = { release: undefined, buildId: undefined };
  #kernel: SymbolFile | undefined;
  #kernels = 0;
  #decoder: LogDecoder | undefined;
  readonly #modules = new Map<string, SymbolFile | undefined>();

  constructor(options: DecodeOptions, env: SearchOptions['env'], warn: (text: string) => void) {
    this.#options = options;
    this.#search = { env, progress: warn };
    this.#warn = warn;
    if (options.symbolTable === undefined) return;
    this.#given = openSymbolFile(options.symbolTable);
    this.#use(this.#given);
  }

  /** Whether there were source lines to add, and whether anybody said of which kernel. */
  hasSymbols = false;
  knowsKernel = false;

  async line(line: string): Promise<string[]> {
    const identity = identityIn(line);
    if (identity) await this.#kernelIs(identity);
    if (!this.#decoder) return [line];
    for (const module of modulesIn(line)) await this.#findModule(module);
    return this.#decoder.decode(line);
  }

  close(): void {
    this.#closeAll();
    this.#given?.close();
  }

  /** The log says of which kernel it is; a log can go on over reboots into another. */
  async #kernelIs({ release = this.#identity.release, buildId }: Partial<LogIdentity>): Promise<void> {
    const other =
      release !== this.#identity.release || (buildId !== undefined && buildId !== this.#identity.buildId);
    if (!other || ++this.#kernels > MAX_KERNELS) return;
    this.#identity = { release, buildId };
    this.knowsKernel = true;
    if (this.#given) {
      if (buildId !== undefined && this.#given.buildId !== undefined && buildId !== this.#given.buildId)
        this.#warnOnce(
          `the log is of another kernel (build-id ${buildId}) than ${this.#given.path} (${this.#given.buildId})`,
        );
      return;
    }
    this.#closeAll();
    const { file, looked } = await searchSymbols(this.#identity, this.#search);
    if (file) this.#use(file);
    else
      this.#warnOnce(`${searchFailure(this.#identity, looked)}: give -s, or keep one with pvh-report stash`);
  }

  #use(file: SymbolFile): void {
    this.#kernel = file;
    this.knowsKernel = true;
    if (file.debugInfo) this.hasSymbols = true;
    for (const warning of file.warnings) this.#warnOnce(warning);
    if (!file.debugInfo && file.warnings.length === 0)
      this.#warnOnce(`${file.path} has no debug information: no source lines`);
    this.#decoder = new LogDecoder({
      kernel: file,
      module: (module) => this.#modules.get(moduleKey(module)),
      base: this.#options.base,
    });
  }

  async #findModule(module: LogModule): Promise<void> {
    const key = moduleKey(module);
    if (this.#modules.has(key) || this.#modules.size >= MAX_MODULES) return;
    const wanted = { ...module, release: this.#identity.release };
    const { file } = await searchModule(wanted, this.#search);
    this.#modules.set(key, file);
    if (!file) this.#warnOnce(`no debug information of module ${module.name}`);
  }

  #closeAll(): void {
    if (this.#kernel !== this.#given) this.#kernel?.close();
    for (const module of this.#modules.values()) module?.close();
    this.#modules.clear();
    if (this.#given) return;
    this.#kernel = undefined;
    this.#decoder = undefined;
  }

  #warnOnce(text: string): void {
    if (this.#warned.has(text) || this.#warned.size >= MAX_WARNINGS) return;
    this.#warned.add(text);
    this.#warn(text);
  }
}

interface Line {
  readonly text: string;
  /** How it ends: a line end, with or without a carriage return, or nothing. */
  readonly end: string;
}

/** The lines of each piece of input that arrives. Bytes are characters here, so that they leave as they came. */
async function* linesOf(input: Readable): AsyncGenerator<readonly Line[]> {
  let rest = '';
  for await (const chunk of input) {
    rest += Buffer.from(chunk).toString('latin1');
    const lines: Line[] = [];
    let start = 0;
    for (let end = rest.indexOf('\n'); end >= 0; end = rest.indexOf('\n', start)) {
      const cut = end > start && rest[end - 1] === '\r' ? end - 1 : end;
      lines.push({ text: rest.slice(start, cut), end: rest.slice(cut, end + 1) });
      start = end + 1;
    }
    rest = rest.slice(start);
    if (rest.length > MAX_LINE) {
      lines.push({ text: rest, end: '' });
      rest = '';
    }
    yield lines;
  }
  yield [{ text: rest, end: '' }];
}

export interface DecodeStreams {
  readonly input: Readable;
  readonly output: Writable;
  readonly err: (text: string) => void;
}

/** @returns the exit status. @throws the system's error or FormatError when -s cannot be used. */
export async function runDecode(
  options: DecodeOptions,
  env: SearchOptions['env'],
  { input, output, err }: DecodeStreams,
): Promise<number> {
  const command = new DecodeCommand(options, env, (text) => err(`pvh-report: ${text}\n`));
  try {
    for await (const lines of linesOf(input)) {
      let done = '';
      for (const { text, end } of lines) {
        const [decoded = text, ...inlined] = text.length > MAX_LINE ? [text] : await command.line(text);
        done += [decoded, ...inlined].join(end || '\n') + end;
      }
      if (!output.write(done, 'latin1')) await once(output, 'drain');
    }
  } finally {
    command.close();
  }
  if (!command.knowsKernel) err('pvh-report: the log does not say of which kernel it is: give -s\n');
  return command.hasSymbols ? EXIT.ok : NO_SYMBOLS;
}
