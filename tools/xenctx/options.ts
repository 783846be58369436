// The command line of xenctx 4.17, and our own long options. Says what is wanted; does nothing.
import { Command, CommanderError } from 'commander';
import { parseDecimal, parseInteger, parseUnsigned } from './numbers.ts';
import { HELP, USAGE } from './usage.ts';

export interface XenctxOptions {
  /** Domid, domain name, or path of a dump file. */
  readonly domain: string;
  readonly vcpu: number;
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
  /** True unwinding instead of xenctx's traces: which way, or the best there is. */
  readonly unwind?: UnwindWay | undefined;
}

export const UNWIND_WAYS = ['auto', 'orc', 'fp'] as const;
export type UnwindWay = (typeof UNWIND_WAYS)[number];

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
  readonly json?: true;
  readonly debug?: true;
  readonly unwind?: UnwindWay;
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

/** xenctx ends with exit(-1) wherever its command line or its inputs are unusable. */
export const UNUSABLE = 255;

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
    .option('--unwind <way>', '', unwindWay)
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

/**
 * @param argv without the interpreter and the script.
 * @throws XenctxExit for help, wrong usage and combinations that xenctx refuses.
 */
export function parseOptions(argv: readonly string[]): XenctxOptions {
  const command = declare();
  const end = argv.indexOf('--');
  const optionWords = (end < 0 ? argv : argv.slice(0, end)).map((word) => completeLongOption(word, command));
  const operandWords = end < 0 ? [] : argv.slice(end + 1);
  try {
    command.parse([...optionWords, ...(end < 0 ? [] : argv.slice(end))], { from: 'user' });
  } catch (error) {
    if (error instanceof CommanderError) explain(error, optionWords, command);
    throw error;
  }
  const given = command.opts<Given>();
  if (given.help) throw new XenctxExit(UNUSABLE, { stdout: HELP });
  const operands = command.args;
  // commander takes a negative number for an operand; to getopt it is an option.
  const negative = operands.slice(0, operands.length - operandWords.length).find((word) => /^-./.test(word));
  if (negative !== undefined) failOption(`invalid option -- '${negative[1]}'`);

  const [domain, vcpu] = operands;
  if (domain === undefined || operands.length > 2) throw new XenctxExit(UNUSABLE, { stdout: USAGE });
  if (/^\s*[+-]?0+$/.test(domain)) fail('cannot trace dom0');
  if (given.allVcpus && vcpu !== undefined) failNamed('both --all-vcpus and [VCPU] is not supported');
  if (given.framePointers && given.dumpAsStack !== undefined)
    failNamed('both --frame-pointers and --dump-as-stack is not supported');
  return {
    domain,
    vcpu: parseDecimal(vcpu ?? '0'),
    framePointers: given.framePointers === true,
    symbolTable: given.symbolTable,
    stackTrace: given.stackTrace === true,
    kernelStart: given.kernelStart,
    all: given.all === true,
    allVcpus: given.allVcpus === true,
    stackPages: given.displayStackPages ?? 1,
    bytesPerLine: given.bytesPerLine ?? 32,
    lines: given.lines ?? 5,
    ascii: given.decodeAsAscii === true,
    tags: given.tagStackDump === true,
    memory: given.memory,
    dumpAsStack: given.dumpAsStack,
    json: given.json === true,
    debug: given.debug === true,
    unwind: given.unwind,
  };
}
