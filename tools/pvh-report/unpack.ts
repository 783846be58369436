// Reads the container of a report, which comes from somebody else: nothing is taken on trust, and no more than so much.
import { createHash } from 'node:crypto';
import { createReadStream, readFileSync } from 'node:fs';
import { pipeline, Readable } from 'node:stream';
import { createGunzip, gunzipSync } from 'node:zlib';
import { extract } from 'tar-stream';
import { FormatError } from '../../symbols/errors.ts';
import { systemError } from '../shared/failure.ts';
import { IMAGE, type LargeFile } from './archive.ts';

/** Nothing in it but the image, which is not kept, makes us take more than this. */
const MAX_PACKED = 64 << 20;
const MAX_UNPACKED = 128 << 20;
/** A larger file is unpacked piece by piece, which takes longer than at once. */
const MAX_AT_ONCE = 16 << 20;
const PIECE = 1 << 20;
const MAX_FILES = 256;

const FILE_NAME = /^[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}$/;

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

const refusal = (source: string, message: string): FormatError => new FormatError(message, { source });

const tooLarge = (source: string): FormatError =>
  refusal(source, `unpacks to more than ${MAX_UNPACKED} bytes`);

/** What a library threw, in our words; what was said already, by us or by the system, stays as it is. */
const damaged = (source: string, form: 'gzip file' | 'tar archive', cause: unknown): unknown =>
  cause instanceof FormatError || systemError(cause) !== undefined
    ? cause
    : new FormatError(`not a whole ${form}`, { source, cause });

interface TarEntry {
  readonly name: string;
  readonly folder: string;
  readonly size: number;
  readonly content: AsyncIterable<Buffer>;
}

async function* contentOf(entry: AsyncIterable<unknown>, source: string): AsyncGenerator<Buffer> {
  try {
    for await (const chunk of entry) yield chunk as Buffer; // a byte stream's chunks are Buffers
  } catch (cause) {
    throw damaged(source, 'tar archive', cause);
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
      const problems: readonly (readonly [boolean, string])[] = [
        [type !== 'file', `is a ${type ?? 'thing of unknown type'}, not a file`],
        [
          parts.length !== 2 || !FILE_NAME.test(entryFolder) || !FILE_NAME.test(name),
          'has a name that no report has',
        ],
        [entryFolder !== folder, 'lies in a second folder'],
        [names.has(name), 'is there twice'],
        [names.has(IMAGE), 'follows the image of the memory'],
        [names.size >= MAX_FILES, `is one file too many (${MAX_FILES})`],
      ];
      const [, problem] = problems.find(([is]) => is) ?? [];
      if (problem !== undefined)
        throw refusal(source, `entry ${JSON.stringify(path.slice(0, 100))} ${problem}`);
      names.add(name);
      yield { name, folder, size, content: contentOf(entry, source) };
    }
  } catch (cause) {
    throw damaged(source, 'tar archive', cause);
  }
}

/** The bytes of the image alone. */
async function* imageIn(pieces: Pieces, source: string): AsyncGenerator<Uint8Array> {
  for await (const { name, content } of entriesOf(pieces, source))
    for await (const chunk of content) if (name === IMAGE) yield chunk;
}

async function unpackTar({ name: source, pieces, packed }: TarSource): Promise<Unarchived> {
  const files = new Map<string, Uint8Array>();
  let image: LargeFile | undefined;
  let [folder, total, inImage] = ['', 0, false];
  const digest = createHash('sha256');
  async function* watched(): AsyncGenerator<Buffer> {
    for await (const piece of pieces()) {
      digest.update(piece);
      total += piece.length;
      // An image is stored: what unpacks to more than it takes is none.
      if (total > MAX_UNPACKED + (inImage ? packed() : 0)) throw tooLarge(source);
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
    unpacked = gunzipSync(packed, options) as unknown as Gunzipped; // because of `info`
  } catch (cause) {
    throw cause instanceof RangeError ? tooLarge(source) : damaged(source, 'gzip file', cause);
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
      throw damaged(path, 'gzip file', cause);
    }
  }
  return unpackTar({ name: path, pieces, packed: () => packed });
}
