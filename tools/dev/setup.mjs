// Installs the packages of package-lock.json when they are missing or out of date. Does nothing else.
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

export const root = fileURLToPath(new URL('../../', import.meta.url));

/** Runs a program with the terminal's own streams; ends this process with its status when it fails. */
export function run(program, args, options = {}) {
  const { status, error } = spawnSync(program, args, { cwd: root, stdio: 'inherit', ...options });
  if (error) throw error;
  if (status !== 0) process.exit(status ?? 1);
}

/** True when node_modules holds what package-lock.json asks for: npm keeps a copy of the lock inside. */
function installed() {
  const copy = `${root}node_modules/.package-lock.json`;
  if (!existsSync(copy)) return false;
  const wanted = JSON.parse(readFileSync(`${root}package-lock.json`, 'utf8')).packages;
  const have = JSON.parse(readFileSync(copy, 'utf8')).packages;
  return Object.entries(wanted).every(
    ([path, entry]) => path === '' || entry.optional || have[path]?.version === entry.version,
  );
}

export function setup() {
  const [major, minor] = process.versions.node.split('.').map(Number);
  if (major < 20 || (major === 20 && minor < 19)) {
    console.error(`pvh-report needs Node 20.19 or newer; this is ${process.version}. See https://nodejs.org`);
    process.exit(1);
  }
  if (installed()) return;
  console.error('Installing packages (npm install) ...');
  // Not `npm ci`: it wants the optional packages of every platform in the lock file, which not every registry serves.
  run('npm', ['install', '--no-save', '--no-audit', '--no-fund', '--loglevel=error']);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) setup();
