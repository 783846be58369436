// Makes a report of one domain: runs the collectors, writes down what they could not get, packs. The same domain of our runtime
// gives the same bytes: nothing of host, time, user or folder goes in.
import { TextDecoder, TextEncoder } from 'node:util';
import { packArchive, safeName, sha256 } from './archive.ts';
import type { Collector } from './collector.ts';
import type { Evidence, Inspection } from './evidence.ts';
import { type Facts, factsOf, type TextOf } from './facts.ts';
import { type Gathered, gather, type OnStep } from './gather.ts';
import type { Limits } from './limits.ts';
import { isPartial, type Manifest, type ManifestFile, type MissingItem, renderManifest } from './manifest.ts';
import { renderSignature, signatureOf } from './signature.ts';
import { type GuestWords, renderReadme, renderSummary } from './summary.ts';
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
  /** What was collected and how long it took, for an estimate. */
  readonly gathered: Gathered;
}

/** What to collect, and within which time. */
export interface Order {
  readonly collectors: readonly Collector[];
  /** Left out because the user said so. */
  readonly skipped: readonly Collector[];
  readonly limits: Limits;
}

const encode = (text: string) => new TextEncoder().encode(text);

const linuxBanner = (console: string): string | undefined =>
  /Linux version [^\r\n]+/.exec(console)?.[0].slice(0, 400);

/** The console if there is one, as whoever reads the report does. */
function wordsOf(text: TextOf): GuestWords | undefined {
  const [console, log] = [text('console.log'), text('guest-dmesg.txt')];
  if (console !== undefined) return { heading: 'End of the console', text: console };
  return log === undefined ? undefined : { heading: "End of the guest kernel's log", text: log };
}

/** What is missing beside whole files. */
function gapsOf({ symbols }: Evidence, inspected: Inspection | undefined): MissingItem[] {
  const missing: MissingItem[] = [];
  if (symbols === undefined && inspected !== undefined && inspected.symbolsBuildId === undefined) {
    const reason = inspected.namesFromGuest
      ? "no file was given with -s: names of functions come from the guest's memory, other addresses have none"
      : 'no file was given with -s: addresses have no names';
    missing.push({ item: 'symbols', reason, required: false });
  }
  for (const { id, online, missing: reason } of inspected?.vcpus ?? [])
    if (reason !== undefined) missing.push({ item: `vcpu${id}`, reason, required: online });
  for (const reason of inspected?.gaps ?? [])
    missing.push({ item: 'memory or registers', reason, required: false });
  return missing;
}

const leftOut = ({ file }: Collector): MissingItem => ({
  item: file,
  reason: 'left out by --only or --skip',
  cause: 'skipped',
  required: false,
});

/** Everything that manifest.json says but the files that are made of it. */
function describe(
  evidence: Evidence,
  { files, missing, inspection }: Gathered,
  tool: string,
  skipped: readonly Collector[],
): { manifest: Manifest; facts: Facts; said: GuestWords | undefined } {
  const { subject, host, symbols } = evidence;
  const text = (name: string): string | undefined => {
    const bytes = files.find((file) => file.name === name)?.bytes;
    return bytes && new TextDecoder().decode(bytes);
  };
  const inspected = inspection === undefined || 'problem' in inspection ? undefined : inspection;
  const facts = factsOf(evidence, text, subject.xenVersion);
  const said = wordsOf(text);
  const manifest: Manifest = {
    tool,
    source: subject.source,
    ...(host && { host: { collectedAt: host.collectedAt, root: host.isRoot } }),
    domain: { name: subject.name, domid: subject.domid, uuid: subject.uuid },
    state: facts.state,
    shutdownReason: facts.shutdownReason,
    shutdownVcpu: vcpuOfShutdown((text('xl-dmesg.txt') ?? '').split('\n')),
    kernel: {
      sha256: facts.kernel.sha256,
      buildId: inspected?.guestBuildId ?? facts.kernel.buildId,
      banner: said && linuxBanner(said.text),
    },
    symbolsBuildId: symbols?.buildId ?? inspected?.symbolsBuildId,
    xen: facts.xen,
    files: files.map(({ entry }) => entry),
    missing: [...missing, ...skipped.map(leftOut), ...gapsOf(evidence, inspected)],
  };
  return { manifest, facts, said };
}

/** @throws Interrupted */
export async function collect(
  evidence: Evidence,
  { collectors, skipped, limits }: Order,
  tool: string,
  onStep: OnStep,
): Promise<Collected> {
  const gathered = await gather(collectors, evidence, limits, onStep);
  const { files, inspection } = gathered;
  const { manifest: withoutTexts, facts, said } = describe(evidence, gathered, tool, skipped);
  const xenLog = files.find(({ name }) => name === 'xl-dmesg.txt')?.bytes;
  // Only from what is in the report: whoever reads it comes to the same.
  const crash = files.some(({ name }) => name === 'crash.json') && inspection;
  const vcpus = crash && !('problem' in crash) ? crash.vcpus : [];
  const signature = signatureOf(
    facts.shutdownReason ?? facts.state,
    said?.text ?? '',
    vcpus,
    withoutTexts.shutdownVcpu,
    { buildId: withoutTexts.kernel.buildId, xenLog: xenLog && new TextDecoder().decode(xenLog) },
  );
  const texts = [
    {
      name: 'README.txt',
      bytes: encode(renderReadme(files.map(({ collector: { file, what } }) => [file, what]))),
    },
    {
      name: 'report.txt',
      bytes: encode(renderSummary(withoutTexts, facts, signature, vcpus, said)),
    },
    { name: 'signature.json', bytes: encode(renderSignature(signature)) },
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
  const [readme, report, ...derived] = texts;
  const all = [
    readme,
    { name: 'manifest.json', bytes: encode(renderManifest(manifest)) },
    report,
    ...derived,
    ...files,
  ];
  onStep('Packing', collectors.length, collectors.length);
  const folder = `pvh-report_${safeName(evidence.subject.name).slice(0, 60)}`;
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
    gathered,
  };
}
