// xenctx on a running domain, ended at any moment: the domain runs on, and nothing is left in its folder.
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test, vi } from 'vitest';
import { TinyKernel } from '../support/tiny-kernel.ts';
import { sleep, xlLabs } from '../support/xl-process.ts';

const XENCTX = fileURLToPath(new URL('../../dist/tools/bin/xenctx.js', import.meta.url));
const newLab = xlLabs();

describe('a running domain', { timeout: 60_000 }, () => {
  test('is not paused and keeps no file when xenctx is killed', async () => {
    const lab = newLab();
    await lab.xl('create', '-q', lab.guest('busy', new TinyKernel().spin(), ['memory=512']));
    const record = await lab.until('busy', (found) => found?.state === 'running');
    const { folder } = lab.registry.files(record.domid);
    const before = readdirSync(folder).sort();
    // From before it has read its arguments to while the snapshot is written and read.
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGKILL'] as const)
      for (const delay of [20, 90, 120, 150, 200, 300]) {
        const xenctx = spawn(process.execPath, [XENCTX, '-C', 'busy'], { env: lab.env, stdio: 'ignore' });
        const exit = once(xenctx, 'exit');
        await sleep(delay);
        xenctx.kill(signal);
        await exit;
      }
    expect((await lab.xl('list')).out).toMatch(/^busy .* r-----/m);
    await vi.waitFor(() => expect(readdirSync(folder).sort()).toEqual(before), 10_000);
  });
});

test.each(['xenctx', 'pvh-report', 'xl'])(
  'a full disk behind the standard output of %s is told in one line',
  (tool) => {
    const bin = fileURLToPath(new URL(`../../dist/tools/bin/${tool}.js`, import.meta.url));
    const full = openSync('/dev/full', 'w');
    const { status, stderr } = spawnSync(process.execPath, [bin, '--help'], {
      stdio: ['ignore', full, 'pipe'],
      encoding: 'utf8',
    });
    closeSync(full);
    expect([status, stderr]).toEqual([1, `${tool}: standard output: No space left on device\n`]);
  },
);
