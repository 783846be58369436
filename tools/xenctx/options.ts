// The command line of xenctx 4.17, and our own long options. Says what is wanted; does nothing.
import { Command, CommanderError } from 'commander';
import type { UnwindWay } from '../../symbols/unwind/unwinder.ts';
import { parseDecimal, parseInteger, parseUnsigned } from './numbers.ts';
import { HELP, USAGE } from './usage.ts';

export interface XenctxOptions {
  /** Domid, domain name, or path of a dump file. */
  readonly domain: string;
  /** Undefined: the one that panicked, else the first. */
  readonly vcpu: number | undefined;
  readonly framePointers: boolean;
  readonly symbolTable?: string | undefined;
  readonly stackTrace: boolean;
  readonly kernelStart?: bigint | undefined;
  readonly all: boolean;
  readonly allVcpus: boolean;
  readonly stackPages: number;
  readonly bytesPerLine: number;
  readonly lines: number;
  readonly ascii: boolean;
  readonly tags: boolean;
  readonly memory?: bigint | undefined;
  readonly dumpAsStack?: bigint | undefined;
  readonly json: boolean;
  readonly debug: boolean;
  /** Messages of xenctx too; its layout is asked for by more options. */
  readonly classic: boolean;
  /** How the trace is found; undefined: as xenctx does it, layout and all. */
  readonly unwind?: UnwindWay | undefined;
  /** File, line and inlined functions below each frame. */
  readonly sourceLines: boolean;
  /** Frame whose registers are shown. */
  readonly registersOfFrame?: number | undefined;
  readonly allTasks: boolean;
  readonly dmesg: boolean;
  readonly modules: boolean;
  readonly disassemble: boolean;
  /** Take the symbol file even when it is another kernel's. */
  readonly forceSymbols: boolean;
}

const UNWIND_WAYS: readonly UnwindWay[] = ['auto', 'orc', 'cfi', 'fp', 'scan'];

/** What commander makes of the options, by its names. */
interface Given {
  readonly framePointers?: true;
  readonly symbolTable?: string;
  readonly stackTrace?: true;
  readonly kernelStart?: bigint;
  readonly all?: true;
  readonly allVcpus?: true;
  readonly displayStackPages?: number;
  readonly bytesPerLine?: number;
  readonly lines?: number;
  readonly decodeAsAscii?: true;
  readonly tagStackDump?: true;
  readonly memory?: bigint;
  readonly dumpAsStack?: bigint;
  readonly help?: true;
  readonly classic?: true;
  readonly unwind?: UnwindWay;
  readonly sourceLines?: true;
  readonly registersOfFrame?: number;
  readonly allTasks?: true;
  readonly dmesg?: true;
  readonly modules?: true;
  readonly disassemble?: true;
  readonly forceSymbols?: true;
  readonly json?: true;
  readonly debug?: true;
}

/** Ends the tool: text for stdout, lines for stderr, exit status. */
export class XenctxExit extends Error {
  readonly stdout: string;
  readonly stderr: readonly string[];
  readonly status: number;
  constructor(status: number, output: { stdout?: string; stderr?: readonly string[] }) {
    super(output.stderr?.join('\n') ?? 'usage');
    this.status = status;
    this.stdout = output.stdout ?? '';
    this.stderr = output.stderr ?? [];
  }
}

/** Wrong usage or unusable input. xenctx itself ends with exit(-1) there, and with --classic so does ours. */
export const UNUSABLE = 2;
const CLASSIC_UNUSABLE = 255;

const beforeOperands = (argv: readonly string[]): readonly string[] => {
  const end = argv.indexOf('--');
  return end < 0 ? argv : argv.slice(0, end);
};

/** Exit status for an end that is not a dump, help among them: only with --classic that of xenctx. */
export const exitStatusFor = (argv: readonly string[], status: number): number =>
  beforeOperands(argv).includes('--classic') ? CLASSIC_UNUSABLE : status;

const MAX_LINES = 0x7fff_ffff - 1;

const fail = (...stderr: string[]): never => {
  throw new XenctxExit(UNUSABLE, { stderr });
};
const failNamed = (text: string): never => fail(`xenctx: ${text}`);
/** getopt's own complaints are followed by a pointer to the help. */
const failOption = (text: string): never => fail(`xenctx: ${text}`, 'xenctx --help for more options');

function stackPages(text: string): number {
  const value = parseInteger(text);
  return value >= 1
    ? value
    : failNamed(`Unsupported value(${value}) for --display-stack-pages '${text}'. Needs to be >= 1`);
}

function bytesPerLine(text: string): number {
  const value = parseInteger(text);
  return value >= 4 && value <= 128
    ? value
    : failNamed(`Unsupported value for --bytes-per-line '${text}'. Needs to be 4 <= ${value} <= 128`);
}

function lines(text: string): number {
  if (['all', 'ALL', 'max', 'MAX'].includes(text)) return MAX_LINES;
  const value = parseInteger(text);
  return value >= 0 && value <= MAX_LINES
    ? value
    : failNamed(`Unsupported value(${value}) for --lines '${text}'. Needs to be >= 0, < ${MAX_LINES + 1}`);
}

function unwindWay(text: string): UnwindWay {
  const way = UNWIND_WAYS.find((name) => name === text);
  return (
    way ?? failNamed(`Unsupported value '${text}' for --unwind. Needs to be one of ${UNWIND_WAYS.join(', ')}`)
  );
}

function frameNumber(text: string): number {
  return /^\d{1,5}$/.test(text)
    ? Number(text)
    : failNamed(`Unsupported value '${text}' for --registers-of-frame. Needs to be the number of a frame`);
}

function declare(): Command {
  return new Command('xenctx')
    .argument('[operands...]')
    .helpOption(false)
    .exitOverride()
    .configureOutput({ writeErr: () => undefined, writeOut: () => undefined })
    .option('-f, --frame-pointers')
    .option('-s, --symbol-table <file>')
    .option('-S, --stack-trace')
    .option('-k, --kernel-start <address>', '', parseUnsigned)
    .option('-a, --all')
    .option('-C, --all-vcpus')
    .option('-n, --display-stack-pages <pages>', '', stackPages)
    .option('-b, --bytes-per-line <bytes>', '', bytesPerLine)
    .option('-l, --lines <lines>', '', lines)
    .option('-D, --decode-as-ascii')
    .option('-t, --tag-stack-dump')
    .option('-m, --memory <address>', '', parseUnsigned)
    .option('-d, --dump-as-stack <address>', '', parseUnsigned)
    .option('-h, --help')
    .option('--classic')
    .option('--unwind <way>', '', unwindWay)
    .option('--source-lines')
    .option('--registers-of-frame <frame>', '', frameNumber)
    .option('--disassemble')
    .option('--all-tasks')
    .option('--dmesg')
    .option('--modules')
    .option('--force-symbols')
    .option('--json')
    .option('--debug');
}

/** Lets a long option be shortened to any prefix that only one option has, as getopt_long does. */
function completeLongOption(word: string, command: Command): string {
  const [, name, value] = /^--([^=]+)(=.*)?$/s.exec(word) ?? [];
  if (name === undefined) return word;
  const long = command.options.map((option) => option.long?.slice(2) ?? '');
  if (long.includes(name)) return word;
  const matches = long.filter((candidate) => candidate.startsWith(name));
  if (matches.length > 1)
    failOption(
      `option '${word}' is ambiguous; possibilities:${matches.map((match) => ` '--${match}'`).join('')}`,
    );
  return matches.length === 1 ? `--${matches[0]}${value ?? ''}` : word;
}

/** What getopt_long would have said. */
function explain(error: CommanderError, words: readonly string[], command: Command): never {
  if (error.code === 'commander.optionMissingArgument') {
    const last = words.at(-1) ?? '';
    return last.startsWith('--')
      ? failOption(`option '${last}' requires an argument`)
      : failOption(`option requires an argument -- '${last.at(-1)}'`);
  }
  const word = /'(.*)'/s.exec(error.message)?.[1] ?? '';
  if (!word.startsWith('--')) return failOption(`invalid option -- '${word[1] ?? ''}'`);
  const name = word.replace(/=.*$/s, '');
  return command.options.some(({ long }) => long === name)
    ? failOption(`option '${name}' doesn't allow an argument`)
    : failOption(`unrecognized option '${name}'`);
}

interface Words {
  readonly given: Given;
  readonly operands: readonly string[];
}

/** @param operands those behind `--`. */
function read(options: readonly string[], operands: readonly string[]): Words {
  const command = declare();
  try {
    command.parse([...options, ...(operands.length > 0 ? ['--', ...operands] : [])], { from: 'user' });
  } catch (error) {
    if (error instanceof CommanderError) explain(error, options, command);
    throw error;
  }
  // commander takes a negative number for an operand; to getopt it is an option.
  const own = command.args.slice(0, command.args.length - operands.length);
  const negative = own.find((word) => /^-./.test(word));
  if (negative !== undefined) failOption(`invalid option -- '${negative[1]}'`);
  return { given: command.opts<Given>(), operands: command.args };
}

const isLineCount = (word: string | undefined): boolean =>
  word !== undefined && /^(?:[+-]?\d\w*|all|ALL|max|MAX)$/.test(word);

/**
 * xenctx's `--lines N` is the length of dumps. Ours without a number is --source-lines; so it is when the number is all that
 * could be the domain.
 */
function readLines(options: readonly string[], operands: readonly string[]): Words {
  const bare = (words: readonly string[], isBare: (next: string | undefined) => boolean): string[] =>
    words.map((word, index) => (word === '--lines' && isBare(words[index + 1]) ? '--source-lines' : word));
  const words = read(
    bare(options, (next) => !isLineCount(next)),
    operands,
  );
  if (words.operands.length > 0 || !options.includes('--lines')) return words;
  return read(
    bare(options, () => true),
    operands,
  );
}

interface Operands {
  readonly domain: string;
  readonly vcpu: string | undefined;
}

/** @throws XenctxExit for operands and combinations that are none. */
function checkUsage(given: Given, operands: readonly string[]): Operands {
  const [domain, vcpu] = operands;
  if (domain === undefined || operands.length > 2) throw new XenctxExit(UNUSABLE, { stdout: USAGE });
  if (/^\s*[+-]?0+$/.test(domain)) fail('cannot trace dom0');
  if (given.allVcpus && vcpu !== undefined) failNamed('both --all-vcpus and [VCPU] is not supported');
  if (given.framePointers && given.dumpAsStack !== undefined)
    failNamed('both --frame-pointers and --dump-as-stack is not supported');
  if (given.classic && given.unwind !== undefined) failNamed('both --classic and --unwind is not supported');
  if (!given.classic && vcpu !== undefined && !/^\d+$/.test(vcpu))
    failNamed(`'${vcpu}' is not the number of a vcpu`);
  return { domain, vcpu };
}

/** Refuses what the traces of xenctx's own layout cannot show, rather than leave it out without a word. */
function checkClassic({ registersOfFrame, sourceLines, modules, allTasks }: Given): void {
  const advice = 'does not go with the traces of --classic, -f, -S, -d and -m; --unwind=auto asks for ours';
  if (registersOfFrame !== undefined) failNamed(`--registers-of-frame ${advice}`);
  if (sourceLines && !modules && !allTasks) failNamed(`--lines without a number ${advice}`);
}

/**
 * @param argv without the interpreter and the script.
 * @throws XenctxExit for help, wrong usage and combinations that xenctx refuses.
 */
export function parseOptions(argv: readonly string[]): XenctxOptions {
  const before = beforeOperands(argv);
  const known = declare();
  const optionWords = before.map((word) => completeLongOption(word, known));
  const classicOnly = optionWords.includes('--classic');
  const { given, operands } = (classicOnly ? read : readLines)(optionWords, argv.slice(before.length + 1));
  if (given.help) throw new XenctxExit(0, { stdout: HELP });

  const { domain, vcpu } = checkUsage(given, operands);
  // These ask for what only xenctx's own layout has.
  const { framePointers, stackTrace, memory, dumpAsStack } = given;
  const classic =
    given.classic || framePointers || stackTrace || memory !== undefined || dumpAsStack !== undefined;
  const unwind = given.unwind ?? (classic ? undefined : 'auto');
  if (unwind === undefined) checkClassic(given);
  return {
    domain,
    vcpu: vcpu !== undefined || given.classic ? parseDecimal(vcpu ?? '0') : undefined,
    framePointers: framePointers === true,
    symbolTable: given.symbolTable,
    stackTrace: stackTrace === true,
    kernelStart: given.kernelStart,
    all: given.all === true,
    allVcpus: given.allVcpus === true,
    stackPages: given.displayStackPages ?? 1,
    bytesPerLine: given.bytesPerLine ?? 32,
    lines: given.lines ?? 5,
    ascii: given.decodeAsAscii === true,
    tags: given.tagStackDump === true,
    memory,
    dumpAsStack,
    json: given.json === true,
    debug: given.debug === true,
    classic: given.classic === true,
    unwind,
    sourceLines: given.sourceLines === true,
    registersOfFrame: given.registersOfFrame,
    allTasks: given.allTasks === true,
    dmesg: given.dmesg === true,
    modules: given.modules === true,
    disassemble: given.disassemble === true,
    forceSymbols: given.forceSymbols === true,
  };
}
