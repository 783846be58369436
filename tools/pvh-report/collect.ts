// Makes a report of one domain: runs the collectors, writes down what they could not get, packs. The same preserved domain
// gives the same bytes: nothing of host, time, user or folder goes in.
import { TextDecoder, TextEncoder } from 'node:util';
import { type ArchiveFile, packArchive, safeName, sha256 } from './archive.ts';
import { boundTo, COLLECTORS, NotThere } from './collectors.ts';
import type { Evidence } from './evidence.ts';
import { isPartial, type Manifest, type ManifestFile, type MissingItem, renderManifest } from './manifest.ts';
import { signatureOf } from './signature.ts';
import { renderReadme, renderSummary } from './summary.ts';
import { vcpuOfShutdown } from './xen-log.ts';

export interface Collected {
  /** The .tar.gz. */
  readonly bytes: Uint8Array;
  /** SHA-256 of the tar. */
  readonly digest: string;
  /** A name for the file that tells domain and content. */
  readonly fileName: string;
  readonly manifest: Manifest;
  readonly partial: boolean;
}

export type OnStep = (text: string, done: number, total: number) => void;

/** Room for a failed collector's reason. */
const MAX_REASON = 500;

const encode = (text: string) => new TextEncoder().encode(text);

const linuxBanner = (console: string): string | undefined =>
  /Linux version [^\r\n]+/.exec(console)?.[0].slice(0, 400);

function runCollectors(evidence: Evidence, onStep: OnStep) {
  const files: (ArchiveFile & { readonly entry: ManifestFile })[] = [];
  const missing: MissingItem[] = [];
  for (const [index, { file, take, bound, origin, privacy, required }] of COLLECTORS.entries()) {
    onStep(`Collecting ${file}`, index, COLLECTORS.length);
    try {
      const taken = take(evidence);
      const { bytes, note } = boundTo(typeof taken === 'string' ? encode(taken) : taken, bound);
      const entry = {
        name: file,
        sha256: sha256(bytes),
        bytes: bytes.length,
        origin,
        privacy,
        ...(note && { note }),
      };
      files.push({ name: file, bytes, entry });
    } catch (error) {
      // A collector that fails takes nothing else with it: the reason is part of the report.
      const reason = error instanceof Error ? error.message : String(error);
      missing.push({
        item: file,
        reason: (error instanceof NotThere ? reason : `failed: ${reason}`).slice(0, MAX_REASON),
        required,
      });
    }
  }
  const inspected = 'problem' in evidence.inspection ? undefined : evidence.inspection;
  if (evidence.symbols === undefined && inspected?.symbolsBuildId === undefined) {
    const named = inspected?.namesFromGuest === true;
    const reason = named
      ? "no file was given with -s: names of functions come from the guest's memory, other addresses have none"
      : 'no file was given with -s: addresses have no names';
    missing.push({ item: 'symbols', reason, required: false });
  }
  for (const { id, online, missing: reason } of inspected?.vcpus ?? [])
    if (reason !== undefined) missing.push({ item: `vcpu${id}`, reason, required: online });
  for (const reason of inspected?.gaps ?? [])
    missing.push({ item: 'memory or registers', reason, required: false });
  return { files, missing };
}

export async function collect(evidence: Evidence, tool: string, onStep: OnStep): Promise<Collected> {
  const { record, info, inspection, symbols } = evidence;
  const { files, missing } = runCollectors(evidence, onStep);
  const consoleBytes = files.find(({ name }) => name === 'console.log')?.bytes;
  const consoleText = consoleBytes && new TextDecoder().decode(consoleBytes);
  const vcpus = 'problem' in inspection ? [] : inspection.vcpus;
  const withoutTexts: Manifest = {
    tool,
    domain: { name: record.name, domid: record.domid, uuid: record.uuid },
    state: record.state,
    shutdownReason: record.shutdownReason,
    shutdownVcpu: vcpuOfShutdown(evidence.xenLog),
    kernel: {
      sha256: record.kernel.sha256,
      buildId: ('problem' in inspection ? undefined : inspection.guestBuildId) ?? record.kernel.buildId,
      banner: consoleText === undefined ? undefined : linuxBanner(consoleText),
    },
    symbolsBuildId: symbols?.buildId ?? ('problem' in inspection ? undefined : inspection.symbolsBuildId),
    xen: typeof info['xen_version'] === 'string' ? info['xen_version'] : undefined,
    files: files.map(({ entry }) => entry),
    missing,
  };
  const signature = signatureOf(
    record.shutdownReason ?? record.state,
    consoleText ?? '',
    vcpus,
    withoutTexts.shutdownVcpu,
  );
  const texts = [
    {
      name: 'README.txt',
      bytes: encode(renderReadme(COLLECTORS, new Set(files.map(({ name }) => name)))),
    },
    { name: 'report.txt', bytes: encode(renderSummary(record, withoutTexts, signature, vcpus, consoleText)) },
  ];
  const manifest: Manifest = {
    ...withoutTexts,
    files: [
      ...texts.map(
        ({ name, bytes }): ManifestFile => ({
          name,
          sha256: sha256(bytes),
          bytes: bytes.length,
          origin: 'derived',
          privacy: 'maybe',
        }),
      ),
      ...withoutTexts.files,
    ],
  };
  const [readme, report] = texts;
  const all = [readme, { name: 'manifest.json', bytes: encode(renderManifest(manifest)) }, report, ...files];
  onStep('Packing', COLLECTORS.length, COLLECTORS.length);
  const folder = `pvh-report_${safeName(record.name).slice(0, 60)}`;
  const { bytes, digest } = await packArchive(
    folder,
    all.filter((file) => file !== undefined),
  );
  return {
    bytes,
    digest,
    fileName: `${folder}_${digest.slice(0, 8)}.tar.gz`,
    manifest,
    partial: isPartial(manifest),
  };
}
