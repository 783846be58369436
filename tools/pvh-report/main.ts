// The command line of pvh-report: reads arguments, runs one command, turns what was thrown into lines and a status.
import { Command, CommanderError, Option } from 'commander';
import { cleanText } from '../shared/clean-text.ts';
import { explainFailure } from '../shared/failure.ts';
import { packageVersion } from '../shared/version.ts';
import type { CollectOptions } from './collect-command.ts';
import type { DiffOptions } from './diff-command.ts';
import { EXIT, type Streams } from './exit.ts';
import type { ExportOptions } from './export-command.ts';
import type { FitOptions } from './fit-command.ts';
import type { GdbserverOptions } from './gdbserver-command.ts';
import type { RedactCommandOptions } from './redact-command.ts';
import type { ReplayOptions } from './replay-command.ts';
import type { ShowOptions } from './show-command.ts';
import type { SignatureOptions } from './signature-command.ts';
import type { StashOptions } from './stash-command.ts';
import type { SymbolizeOptions } from './symbolize-command.ts';
import type { TriageOptions } from './triage-command.ts';
import type { VerifyOptions } from './verify-command.ts';

const EXIT_CODES = `
Exit status:
  0  collect: everything is in the report; diff: the same crash
  1  diff: different crashes
  2  wrong usage, no such domain, a file that is no report; diff: the reports cannot be compared
  3  collect: the report was made, but required parts are missing (it says which and why)
  130, 129, 143  collect, replay: interrupted by Ctrl-C, SIGHUP, SIGTERM; nothing was written
  triage: 0; 2 when there is nothing to read or the index is no use, 3 when some files are no reports (they are listed)
  fit: 0, 2 when the file is no report or cannot be made to fit
  mail: 0, 2 when the file is no report, 3 when the report lacks required parts
  symbolize: 0, 3 when the report is partial, 2 when it cannot be done
  verify: 0 whole, 1 something differs (it says what), 2 no report, or symbols are needed to find out
  decode: 0; 1 when there were no symbols to decode with, 2 for wrong usage
  replay: 0 the same end, 1 another (it says what differs), 2 it cannot be replayed (it says why)
  show: 0, 2 when it is no report
  signature: 0, 2 for a file that is no report
  export: 0, 2 when there is no such domain, or the file cannot be read or written
  redact, collect --redact: 1 when something private would be left or the crash would look like another (nothing is written)
  stash: 0, 1 when something was not done (it says what and why), 2 for wrong usage
  gdbserver: 0 when it was ended, 2 when it could not begin`;

const EXAMPLES = `
Examples:
  pvh-report collect guest1 -s vmlinux            report on guest1 into the current folder
  pvh-report collect 7 -s vmlinux -o crash.tar.gz
  pvh-report collect guest1 --dry-run             what would be taken, and from where
  pvh-report symbolize crash.tar.gz -s vmlinux    names for a report that was made without
  pvh-report replay crash.tar.gz --kernel vmlinuz the same run once more: does it end the same way?
  pvh-report show --html monday.tar.gz            a page to look at it with a browser
  pvh-report diff monday.tar.gz tuesday.tar.gz
  pvh-report diff monday.tar.gz tuesday.tar.gz --ignore timing --baseline other-mondays/*.tar.gz
  pvh-report triage /srv/reports                  the same crashes together, most frequent first
  pvh-report redact crash.tar.gz                  the same without names, addresses and secrets
  pvh-report signature monday.tar.gz --explain    what identifies the crash, and why
  pvh-report export guest1 -o guest1.vmcore       for crash, drgn and gdb
  pvh-report stash vmlinux                        keep it: from now on -s can be left out
  xl console guest1 | pvh-report decode           traces with file and line
  pvh-report gdbserver guest1 -s vmlinux          look at it with gdb`;

/** Of --fit; fit.ts has their limits. */
const DESTINATIONS = ['mail', 'github', 'gitlab', 'none'] as const;

/** An option that may be given several times. */
const listed = (value: string, before: readonly string[] = []): readonly string[] => [...before, value];

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
    .description(
      'collect a report about a domain, running or preserved, of the runtime or of this Xen host, or about a dump file; prints the path of the report',
    )
    .argument('<domain>', 'name or number of a domain, or path of a dump file')
    .option('-s, --symbol-table <file>', "the guest kernel's vmlinux (or System.map), for names")
    .option('-o, --output <file>', 'where to write (default: pvh-report_NAME_TIME_CRASH.tar.gz here)')
    .addOption(
      new Option(
        '--memory <part>',
        "how much of its memory: nothing, what the stacks and names come from; with that, an image of what is the kernel's, or of all",
      )
        .choices(['none', 'stacks', 'kernel', 'all'])
        .default('stacks'),
    )
    .option('--only <files>', 'take only these files of a report (for example "console,xl-*")', listed)
    .option('--skip <files>', 'leave these out', listed)
    .option('--timeout <seconds>', 'for each file (default: see --dry-run)')
    .option('--deadline <seconds>', 'for everything together (default: 600)')
    .option('--dry-run', 'only print what would be taken, and from where')
    .option('--estimate', 'collect, print how large and how slow each file is, write nothing')
    .addOption(
      new Option('--fit <where>', 'leave out what is worth least until it can be sent there').choices(
        DESTINATIONS,
      ),
    )
    .option('--redact', 'without names, addresses and secrets, as redact writes it')
    .option(
      '--redact-key <file>',
      'key of the stand-ins (default: made for this run, kept in OUTPUT.private-map.json)',
    )
    .option('--json', 'print path, digest and manifest (or the plan, or the estimate) as JSON')
    .option('-q, --quiet', 'no progress')
    .action(async (domain: string, options: CollectOptions) => {
      const { runCollect } = await import('./collect-command.ts');
      done(await runCollect(domain, options, env, streams));
    });
  program
    .command('export')
    .description('write a guest as a memory dump that crash, drgn and gdb open; prints the path of the file')
    .argument('<target>', 'name or number of a domain, or a dump file')
    .addOption(
      new Option('--format <form>', 'ELF, or compressed as makedumpfile does (not for gdb)')
        .choices(['elf', 'kdump'])
        .default('elf'),
    )
    .option('-o, --output <file>', 'where to write (default: NAME.vmcore or NAME.kdump here)')
    .option(
      '-s, --symbol-table <file>',
      "the guest kernel's vmlinux, for a kernel without names in its memory",
    )
    .option('--commands', 'write nothing: print how to open the target as it is')
    .option(
      '--gdb-unwinding <file>',
      "also write the kernel's unwind tables: with them gdb's stacks go on through interrupts",
    )
    .option('-q, --quiet', 'no progress, no commands')
    .action(async (target: string, options: ExportOptions) => {
      const { runExport } = await import('./export-command.ts');
      done(await runExport(target, options, env, streams));
    });
  program
    .command('symbolize')
    .description(
      'add names from a vmlinux to a report that was made without; prints the path of the new report',
    )
    .argument('<report>', 'report')
    .requiredOption('-s, --symbol-table <file>', "the guest kernel's vmlinux (or System.map)")
    .option('-o, --output <file>', 'where to write (default: the name of a report, _symbolized behind it)')
    .option('--force-symbols', 'take the file although it is another kernel')
    .action(async (report: string, options: SymbolizeOptions) => {
      const { runSymbolize } = await import('./symbolize-command.ts');
      done(await runSymbolize(report, options, streams));
    });
  program
    .command('verify')
    .description(
      'check a report: container, SHA-256 of every file, and that what is derived comes from what is raw',
    )
    .argument('<report>', 'report')
    .option('-s, --symbol-table <file>', 'the symbols it was made with (default: found by their build-id)')
    .action(async (report: string, options: VerifyOptions) => {
      const { runVerify } = await import('./verify-command.ts');
      done(await runVerify(report, options, env, streams));
    });
  program
    .command('replay')
    .description('run the domain of a report again, and check that it comes to the same end')
    .argument('<report>', 'report of a domain of the runtime that ended')
    .option(
      '--kernel <file>',
      'its kernel (default: where a domain of this host has it, or by its name beside the report or here)',
    )
    .option('--ramdisk <file>', 'its ramdisk (found like the kernel)')
    .option('--core <file>', 'write all of its memory where it stopped, for xenctx, gdbserver and collect')
    .option('--timeout <seconds>', 'when to give up (default: 600)')
    .option('--json', 'as JSON')
    .option('-q, --quiet', 'no progress')
    .action(async (report: string, options: ReplayOptions) => {
      const { runReplay } = await import('./replay-command.ts');
      done(await runReplay(report, options, env, streams));
    });
  program
    .command('show')
    .description(
      'print the summary of a report, or make a page of all of it that any browser opens without a network',
    )
    .argument('<report>', 'report')
    .option('--html', 'write a page, the same as report.html in the report; prints its path')
    .option('-o, --output <file>', 'where to write the page; - is stdout (default: beside the report, .html)')
    .action(async (report: string, options: ShowOptions) => {
      const { runShow } = await import('./show-command.ts');
      done(await runShow(report, options, streams));
    });
  program
    .command('diff')
    .description('compare two reports: is it the same crash, and what differs')
    .argument('<a>', 'report')
    .argument('<b>', 'report')
    .option(
      '--ignore <pattern>',
      'leave out sections, or what has such a name in one: "registers,timing", "config:vif*", "console:*crng*"',
      listed,
    )
    .option('--only <section>', 'leave out everything else; patterns as for --ignore', listed)
    .option(
      '--baseline <report...>',
      'reports (named after A and B) that should be like A: what A and they differ in is noise, and left out',
    )
    .option('--json', 'everything as JSON, nothing shortened')
    .option('--html <file>', 'write a page, too (- prints that instead)')
    .action(async (a: string, b: string, options: DiffOptions) => {
      const { runDiff } = await import('./diff-command.ts');
      done(await runDiff(a, b, options, streams));
    });
  program
    .command('triage')
    .description('group many reports by crash signature: how often, since when, on which kernels')
    .argument('[place...]', 'folders, files, or patterns like "reports/**/web*.tar.gz"')
    .option(
      '--index <place>',
      'where the index is kept: a folder (default: .pvh-triage in the first one), or s3://bucket/prefix',
    )
    .option('--no-update', 'answer from the index as it is, without looking at the files')
    .option('--sql <query>', 'one SELECT over the table reports (DESCRIBE reports names its columns)')
    .option('--since <when>', 'only reports since then: a date, or 12h, 7d, 4w')
    .option('--limit <n>', 'so many groups (default: 50), or rows of --sql (default: 1000)')
    .option('--json', 'as JSON')
    .option('-q, --quiet', 'no progress')
    .action(async (places: readonly string[], options: TriageOptions) => {
      const { runTriage } = await import('./triage-command.ts');
      done(await runTriage(places, options, env, streams));
    });
  program
    .command('fit')
    .description('make a report small enough to be sent: leaves out what is worth least, and says so in it')
    .argument('<report>', 'report')
    .addOption(new Option('--fit <where>', 'where it is to be sent').choices(DESTINATIONS).default('mail'))
    .option('-o, --output <file>', 'where to write (default: NAME.WHERE.tar.gz here)')
    .action(async (report: string, options: FitOptions) => {
      const { runFit } = await import('./fit-command.ts');
      done(await runFit(report, options, streams));
    });
  program
    .command('mail')
    .description('print a report as a mail to a mailing list: plain text under 100,000 bytes, with a subject')
    .argument('<report>', 'report')
    .option('-o, --output <file>', 'where to write (default: stdout)')
    .action(async (report: string, options: { output?: string }) => {
      const { runMail } = await import('./mail-command.ts');
      done(await runMail(report, options, streams));
    });
  program
    .command('signature')
    .description(
      'print what identifies the crash in a report: the same from run to run and from build to build',
    )
    .argument('<report>', 'report')
    .option('--explain', 'which rules led to it')
    .option('--json', 'as JSON, steps included')
    .action(async (report: string, options: SignatureOptions) => {
      const { runSignature } = await import('./signature-command.ts');
      done(await runSignature(report, options, streams));
    });
  program
    .command('redact')
    .description('write a report without names, addresses and secrets; prints the path of the new report')
    .argument('<report>', 'report')
    .option('-o, --output <file>', 'where to write (default: beside it, ...-redacted.tar.gz)')
    .option('--key <file>', 'key of the stand-ins (default: made for this run, kept in the map)')
    .option(
      '--map <file>',
      'where values and stand-ins are kept, and read if it is there (default: OUTPUT.private-map.json)',
    )
    .option(
      '--keep <rules>',
      'leave alone what these rules or classes find ("ipv4,uuid"; "memory" for raw memory)',
      listed,
    )
    .option('--show', 'write nothing: print what would be replaced, and by what')
    .option('--json', 'print what was done as JSON')
    .option('-q, --quiet', 'no table of what was replaced')
    .action(async (report: string, options: RedactCommandOptions) => {
      const { runRedact } = await import('./redact-command.ts');
      done(await runRedact(report, options, streams));
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
  program
    .command('gdbserver')
    .description('let gdb look at a guest: a read-only remote target, every vCPU a thread')
    .argument('<target>', 'name or number of a domain, or a dump file')
    .option('-s, --symbol-table <file>', "the guest kernel's vmlinux (default: found by what the guest says)")
    .option('--force-symbols', 'take the file although it is another kernel')
    .option('--listen <address>', 'HOST:PORT or unix:PATH (default: 127.0.0.1 and a free port)')
    .option('--once', 'end when the debugger leaves')
    .action(async (target: string, options: GdbserverOptions) => {
      const { runGdbserver } = await import('./gdbserver-command.ts');
      done(await runGdbserver(target, options, env, streams));
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
    for (const line of lines) streams.err(`${line.split('\n').map(cleanText).join('\n')}\n`);
    return EXIT.unusable;
  }
}
