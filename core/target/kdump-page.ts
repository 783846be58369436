// The packings of a page in a kdump-compressed file, by the flag of its descriptor.
import { FormatError } from '../../symbols/errors.ts';
import { unpackZstd } from '../../symbols/zstd.ts';
import { hostCodecs } from '../host/codecs.ts';
import { unpackLzo } from './lzo.ts';
import { unpackSnappy } from './snappy.ts';

type Unpack = (packed: Uint8Array, size: number) => Uint8Array;

/** makedumpfile 1.7.2 diskdump_mod.h: DUMP_DH_COMPRESSED_*. */
const PACKINGS: readonly (readonly [flag: number, name: string, unpack: Unpack])[] = [
  [0x01, 'zlib', (packed, size) => hostCodecs.zlib(packed, size)],
  [0x02, 'lzo', unpackLzo],
  [0x04, 'snappy', unpackSnappy],
  [0x20, 'zstd', unpackZstd],
];

/** @throws FormatError unless it unpacks to exactly `size` bytes. */
export function unpackPage(packed: Uint8Array, flags: number, size: number): Uint8Array {
  const [, name, unpack] = PACKINGS.find(([flag]) => (flags & flag) !== 0) ?? [0, 'raw', undefined];
  let page: Uint8Array;
  try {
    page = unpack ? unpack(packed, size) : packed;
  } catch (cause) {
    throw new FormatError(`${name} page is damaged`, { cause });
  }
  if (page.length !== size) throw new FormatError(`${name} page of ${page.length} bytes, ${size} expected`);
  return page;
}
