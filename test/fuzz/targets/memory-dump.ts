// Memory dumps that are not Xen's: ELF files of QEMU and Linux, kdump-compressed ones, and the flattened form of either.
import { deflateSync } from 'node:zlib';
import { openDumpFile } from '../../../core/target/dump-file.ts';
import { memorySource } from '../../../symbols/bytes.ts';
import { writeElf } from '../../support/elf-writer.ts';
import { flatten, writeKdump } from '../../support/kdump-writer.ts';
import { tablePage } from '../../support/page-table.ts';
import { prstatusNote, qemuNote, vmcoreinfoNote } from '../../support/vmcore-notes.ts';
import { readTarget } from '../read-target.ts';
import type { FuzzTarget } from '../target.ts';

const PAGE = 4096;
const IMAGE = 0xffffffff80000000n;
const ET_CORE = 4;
const PT_LOAD = 1;
const PT_NOTE = 4;
/** Of a flattened file. */
const PIECE = 5000;

/** Page tables at frames 1 to 4 that map frame 5 at the image's start. */
const FRAMES: readonly Uint8Array[] = [
  new Uint8Array(PAGE),
  tablePage({ 511: 0x2003n }),
  tablePage({ 510: 0x3003n }),
  tablePage({ 0: 0x4003n }),
  tablePage({ 0: 0x5003n }),
  new Uint8Array(PAGE).fill(0x90),
];

const prstatus = prstatusNote({ 16: IMAGE + 0x10n, 17: 0x10n, 19: IMAGE + 0xff0n });
const info = vmcoreinfoNote([
  'OSRELEASE=6.1.0',
  'PAGESIZE=4096',
  'SYMBOL(swapper_pg_dir)=ffffffff80001000',
  'SYMBOL(_stext)=ffffffff80000000',
  'NUMBER(phys_base)=0',
  'NUMBER(KERNEL_IMAGE_SIZE)=1073741824',
  'KERNELOFFSET=0',
]);
const qemu = qemuNote({
  6: IMAGE + 0xff0n,
  16: IMAGE + 0x10n,
  48: 0x80050033n,
  51: 0x1000n,
  52: 0x20n,
});

const elfDump = (notes: Uint8Array): Uint8Array =>
  writeElf({
    type: ET_CORE,
    segments: [
      { type: PT_NOTE, data: notes },
      { type: PT_LOAD, virtualAddress: IMAGE, physicalAddress: 0n, data: Buffer.concat(FRAMES) },
    ],
  });

const kdump = (notes: Uint8Array): Uint8Array =>
  writeKdump({ notes, pages: FRAMES.map((page, pfn) => ({ pfn, flags: 1, bytes: deflateSync(page) })) });

const inPieces = (bytes: Uint8Array): Uint8Array =>
  flatten(
    Array.from({ length: Math.ceil(bytes.length / PIECE) }, (_, index) => {
      const at = index * PIECE;
      return [at, bytes.subarray(at, at + PIECE)] as const;
    }),
  );

export const MEMORY_DUMP: FuzzTarget = {
  name: 'memory-dump',
  seeds: () => {
    const [ofQemu, ofLinux] = [Buffer.concat([prstatus, qemu, info]), Buffer.concat([prstatus, info])];
    return [elfDump(ofQemu), elfDump(ofLinux), kdump(ofQemu), kdump(ofLinux), inPieces(elfDump(ofQemu))];
  },
  run: (bytes) =>
    readTarget(
      openDumpFile(memorySource('dump', bytes), () => undefined),
      IMAGE,
    ),
};
