// Numbers of variable length (DWARF 5 §7.6), up to 2^53 - 1.
import type { ByteReader } from './bytes.ts';

/** @throws FormatError when it is larger. */
export function uleb(reader: ByteReader): number {
  let value = 0;
  for (let scale = 1; ; scale *= 128) {
    const byte = reader.u8();
    value += (byte & 0x7f) * scale;
    if (!Number.isSafeInteger(value)) throw reader.error('LEB128 number too large');
    if ((byte & 0x80) === 0) return value;
  }
}

/** @throws FormatError when it is larger. */
export function sleb(reader: ByteReader): number {
  let value = 0;
  for (let scale = 1; ; scale *= 128) {
    const byte = reader.u8();
    value += (byte & 0x7f) * scale;
    if (!Number.isSafeInteger(value)) throw reader.error('LEB128 number too large');
    if ((byte & 0x80) === 0) return (byte & 0x40) !== 0 ? value - scale * 128 : value;
  }
}
