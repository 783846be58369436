// A symbol table as bytes, in the order and form in which it is used: opening one costs reading it. The bytes are little-endian and
// carry no checksum; whoever keeps them does.
import { ByteReader } from './bytes.ts';
import { FormatError } from './errors.ts';
import { type SortedColumns, SymbolTable } from './symbol-table.ts';

const MAGIC = 0x31_4d_59_53_48_56_50n; // "PVHSYM1"
const HEADER = 24;
/** More symbols than any kernel has by far. */
const MAX_SYMBOLS = 16 << 20;

const bytesOf = (array: ArrayBufferView): Uint8Array =>
  new Uint8Array(array.buffer, array.byteOffset, array.byteLength);

/** Modules of single symbols are not kept: files with them are lists of a running kernel. */
export function packSymbols(table: SymbolTable): Uint8Array {
  const { addresses, sizes, nameStarts, letters, names } = table.columns;
  const header = new Uint8Array(HEADER);
  const view = new DataView(header.buffer);
  view.setBigUint64(0, MAGIC, true);
  view.setUint32(8, table.length, true);
  view.setUint32(12, sizes ? 1 : 0, true);
  view.setUint32(16, names.length, true);
  const parts = [
    header,
    bytesOf(addresses),
    ...(sizes ? [bytesOf(sizes)] : []),
    bytesOf(nameStarts),
    letters,
    names,
  ];
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

/**
 * The table that packSymbols has packed; it keeps the bytes and uses them in place.
 * @param source what the table says it comes from.
 * @throws FormatError when they are something else.
 */
export function unpackSymbols(bytes: Uint8Array, source: string): SymbolTable {
  // Columns of 8 bytes want to lie at multiples of 8.
  const aligned = bytes.byteOffset % 8 === 0 ? bytes : new Uint8Array(bytes);
  const reader = new ByteReader(source, aligned);
  if (reader.u64() !== MAGIC) throw new FormatError('not a kept symbol table', { source });
  const count = reader.u32();
  const sized = reader.u32() === 1;
  const nameBytes = reader.u32();
  if (count > MAX_SYMBOLS) throw reader.error(`${count} symbols`);
  reader.seek(HEADER);
  const column = (width: number): { buffer: ArrayBufferLike; at: number } => {
    const part = reader.take(count * width);
    return { buffer: part.buffer, at: part.byteOffset };
  };
  const words = (): Uint32Array => {
    const { buffer, at } = column(4);
    return new Uint32Array(buffer, at, count);
  };
  const { buffer, at } = column(8);
  const columns: SortedColumns = {
    addresses: new BigUint64Array(buffer, at, count),
    sizes: sized ? words() : undefined,
    nameStarts: words(),
    letters: reader.take(count),
    names: reader.take(nameBytes),
  };
  return new SymbolTable(source, columns);
}
