// npm run bench:list: how long a person waits for `xl list` with 200 preserved domains, the start of node included.
// Last line: `seconds <median of 9>`.
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Registry } from '../../core/domain/registry.ts';
import { domainRecord } from '../support/domain-record.ts';

const DOMAINS = 200;
const ROUNDS = 9;
const xl = fileURLToPath(new URL('../../dist/tools/bin/xl.js', import.meta.url));
const stateDir = mkdtempSync(join(tmpdir(), 'pvh-bench-'));
try {
  const registry = new Registry(stateDir);
  for (let domid = 1; domid <= DOMAINS; domid++) {
    const path = registry.files(domid).record;
    mkdirSync(dirname(path), { recursive: true });
    const ended = { state: 'shutdown', shutdownReason: 'crash', preserved: true } as const;
    writeFileSync(
      path,
      JSON.stringify(domainRecord({ domid, name: `guest${domid}`, ...ended }), undefined, 2),
    );
  }
  const times: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const start = performance.now();
    const table = execFileSync(process.execPath, [xl, 'list'], {
      env: { ...process.env, PVH_STATE_DIR: stateDir },
      encoding: 'utf8',
    });
    times.push((performance.now() - start) / 1000);
    if (table.split('\n').length !== DOMAINS + 2) throw new Error(`xl list shows:\n${table}`);
  }
  times.sort((a, b) => a - b);
  console.log(`fastest ${times[0]?.toFixed(3)}, slowest ${times.at(-1)?.toFixed(3)}`);
  console.log(`seconds ${times[ROUNDS >> 1]?.toFixed(3)}`);
} finally {
  rmSync(stateDir, { recursive: true, force: true });
}
