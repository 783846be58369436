// manifest.json: what a report holds, what it lacks and why, and a SHA-256 for every file. Reading it trusts nothing.
import { FormatError } from '../../symbols/errors.ts';
import { asArray, asBoolean, asNumber, asObject, asOptional, asString, parseJson } from '../shared/json.ts';
import { IMAGE, type LargeFile, sha256 } from './archive.ts';
import { parseMemory, type TakenMemory } from './memory/target-file.ts';
import { parseRedaction, type Redaction } from './redaction.ts';

export const MANIFEST_SCHEMA = 'pvh-report/1';

/** A domain of our own runtime, one of a real Xen host, a dump file, or a guest behind a gdb stub. */
export type Source = 'runtime' | 'xen' | 'file' | 'gdb';
const SOURCES: readonly Source[] = ['runtime', 'xen', 'file', 'gdb'];

/** `raw` was taken as it is; `derived` can be made again from raw files and symbols. */
export type Origin = 'raw' | 'derived';
/**
 * Whether a file may hold what a person would not want to show: texts of the guest may, registers do not, and `host` tells of
 * the machine and of other domains on it.
 */
export type Privacy = 'none' | 'maybe' | 'host';
const PRIVACIES: readonly Privacy[] = ['none', 'maybe', 'host'];

export interface ManifestFile {
  readonly name: string;
  readonly sha256: string;
  readonly bytes: number;
  readonly origin: Origin;
  readonly privacy: Privacy;
  /** The program of the host that printed it. */
  readonly command?: string | undefined;
  /** What a reader should know: how much was left out, what the program complained of. */
  readonly note?: string | undefined;
}

/**
 * Why something is missing: it does not exist, the user left it out, a program is not installed, only root may have it,
 * it took too long, it failed, it was too large for where the report goes, or `redact` left it out.
 */
export type Cause = 'absent' | 'skipped' | 'program' | 'root' | 'time' | 'failed' | 'size' | 'redacted';
const CAUSES: readonly Cause[] = [
  'absent',
  'skipped',
  'program',
  'root',
  'time',
  'failed',
  'size',
  'redacted',
];

export interface MissingItem {
  readonly item: string;
  readonly reason: string;
  readonly cause?: Cause | undefined;
  /** Without a required item the report is partial. */
  readonly required: boolean;
}

export interface Manifest {
  readonly tool: string;
  /** What the domain is one of; absent in reports from before there was more than our runtime. */
  readonly source?: Source | undefined;
  /** Of a real host: when, and whether as root. A report of our runtime does not depend on either. */
  readonly host?: { readonly collectedAt: string; readonly root: boolean } | undefined;
  readonly domain: {
    readonly name: string;
    readonly domid: number | undefined;
    readonly uuid: string | undefined;
  };
  readonly state: string;
  readonly shutdownReason: string | undefined;
  /** The vCPU on which the domain ended, when the runtime's log has it. */
  readonly shutdownVcpu: number | undefined;
  readonly kernel: {
    /** Of the file, where the source knows that. */
    readonly sha256: string | undefined;
    readonly buildId: string | undefined;
    readonly banner: string | undefined;
  };
  /** Build-id of the file given with -s. */
  readonly symbolsBuildId: string | undefined;
  readonly xen: string | undefined;
  /** How much of the guest's memory is in it; absent in reports from before there was any, or when it could not be read. */
  readonly memory?: TakenMemory | undefined;
  readonly files: readonly ManifestFile[];
  readonly missing: readonly MissingItem[];
  /** Of a report that `redact` wrote. */
  readonly redaction?: Redaction | undefined;
}

export const isPartial = (manifest: Manifest): boolean => manifest.missing.some((item) => item.required);

/** One of these, or nothing: a later version may know more. */
const oneOf = <T>(known: readonly T[], value: unknown): T | undefined => known.find((each) => each === value);

function parseHost(value: unknown, place: string): Manifest['host'] {
  const host = asObject(value, place);
  return {
    collectedAt: asString(host['collectedAt'], `${place}.collectedAt`),
    root: asBoolean(host['root'], `${place}.root`),
  };
}

export function renderManifest(manifest: Manifest): string {
  return `${JSON.stringify({ schema: MANIFEST_SCHEMA, ...manifest }, undefined, 2)}\n`;
}

function parseFile(value: unknown, source: string): ManifestFile {
  const file = asObject(value, source);
  return {
    name: asString(file['name'], `${source}.name`),
    sha256: asString(file['sha256'], `${source}.sha256`),
    bytes: asNumber(file['bytes'], `${source}.bytes`),
    origin: file['origin'] === 'raw' ? 'raw' : 'derived',
    privacy: oneOf(PRIVACIES, file['privacy']) ?? 'maybe',
    command: asOptional(asString, file['command'], `${source}.command`),
    note: asOptional(asString, file['note'], `${source}.note`),
  };
}

function parseMissing(value: unknown, source: string): MissingItem {
  const item = asObject(value, source);
  return {
    item: asString(item['item'], `${source}.item`),
    reason: asString(item['reason'], `${source}.reason`),
    cause: oneOf(CAUSES, item['cause']),
    required: asBoolean(item['required'], `${source}.required`),
  };
}

/** Of files and of what is missing: more than a guest with 512 vCPUs that all lack something. */
const MAX_ENTRIES = 4096;

/** @throws FormatError unless it is a manifest of a schema that this version knows. */
export function parseManifest(text: string, source: string): Manifest {
  const top = asObject(parseJson(text, source), source);
  const schema = asString(top['schema'], `${source}: schema`);
  if (schema !== MANIFEST_SCHEMA)
    throw new FormatError(`schema ${schema.slice(0, 40)} is not ${MANIFEST_SCHEMA}`, { source });
  const domain = asObject(top['domain'], `${source}: domain`);
  const kernel = asObject(top['kernel'], `${source}: kernel`);
  return {
    tool: asString(top['tool'], `${source}: tool`),
    source: oneOf(SOURCES, top['source']),
    host: asOptional(parseHost, top['host'], `${source}: host`),
    domain: {
      name: asString(domain['name'], `${source}: domain.name`),
      domid: asOptional(asNumber, domain['domid'], `${source}: domain.domid`),
      uuid: asOptional(asString, domain['uuid'], `${source}: domain.uuid`),
    },
    state: asString(top['state'], `${source}: state`),
    shutdownReason: asOptional(asString, top['shutdownReason'], `${source}: shutdownReason`),
    shutdownVcpu: asOptional(asNumber, top['shutdownVcpu'], `${source}: shutdownVcpu`),
    kernel: {
      sha256: asOptional(asString, kernel['sha256'], `${source}: kernel.sha256`),
      buildId: asOptional(asString, kernel['buildId'], `${source}: kernel.buildId`),
      banner: asOptional(asString, kernel['banner'], `${source}: kernel.banner`),
    },
    symbolsBuildId: asOptional(asString, top['symbolsBuildId'], `${source}: symbolsBuildId`),
    xen: asOptional(asString, top['xen'], `${source}: xen`),
    memory: asOptional(parseMemory, top['memory'], `${source}: memory`),
    files: asArray(top['files'], `${source}: files`, MAX_ENTRIES).map((value) =>
      parseFile(value, `${source}: files`),
    ),
    missing: asArray(top['missing'], `${source}: missing`, MAX_ENTRIES).map((value) =>
      parseMissing(value, `${source}: missing`),
    ),
    redaction: asOptional(parseRedaction, top['redaction'], `${source}: redaction`),
  };
}

/** Texts are read whole, and held several times over. More than any collector takes. */
const MAX_TEXT = 32 << 20;
const NO_TEXTS = ['memory.core', IMAGE];

/** Files that are absent, changed, not listed or too large, each with what is wrong. */
export function changedFiles(
  manifest: Manifest,
  files: ReadonlyMap<string, Uint8Array>,
  image?: LargeFile,
): string[] {
  const contentOf = (name: string): { readonly size: number; readonly digest: () => string } | undefined => {
    const bytes = files.get(name);
    if (bytes) return { size: bytes.length, digest: () => sha256(bytes) };
    return image?.name === name ? { size: image.size, digest: () => image.sha256 } : undefined;
  };
  const listed = new Set(['manifest.json']);
  return [
    ...manifest.files.flatMap(({ name, sha256: digest, bytes: size }) => {
      const content = contentOf(name);
      if (listed.has(name)) return [`${JSON.stringify(name)} is listed twice`];
      listed.add(name);
      if (content === undefined) return [`${JSON.stringify(name)} is missing`];
      if (content.size > MAX_TEXT && !NO_TEXTS.includes(name))
        return [`${name} has ${content.size} bytes: more than ${MAX_TEXT} no text of a report has`];
      if (content.digest() !== digest) return [`${name} is not what the manifest says: its SHA-256 differs`];
      return content.size === size
        ? []
        : [`${name} has ${content.size} bytes, not ${size} as the manifest says`];
    }),
    ...[...files.keys(), ...(image ? [image.name] : [])]
      .filter((name) => !listed.has(name))
      .map((name) => `${name} is not in the manifest`),
  ];
}

/** Holds the files against the manifest. @throws FormatError at the first that is absent, changed or not listed. */
export function verifyFiles(
  manifest: Manifest,
  files: ReadonlyMap<string, Uint8Array>,
  source: string,
  image?: LargeFile,
): void {
  const [problem] = changedFiles(manifest, files, image);
  if (problem !== undefined) throw new FormatError(problem, { source });
}
