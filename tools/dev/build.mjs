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
    if (entry.isDirectory() && entry.name !== 'build' && entry.name !== 'generated') yield* filesBelow(path);
    else if (entry.isFile() && /\.(ts|mjs|json)$/.test(entry.name)) yield path;
  }
}

/** Runs `make` into the folder `output` unless the stamp in it says that it was made from these inputs. */
function unlessBuilt(inputs, output, make) {
  const hash = createHash('sha256');
  for (const file of inputs.sort()) hash.update(file).update('\0').update(readFileSync(file)).update('\0');
  const digest = hash.digest('hex');
  const stamp = join(output, '.inputs.sha256');
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === digest) return;
  rmSync(output, { recursive: true, force: true });
  mkdirSync(output, { recursive: true });
  make();
  writeFileSync(stamp, digest);
}

/** @param options of asc, besides those of asconfig.json. */
function buildCpu(output = join(root, 'core/cpu/build'), ...options) {
  const inputs = [...filesBelow(join(root, 'core/cpu')), join(root, 'package-lock.json')];
  unlessBuilt(inputs, output, () => {
    run('node', ['core/cpu/generate.mjs']);
    run('npx', ['--no-install', 'asc', '--config', 'asconfig.json', '--target', 'release', ...options], {
      cwd: join(root, 'core/cpu/assembly'),
    });
  });
}

/** The CPU that tells of every call and return, for tests: core/cpu/assembly/transfers.ts. */
export function buildRecordingCpu() {
  const output = join(root, 'test/oracle/build');
  buildCpu(output, '--use', 'RECORD_TRANSFERS=1', '--outFile', join(output, 'cpu.wasm'));
}

const SCRIPT = 'tools/pvh-report/html/client.js';

function buildDist() {
  const output = join(root, 'dist');
  const inputs = ['tools', 'core', 'symbols'].flatMap((folder) => [...filesBelow(join(root, folder))]);
  inputs.push(
    join(root, 'tsconfig.json'),
    join(root, 'tsconfig.build.json'),
    join(root, 'package-lock.json'),
  );
  unlessBuilt(inputs, output, () => {
    run('npx', ['--no-install', 'tsc', '-p', 'tsconfig.build.json']);
    for (const bin of ['xenctx', 'xl', 'pvh-report'])
      if (existsSync(join(output, `tools/bin/${bin}.js`)))
        chmodSync(join(output, `tools/bin/${bin}.js`), 0o755);
  });
  cpSync(join(root, 'core/cpu/build'), join(output, 'core/cpu/build'), { recursive: true });
  // What runs from source puts the same script on pages.
  cpSync(join(output, SCRIPT), join(root, SCRIPT));
}

export function build() {
  setup();
  buildCpu();
  buildDist();
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  build();
  if (process.argv[2] === '--recording') buildRecordingCpu();
}
