// Two rounds over one guest, as --lines makes them where modules are loaded: the second unwinds nothing again.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import { afterAll, expect, test } from 'vitest';
import { openCoreFile } from '../../core/target/preserved.ts';
import { ClassicSymbols } from '../../symbols/classic-symbols.ts';
import { knownKernel } from '../../tools/shared/guest-kernel.ts';
import { KeptTraces } from '../../tools/shared/kept-traces.ts';
import { dumpTarget } from '../../tools/xenctx/dump.ts';
import { parseOptions } from '../../tools/xenctx/options.ts';

const REDUCED = fileURLToPath(new URL('../golden/xen-4.17/core.sysrq1.reduced.gz', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'pvh-traces-'));
afterAll(() => rmSync(folder, { recursive: true }));

test('tasks and vCPUs are unwound once', () => {
  const path = join(folder, 'core');
  writeFileSync(path, gunzipSync(readFileSync(REDUCED)));
  const target = openCoreFile(path);
  const known = knownKernel(target, undefined, false);
  let looked = 0;
  const rows = known.rows.map((source) => ({
    find(address: bigint) {
      looked++;
      return source.find(address);
    },
  }));
  const round = (traces: KeptTraces | undefined): readonly [lines: string[], looked: number] => {
    looked = 0;
    const kernel = { ...known, rows, ...(traces && { traces }) };
    const symbols = new ClassicSymbols({ table: known.table, kernelStart: undefined });
    const quiet = { vcpu: () => undefined, memory: () => undefined };
    const lines = [
      ...dumpTarget(target, parseOptions(['-C', '--all-tasks', path]), { symbols, kernel }, quiet),
    ];
    return [lines, looked];
  };
  const [plain, usual] = round(undefined);
  const traces = new KeptTraces();
  const [first] = round(traces);
  const [second, again] = round(traces);
  expect(plain.filter((line) => line.startsWith('task:')).length).toBeGreaterThan(40);
  expect(first).toEqual(plain);
  expect(second).toEqual(plain);
  expect(usual).toBeGreaterThan(200);
  expect(again).toBe(0);
  target.close();
});
