// A report as read back from its file: checked against its manifest, texts still texts.
import { statSync } from 'node:fs';
import { FormatError } from '../../symbols/errors.ts';
import type { ArchiveFile, LargeFile } from './archive.ts';
import { type CrashVcpu, parseCrash } from './crash.ts';
import { type Manifest, parseManifest, verifyFiles } from './manifest.ts';
import { type Signature, signatureOf } from './signature.ts';
import { type Unarchived, unpackArchive, unpackArchiveFile } from './unpack.ts';

/** Everything else as a page. */
export const PAGE = 'report.html';

export interface Report {
  readonly path: string;
  /** SHA-256 of the uncompressed archive. */
  readonly digest: string;
  readonly manifest: Manifest;
  readonly vcpus: readonly CrashVcpu[];
  /** What the guest said: on its console, or else in its kernel's log. */
  readonly console: string | undefined;
  readonly config: string | undefined;
  /** `xl list -l`, in a report of a Xen host. */
  readonly hostConfig: string | undefined;
  readonly xenLog: string | undefined;
  readonly signature: Signature;
  /** As they are in the archive, by name. */
  readonly files: ReadonlyMap<string, Uint8Array>;
}

/** The files of a report, not yet held against its manifest. */
export interface Unpacked {
  readonly path: string;
  /** SHA-256 of the uncompressed archive. */
  readonly digest: string;
  /** The one folder of the archive. */
  readonly folder: string;
  readonly manifest: Manifest;
  readonly files: ReadonlyMap<string, Uint8Array>;
  /** The image of the guest's memory: in the archive like the others, but not kept. */
  readonly image?: LargeFile | undefined;
}

function withManifest(unarchived: Unarchived, path: string): Unpacked {
  const bytes = unarchived.files.get('manifest.json');
  if (bytes === undefined) throw new FormatError('no manifest.json: not a report', { source: path });
  const manifest = parseManifest(new TextDecoder().decode(bytes), `${path}: manifest.json`);
  return { path, manifest, ...unarchived };
}

/** @param path of the archive, for messages. @throws FormatError for bytes that are not a report. */
export const unpackedFrom = async (packed: Uint8Array, path: string): Promise<Unpacked> =>
  withManifest(await unpackArchive(packed, path), path);

/** @throws FormatError for a file that is not a report; system errors as they come. */
export async function unpackReport(path: string): Promise<Unpacked> {
  const found = statSync(path);
  if (!found.isFile()) throw new FormatError('not a file', { source: path });
  return withManifest(await unpackArchiveFile(path, found.size), path);
}

/** What was just made, as if it were read back. @param path for messages. */
export const unpackedOf = (
  {
    digest,
    folder,
    manifest,
    files,
    image,
  }: Omit<Unpacked, 'path' | 'files'> & {
    readonly files: readonly ArchiveFile[];
  },
  path: string,
): Unpacked => ({
  path,
  digest,
  folder,
  manifest,
  files: new Map(files.map(({ name, bytes }) => [name, bytes])),
  image,
});

/** What files say that are known to be what their manifest says. @throws FormatError for a crash.json that is none. */
export function readFiles({ path, digest, manifest, files }: Unpacked): Report {
  const text = (name: string) => {
    const content = files.get(name);
    return content === undefined ? undefined : new TextDecoder().decode(content);
  };
  const crash = text('crash.json');
  const vcpus = crash === undefined ? [] : parseCrash(crash, `${path}: crash.json`);
  const console = text('console.log') ?? text('guest-dmesg.txt');
  return {
    path,
    digest,
    files,
    manifest,
    vcpus,
    console,
    config: text('guest.cfg'),
    hostConfig: text('xl-list-long.json'),
    xenLog: text('xl-dmesg.txt'),
    signature: signatureOf(
      manifest.shutdownReason ?? manifest.state,
      console ?? '',
      vcpus,
      manifest.shutdownVcpu,
      { domain: manifest.domain.name, buildId: manifest.kernel.buildId, xenLog: text('xl-dmesg.txt') },
    ),
  };
}

/** @throws FormatError for a report that was changed. */
export function reportOf(unpacked: Unpacked): Report {
  verifyFiles(unpacked.manifest, unpacked.files, unpacked.path, unpacked.image);
  return readFiles(unpacked);
}

/** @throws FormatError for a file that is not a report or was changed; system errors as they come. */
export const readReport = async (path: string): Promise<Report> => reportOf(await unpackReport(path));
