// Makes a report small enough for where it is to be sent: leaves out the files that are worth least, and says so in the report.
import { gzipSync } from 'node:zlib';
import { ToolFailure } from '../shared/failure.ts';
import type { ArchiveFile } from './archive.ts';
import { EXIT } from './exit.ts';
import { boundTo } from './host/bounded-output.ts';
import { leaveOut } from './leave-out.ts';
import { type Manifest, type MissingItem, verifyFiles } from './manifest.ts';
import { packArchive } from './pack.ts';
import { readFiles, type Unpacked, unpackedOf } from './report.ts';
import { crashTitle } from './signature/title.ts';

/** Where reports go. */
export type Destination = 'mail' | 'github' | 'gitlab' | 'none';

interface Limit {
  /** Bytes of the .tar.gz. */
  readonly bytes: number;
  readonly what: string;
}

/** What they take, as of 2026; decimal where it is not said which is meant. */
export const LIMITS: Readonly<Record<Destination, Limit>> = {
  // In base64 a byte is 4/3 characters, with its line ends 1.37; the rest is for headers and a few words.
  mail: { bytes: 69_000, what: 'a mail of 100,000 characters (vger.kernel.org)' },
  github: { bytes: 25_000_000, what: 'an attachment of GitHub, 25 MB' },
  gitlab: { bytes: 10_000_000, what: 'an attachment of GitLab.com, 10 MB' },
  none: { bytes: Number.POSITIVE_INFINITY, what: 'anything' },
};

/** Without these it is no report. */
const ALWAYS = ['README.txt', 'manifest.json', 'report.txt', 'crash.json', 'signature.json'];

/** How much a file tells that no other one does, the most first. What is not listed comes last. */
const BY_VALUE: readonly string[] = [
  'console.log',
  'guest-dmesg.txt',
  'xl-dmesg.txt',
  'xenctx-unwind.txt',
  'domain.json',
  'target.json',
  'guest.cfg',
  'input.log',
  'xl-list-long.json',
  // What others are made from, and can be made from again.
  'memory.core',
  'xl-info.txt',
  'host-xl-info.txt',
  'xl-vcpu-list.txt',
  'xl-list.txt',
  'xenstore.txt',
  'xl-log.txt',
  'qemu-log.txt',
  'host-xl-dmesg.txt',
  'host-hypervisor.log',
  'xenctx.txt',
  'host-uname.txt',
  'xenstore-libxl.txt',
  'xenstore-vm.txt',
  'host-dmesg.txt',
  'host-xl-list.txt',
  // The same as others, as data or as a page.
  'xl-list.json',
  'xenctx.json',
  'report.html',
];

/** Logs, of which the beginning and the end are better than nothing: down to so many bytes. */
const LOGS = ['console.log', 'guest-dmesg.txt', 'xl-dmesg.txt'];
const LEAST_LOG = 16 << 10;

const rankOf = (name: string): number => {
  const at = BY_VALUE.indexOf(name);
  return at < 0 ? BY_VALUE.length : at;
};

/** A file as it is kept: whole, or a log without its middle. */
interface Kept {
  readonly name: string;
  readonly bytes: Uint8Array;
  readonly note?: string | undefined;
}

/** The file and what may be put in its place, largest first: what the guest said of its crash stays. */
function* versionsOf({ name, bytes }: ArchiveFile): Generator<Kept> {
  yield { name, bytes };
  if (!LOGS.includes(name)) return;
  const places = crashTitle(Buffer.from(bytes).toString('latin1'))?.places;
  for (let size = 1 << 20; size >= LEAST_LOG; size /= 2)
    if (size < bytes.length) yield { name, ...boundTo(bytes, size, places) };
}

/** A tar entry alone, compressed: together they are a little smaller. */
const packedAlone = (bytes: Uint8Array): number => gzipSync(bytes).length + 128;

/** Takes the files in the order of their value, each as long as there is room. */
function choose(files: readonly ArchiveFile[], room: number): Kept[] {
  const kept: Kept[] = [];
  let left = room;
  for (const file of files.toSorted((a, b) => rankOf(a.name) - rankOf(b.name)))
    for (const version of versionsOf(file)) {
      const size = packedAlone(version.bytes);
      if (size > left) continue;
      left -= size;
      kept.push(version);
      break;
    }
  return kept;
}

const signatureOf = (unpacked: Unpacked): string => readFiles(unpacked).signature.text;

export interface Fitted {
  /** The .tar.gz. */
  readonly bytes: Buffer;
  readonly digest: string;
  readonly manifest: Manifest;
  readonly files: readonly ArchiveFile[];
  /** What was left out or shortened, and why. */
  readonly dropped: readonly MissingItem[];
}

/** The image of the memory never stays: it is what makes a report too large. */
async function repack(
  { folder, manifest, files, image }: Unpacked,
  kept: readonly Kept[],
  limit: Limit,
): Promise<Fitted> {
  const replaced = new Map(kept.map((file) => [file.name, file]));
  const isThere = (name: string): boolean => ALWAYS.includes(name) || replaced.has(name);
  const sizeOf = (name: string): number => files.get(name)?.length ?? image?.size ?? 0;
  const dropped: MissingItem[] = manifest.files
    .filter(({ name }) => !isThere(name))
    .map(({ name }) => ({
      item: name,
      reason: `${sizeOf(name)} bytes left out to fit into ${limit.what}`,
      cause: 'size',
      required: false,
    }));
  const content = new Map(
    [...files]
      .filter(([name]) => isThere(name))
      .map(([name, bytes]) => [name, replaced.get(name) ?? { bytes }]),
  );
  const manifestText = new TextDecoder().decode(files.get('manifest.json'));
  const left = leaveOut(manifestText, content, dropped);
  const made = [...left.files].map(([name, each]) => ({ name, bytes: each }));
  const { bytes, digest } = await packArchive(folder, made);
  const cut = kept.flatMap(({ name, note }): MissingItem[] =>
    note === undefined ? [] : [{ item: name, reason: note, cause: 'size', required: false }],
  );
  return { bytes, digest, manifest: left.manifest, files: made, dropped: [...dropped, ...cut] };
}

/**
 * @param packedSize of the report's file.
 * @returns undefined when it fits as it is.
 * @throws FormatError for a report that was changed, ToolFailure when it cannot be made to fit.
 */
export async function fitReport(
  report: Unpacked,
  packedSize: number,
  limit: Limit,
): Promise<Fitted | undefined> {
  const { path: source, manifest, files, image } = report;
  verifyFiles(manifest, files, source, image);
  if (packedSize <= limit.bytes) return undefined;
  const signature = signatureOf(report);
  const all = [...files].map(([name, bytes]) => ({ name, bytes }));
  const fixed = all
    .filter(({ name }) => ALWAYS.includes(name))
    .reduce((sum, { bytes }) => sum + packedAlone(bytes), 0);
  const rest = all.filter(({ name }) => !ALWAYS.includes(name));
  // The list of what is missing grows with what is left out.
  let kept = choose(rest, limit.bytes - fixed - 32 * rest.length);
  for (;;) {
    const fitted = await repack(report, kept, limit);
    const isSame = signatureOf(unpackedOf({ ...report, ...fitted }, source)) === signature;
    if (isSame && fitted.bytes.length <= limit.bytes) return fitted;
    if (kept.length === 0)
      throw new ToolFailure(
        [
          fitted.bytes.length > limit.bytes
            ? `pvh-report: ${source}: what every report must have takes ${fitted.bytes.length} bytes; ${limit.what} takes ${limit.bytes}`
            : `pvh-report: ${source}: ${limit.what} has no room for what the guest said of its crash`,
          '  put the report where it can be downloaded, and send the text: pvh-report mail',
        ],
        EXIT.unusable,
      );
    kept = kept.slice(0, -1);
  }
}
