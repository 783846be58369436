// Builds samples/<name>/vmlinux with gcc, or all of them: node samples/build.mjs [--output folder] [name ...]
// The same compiler gives the same bytes everywhere: no paths of this machine, no times, build-id from the content.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const runtime = readdirSync(join(root, 'samples/lib'))
  .filter((name) => /\.[cS]$/.test(name))
  .sort()
  .map((name) => `samples/lib/${name}`);

const flags = [
  '-std=gnu11 -O1 -g -gdwarf-5 -Wall -Wextra -Werror -ffreestanding -nostdinc -fno-builtin',
  '-m64 -mcmodel=kernel -mno-red-zone -mgeneral-regs-only -fno-pic -fcf-protection=none',
  '-fno-omit-frame-pointer -mno-omit-leaf-frame-pointer -fno-optimize-sibling-calls',
  '-fno-inline-functions-called-once -fno-stack-protector -fno-shrink-wrap -fno-asynchronous-unwind-tables -fno-ident',
].flatMap((line) => line.split(' '));

/** Runs a program in the repository's root, so that names in the debug information are relative to it. */
function run(program, args) {
  const { status, stdout, stderr, error } = spawnSync(program, args, {
    cwd: root,
    encoding: 'utf8',
    env: { ...process.env, LC_ALL: 'C' },
  });
  if (error) throw error;
  if (status !== 0) {
    process.stderr.write(stderr);
    throw new Error(`${program} failed with status ${status}`);
  }
  return stdout;
}

/** First lines of the version texts: what must be equal for equal bytes. */
function toolchain() {
  const first = (program) => run(program, ['--version']).split('\n')[0];
  return { gcc: first('gcc'), as: first('as'), ld: first('ld') };
}

function buildSample(name, output) {
  const scratch = mkdtempSync(join(tmpdir(), 'pvh-sample-'));
  try {
    const header = run('gcc', ['-print-file-name=include']).trim();
    const common = [
      ...flags,
      '-isystem',
      header,
      '-Isamples/lib',
      `-DSAMPLE="${name}"`,
      `-ffile-prefix-map=${root.replace(/\/$/, '')}=.`,
      `-ffile-prefix-map=${header}=include`,
    ];
    const objects = [...runtime, `samples/${name}/main.c`].map((source, index) => {
      const object = join(scratch, `${index}.o`);
      const forAssembler = source.endsWith('.S')
        ? [`-Wa,--debug-prefix-map=${root.replace(/\/$/, '')}=.`]
        : [];
      run('gcc', [...common, ...forAssembler, '-c', source, '-o', object]);
      return object;
    });
    const script = join(scratch, 'link.ld');
    run('gcc', ['-E', '-P', '-x', 'c', '-Isamples/lib', 'samples/lib/link.ld.in', '-o', script]);
    run('ld', [
      ...['-static', '-nostdlib', '-z', 'max-page-size=4096', '-z', 'noexecstack', '--build-id=sha1'],
      ...['-T', script, '-o', join(output, 'vmlinux'), ...objects],
    ]);
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

const args = process.argv.slice(2);
const outputAt = args.indexOf('--output');
const output = outputAt < 0 ? undefined : args.splice(outputAt, 2)[1];
const names =
  args.length > 0
    ? args
    : readdirSync(join(root, 'samples'))
        .filter((name) => existsSync(join(root, 'samples', name, 'main.c')))
        .sort();
for (const name of names) {
  const folder = output === undefined ? join(root, 'samples', name) : join(output, name);
  mkdirSync(folder, { recursive: true });
  buildSample(name, folder);
}
writeFileSync(
  join(output ?? join(root, 'samples'), 'toolchain.json'),
  `${JSON.stringify(toolchain(), undefined, 2)}\n`,
);
