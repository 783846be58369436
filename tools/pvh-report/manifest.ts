// manifest.json: what a report holds, what it lacks and why, and a SHA-256 for every file. Reading it trusts nothing.
import { FormatError } from '../../symbols/errors.ts';
import { asArray, asBoolean, asNumber, asObject, asOptional, asString, parseJson } from '../shared/json.ts';
import { sha256 } from './archive.ts';

export const MANIFEST_SCHEMA = 'pvh-report/1';

/** `raw` was taken as it is; `derived` can be made again from raw files and symbols. */
export type Origin = 'raw' | 'derived';
/** Whether a file may hold what a person would not want to show: texts of the guest may, registers do not. */
export type Privacy = 'none' | 'maybe';

export interface ManifestFile {
  readonly name: string;
  readonly sha256: string;
  readonly bytes: number;
  readonly origin: Origin;
  readonly privacy: Privacy;
  /** Set when the file was cut: how much was left out. */
  readonly note?: string | undefined;
}

export interface MissingItem {
  readonly item: string;
  readonly reason: string;
  /** Without a required item the report is partial. */
  readonly required: boolean;
}

export interface Manifest {
  readonly tool: string;
  readonly domain: { readonly name: string; readonly domid: number; readonly uuid: string };
  readonly state: string;
  readonly shutdownReason: string | undefined;
  /** The vCPU on which the domain ended, when the runtime's log has it. */
  readonly shutdownVcpu: number | undefined;
  readonly kernel: {
    readonly sha256: string;
    readonly buildId: string | undefined;
    readonly banner: string | undefined;
  };
  /** Build-id of the file given with -s. */
  readonly symbolsBuildId: string | undefined;
  readonly xen: string | undefined;
  readonly files: readonly ManifestFile[];
  readonly missing: readonly MissingItem[];
}

export const isPartial = (manifest: Manifest): boolean => manifest.missing.some((item) => item.required);

export function renderManifest(manifest: Manifest): string {
  return `${JSON.stringify({ schema: MANIFEST_SCHEMA, ...manifest }, undefined, 2)}\n`;
}

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
    domain: {
      name: asString(domain['name'], `${source}: domain.name`),
      domid: asNumber(domain['domid'], `${source}: domain.domid`),
      uuid: asString(domain['uuid'], `${source}: domain.uuid`),
    },
    state: asString(top['state'], `${source}: state`),
    shutdownReason: asOptional(asString, top['shutdownReason'], `${source}: shutdownReason`),
    shutdownVcpu: asOptional(asNumber, top['shutdownVcpu'], `${source}: shutdownVcpu`),
    kernel: {
      sha256: asString(kernel['sha256'], `${source}: kernel.sha256`),
      buildId: asOptional(asString, kernel['buildId'], `${source}: kernel.buildId`),
      banner: asOptional(asString, kernel['banner'], `${source}: kernel.banner`),
    },
    symbolsBuildId: asOptional(asString, top['symbolsBuildId'], `${source}: symbolsBuildId`),
    xen: asOptional(asString, top['xen'], `${source}: xen`),
    files: asArray(top['files'], `${source}: files`).map((value) => {
      const file = asObject(value, `${source}: files`);
      return {
        name: asString(file['name'], `${source}: files.name`),
        sha256: asString(file['sha256'], `${source}: files.sha256`),
        bytes: asNumber(file['bytes'], `${source}: files.bytes`),
        origin: file['origin'] === 'raw' ? 'raw' : 'derived',
        privacy: file['privacy'] === 'none' ? 'none' : 'maybe',
        note: asOptional(asString, file['note'], `${source}: files.note`),
      };
    }),
    missing: asArray(top['missing'], `${source}: missing`).map((value) => {
      const item = asObject(value, `${source}: missing`);
      return {
        item: asString(item['item'], `${source}: missing.item`),
        reason: asString(item['reason'], `${source}: missing.reason`),
        required: asBoolean(item['required'], `${source}: missing.required`),
      };
    }),
  };
}

/** Holds the files against the manifest. @throws FormatError at the first that is absent, changed or not listed. */
export function verifyFiles(
  manifest: Manifest,
  files: ReadonlyMap<string, Uint8Array>,
  source: string,
): void {
  const listed = new Set(['manifest.json']);
  for (const { name, sha256: digest } of manifest.files) {
    const bytes = files.get(name);
    if (bytes === undefined) throw new FormatError(`${JSON.stringify(name)} is missing`, { source });
    if (sha256(bytes) !== digest)
      throw new FormatError(`${name} is not what the manifest says: its SHA-256 differs`, { source });
    listed.add(name);
  }
  for (const name of files.keys())
    if (!listed.has(name)) throw new FormatError(`${name} is not in the manifest`, { source });
}
