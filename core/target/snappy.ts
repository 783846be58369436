// Unpacks one raw Snappy block (google/snappy format_description.txt): a length, then literals and copies. No framing format.
import { FormatError } from '../../symbols/errors.ts';

/** @throws FormatError unless the block unpacks to exactly `size` bytes. */
export function unpackSnappy(block: Uint8Array, size: number): Uint8Array {
  const damaged = (): FormatError => new FormatError('snappy block is damaged');
  const out = new Uint8Array(size);
  let from = 0;
  let to = 0;
  const little = (bytes: number): number => {
    if (bytes > block.length - from) throw damaged();
    let value = 0;
    for (let index = bytes - 1; index >= 0; index--) value = value * 256 + (block[from + index] ?? 0);
    from += bytes;
    return value;
  };

  let announced = 0;
  for (let shift = 0, byte = 0x80; byte & 0x80; shift += 7) {
    if (shift > 28) throw damaged();
    byte = little(1);
    announced += (byte & 0x7f) * 2 ** shift;
  }
  if (announced !== size) throw damaged();

  while (from < block.length) {
    const tag = little(1);
    const kind = tag & 3;
    if (kind === 0) {
      const short = tag >>> 2;
      const length = 1 + (short < 60 ? short : little(short - 59));
      if (length > block.length - from || length > size - to) throw damaged();
      out.set(block.subarray(from, from + length), to);
      from += length;
      to += length;
      continue;
    }
    const length = kind === 1 ? 4 + ((tag >>> 2) & 7) : 1 + (tag >>> 2);
    const distance = kind === 1 ? ((tag >>> 5) << 8) + little(1) : little(kind === 2 ? 2 : 4);
    if (distance === 0 || distance > to || length > size - to) throw damaged();
    // One by one: a copy may take from what it has just written.
    for (const end = to + length; to < end; to++) out[to] = out[to - distance] ?? 0;
  }
  if (to !== size) throw damaged();
  return out;
}
