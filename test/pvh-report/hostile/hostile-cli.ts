// Every command that reads a report, over every file of a folder, in a process of its own whose memory is watched. Argument: a folder
// with `in/` (the files, and good.tar.gz and System.map beside them), `cwd/`, `tmp/`. Prints a line of JSON for each run.
import { readdirSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import { pvhReportWith } from '../run.ts';
import { COMMANDS, type Ran } from './commands.ts';

const [root = ''] = process.argv.slice(2);
const bundles = join(root, 'in');
process.chdir(join(root, 'cwd'));
process.env['TMPDIR'] = join(root, 'tmp');

/** Every file below the folder with its size: what a command leaves behind shows. */
const tree = (): string[] =>
  readdirSync(root, { recursive: true, encoding: 'utf8' })
    .map((path) => `${path} ${statSync(join(root, path)).isFile() ? statSync(join(root, path)).size : ''}`)
    .sort();

async function run(bundle: string, command: string, argv: readonly string[]): Promise<void> {
  const before = new Set(tree());
  const start = performance.now();
  const { status, out, err } = await pvhReportWith(process.env, ...argv);
  const ran: Ran = {
    bundle,
    command,
    status,
    out: out.slice(0, 100_000),
    err: err.slice(0, 100_000),
    left: tree().filter((path) => !before.has(path)),
    seconds: (performance.now() - start) / 1000,
    peakMiB: process.resourceUsage().maxRSS / 1024,
  };
  process.stdout.write(`${JSON.stringify(ran)}\n`);
}

for (const bundle of readdirSync(bundles).sort())
  for (const [command, argv] of Object.entries(COMMANDS))
    await run(bundle, command, argv(join(bundles, bundle), root));
await run(basename(bundles), 'triage', [
  ...['triage', '-q', '--json', '--limit', '100000', '--index', join(root, 'index')],
  ...['--sql', 'SELECT path, error FROM reports ORDER BY path', bundles],
]);
