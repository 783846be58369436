// Builds core/cpu/build/cpu.wasm with AssemblyScript and dist/ with tsc. Each is skipped when its inputs have not changed.
import { createHash } from 'node:crypto';
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { root, run, setup } from './setup.mjs';

function* filesBelow(folder) {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory() && entry.name !== 'build') yield* filesBelow(path);
    else if (entry.isFile() && /\.(ts|mjs|json)$/.test(entry.name)) yield path;
  }
}

/** Runs `make` unless the stamp says that these inputs were built already and `output` is still there. */
function unlessBuilt(name, inputs, output, make) {
  const hash = createHash('sha256');
  for (const file of inputs.sort()) hash.update(file).update('\0').update(readFileSync(file)).update('\0');
  const digest = hash.digest('hex');
  const stamp = join(root, 'node_modules/.cache/pvh-report', name);
  if (existsSync(output) && existsSync(stamp) && readFileSync(stamp, 'utf8') === digest) return;
  make();
  mkdirSync(join(stamp, '..'), { recursive: true });
  writeFileSync(stamp, digest);
}

function buildCpu() {
  const output = join(root, 'core/cpu/build/cpu.wasm');
  const inputs = [...filesBelow(join(root, 'core/cpu')), join(root, 'package-lock.json')];
  unlessBuilt('cpu.sha256', inputs, output, () => {
    mkdirSync(join(root, 'core/cpu/build'), { recursive: true });
    run('npx', ['--no-install', 'asc', '--config', 'core/cpu/assembly/asconfig.json', '--target', 'release']);
  });
}

function buildDist() {
  const output = join(root, 'dist');
  const inputs = ['tools', 'core', 'symbols'].flatMap((folder) => [...filesBelow(join(root, folder))]);
  inputs.push(
    join(root, 'tsconfig.json'),
    join(root, 'tsconfig.build.json'),
    join(root, 'package-lock.json'),
  );
  unlessBuilt('dist.sha256', inputs, output, () => {
    rmSync(output, { recursive: true, force: true });
    run('npx', ['--no-install', 'tsc', '-p', 'tsconfig.build.json']);
    for (const bin of readdirSync(join(output, 'tools/bin')))
      chmodSync(join(output, 'tools/bin', bin), 0o755);
  });
  cpSync(join(root, 'core/cpu/build'), join(output, 'core/cpu/build'), { recursive: true });
}

export function build() {
  setup();
  buildCpu();
  buildDist();
}

if (process.argv[1] === fileURLToPath(import.meta.url)) build();
