// `xl`: global options, the choice of the subcommand, and xl's own words for wrong arguments.
import { Command, CommanderError } from 'commander';
import { Registry } from '../../core/domain/registry.ts';
import { explainFailure } from '../shared/failure.ts';
import { stateDirectory } from '../shared/state-dir.ts';
import type { Options, XlCommandRow, XlContext } from './command.ts';
import { COMMANDS } from './table.ts';

/** xl's exit status for wrong arguments. */
const EXIT_USAGE = 2;

function overview(): string {
  const rows = COMMANDS.map(({ name, summary }) => ` ${name.padEnd(19)} ${summary}\n`);
  return `Usage xl [-vfNtT] <subcommand> [args]\n\nxl full list of subcommands:\n\n${rows.join('')}`;
}

function usage({ name, synopsis, summary, options, notes }: XlCommandRow): string {
  const parts = [`Usage: xl [-vtTfN] ${name} ${synopsis}\n\n${summary}.\n`];
  if (options !== undefined) parts.push(`\nOptions:\n\n${options}\n`);
  if (notes !== undefined) parts.push(`\n${notes}\n`);
  return `${parts.join('')}\n`;
}

interface Streams {
  readonly out: (text: string) => void;
  readonly err: (text: string) => void;
}

/** xl names an option by its letter: option `q' not supported. */
function explainOption(error: CommanderError): string | undefined {
  const name = /'(-[^' ,]+)/.exec(error.message)?.[1];
  if (name === undefined) return undefined;
  const shown = name.startsWith('--') ? name : name.slice(1, 2);
  if (error.code === 'commander.unknownOption') return `option \`${shown}' not supported.\n`;
  if (error.code === 'commander.optionMissingArgument') return `option \`${shown}' requires an argument.\n`;
  return undefined;
}

function help(topic: string | undefined, { out, err }: Streams): number {
  if (topic === undefined) {
    out(overview());
    return 0;
  }
  const row = COMMANDS.find(({ name }) => name === topic);
  if (row === undefined) {
    err('command not implemented\n');
    return 1;
  }
  out(usage(row));
  return 0;
}

async function runCommand(row: XlCommandRow, argv: readonly string[], context: XlContext): Promise<number> {
  const { command } = await row.load();
  const parser = new Command(row.name)
    .exitOverride()
    .allowExcessArguments()
    .helpOption(false)
    .option('-h, --help')
    .configureOutput({ writeOut: () => {}, writeErr: () => {} })
    .argument('[operands...]');
  command.declare?.(parser);
  try {
    parser.parse([...argv], { from: 'user' });
  } catch (error) {
    const explained = error instanceof CommanderError ? explainOption(error) : undefined;
    if (explained === undefined) throw error;
    context.err(explained);
    return EXIT_USAGE;
  }
  const options: Options = parser.opts();
  if (options['help'] === true) {
    context.usage();
    return 0;
  }
  if (parser.args.length < row.minOperands) {
    const plural = row.minOperands === 1 ? '' : 's';
    context.err(`'xl ${row.name}' requires at least ${row.minOperands} argument${plural}.\n\n`);
    context.usage();
    return EXIT_USAGE;
  }
  return command.run(context, parser.args, options);
}

/**
 * Runs xl.
 * @param argv the arguments without node and the script.
 * @returns the exit status.
 */
export async function main(
  argv: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
  streams: Streams,
): Promise<number> {
  const words = [...argv];
  const flags = new Set<string>();
  while (words[0]?.startsWith('-') && words[0] !== '-h' && words[0] !== '--help') {
    const word = words.shift() ?? '';
    const unknown = word === '--debug' ? undefined : /^-([vfNtT]*)(.?)/.exec(word)?.[2] || undefined;
    if (unknown !== undefined || word === '-') {
      streams.err(`unknown global option\n`);
      return EXIT_USAGE;
    }
    for (const letter of word === '--debug' ? ['debug'] : word.slice(1)) flags.add(letter);
  }
  const name = words.shift();
  if (name === undefined) {
    streams.out(overview());
    return 1;
  }
  if (name === 'help' || name === '-h' || name === '--help') return help(words[0], streams);
  const row = COMMANDS.find((command) => command.name === name);
  if (row === undefined) {
    streams.err('command not implemented\n');
    return 1;
  }
  try {
    return await runCommand(row, words, {
      registry: new Registry(stateDirectory(env)),
      env,
      now: () => new Date(),
      out: streams.out,
      err: streams.err,
      verbose: flags.has('v'),
      dryRun: flags.has('N'),
      usage: () => streams.out(usage(row)),
    });
  } catch (error) {
    const { lines, exitStatus } = explainFailure('xl', error, flags.has('debug'));
    streams.err(lines.map((line) => `${line}\n`).join(''));
    return exitStatus;
  }
}
