// `npm test`: installs what is missing, builds, runs vitest, and ends with a plain line that CI can read.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { build, buildRecordingCpu } from './build.mjs';
import { root } from './setup.mjs';

build();
buildRecordingCpu();
const scratch = mkdtempSync(join(tmpdir(), 'pvh-report-test-'));
const results = join(scratch, 'results.json');
const { status } = spawnSync(
  'npx',
  [
    '--no-install',
    'vitest',
    'run',
    '--reporter=default',
    '--reporter=json',
    `--outputFile.json=${results}`,
    ...process.argv.slice(2),
  ],
  { cwd: root, stdio: 'inherit' },
);
let failed = 1;
try {
  const { numPassedTests, numFailedTests, numFailedTestSuites } = JSON.parse(readFileSync(results, 'utf8'));
  failed = Math.max(numFailedTests, numFailedTestSuites > 0 ? 1 : 0, status === 0 ? 0 : 1);
  console.log(`${numPassedTests} passed, ${failed} failed`);
} catch {
  console.log('0 passed, 1 failed');
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
process.exit(failed === 0 ? 0 : 1);
