// `collect --redact` that is killed: the old report or the new one, whole, and the map of whichever is there.
import { spawnSync } from 'node:child_process';
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { readReport } from '../../../tools/pvh-report/report.ts';
import { Host } from '../../kernel/guest.ts';
import { killAtStep } from '../../support/kill-at.ts';
import { vmlinuxOf } from '../crashed.ts';
import { KEY } from './key.ts';

const bin = fileURLToPath(new URL('../../../dist/tools/bin/pvh-report.js', import.meta.url));
const NAME = 'kundendb-07';

test('between any two steps', { timeout: 300_000 }, async () => {
  using host = new Host();
  const path = (name: string): string => join(host.stateDir, name);
  const [report, map] = [path('r.tar.gz'), path('r.tar.gz.private-map.json')];
  const kernel = `"${vmlinuxOf('panic')}"`;
  const domid = host.create(NAME, { kernel, memory: '16', on_crash: '"preserve"' });
  await host.untilShutdown(domid);
  writeFileSync(path('key'), KEY);
  const collect = (...node: string[]) =>
    spawnSync(
      process.execPath,
      [...node, bin, 'collect', NAME, '-q', '--redact-key', path('key'), '--fit=github', '-o', report],
      { env: { ...process.env, PVH_STATE_DIR: host.stateDir } },
    );
  const newOne = collect();
  expect(newOne.status).toBe(0);
  const { digest: now } = await readReport(report);
  // The old one has other stand-ins, which only its own map tells.
  host.ok('pvh-report', 'collect', NAME, '-q', '--redact', '--skip=xenctx.txt', '-o', path('old'));
  const { digest: old } = await readReport(path('old'));
  const seen: string[] = [];
  for (let step = 0; step < 40; step++) {
    copyFileSync(path('old'), report);
    copyFileSync(path('old.private-map.json'), map);
    const { signal } = collect(killAtStep(step));
    const { digest, manifest } = await readReport(report);
    seen.push(digest);
    const { values } = JSON.parse(readFileSync(map, 'utf8')) as { values: Record<string, string>[] };
    expect(values).toContainEqual(
      expect.objectContaining({ value: NAME, standIn: manifest.domain.name.toLowerCase() }),
    );
    if (signal === null) break;
  }
  const first = seen.indexOf(now);
  expect(first).toBeGreaterThan(5);
  expect(seen).toEqual(seen.map((_, step) => (step < first ? old : now)));
  // Of the report that is gone nothing is kept.
  expect(readFileSync(map, 'utf8').match(new RegExp(`"${NAME}"`, 'g'))).toHaveLength(1);
});
