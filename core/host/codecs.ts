// Decompressors that need node: or a native package, for symbols/kernel/decompress.ts, symbols/elf/compressed.ts and
// the pages of kdump files.
import { spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { gunzipSync, inflateSync } from 'node:zlib';
import type { ElfCodecs } from '../../symbols/elf/compressed.ts';
import type { Codecs } from '../../symbols/kernel/decompress.ts';

/** What this uses of the optional package node-liblzma. */
interface Liblzma {
  unxzSync(stream: Uint8Array): Uint8Array;
}

function liblzma(): Liblzma | undefined {
  try {
    return createRequire(import.meta.url)('node-liblzma');
  } catch {
    return undefined;
  }
}

/** The kernel's xz streams use the x86 filter, which only liblzma knows: through its binding, else through the xz program. */
function unpackXz(format: 'xz' | 'lzma', stream: Uint8Array, maxBytes: number): Uint8Array {
  const native = format === 'xz' ? liblzma() : undefined;
  if (native !== undefined) {
    // It takes no other view of bytes than a Buffer.
    const bytes = native.unxzSync(Buffer.from(stream.buffer, stream.byteOffset, stream.byteLength));
    if (bytes.length > maxBytes) throw new RangeError('larger than announced');
    return bytes;
  }
  const { status, stdout, error } = spawnSync('xz', ['--decompress', '--stdout', `--format=${format}`], {
    input: stream,
    maxBuffer: maxBytes,
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  if (error !== undefined && 'code' in error && error.code === 'ENOENT')
    throw new Error(`${format} needs the package node-liblzma or the program xz; neither is here`);
  if (error !== undefined) throw error;
  // A trailing kernel size behind the stream makes xz end with a warning; the caller checks what came out.
  if (status !== 0 && stdout.length === 0) throw new Error(`xz ended with ${status}`);
  return stdout;
}

export const hostCodecs: Required<Codecs & ElfCodecs> = {
  gzip: (stream, maxBytes) => gunzipSync(stream, { maxOutputLength: Math.max(1, maxBytes) }),
  zlib: (stream, maxBytes) => inflateSync(stream, { maxOutputLength: Math.max(1, maxBytes) }),
  xz: (stream, maxBytes) => unpackXz('xz', stream, maxBytes),
  lzma: (stream, maxBytes) => unpackXz('lzma', stream, maxBytes),
};
