// The lab as a test: minutes long, so only on demand (PVH_XENLAB=1). `npm run xenlab` runs more of it.
import { spawnSync } from 'node:child_process';
import { expect, test } from 'vitest';
import { debianArchive } from '../support/debian.ts';
import { hasQemu } from '../support/qemu-dump.ts';
import { runChecks } from './checks.ts';
import { XenLab } from './lab.ts';

const wanted =
  process.env['PVH_XENLAB'] === '1' &&
  debianArchive &&
  hasQemu &&
  spawnSync('ldd', ['--version']).status === 0;

test.runIf(wanted)('our tools in the dom0 of a real Xen', { timeout: 4 * 3_600_000 }, async () => {
  await using lab = await XenLab.start();
  const failed: string[] = [];
  await runChecks(lab, {
    kills: 10,
    progress: () => undefined,
    report: ({ check, passed, detail }) => {
      if (!passed) failed.push(`${check}: ${detail}`);
    },
  });
  expect(failed).toEqual([]);
});
