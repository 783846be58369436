// Dump-core files and the page tables in them: registers, frames, translations, everything that is mapped.
import { writeDumpCore } from '../../../core/dump/dump-core.ts';
import { openDumpCore } from '../../../core/target/dump-core.ts';
import { memorySource } from '../../../symbols/bytes.ts';
import { tablePage } from '../../support/page-table.ts';
import { registersWith } from '../../support/registers.ts';
import { SparseFile } from '../../support/sparse-file.ts';
import { readTarget } from '../read-target.ts';
import type { FuzzTarget } from '../target.ts';

const PAGE = 4096;
const IMAGE = 0xffffffff80000000n;

/** Long mode: the image's first frames by pages of 4 KiB, then one of 2 MiB. */
function seed(online: boolean, five: boolean): Uint8Array {
  const registers = registersWith({
    rip: IMAGE + 0x10n,
    rsp: IMAGE + 0x1ff0n,
    cs: { selector: 0x10, base: 0n, limit: 0xffffffff, attributes: 0xa09b },
    cr0: 0x80050033n,
    cr3: 0x1000n,
    cr4: five ? 0x1020n : 0x20n,
    efer: 0xd01n,
  });
  const file = new SparseFile();
  writeDumpCore(file, {
    vcpus: [
      { id: 0, online: true, registers },
      { id: 1, online, registers },
    ],
    sharedInfo: undefined,
    xen: { major: 4, minor: 17, extra: '.0' },
    frames: [
      [1, tablePage({ 511: 0x2003n })],
      [2, tablePage(five ? { 511: 0x3003n } : { 510: 0x3003n, 511: 0x1003n })],
      [3, tablePage(five ? { 510: 0x4003n } : { 0: 0x4003n, 1: 0x20_0083n })],
      [4, tablePage(five ? { 0: 0x5003n } : { 0: 0x5003n, 1: 0x6003n, 2: 0x7_7777_7003n })],
      [5, tablePage(five ? { 0: 0x6003n, 1: 0x1003n } : {})],
      [0x200, new Uint8Array(PAGE).fill(0x90)],
    ],
  });
  return file.read(0, file.size);
}

export const DUMP_CORE: FuzzTarget = {
  name: 'dump-core',
  seeds: () => [seed(true, false), seed(false, true)],
  run: (bytes) => {
    return readTarget(openDumpCore(memorySource('core', bytes)), IMAGE);
  },
};
