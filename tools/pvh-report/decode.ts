// Adds source lines to the addresses in a kernel's log, line by line: `name+0x10/0x80`, with or without a module, and addresses
// that stand alone. What it does not know stays as it is. Reads no input and finds no files: decode-command.ts does.
import { functionAddress, sourcePrefixes, sourceText } from '../shared/source-text.ts';
import type { SymbolFile } from '../shared/symbol-file.ts';

/** Whose log it is, as far as it has said. */
export interface LogIdentity {
  readonly release: string | undefined;
  readonly buildId: string | undefined;
}

/** A module as a log names it. */
export interface LogModule {
  readonly name: string;
  readonly buildId: string | undefined;
}

const BANNER = /\bLinux version (\d[\w.+~-]*) /;
/** lib/dump_stack.c, dump_stack_print_info: `CPU: 0 PID: 1 Comm: init Not tainted 6.1.0 #1 <build-id>`. */
const TASK_LINE = /\bCPU: \d/;
const COMM = 'Comm: ';
const BUILD = / (\d[\w.+~-]*) #\d/g;
const LAST_BUILD_ID = /\b[0-9a-f]{40}$/;
const BUILD_ID = /\bbuild[- ]id:? ([0-9a-f]{40})\b/i;

/** A name of a process may look like a release: the last that does is it. Step by step: one expression takes hours for a line made to. */
function inTaskLine(line: string): Partial<LogIdentity> {
  const cpu = line.search(TASK_LINE);
  const comm = cpu < 0 ? -1 : line.indexOf(COMM, cpu);
  const builds = comm < 0 ? [] : [...line.slice(comm).matchAll(BUILD)];
  const release = builds.at(-1)?.[1];
  const buildId = release === undefined ? undefined : LAST_BUILD_ID.exec(line)?.[0];
  return { ...(release !== undefined && { release }), ...(buildId !== undefined && { buildId }) };
}

/** What a line tells of the kernel that wrote it; undefined when nothing. */
export function identityIn(line: string): Partial<LogIdentity> | undefined {
  const task = inTaskLine(line);
  const release = BANNER.exec(line)?.[1] ?? task.release;
  const buildId = BUILD_ID.exec(line)?.[1]?.toLowerCase() ?? task.buildId;
  if (release === undefined && buildId === undefined) return undefined;
  return { ...(release !== undefined && { release }), ...(buildId !== undefined && { buildId }) };
}

const NAMED =
  /(?:\[<([0-9a-f]{16})>\] (?:[?RSF] )?)?([A-Za-z_$.][\w.$]*)\+0x([0-9a-f]{1,8})\/0x([0-9a-f]{1,8})(?: \[([\w-]+)(?: ([0-9a-f]{16,64}))?\])?/y;
/** `[<ffffffff81a03db3>] name+0x3`, `rip: ffffffff81a03db3 name+0x3`, `RIP: 0010:0xffffffff81a03db3`: Xen's tools, old kernels. */
const BARE =
  /(?:\[<([0-9a-f]{16})>\]|\b(?:RIP|rip): +(?:[0-9a-f]{4}:)?(?:0x)?([0-9a-f]{16})\b)(?: [A-Za-z_][\w.]*(?:\+0x[0-9a-f]+)?(?![\w/]))?/y;
/** Where one of the two can begin. */
const START = /\[<|(?<![\w.$])[A-Za-z_$.]/g;
const OFFSET = /\bKernel Offset: (?:0x([0-9a-f]{1,16}) from|disabled)/;

/** An address before which one of these stands is that of the instruction itself; all others are those to return to. */
const EXACT = /(?:\b[RE]?IP\b.*|\brip\b.*|\bpc ?: .*| at \S+:\d+ )$/;

/** KASLR moves a kernel by multiples of this, within 1 GiB. */
const SLIDE_STEP = 2n << 20n;
const MAX_SLIDE = 1n << 30n;

const number = (digits: string | undefined): bigint => BigInt(`0x${digits || '0'}`);

interface Found {
  /** Where in the line it ends. */
  readonly end: number;
  readonly file: SymbolFile;
  readonly address: bigint;
}

export interface LogFiles {
  readonly kernel: SymbolFile | undefined;
  /** The file of a module; undefined when there is none. */
  readonly module: (module: LogModule) => SymbolFile | undefined;
  /** What is left out of file names; undefined: the folder where the kernel was built. */
  readonly base: string | undefined;
}

/** Modules that a line names. */
export function modulesIn(line: string): LogModule[] {
  const found: LogModule[] = [];
  for (const [, name = '', buildId] of line.matchAll(
    /\+0x[0-9a-f]+\/0x[0-9a-f]+ \[([\w-]+)(?: ([0-9a-f]{16,64}))?\]/g,
  ))
    found.push({ name: name.replaceAll('-', '_'), buildId });
  return found;
}

/** Decodes the log of one kernel. */
export class LogDecoder {
  readonly #files: LogFiles;
  readonly #prefixes: readonly string[];
  /** How far the kernel runs from where its file is linked: as the log says, and 0 until it does. */
  #slide = 0n;

  constructor(files: LogFiles) {
    this.#files = files;
    const { base, kernel } = files;
    this.#prefixes =
      base === undefined ? (kernel ? sourcePrefixes(kernel) : []) : [base.replace(/\/*$/, '/')];
  }

  /**
   * The line with its source lines, and the lines of inlined functions behind it.
   * @param line without its end.
   */
  decode(line: string): string[] {
    const offset = OFFSET.exec(line);
    if (offset || BANNER.test(line)) this.#slide = number(offset?.[1]);
    let done = 0;
    let text = '';
    const inlined: string[] = [];
    for (;;) {
      START.lastIndex = done;
      const at = this.#next(line, START);
      if (!at) break;
      const { start, found } = at;
      // xenctx marks the instruction itself by an arrow behind it.
      const exact =
        EXACT.test(line.slice(Math.max(0, start - 80), start)) ||
        /^rip/i.test(line.slice(start, start + 3)) ||
        line.startsWith(' <--', found.end);
      const source = this.#source(found, exact);
      text += line.slice(done, found.end);
      done = found.end;
      if (!source) continue;
      text += ` (${source.place})`;
      const indent = /^(?:\[[ \d.]+\](?:\[[^\]]*\])?)?\s*/.exec(line)?.[0].length ?? 0;
      inlined.push(...source.inlinedBy.map((place) => `${' '.repeat(indent + 2)}(inlined by) ${place}`));
    }
    return [text + line.slice(done), ...inlined];
  }

  #next(line: string, starts: RegExp): { start: number; found: Found } | undefined {
    for (let match = starts.exec(line); match; match = starts.exec(line)) {
      const found = this.#named(line, match.index) ?? this.#bare(line, match.index);
      if (found) return { start: match.index, found };
      // On behind the word: nothing begins within it.
      WORD.lastIndex = match.index;
      starts.lastIndex = WORD.exec(line) ? Math.max(WORD.lastIndex, match.index + 1) : match.index + 1;
    }
    return undefined;
  }

  #named(line: string, at: number): Found | undefined {
    NAMED.lastIndex = at;
    const match = NAMED.exec(line);
    if (!match) return undefined;
    const [, pointer, name = '', offset, size, moduleName, moduleId] = match;
    const end = NAMED.lastIndex;
    const module =
      moduleName === undefined ? undefined : { name: moduleName.replaceAll('-', '_'), buildId: moduleId };
    const file = module ? this.#files.module(module) : this.#files.kernel;
    if (!file) return undefined;
    const start = functionAddress(file.table, name, number(size));
    const runs = pointer === undefined ? undefined : number(pointer);
    const linked = start === undefined ? undefined : start + number(offset);
    if (runs === undefined || module)
      return linked === undefined ? undefined : { end, file, address: linked };
    // Both are given: they have to agree, but for the slide. Another program's function may have the same name.
    const slide = linked === undefined ? undefined : runs - linked;
    if (
      linked !== undefined &&
      slide !== undefined &&
      slide >= 0n &&
      slide < MAX_SLIDE &&
      slide % SLIDE_STEP === 0n
    ) {
      this.#slide = slide;
      return { end, file, address: linked };
    }
    return { end, file, address: runs - this.#slide };
  }

  #bare(line: string, at: number): Found | undefined {
    BARE.lastIndex = at;
    const match = BARE.exec(line);
    const { kernel } = this.#files;
    if (!match || !kernel) return undefined;
    return { end: BARE.lastIndex, file: kernel, address: number(match[1] ?? match[2]) - this.#slide };
  }

  #source({ file, address }: Found, exact: boolean): ReturnType<typeof sourceText> {
    return sourceText(file.debugInfo?.lookup(exact ? address : address - 1n) ?? [], this.#prefixes);
  }
}

const WORD = /[\w.$]+/y;
