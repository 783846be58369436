// Writes small kdump-compressed files and their flattened form for tests. Compresses nothing: pages come packed.

/** A page as it stands in the file: its packing flag (0 raw, 1 zlib, 2 lzo, 4 snappy, 0x20 zstd) and its bytes. */
export interface KdumpPage {
  readonly pfn: number;
  readonly flags: number;
  readonly bytes: Uint8Array;
}

export interface KdumpInput {
  readonly pages: readonly KdumpPage[];
  /** Frames that the guest has and the dump left out. */
  readonly filtered?: readonly number[];
  readonly maxPfn?: number;
  readonly dumpLevel?: number;
  readonly status?: number;
  readonly notes?: Uint8Array;
  /** Part of a split dump. */
  readonly split?: readonly [start: number, end: number];
  readonly bits?: 32 | 64;
}

const BLOCK = 4096;

/** Frames outside of `split` have their bits, but no descriptors, as makedumpfile --split leaves them. */
export function writeKdump(input: KdumpInput): Uint8Array {
  const { pages, filtered = [], maxPfn = 256, notes = new Uint8Array(0), split, bits = 64 } = input;
  const wide = bits === 64;
  const bitmapBlocks = 2 * Math.ceil(maxPfn / 8 / BLOCK);
  const bitmaps = 2 * BLOCK;
  const descriptors = bitmaps + bitmapBlocks * BLOCK;
  const held = pages.filter(({ pfn }) => !split || (pfn >= split[0] && pfn < split[1]));
  const notesAt = descriptors + held.length * 24;
  const dataAt = notesAt + notes.length;
  const bytes = new Uint8Array(dataAt + held.reduce((sum, page) => sum + page.bytes.length, 0));
  const view = new DataView(bytes.buffer);
  const long = (at: number, value: number) => view.setBigUint64(at, BigInt(value), true);
  const native = (at: number, value: number) => (wide ? long(at, value) : view.setUint32(at, value, true));

  bytes.set(new TextEncoder().encode('KDUMP   '));
  view.setUint32(8, 6, true);
  [input.status ?? 1, BLOCK, 1, bitmapBlocks, maxPfn].forEach((value, index) => {
    view.setUint32((wide ? 424 : 412) + index * 4, value, true);
  });
  view.setUint32(BLOCK + (wide ? 8 : 4), input.dumpLevel ?? 0, true);
  if (split) view.setUint32(BLOCK + (wide ? 12 : 8), 1, true);
  long(BLOCK + (wide ? 48 : 32), notesAt);
  native(BLOCK + (wide ? 56 : 40), notes.length);
  [split?.[0] ?? 0, split?.[1] ?? 0, maxPfn].forEach((value, index) => {
    long(BLOCK + (wide ? 80 : 56) + index * 8, value);
  });
  const mark = (bitmap: number, pfn: number) => {
    const at = bitmaps + (bitmap * bitmapBlocks * BLOCK) / 2 + (pfn >>> 3);
    bytes[at] = (bytes[at] ?? 0) | (1 << (pfn & 7));
  };
  for (const pfn of filtered) mark(0, pfn);
  for (const { pfn } of pages) {
    mark(0, pfn);
    mark(1, pfn);
  }
  bytes.set(notes, notesAt);
  let at = dataAt;
  held.forEach((page, index) => {
    long(descriptors + index * 24, at);
    view.setUint32(descriptors + index * 24 + 8, page.bytes.length, true);
    view.setUint32(descriptors + index * 24 + 12, page.flags, true);
    bytes.set(page.bytes, at);
    at += page.bytes.length;
  });
  return bytes;
}

/** @param pieces of the file, in the order in which they are written. @param ended false leaves the end mark out. */
export function flatten(
  pieces: readonly (readonly [offset: number, bytes: Uint8Array])[],
  ended = true,
): Uint8Array {
  const header = new Uint8Array(4096);
  header.set(new TextEncoder().encode('makedumpfile'));
  const mark = (offset: bigint, length: bigint): Uint8Array => {
    const bytes = new Uint8Array(16);
    new DataView(bytes.buffer).setBigInt64(0, offset);
    new DataView(bytes.buffer).setBigInt64(8, length);
    return bytes;
  };
  header.set(mark(1n, 1n), 16);
  return Buffer.concat([
    header,
    ...pieces.flatMap(([offset, bytes]) => [mark(BigInt(offset), BigInt(bytes.length)), bytes]),
    ...(ended ? [mark(-1n, -1n)] : []),
  ]);
}
