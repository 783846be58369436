// The container of a report: a .tar.gz of plain files in one folder. Knows nothing of what the files say.
import { createHash } from 'node:crypto';
import { gunzipSync, gzipSync } from 'node:zlib';
import { extract, pack } from 'tar-stream';
import { FormatError } from '../../symbols/errors.ts';

export interface ArchiveFile {
  /** Without a folder: `[A-Za-z0-9._-]`, not beginning with a dot. */
  readonly name: string;
  readonly bytes: Uint8Array;
}

/** A report comes from somebody else: nothing in it makes us take more than this. */
export const MAX_PACKED: number = 64 << 20;
const MAX_UNPACKED = 128 << 20;
const MAX_FILES = 256;
/** From here on memory is in it, of which the best level makes 2 % less in nine times the time. */
const LARGE = 1 << 20;

const FILE_NAME = /^[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}$/;

/** What does not fit into a file name becomes `_`. */
export const safeName = (text: string): string => text.replace(/[^A-Za-z0-9._-]/g, '_').replace(/^\./, '_');

/** The same files give the same bytes: no times, no owners, fixed modes, order as given. */
async function packTar(folder: string, files: readonly ArchiveFile[]): Promise<Buffer> {
  const tar = pack();
  const header = { uid: 0, gid: 0, uname: '', gname: '', mtime: new Date(0) };
  for (const { name, bytes } of files)
    tar.entry({ ...header, name: `${folder}/${name}`, mode: 0o644 }, Buffer.from(bytes));
  tar.finalize();
  const chunks: Buffer[] = [];
  for await (const chunk of tar) chunks.push(chunk as Buffer); // a byte stream's chunks are Buffers
  return Buffer.concat(chunks);
}

export interface PackedArchive {
  readonly bytes: Buffer;
  /** SHA-256 of the tar before compression: zlib versions pack differently. */
  readonly digest: string;
}

export async function packArchive(folder: string, files: readonly ArchiveFile[]): Promise<PackedArchive> {
  const tar = await packTar(folder, files);
  const bytes = gzipSync(tar, { level: tar.length > LARGE ? 4 : 9 });
  bytes[9] = 255; // RFC 1952 2.3.1: operating system unknown, so that it does not depend on ours
  return { bytes, digest: sha256(tar) };
}

export const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

/** What zlib answers when it is asked for `info`: @types/node does not know. */
interface Gunzipped {
  readonly buffer: Buffer;
  /** `bytesWritten` is how much it took. */
  readonly engine: { readonly bytesWritten: number };
}

/**
 * The files of an archive by name, their folder, and the digest of its tar.
 * @throws FormatError for anything that packArchive does not write: other entry types, paths, duplicates, too much data.
 */
export async function unpackArchive(
  packed: Uint8Array,
  source: string,
): Promise<{ files: Map<string, Uint8Array>; digest: string; folder: string }> {
  const refuse = (message: string, cause?: unknown) => new FormatError(message, { source, cause });
  let tar: Buffer;
  try {
    const options = { maxOutputLength: MAX_UNPACKED, info: true };
    const { buffer, engine } = gunzipSync(packed, options) as unknown as Gunzipped;
    tar = buffer;
    const behind = packed.length - engine.bytesWritten;
    if (behind > 0) throw refuse(`${behind} bytes behind its end`);
  } catch (cause) {
    if (cause instanceof FormatError) throw cause;
    const tooMuch = cause instanceof RangeError;
    throw refuse(tooMuch ? `unpacks to more than ${MAX_UNPACKED} bytes` : 'not a whole gzip file', cause);
  }
  const files = new Map<string, Uint8Array>();
  let folder: string | undefined;
  const reader = extract();
  reader.end(tar);
  try {
    for await (const entry of reader) {
      const { name: path, type } = entry.header;
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
              : files.has(name)
                ? 'is there twice'
                : files.size >= MAX_FILES
                  ? `is one file too many (${MAX_FILES})`
                  : undefined;
      if (problem !== undefined) throw refuse(`entry ${JSON.stringify(path.slice(0, 100))} ${problem}`);
      const chunks: Buffer[] = [];
      for await (const chunk of entry) chunks.push(chunk as Buffer); // as above
      files.set(name, Buffer.concat(chunks));
    }
  } catch (cause) {
    throw cause instanceof FormatError ? cause : refuse('not a whole tar archive', cause);
  }
  return { files, digest: sha256(tar), folder: folder ?? '' };
}
