// The container of a report: a .tar.gz of plain files in one folder, a memory image behind them. Knows nothing of what the files say.
import { createHash } from 'node:crypto';
import { createReadStream, readFileSync } from 'node:fs';
import { pipeline, Readable } from 'node:stream';
import { crc32, createGunzip, gunzipSync, gzipSync } from 'node:zlib';
import { extract, pack } from 'tar-stream';
import { FormatError, InternalError } from '../../symbols/errors.ts';

export interface ArchiveFile {
  /** Without a folder: `[A-Za-z0-9._-]`, not beginning with a dot. */
  readonly name: string;
  readonly bytes: Uint8Array;
}

/** A file that is not held in memory. */
export interface LargeFile {
  readonly name: string;
  readonly size: number;
  readonly sha256: string;
  /** Its bytes; may be asked for several times. */
  chunks(): AsyncIterable<Uint8Array> | Iterable<Uint8Array>;
}

/** The one large file that a report may have: the last, so that who does not want it can stop before it. */
export const IMAGE = 'memory-image.core.zst';

/** A report comes from somebody else: nothing in it but the image, which is not kept, makes us take more than this. */
const MAX_PACKED = 64 << 20;
const MAX_UNPACKED = 128 << 20;
/** A larger file is unpacked piece by piece, which takes longer than at once. */
const MAX_AT_ONCE = 16 << 20;
const PIECE = 1 << 20;
const MAX_FILES = 256;
/** From here on memory is in it, of which the best level makes 2 % less in nine times the time. */
const LARGE = 1 << 20;

const FILE_NAME = /^[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}$/;

/** What does not fit into a file name becomes `_`. */
export const safeName = (text: string): string => text.replace(/[^A-Za-z0-9._-]/g, '_').replace(/^\./, '_');

const BLOCK = 512;
/** Two empty blocks, as every tar ends. */
const END_OF_TAR = new Uint8Array(2 * BLOCK);

const HEADER = { uid: 0, gid: 0, uname: '', gname: '', mtime: new Date(0), mode: 0o644 };

/** The same files give the same bytes: no times, no owners, fixed modes, order as given. */
async function packTar(folder: string, files: readonly ArchiveFile[]): Promise<Buffer> {
  const tar = pack();
  for (const { name, bytes } of files)
    tar.entry({ ...HEADER, name: `${folder}/${name}` }, Buffer.from(bytes));
  tar.finalize();
  const chunks: Buffer[] = [];
  for await (const chunk of tar) chunks.push(chunk as Buffer); // a byte stream's chunks are Buffers
  return Buffer.concat(chunks);
}

/** What stands before an entry's bytes. */
async function tarHeader(name: string, size: number): Promise<Buffer> {
  const tar = pack();
  tar.entry({ ...HEADER, name, size });
  for await (const chunk of tar) return chunk as Buffer; // as above
  throw new InternalError('a tar entry without a header');
}

/** RFC 1951 3.2.4: bytes as they are. An image is compressed already. */
function stored(bytes: Uint8Array): Buffer {
  const parts: Uint8Array[] = [];
  for (let at = 0; at < bytes.length; at += MAX_STORED) {
    const block = bytes.subarray(at, at + MAX_STORED);
    const header = Buffer.alloc(STORED_HEADER);
    header.writeUInt16LE(block.length, 1);
    header.writeUInt16LE(block.length ^ MAX_STORED, 3);
    parts.push(header, block);
  }
  return Buffer.concat(parts);
}
const MAX_STORED = 0xffff;
const STORED_HEADER = 5;
const STORED_TOGETHER = 16 * MAX_STORED;
/** RFC 1952 2.3.1: no name, no time, operating system unknown, so that it does not depend on ours. */
const GZIP_HEADER = Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255]);
const LAST_BLOCK = Buffer.from([1, 0, 0, 0xff, 0xff]);

/** The second member of the .tar.gz: a large file alone, not compressed again. */
export interface PackedImage {
  readonly size: number;
  pieces(): AsyncIterable<Uint8Array>;
}

async function* imageTar(header: Buffer, image: LargeFile): AsyncGenerator<Uint8Array> {
  yield header;
  let size = 0;
  for await (const chunk of image.chunks()) {
    size += chunk.length;
    yield chunk;
  }
  if (size !== image.size) throw new FormatError('changed while it was read', { source: image.name });
  yield new Uint8Array((BLOCK - (size % BLOCK)) % BLOCK);
  yield END_OF_TAR;
}

/** The same bytes in pieces of one size, so that the file does not depend on how they came; each is good until the next. */
async function* evenly(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer> {
  const piece = Buffer.alloc(STORED_TOGETHER);
  let used = 0;
  for await (const chunk of chunks)
    for (let at = 0; at < chunk.length; ) {
      const part = chunk.subarray(at, at + piece.length - used);
      piece.set(part, used);
      used += part.length;
      at += part.length;
      if (used < piece.length) continue;
      yield piece;
      used = 0;
    }
  yield piece.subarray(0, used);
}

/** @param onTar is given the bytes of the tar, once, before this returns. */
async function packImage(
  folder: string,
  image: LargeFile,
  onTar: (bytes: Uint8Array) => void,
): Promise<PackedImage> {
  const header = await tarHeader(`${folder}/${image.name}`, image.size);
  let [crc, size] = [0, 0];
  for await (const bytes of imageTar(header, image)) {
    onTar(bytes);
    crc = crc32(bytes, crc);
    size += bytes.length;
  }
  const trailer = Buffer.alloc(8);
  trailer.writeUInt32LE(crc, 0);
  trailer.writeUInt32LE(size % 2 ** 32, 4);
  const headers = STORED_HEADER * Math.ceil(size / MAX_STORED);
  return {
    size: GZIP_HEADER.length + size + headers + LAST_BLOCK.length + trailer.length,
    async *pieces() {
      yield GZIP_HEADER;
      for await (const bytes of evenly(imageTar(header, image))) yield stored(bytes);
      yield LAST_BLOCK;
      yield trailer;
    },
  };
}

export interface PackedArchive {
  /** The .tar.gz, as far as it is before the image. */
  readonly bytes: Buffer;
  /** SHA-256 of the tar before compression: zlib versions pack differently. */
  readonly digest: string;
  /** What follows. */
  readonly imageMember?: PackedImage | undefined;
}

export async function packArchive(
  folder: string,
  files: readonly ArchiveFile[],
  image?: LargeFile,
): Promise<PackedArchive> {
  const whole = await packTar(folder, files);
  const tar = image ? whole.subarray(0, whole.length - END_OF_TAR.length) : whole;
  const bytes = gzipSync(tar, { level: tar.length > LARGE ? 4 : 9 });
  bytes[9] = 255; // as in GZIP_HEADER
  const hash = createHash('sha256').update(tar);
  const imageMember = image && (await packImage(folder, image, (each) => hash.update(each)));
  return { bytes, digest: hash.digest('hex'), imageMember };
}

type Packed = Pick<PackedArchive, 'bytes' | 'imageMember'>;

/** The whole .tar.gz. */
export async function* piecesOf({ bytes, imageMember }: Packed): AsyncGenerator<Uint8Array> {
  yield bytes;
  if (imageMember) yield* imageMember.pieces();
}

export const packedSize = ({ bytes, imageMember }: Packed): number => bytes.length + (imageMember?.size ?? 0);

export const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

/** What zlib answers when it is asked for `info`: @types/node does not know. */
interface Gunzipped {
  readonly buffer: Buffer;
  /** `bytesWritten` is how much it took. */
  readonly engine: { readonly bytesWritten: number };
}

export interface Unarchived {
  /** By name, without the image. */
  readonly files: Map<string, Uint8Array>;
  readonly image?: LargeFile;
  /** SHA-256 of the tar. */
  readonly digest: string;
  readonly folder: string;
}

type Pieces = AsyncIterable<Buffer> | Iterable<Buffer>;

/** The tar in pieces, as it is asked for. */
interface TarSource {
  readonly name: string;
  pieces(): Pieces;
  /** Bytes of the .tar.gz that were needed so far. */
  packed(): number;
}

const refusal = (source: string, message: string, cause?: unknown): FormatError =>
  new FormatError(message, { source, cause });

const notGzip = (source: string, cause: unknown): FormatError => {
  const tooMuch = cause instanceof RangeError;
  return refusal(
    source,
    tooMuch ? `unpacks to more than ${MAX_UNPACKED} bytes` : 'not a whole gzip file',
    cause,
  );
};

interface TarEntry {
  readonly name: string;
  readonly folder: string;
  readonly size: number;
  readonly content: AsyncIterable<Buffer>;
}

const notTar = (source: string, cause: unknown): FormatError =>
  cause instanceof FormatError ? cause : refusal(source, 'not a whole tar archive', cause);

async function* contentOf(entry: AsyncIterable<unknown>, source: string): AsyncGenerator<Buffer> {
  try {
    for await (const chunk of entry) yield chunk as Buffer; // a byte stream's chunks are Buffers
  } catch (cause) {
    throw notTar(source, cause);
  }
}

/** @throws FormatError for anything that packArchive does not write: other entry types, paths, duplicates, what follows the image. */
async function* entriesOf(pieces: Pieces, source: string): AsyncGenerator<TarEntry> {
  const names = new Set<string>();
  let folder: string | undefined;
  const reader = extract();
  // Why it failed is thrown by the loop.
  pipeline(Readable.from(pieces), reader, () => undefined);
  try {
    for await (const entry of reader) {
      const { name: path, type, size = 0 } = entry.header;
      const parts = path.split('/');
      const [entryFolder = '', name = ''] = parts;
      folder ??= entryFolder;
      const problem =
        type !== 'file'
          ? `is a ${type ?? 'thing of unknown type'}, not a file`
          : parts.length !== 2 || !FILE_NAME.test(entryFolder) || !FILE_NAME.test(name)
            ? 'has a name that no report has'
            : entryFolder !== folder
              ? 'lies in a second folder'
              : names.has(name)
                ? 'is there twice'
                : names.has(IMAGE)
                  ? 'follows the image of the memory'
                  : names.size >= MAX_FILES
                    ? `is one file too many (${MAX_FILES})`
                    : undefined;
      if (problem !== undefined)
        throw refusal(source, `entry ${JSON.stringify(path.slice(0, 100))} ${problem}`);
      names.add(name);
      yield { name, folder, size, content: contentOf(entry, source) };
    }
  } catch (cause) {
    throw notTar(source, cause);
  }
}

/** The bytes of the image alone. */
async function* imageIn(pieces: Pieces, source: string): AsyncGenerator<Uint8Array> {
  for await (const { name, content } of entriesOf(pieces, source))
    for await (const chunk of content) if (name === IMAGE) yield chunk;
}

async function unpackTar({ name: source, pieces, packed }: TarSource): Promise<Unarchived> {
  const files = new Map<string, Uint8Array>();
  let [folder, image, total, inImage]: [string, LargeFile | undefined, number, boolean] = [
    '',
    undefined,
    0,
    false,
  ];
  const digest = createHash('sha256');
  async function* watched(): AsyncGenerator<Buffer> {
    for await (const piece of pieces()) {
      digest.update(piece);
      total += piece.length;
      // An image is stored: what unpacks to more than it takes is none.
      if (total > MAX_UNPACKED + (inImage ? packed() : 0)) throw notGzip(source, new RangeError());
      if (!inImage && packed() > MAX_PACKED) throw refusal(source, `larger than ${MAX_PACKED} bytes`);
      yield piece;
    }
  }
  for await (const entry of entriesOf(watched(), source)) {
    folder = entry.folder;
    const { name, size } = entry;
    inImage = name === IMAGE;
    const chunks: Buffer[] = [];
    const hash = createHash('sha256');
    for await (const chunk of entry.content)
      if (inImage) hash.update(chunk);
      else chunks.push(chunk);
    if (inImage) image = { name, size, sha256: hash.digest('hex'), chunks: () => imageIn(pieces(), source) };
    else files.set(name, Buffer.concat(chunks));
  }
  return { files, digest: digest.digest('hex'), folder, ...(image && { image }) };
}

/** zlib takes what begins with a zero for padding. @throws FormatError */
function checkEnd(source: string, behind: number): void {
  if (behind > 0) throw refusal(source, `${behind} bytes behind its end`);
}

/**
 * The files of an archive by name, their folder, and the digest of its tar.
 * @throws FormatError for anything that packArchive does not write, and for too much data.
 */
export async function unpackArchive(packed: Uint8Array, source: string): Promise<Unarchived> {
  let unpacked: Gunzipped;
  try {
    const options = { maxOutputLength: MAX_UNPACKED, info: true };
    unpacked = gunzipSync(packed, options) as unknown as Gunzipped;
  } catch (cause) {
    throw notGzip(source, cause);
  }
  const { buffer: tar, engine } = unpacked;
  checkEnd(source, packed.length - engine.bytesWritten);
  return unpackTar({ name: source, pieces: () => [tar], packed: () => packed.length });
}

/** The same of a file, of which no more is held in memory than unpackArchive would take. @throws FormatError, errors of the system */
export async function unpackArchiveFile(path: string, size: number): Promise<Unarchived> {
  if (size <= MAX_AT_ONCE) return unpackArchive(readFileSync(path), path);
  let packed = 0;
  async function* pieces(): AsyncGenerator<Buffer> {
    const gunzip = createGunzip({ chunkSize: PIECE });
    packed = 0;
    const file = createReadStream(path, { highWaterMark: PIECE });
    pipeline(file, gunzip, () => undefined);
    try {
      for await (const piece of gunzip) {
        packed = file.bytesRead;
        yield piece as Buffer; // as above
      }
      checkEnd(path, size - gunzip.bytesWritten);
    } catch (cause) {
      throw cause instanceof FormatError ? cause : notGzip(path, cause);
    }
  }
  return unpackTar({ name: path, pieces, packed: () => packed });
}
