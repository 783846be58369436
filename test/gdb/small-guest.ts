// A guest of a few pages behind a debugger's session: two vCPUs with page tables of their own kind, the second one offline.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from 'vitest';
import { writeDumpCore } from '../../core/dump/dump-core.ts';
import type { GdbGuest } from '../../core/gdb/guest.ts';
import { FileSource } from '../../core/host/file-source.ts';
import { createFile } from '../../core/host/files.ts';
import { openDumpFile } from '../../core/target/dump-file.ts';
import { tablePage } from '../support/page-table.ts';
import { registersWith } from '../support/registers.ts';

const PAGE = 4096;
const flat = { selector: 0x10 };
/** First virtual page that is mapped: a page of 0x05, one of 0x06, then nothing. */
export const MAPPED = 0xffffffff81000000n;

const FRAMES: readonly (readonly [number, Uint8Array])[] = [
  [1, tablePage({ 511: 0x2003n })],
  [2, tablePage({ 510: 0x3003n })],
  [3, tablePage({ 8: 0x4003n })],
  // The third page is mapped to a frame that the dump does not have.
  [4, tablePage({ 0: 0x5003n, 1: 0x6003n, 2: 0x7003n })],
  [5, new Uint8Array(PAGE).fill(5)],
  [6, new Uint8Array(PAGE).fill(6)],
];

/** @param given what the guest is told with. */
export function smallGuest(given: Partial<GdbGuest> = {}): GdbGuest {
  const folder = mkdtempSync(join(tmpdir(), 'pvh-gdb-'));
  const path = join(folder, 'core');
  const paging = { cr0: 0x80050033n, cr3: 0x1000n, cr4: 0x20n, efer: 0xd01n, cs: flat, ss: flat };
  createFile(path, (file) =>
    writeDumpCore(file, {
      vcpus: [
        { id: 0, online: true, registers: registersWith({ ...paging, rip: MAPPED, rsp: 0x1234n, rax: 1n }) },
        { id: 1, online: false, registers: registersWith({}) },
      ],
      xen: { major: 4, minor: 17, extra: '.0' },
      frames: FRAMES,
    }),
  );
  const source = new FileSource(path);
  const target = openDumpFile(source, () => source.close());
  afterAll(() => {
    target.close();
    rmSync(folder, { recursive: true });
  });
  return {
    target,
    firstVcpu: 0,
    namesOf: ({ id }) => ({ name: `task${id}`, text: `vCPU ${id}` }),
    monitor: (command, { id }) => `${command} of ${id}\n`,
    ...given,
  };
}
