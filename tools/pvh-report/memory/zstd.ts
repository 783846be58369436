// The compressor of memory images: zstd level 3, by the package that brings libzstd, else by Node itself where it can.
import { createRequire } from 'node:module';
import * as zlib from 'node:zlib';

/** Gives one whole zstd frame. */
export type Compress = (bytes: Buffer) => Uint8Array;

const LEVEL = 3;

/** What this uses of the optional package @toondepauw/node-zstd. */
interface NodeZstd {
  readonly Encoder: new (level: number) => { encodeSync(bytes: Buffer): Buffer };
}

/** Of node:zlib from Node 22.15 on. */
interface ZlibWithZstd {
  readonly zstdCompressSync?: (
    bytes: Uint8Array,
    options: { readonly params: Readonly<Record<number, number>> },
  ) => Buffer;
}
/** ZSTD_c_compressionLevel of zstd.h. */
const COMPRESSION_LEVEL = 100;

function nodeZstd(): NodeZstd | undefined {
  try {
    return createRequire(import.meta.url)('@toondepauw/node-zstd');
  } catch {
    return undefined;
  }
}

/** Undefined when neither is here. The package comes first: its bytes are the same with every Node. */
export function openCompressor(): Compress | undefined {
  const native = nodeZstd();
  if (native) {
    const encoder = new native.Encoder(LEVEL);
    return (bytes) => encoder.encodeSync(bytes);
  }
  const { zstdCompressSync } = zlib as ZlibWithZstd; // @types/node is that of Node 20
  return zstdCompressSync && ((bytes) => zstdCompressSync(bytes, { params: { [COMPRESSION_LEVEL]: LEVEL } }));
}

export const NO_COMPRESSOR =
  'memory images need the package @toondepauw/node-zstd (npm install brings it) or Node 22.15; neither is here';
