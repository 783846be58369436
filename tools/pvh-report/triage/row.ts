// What the index keeps of one report: a row. Reads one file, never fails: what cannot be read is a row that says why.
import { cleanText } from '../../shared/clean-text.ts';
import { systemError } from '../../shared/failure.ts';
import { asNumber, asObject, parseJson } from '../../shared/json.ts';
import { isPartial } from '../manifest.ts';
import { readReport } from '../report.ts';
import { SCHEMA } from '../signature.ts';
import { type ReportHead, readHead, type WrittenSignature } from './head.ts';
import type { ListedFile } from './listing.ts';

type Kind = 'VARCHAR' | 'BIGINT' | 'INTEGER' | 'BOOLEAN' | 'TIMESTAMP';

export interface Row {
  readonly path: string;
  readonly bytes: bigint;
  readonly modified_ns: bigint;
  /** Microseconds since 1970. */
  readonly time: bigint;
  readonly time_of: 'crash' | 'collection' | 'file';
  readonly digest?: string | undefined;
  readonly signature?: string | undefined;
  readonly signature_sha8?: string | undefined;
  readonly signature_version: string;
  /** Without names of functions. */
  readonly weak?: boolean | undefined;
  readonly kind?: string | undefined;
  readonly ending?: string | undefined;
  readonly title?: string | undefined;
  readonly domain?: string | undefined;
  readonly kernel_release?: string | undefined;
  readonly kernel_build_id?: string | undefined;
  readonly xen?: string | undefined;
  readonly source?: string | undefined;
  readonly vcpus?: number | undefined;
  readonly partial?: boolean | undefined;
  readonly tool?: string | undefined;
  readonly error?: string | undefined;
}

export interface Column {
  readonly name: keyof Row;
  readonly kind: Kind;
}

/** In the order in which they stand in the index. */
export const COLUMNS: readonly Column[] = [
  { name: 'path', kind: 'VARCHAR' },
  { name: 'bytes', kind: 'BIGINT' },
  { name: 'modified_ns', kind: 'BIGINT' },
  { name: 'digest', kind: 'VARCHAR' },
  { name: 'signature', kind: 'VARCHAR' },
  { name: 'signature_sha8', kind: 'VARCHAR' },
  { name: 'signature_version', kind: 'VARCHAR' },
  { name: 'weak', kind: 'BOOLEAN' },
  { name: 'kind', kind: 'VARCHAR' },
  { name: 'ending', kind: 'VARCHAR' },
  { name: 'title', kind: 'VARCHAR' },
  { name: 'domain', kind: 'VARCHAR' },
  { name: 'kernel_release', kind: 'VARCHAR' },
  { name: 'kernel_build_id', kind: 'VARCHAR' },
  { name: 'xen', kind: 'VARCHAR' },
  { name: 'source', kind: 'VARCHAR' },
  { name: 'vcpus', kind: 'INTEGER' },
  { name: 'time', kind: 'TIMESTAMP' },
  { name: 'time_of', kind: 'VARCHAR' },
  { name: 'partial', kind: 'BOOLEAN' },
  { name: 'tool', kind: 'VARCHAR' },
  { name: 'error', kind: 'VARCHAR' },
];

/** Rows of another one are made again. */
export const SIGNATURE_VERSION: string = SCHEMA;

/** Names of functions come from the report, and are as long as it likes. */
const MAX_SIGNATURE = 2000;

type SignatureColumns =
  | 'ending'
  | 'kind'
  | 'title'
  | 'signature'
  | 'signature_sha8'
  | 'signature_version'
  | 'weak';

/** What the crashes are grouped by. */
function signatureRow(signature: WrittenSignature): Pick<Row, SignatureColumns> {
  const { ending, kind, title, text, sha8, version, weak } = signature;
  return {
    ending,
    kind,
    title,
    signature: text.slice(0, MAX_SIGNATURE),
    signature_sha8: sha8,
    signature_version: version,
    weak,
  };
}

/** When the guest's clock went with the host's: the moment of the crash. Microseconds since 1970. */
function crashTime({ files }: ReportHead, path: string): bigint | undefined {
  const bytes = files.get('domain.json');
  if (bytes === undefined) return undefined;
  const place = `${path}: domain.json`;
  const record = asObject(parseJson(new TextDecoder().decode(bytes), place), place);
  const clock = asObject(record['wallclock'], `${place}: wallclock`);
  if (clock['source'] !== 'host') return undefined;
  const seconds = asNumber(clock['seconds'], `${place}: wallclock.seconds`);
  const nanoseconds = record['virtualNanoseconds'];
  const passed = typeof nanoseconds === 'number' && Number.isFinite(nanoseconds) ? nanoseconds : 0;
  return inReason(BigInt(seconds) * 1_000_000n + BigInt(Math.trunc(passed / 1000)));
}

/** Years 1970 to 9999, in microseconds: more DuckDB could not print as a date of four digits. */
const inReason = (time: bigint): bigint | undefined =>
  time >= 0n && time < 253_402_300_800_000_000n ? time : undefined;

function timeOf(report: ReportHead, { modified, path }: ListedFile): Pick<Row, 'time' | 'time_of'> {
  const crash = crashTime(report, path);
  if (crash !== undefined) return { time: crash, time_of: 'crash' };
  const collected = Date.parse(report.manifest.host?.collectedAt ?? '');
  const collection = Number.isNaN(collected) ? undefined : inReason(BigInt(collected) * 1000n);
  if (collection !== undefined) return { time: collection, time_of: 'collection' };
  return { time: inReason(modified / 1000n) ?? 0n, time_of: 'file' };
}

/** @param banner Linux's first words. */
export const releaseOf = (banner: string | undefined): string | undefined =>
  /^Linux version (\S{1,200})/.exec(banner ?? '')?.[1];

/** Why a report cannot be read, without its path. Whatever it is, it must not keep others from being read. */
function reasonOf(error: unknown, path: string): string {
  const words = systemError(error) ?? (error instanceof Error ? error.message : String(error));
  return cleanText(words.replaceAll(` (${path})`, '').replaceAll(`${path}: `, '')).slice(0, 500);
}

export interface NamedFile extends ListedFile {
  /** Its path in the index. */
  readonly name: string;
}

export async function readRow(file: NamedFile): Promise<Row> {
  const stamp = { path: file.name, bytes: file.bytes, modified_ns: file.modified };
  try {
    const report: ReportHead & { readonly digest?: string } =
      readHead(file.path) ?? (await readReport(file.path));
    const { manifest, vcpus, digest } = report;
    return {
      ...stamp,
      ...timeOf(report, file),
      ...signatureRow(report.signature),
      digest,
      domain: manifest.domain.name,
      kernel_release: releaseOf(manifest.kernel.banner),
      kernel_build_id: manifest.kernel.buildId,
      xen: manifest.xen,
      source: manifest.source,
      vcpus: vcpus.length === 0 ? undefined : vcpus.length,
      partial: isPartial(manifest),
      tool: manifest.tool,
    };
  } catch (error) {
    return {
      ...stamp,
      // What the system would not give today is tried again: no file has this time.
      ...(systemError(error) !== undefined && { modified_ns: -1n }),
      time: inReason(file.modified / 1000n) ?? 0n,
      time_of: 'file',
      signature_version: SIGNATURE_VERSION,
      error: reasonOf(error, file.path),
    };
  }
}
