// Headers of a kdump-compressed file (makedumpfile 1.7.2 diskdump_mod.h, qemu v7.2 include/sysemu/dump.h): where its bitmaps,
// page descriptors and notes are. Reads no page.
import { ByteReader, type ByteSource } from '../../symbols/bytes.ts';
import { FormatError } from '../../symbols/errors.ts';

export const KDUMP_SIGNATURE = 'KDUMP   ';

/** Where the fields are; a 32-bit program packs them closer. */
const LAYOUTS = {
  64: {
    bits: 64,
    status: 424,
    physBase: 0,
    level: 8,
    startPfn: 16,
    vmcoreinfo: 32,
    note: 48,
    startPfn64: 80,
  },
  32: {
    bits: 32,
    status: 412,
    physBase: 0,
    level: 4,
    startPfn: 12,
    vmcoreinfo: 20,
    note: 32,
    startPfn64: 56,
  },
} as const;
type Layout = (typeof LAYOUTS)[32 | 64];

const SUB_HEADER_SIZE = 104;
const MAX_BLOCK = 1 << 16;
/** 16 TiB of guest memory; its bitmaps are 1 GiB. */
const MAX_PAGES = 2 ** 32;

export const STATUS_INCOMPLETE = 8;

export interface KdumpHeader {
  readonly bits: 32 | 64;
  readonly status: number;
  readonly blockSize: number;
  /** Frame numbers end there. */
  readonly maxPfn: number;
  /** Bits of what makedumpfile left out: 1 zero pages, 2 and 4 page cache, 8 user data, 16 free pages. */
  readonly dumpLevel: number;
  /** Frames whose pages this part of a split dump holds. */
  readonly firstPfn: number;
  readonly endPfn: number;
  readonly physBase: bigint;
  readonly bitmapOffset: number;
  /** Bytes of one of the two bitmaps. */
  readonly bitmapSize: number;
  readonly descriptorsOffset: number;
  readonly vmcoreinfo: { readonly offset: number; readonly size: number };
  readonly notes: { readonly offset: number; readonly size: number };
}

const isBlockSize = (value: number): boolean =>
  value >= 4096 && value <= MAX_BLOCK && (value & (value - 1)) === 0;

/** The layout whose block size makes sense. */
function layoutOf(source: ByteSource): Layout {
  for (const layout of [LAYOUTS[64], LAYOUTS[32]]) {
    const field = new ByteReader(source.name, source.read(layout.status + 4, 4), layout.status + 4);
    if (isBlockSize(field.u32())) return layout;
  }
  throw new FormatError('kdump header without a block size', {
    source: source.name,
    offset: LAYOUTS[64].status + 4,
  });
}

/** @throws FormatError when the headers contradict each other or the file. */
export function readKdumpHeader(source: ByteSource): KdumpHeader {
  const layout = layoutOf(source);
  const { bits } = layout;
  const version = new ByteReader(source.name, source.read(8, 4), 8).u32();
  const fields = new ByteReader(source.name, source.read(layout.status, 40), layout.status);
  const status = fields.u32();
  const blockSize = fields.u32();
  const subHeaderBlocks = fields.u32();
  const bitmapBlocks = fields.u32();
  const shortMaxPfn = fields.u32();

  const sub = new ByteReader(source.name, source.read(blockSize, SUB_HEADER_SIZE), blockSize);
  const word = (at: number): bigint => (bits === 64 ? sub.seek(at).u64() : BigInt(sub.seek(at).u32()));
  const size = (at: number): number => (bits === 64 ? sub.seek(at).size64() : sub.seek(at).u32());
  const long = (at: number): number => sub.seek(at).size64();
  const area = (at: number, since: number) =>
    version >= since ? { offset: long(at), size: size(at + 8) } : { offset: 0, size: 0 };
  // Version 6 brought fields of 64 bits for what had 32 in every layout.
  const split = version >= 2 && sub.seek(layout.level + 4).u32() !== 0;
  const wide = version >= 6;
  const step = bits / 8;
  const firstPfn = !split ? 0 : wide ? long(layout.startPfn64) : size(layout.startPfn);
  const maxPfn = (wide && long(layout.startPfn64 + 16)) || shortMaxPfn;
  const endPfn = !split ? maxPfn : wide ? long(layout.startPfn64 + 8) : size(layout.startPfn + step);

  const bitmapOffset = (1 + subHeaderBlocks) * blockSize;
  const bitmapSize = Math.floor(bitmapBlocks / 2) * blockSize;
  if (maxPfn > MAX_PAGES || maxPfn > bitmapSize * 8 || firstPfn > endPfn || endPfn > maxPfn)
    throw fields.error(`bitmaps of ${bitmapBlocks} blocks for ${maxPfn} pages`);
  const descriptorsOffset = bitmapOffset + bitmapBlocks * blockSize;
  if (descriptorsOffset > source.size)
    throw new FormatError('kdump file ends before its page descriptors', {
      source: source.name,
      offset: source.size,
    });
  return {
    ...{ bits, status, blockSize, maxPfn, firstPfn, endPfn, bitmapOffset, bitmapSize, descriptorsOffset },
    dumpLevel: version >= 2 ? sub.seek(layout.level).u32() : 0,
    physBase: BigInt.asIntN(64, word(layout.physBase)),
    vmcoreinfo: area(layout.vmcoreinfo, 3),
    notes: area(layout.note, 4),
  };
}
