// Checks who imports whom (.dependency-cruiser.json), and that the checker really saw the modules.
import { spawnSync } from 'node:child_process';
import { root } from './setup.mjs';

const rooms = ['tools', 'core', 'symbols', 'test'];
const { stdout, stderr } = spawnSync(
  'npx',
  ['--no-install', 'depcruise', '--config', '.dependency-cruiser.json', '--output-type', 'json', ...rooms],
  { cwd: root, encoding: 'utf8', maxBuffer: 1 << 28 },
);
if (!stdout) {
  console.error(stderr);
  process.exit(1);
}
const { summary } = JSON.parse(stdout);
for (const { rule, from, to } of summary.violations)
  console.error(`${rule.severity} ${rule.name}: ${from} -> ${to}`);
console.log(`layers: ${summary.totalCruised} modules, ${summary.violations.length} violations`);
// With a TypeScript that it cannot load, dependency-cruiser reports success over nothing.
if (summary.violations.length > 0 || summary.totalCruised < 20) process.exit(1);
