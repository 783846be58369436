// The command line of pvh-report: reads arguments, runs one command, turns what was thrown into lines and a status.
import { Command, CommanderError } from 'commander';
import { explainFailure } from '../shared/failure.ts';
import { packageVersion } from '../shared/version.ts';
import { EXIT, type Streams } from './exit.ts';
import type { StashOptions } from './stash-command.ts';

const EXIT_CODES = `
Exit status:
  0  collect: everything is in the report; diff: the same crash
  1  diff: different crashes
  2  wrong usage, no such domain, a file that is no report; diff: the reports cannot be compared
  3  collect: the report was made, but required parts are missing (it says which and why)
  decode: 0; 1 when there were no symbols to decode with, 2 for wrong usage
  stash: 0, 1 when something was not done (it says what and why), 2 for wrong usage`;

const EXAMPLES = `
Examples:
  pvh-report collect guest1 -s vmlinux            report on guest1 into the current folder
  pvh-report collect 7 -s vmlinux -o crash.tar.gz
  pvh-report diff monday.tar.gz tuesday.tar.gz
  pvh-report stash vmlinux                        keep it: from now on -s can be left out
  xl console guest1 | pvh-report decode           traces with file and line`;

interface CollectOptions {
  readonly symbolTable?: string;
  readonly output?: string;
  readonly json?: true;
  readonly quiet?: true;
}

function declare(
  env: Readonly<Record<string, string | undefined>>,
  streams: Streams,
  done: (status: number) => void,
): Command {
  const program = new Command('pvh-report')
    .description('One file with everything about a crashed Xen PVH guest, and what two such files differ in.')
    .version(packageVersion())
    .option('--debug', 'show where in the program an error came from')
    .addHelpText('after', `${EXIT_CODES}\n${EXAMPLES}`)
    .showHelpAfterError('(see pvh-report --help)')
    .exitOverride()
    .configureOutput({ writeOut: streams.out, writeErr: streams.err });
  program
    .command('collect')
    .description('collect a report about a domain, running or preserved; prints the path of the file')
    .argument('<domain>', 'name or number')
    .option('-s, --symbol-table <file>', "the guest kernel's vmlinux (or System.map), for names")
    .option('-o, --output <file>', 'where to write (default: pvh-report_NAME_DIGEST.tar.gz here)')
    .option('--json', 'print path, digest and manifest as JSON')
    .option('-q, --quiet', 'no progress')
    .action(async (domain: string, options: CollectOptions) => {
      const { runCollect } = await import('./collect-command.ts');
      done(await runCollect(domain, options, env, streams));
    });
  program
    .command('diff')
    .description('compare two reports: is it the same crash, and what differs')
    .argument('<a>', 'report')
    .argument('<b>', 'report')
    .option('--json', 'everything as JSON, nothing shortened')
    .action(async (a: string, b: string, options: { json?: true }) => {
      const { runDiff } = await import('./diff-command.ts');
      done(await runDiff(a, b, options.json === true, streams));
    });
  program
    .command('stash')
    .description('keep vmlinux files and modules by their build-id, for xenctx, collect and decode to find')
    .argument('[file...]', 'ELF files with symbols: vmlinux, .ko, .ko.debug')
    .option('--list', 'what is kept')
    .option('--json', 'with --list: as JSON')
    .option('--remove', 'the arguments are build-ids (or how they begin): remove them')
    .option('--verify', 'read everything that is kept (or these build-ids) and compare it with its checksums')
    .option('--extract', 'the argument is a build-id: write that file to stdout, bit for bit')
    .option('-q, --quiet', 'no progress')
    .action(async (args: readonly string[], options: StashOptions) => {
      const { runStash } = await import('./stash-command.ts');
      done(await runStash(args, options, env, streams));
    });
  program
    .command('decode')
    .description(
      'add source lines and inlined functions to the traces in a log: stdin to stdout, line by line',
    )
    .option(
      '-s, --symbol-table <file>',
      "the kernel's vmlinux (default: found by what the log says of its kernel)",
    )
    .option(
      '--base <folder>',
      'leave this out at the start of file names (default: where the kernel was built)',
    )
    .action(async (options: { symbolTable?: string; base?: string }) => {
      const { runDecode } = await import('./decode-command.ts');
      done(await runDecode(options, env, { input: process.stdin, output: process.stdout, err: streams.err }));
    });
  return program;
}

/** @returns the exit status. */
export async function main(
  argv: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
  streams: Streams,
): Promise<number> {
  let status: number = EXIT.ok;
  const program = declare(env, streams, (code) => {
    status = code;
  });
  try {
    await program.parseAsync(argv, { from: 'user' });
    return status;
  } catch (error) {
    // commander has already printed; help and version are no failures.
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.unusable;
    const { lines } = explainFailure('pvh-report', error, program.opts<{ debug?: true }>().debug === true);
    for (const line of lines) streams.err(`${line}\n`);
    return EXIT.unusable;
  }
}
