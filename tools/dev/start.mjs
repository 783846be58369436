// `npm start`: builds what is missing, boots a sample guest, lets it crash, and shows what can be seen of it afterwards.
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { build } from './build.mjs';
import { root } from './setup.mjs';

const SAMPLE = 'null-dereference';
const DMESG_LINES = 24;
const PATIENCE_MS = 60_000;

build();

const sample = join(root, 'samples', SAMPLE);
const demo = join(root, '.cache/demo');
mkdirSync(demo, { recursive: true });
// A state directory of its own: the user's domains are left alone.
const env = { ...process.env, PVH_STATE_DIR: join(demo, 'state') };
const bold =
  process.stdout.isTTY && !process.env.NO_COLOR ? (text) => `\x1b[1m${text}\x1b[0m` : (text) => text;

function tool(name, args, { quiet = false } = {}) {
  const { status, stdout, stderr, error } = spawnSync(
    process.execPath,
    [join(root, `dist/tools/bin/${name}.js`), ...args],
    { cwd: sample, env, encoding: 'utf8', stdio: ['ignore', 'pipe', quiet ? 'pipe' : 'inherit'] },
  );
  if (error) throw error;
  if (status !== 0 && !quiet) {
    console.error(`${name} ${args.join(' ')} ended with status ${status}`);
    process.exit(1);
  }
  return { status, stdout, stderr };
}

function show(name, args, lastLines) {
  console.log(`\n${bold(`$ ${name} ${args.join(' ')}${lastLines ? ` | tail -${lastLines}` : ''}`)}`);
  const lines = tool(name, args).stdout.split('\n');
  console.log(
    lines
      .slice(lastLines ? -lastLines - 1 : 0)
      .join('\n')
      .trimEnd(),
  );
}

function consoleText() {
  const domid = tool('xl', ['domid', SAMPLE]).stdout.trim();
  return readFileSync(join(env.PVH_STATE_DIR, 'domains', domid, 'console.log'), 'utf8').replaceAll('\r', '');
}

async function untilShutdown() {
  for (const end = Date.now() + PATIENCE_MS; Date.now() < end; await sleep(50)) {
    const [domain] = JSON.parse(tool('xl', ['list', '--json', SAMPLE]).stdout);
    if (domain.state === 'lost') break;
    if (domain.preserved) return;
  }
  console.error(`${SAMPLE} did not crash within ${PATIENCE_MS / 1000} s; see "xl dmesg"`);
  process.exit(1);
}

// What an earlier start left.
tool('xl', ['destroy', SAMPLE], { quiet: true });

console.log(`A guest that follows a null pointer: samples/${SAMPLE}/main.c`);
show('xl', ['create', 'guest.cfg']);
await untilShutdown();
console.log(`\n${bold('what the guest wrote on its console')}`);
console.log(consoleText().trimEnd());
show('xl', ['list']);
show('xl', ['dmesg'], DMESG_LINES);
show('xenctx', ['-s', 'vmlinux', '-f', '-a', '-C', SAMPLE]);
show('pvh-report', ['collect', SAMPLE, '-s', 'vmlinux', '-o', join(demo, `${SAMPLE}.tar.gz`)]);

console.log(`
The domain is kept until it is destroyed. To go on from here:

  cd samples/${SAMPLE}
  export PVH_STATE_DIR=${env.PVH_STATE_DIR}
  node ../../dist/tools/bin/xenctx.js -s vmlinux -S ${SAMPLE}
  node ../../dist/tools/bin/xl.js destroy ${SAMPLE}

samples/README.md has ten more guests; "npm link" puts xl, xenctx and pvh-report into the PATH.`);
