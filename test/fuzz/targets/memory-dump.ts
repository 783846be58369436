// Memory dumps that are not Xen's: ELF files of QEMU and Linux, kdump-compressed ones, and the flattened form of either.
import { deflateSync } from 'node:zlib';
import { openDumpFile } from '../../../core/target/dump-file.ts';
import { memorySource } from '../../../symbols/bytes.ts';
import { note, writeElf } from '../../support/elf-writer.ts';
import { readTarget } from '../read-target.ts';
import type { FuzzTarget } from '../target.ts';

const PAGE = 4096;
const IMAGE = 0xffffffff80000000n;
const ET_CORE = 4;
const PT_LOAD = 1;
const PT_NOTE = 4;
const NT_PRSTATUS = 1;

/** Page tables at frames 1 to 4 that map frame 5 at the image's start. */
function frames(): Uint8Array[] {
  const pages = Array.from({ length: 6 }, () => new Uint8Array(PAGE));
  const put = (frame: number, index: number, entry: bigint): void => {
    const [page] = pages.slice(frame);
    if (page) new DataView(page.buffer).setBigUint64(index * 8, entry, true);
  };
  put(1, 511, 0x2003n);
  put(2, 510, 0x3003n);
  put(3, 0, 0x4003n);
  put(4, 0, 0x5003n);
  pages[5]?.fill(0x90);
  return pages;
}

/** State of a CPU as QEMU notes it: version and size, then registers; control registers come behind the segments. */
function qemuNote(): Uint8Array {
  const state = new Uint8Array(440);
  const view = new DataView(state.buffer);
  view.setUint32(0, 1, true);
  view.setUint32(4, state.length, true);
  view.setBigUint64(8 + 6 * 8, IMAGE + 0xff0n, true);
  view.setBigUint64(8 + 16 * 8, IMAGE + 0x10n, true);
  for (const [index, value] of [0x80050033n, 0n, 0n, 0x1000n, 0x20n].entries())
    view.setBigUint64(8 + 18 * 8 + 10 * 24 + index * 8, value, true);
  return note('QEMU', 0, state);
}

const INFO = `OSRELEASE=6.1.0\nPAGESIZE=4096\nSYMBOL(swapper_pg_dir)=ffffffff80001000\nSYMBOL(_stext)=ffffffff80000000
NUMBER(phys_base)=0\nNUMBER(KERNEL_IMAGE_SIZE)=1073741824\nKERNELOFFSET=0\n`;
const vmcoreinfo = (): Uint8Array => note('VMCOREINFO', 0, new TextEncoder().encode(INFO));
const join = (...parts: readonly Uint8Array[]): Uint8Array => new Uint8Array(Buffer.concat(parts));

function elfDump(notes: Uint8Array): Uint8Array {
  const data = join(...frames());
  return writeElf({
    type: ET_CORE,
    segments: [
      { type: PT_NOTE, data: notes },
      { type: PT_LOAD, virtualAddress: IMAGE, physicalAddress: 0n, data },
    ],
  });
}

/** makedumpfile's form for pipes: a header, then pieces with place and length, big-endian. */
function flatten(bytes: Uint8Array): Uint8Array {
  const header = new Uint8Array(PAGE);
  header.set(new TextEncoder().encode('makedumpfile'));
  const head = new DataView(header.buffer);
  head.setBigUint64(16, 1n);
  head.setBigUint64(24, 1n);
  const pieces: Uint8Array[] = [header];
  const piece = (start: bigint, length: bigint): Uint8Array => {
    const place = new DataView(new ArrayBuffer(16));
    place.setBigInt64(0, start);
    place.setBigInt64(8, length);
    return new Uint8Array(place.buffer);
  };
  for (let at = 0; at < bytes.length; at += 5000) {
    const part = bytes.subarray(at, at + 5000);
    pieces.push(piece(BigInt(at), BigInt(part.length)), part);
  }
  return join(...pieces, piece(-1n, -1n));
}

/** Version 6: header, sub-header, two bitmaps, descriptors, pages packed by zlib, notes. */
function kdump(notes: Uint8Array): Uint8Array {
  const pages = frames();
  const start = 4 * PAGE;
  const packed = pages.map((page) => new Uint8Array(deflateSync(page)));
  const head = new Uint8Array(start + pages.length * 24);
  const view = new DataView(head.buffer);
  head.set(new TextEncoder().encode('KDUMP   '));
  view.setUint32(8, 6, true);
  for (const [index, value] of [1, PAGE, 1, 2, pages.length].entries())
    view.setUint32(424 + index * 4, value, true);
  let at = head.length;
  for (const [index, { length }] of packed.entries()) {
    view.setBigUint64(start + index * 24, BigInt(at), true);
    view.setUint32(start + index * 24 + 8, length, true);
    view.setUint32(start + index * 24 + 12, 1, true);
    at += length;
  }
  view.setBigUint64(PAGE + 48, BigInt(at), true);
  view.setBigUint64(PAGE + 56, BigInt(notes.length), true);
  view.setBigUint64(PAGE + 96, BigInt(pages.length), true);
  head.fill(0x3f, 2 * PAGE, 2 * PAGE + 1).fill(0x3f, 3 * PAGE, 3 * PAGE + 1);
  return join(head, ...packed, notes);
}

export const MEMORY_DUMP: FuzzTarget = {
  name: 'memory-dump',
  seeds: () => {
    const prstatus = note('CORE', NT_PRSTATUS, new Uint8Array(336));
    const [qemu, linux] = [join(prstatus, qemuNote(), vmcoreinfo()), join(prstatus, vmcoreinfo())];
    return [elfDump(qemu), elfDump(linux), kdump(qemu), kdump(linux), flatten(elfDump(qemu))];
  },
  run: (bytes) =>
    readTarget(
      openDumpFile(memorySource('dump', bytes), () => undefined),
      IMAGE,
    ),
};
