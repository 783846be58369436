// Writes the container of a report: the same files give the same bytes.
import { createHash } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import { pack } from 'tar-stream';
import { FormatError, InternalError } from '../../symbols/errors.ts';
import type { ArchiveFile, LargeFile } from './archive.ts';
import { type StoredGzip, storedGzip } from './stored-gzip.ts';

/** From here on memory is in it, of which the best level makes 2 % less in nine times the time. */
const LARGE = 1 << 20;

const BLOCK = 512;
/** Two empty blocks, as every tar ends. */
const END_OF_TAR = new Uint8Array(2 * BLOCK);

const HEADER = { uid: 0, gid: 0, uname: '', gname: '', mtime: new Date(0), mode: 0o644 };

/** No times, no owners, fixed modes, order as given. */
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

/** What follows the other files' tar: the image and the end. */
async function* imageTar(folder: string, image: LargeFile): AsyncGenerator<Uint8Array> {
  yield await tarHeader(`${folder}/${image.name}`, image.size);
  let size = 0;
  for await (const chunk of image.chunks()) {
    size += chunk.length;
    yield chunk;
  }
  if (size !== image.size) throw new FormatError('changed while it was read', { source: image.name });
  yield new Uint8Array((BLOCK - (size % BLOCK)) % BLOCK);
  yield END_OF_TAR;
}

export interface PackedArchive {
  /** The .tar.gz, as far as it is before the image. */
  readonly bytes: Buffer;
  /** SHA-256 of the tar before compression: zlib versions pack differently. */
  readonly digest: string;
  /** The second member of the .tar.gz: the image alone, not compressed again. */
  readonly imageMember?: StoredGzip | undefined;
}

export async function packArchive(
  folder: string,
  files: readonly ArchiveFile[],
  image?: LargeFile,
): Promise<PackedArchive> {
  const whole = await packTar(folder, files);
  const tar = image ? whole.subarray(0, whole.length - END_OF_TAR.length) : whole;
  const bytes = gzipSync(tar, { level: tar.length > LARGE ? 4 : 9 });
  bytes[9] = 255; // operating system unknown, as in the image's member
  const hash = createHash('sha256').update(tar);
  const imageMember =
    image &&
    (await storedGzip(
      () => imageTar(folder, image),
      (each) => hash.update(each),
    ));
  return { bytes, digest: hash.digest('hex'), imageMember };
}

type Packed = Pick<PackedArchive, 'bytes' | 'imageMember'>;

/** The whole .tar.gz. */
export async function* piecesOf({ bytes, imageMember }: Packed): AsyncGenerator<Uint8Array> {
  yield bytes;
  if (imageMember) yield* imageMember.pieces();
}

export const packedSize = ({ bytes, imageMember }: Packed): number => bytes.length + (imageMember?.size ?? 0);
