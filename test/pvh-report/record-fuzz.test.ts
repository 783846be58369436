// Records that somebody made up: target.json and memory.core with bytes changed. Only PvhError may come out, or a derived report.
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { PvhError } from '../../symbols/errors.ts';
import { deriveFromRecord } from '../../tools/pvh-report/inspect.ts';
import type { TargetRecord } from '../../tools/pvh-report/memory/record.ts';
import { unpackReport } from '../../tools/pvh-report/report.ts';
import { openSymbolFile, type SymbolFile } from '../../tools/shared/symbol-file.ts';
import { Host } from '../kernel/guest.ts';
import { collectReport, crash, vmlinuxOf } from './crashed.ts';

let record: TargetRecord;
let file: SymbolFile;

beforeAll(async () => {
  using host = new Host();
  const { path } = collectReport(
    host,
    await crash(host, 'deep-call-chain'),
    '-o',
    `${host.stateDir}/r.tar.gz`,
  );
  const { files } = await unpackReport(path);
  const memory = new Uint8Array(files.get('memory.core') ?? []);
  record = { targetJson: new TextDecoder().decode(files.get('target.json')), memory };
  file = openSymbolFile(vmlinuxOf('deep-call-chain'));
});
afterAll(() => file.close());

async function derive(changed: Partial<TargetRecord>): Promise<void> {
  const signal = AbortSignal.timeout(30_000);
  try {
    const derived = await deriveFromRecord({ ...record, ...changed }, 'made up', {
      file,
      search: false,
      env: {},
      signal,
    });
    expect(derived.xenctxText.length).toBeLessThan(4 << 20);
  } catch (error) {
    expect(error).toBeInstanceOf(PvhError);
  }
}

const HURTS = [0n, 1n, 0xfffn, 0x7fffffffffffn, 0xffff800000000000n, 0xfffffffffffff000n, 2n ** 64n - 1n];
const value = fc.oneof(fc.constantFrom(...HURTS), fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }));

test('registers of any value', async () => {
  const names = ['rip', 'rsp', 'rbp', 'cr0', 'cr3', 'cr4', 'efer', 'rflags'];
  const changes = fc.array(fc.tuple(fc.constantFrom(...names), value), { minLength: 1, maxLength: 4 });
  await fc.assert(
    fc.asyncProperty(changes, async (list) => {
      let targetJson = record.targetJson;
      for (const [name, word] of list)
        targetJson = targetJson.replace(
          new RegExp(`"${name}": "[0-9a-f]{16}"`),
          `"${name}": "${word.toString(16).padStart(16, '0')}"`,
        );
      await derive({ targetJson });
    }),
    { seed: 7, numRuns: 60 },
  );
});

test('any JSON in place of target.json', async () => {
  await fc.assert(
    fc.asyncProperty(fc.json(), (targetJson) => derive({ targetJson })),
    { seed: 7, numRuns: 60 },
  );
});

test('bytes changed in memory.core: headers, page tables, stacks', async () => {
  const change = fc.tuple(fc.nat(record.memory.length), fc.nat(255));
  const inHeaders = fc.tuple(fc.nat(4096), fc.nat(255));
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.oneof(change, inHeaders), { minLength: 1, maxLength: 40 }),
      fc.option(fc.nat(1 << 17), { nil: undefined }),
      async (list, cut) => {
        const memory = record.memory.slice(0, cut);
        for (const [at, byte] of list) if (at < memory.length) memory[at] = byte;
        await derive({ memory });
      },
    ),
    { seed: 7, numRuns: 120 },
  );
});

test('page tables that refer to each other', async () => {
  const memory = record.memory.slice();
  // Every word that maps a page of the first 16 MiB maps a table instead: a maze.
  const words = new BigUint64Array(memory.buffer, 0, Math.floor(memory.length / 8));
  const root = BigInt(`0x${/"cr3": "([0-9a-f]{16})"/.exec(record.targetJson)?.[1]}`);
  for (const [index, word] of words.entries())
    if ((word & 1n) === 1n && word < 16n << 20n) words[index] = root | 3n;
  await derive({ memory });
});
