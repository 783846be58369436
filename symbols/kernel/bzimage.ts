// The Linux/x86 boot image (bzImage, vmlinuz): finds the kernel ELF packed inside. Runs no setup code.
// Source: linux v6.1 Documentation/x86/boot.rst
import type { ByteSource } from '../bytes.ts';
import { FormatError } from '../errors.ts';
import { type Codecs, compressionOf, decompress } from './decompress.ts';

const SETUP_SECTS = 0x1f1;
const HEADER_MAGIC = 0x202;
const HEADER_VERSION = 0x206;
const PAYLOAD_OFFSET = 0x248;
const PAYLOAD_LENGTH = 0x24c;
const HEADER_END = 0x250;
const HDRS = 0x53726448; // "HdrS"

/** No kernel image is larger unpacked; the bound keeps a forged size from filling memory. */
const MAX_KERNEL_BYTES = 1 << 30;
/** No codec packs tighter than this by far: zstd and xz of zeros reach some thousands. */
const MAX_RATIO = 20_000;

/** True when the file carries the boot protocol's header magic. */
export function isBzImage(file: ByteSource): boolean {
  if (file.size < HEADER_END) return false;
  const start = file.read(0, HEADER_END);
  return (
    new DataView(start.buffer, start.byteOffset, start.byteLength).getUint32(HEADER_MAGIC, true) === HDRS
  );
}

/**
 * The vmlinux inside a bzImage, unpacked.
 * @throws FormatError when the file is no bzImage, is cut off, or its payload is damaged.
 */
export function unpackBzImage(file: ByteSource, codecs: Codecs): Uint8Array {
  const fail = (message: string, offset?: number): FormatError =>
    new FormatError(message, { source: file.name, ...(offset === undefined ? {} : { offset }) });
  if (!isBzImage(file)) throw fail('not a bzImage: no HdrS magic', HEADER_MAGIC);
  const start = file.read(0, HEADER_END);
  const header = new DataView(start.buffer, start.byteOffset, start.byteLength);
  const version = header.getUint16(HEADER_VERSION, true);
  if (version < 0x208)
    throw fail(
      `boot protocol ${version >> 8}.${version & 0xff} does not tell where the payload is (2.08 does)`,
      HEADER_VERSION,
    );
  // 0 sectors means 4, for very old boot loaders.
  const setupSectors = header.getUint8(SETUP_SECTS) || 4;
  const offset = (setupSectors + 1) * 512 + header.getUint32(PAYLOAD_OFFSET, true);
  const length = header.getUint32(PAYLOAD_LENGTH, true);
  if (length < 16) throw fail(`payload of ${length} bytes`, PAYLOAD_LENGTH);
  if (offset + length > file.size)
    throw fail(
      `bzImage is truncated: payload ends at 0x${(offset + length).toString(16)}, file at 0x${file.size.toString(16)}`,
      offset,
    );
  const payload = file.read(offset, length);
  const size = new DataView(payload.buffer, payload.byteOffset, payload.byteLength).getUint32(
    length - 4,
    true,
  );
  if (size > MAX_KERNEL_BYTES || size > length * MAX_RATIO || size < 64)
    throw fail(`payload of ${length} bytes claims to unpack to ${size}`, offset + length - 4);
  // gzip ends in the size by itself; after all others the kernel's build appends it.
  const stream = compressionOf(payload) === 'gzip' ? payload : payload.subarray(0, length - 4);
  return decompress(stream, size, file.name, codecs);
}
