// Saved domains: headers, records, pages and their copies, the state of the vCPUs of an HVM and of a PV guest.
import { writeVcpuContext } from '../../../core/dump/vcpu-context.ts';
import { openDumpFile } from '../../../core/target/dump-file.ts';
import { memorySource } from '../../../symbols/bytes.ts';
import { tablePage } from '../../support/page-table.ts';
import { registersWith } from '../../support/registers.ts';
import {
  hvmContextRecord,
  pageDataRecord,
  SAVED_RECORDS,
  savedRecord,
  writeSaved,
} from '../../support/saved-writer.ts';
import { readTarget } from '../read-target.ts';
import type { FuzzTarget } from '../target.ts';

const PAGE = 4096;
const IMAGE = 0xffffffff80000000n;

const registers = registersWith({
  rip: IMAGE + 0x10n,
  rsp: IMAGE + 0xff0n,
  cs: { selector: 0x10, base: 0n, limit: 0xffffffff, attributes: 0xa09b },
  cr0: 0x80050033n,
  cr3: 0x1000n,
  cr4: 0x20n,
  efer: 0xd01n,
});
const pages = [
  pageDataRecord([
    { pfn: 1, bytes: tablePage({ 511: 0x2003n }) },
    { pfn: 2, bytes: tablePage({ 510: 0x3003n }) },
    { pfn: 3, bytes: tablePage({ 0: 0x4003n }) },
    { pfn: 4, bytes: tablePage({ 0: 0x6003n }) },
    { pfn: 5, bytes: new Uint8Array(PAGE).fill(0x90) },
  ]),
  pageDataRecord([{ pfn: 4, bytes: tablePage({ 0: 0x5003n }) }, { pfn: 9 }]),
];

export const SAVED: FuzzTarget = {
  name: 'saved',
  seeds: () => [
    writeSaved({ records: [...pages, hvmContextRecord([registers, undefined])] }),
    writeSaved({
      around: 'nothing',
      pv: true,
      records: [
        savedRecord(SAVED_RECORDS.X86_PV_INFO, Uint8Array.of(8, 4, 0, 0, 0, 0, 0, 0)),
        ...pages,
        savedRecord(
          SAVED_RECORDS.X86_PV_VCPU_BASIC,
          Buffer.concat([new Uint8Array(8), writeVcpuContext(registers, true)]),
        ),
      ],
    }),
  ],
  run: (bytes) =>
    readTarget(
      openDumpFile(memorySource('saved', bytes), () => undefined),
      IMAGE,
    ),
};
