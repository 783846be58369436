// From raw files, what is made of them and the ledger to a whole report: README.txt, report.txt, manifest.json, container. Takes
// nothing else in: whoever has the raw files and the symbols comes to the same bytes.
import { TextDecoder, TextEncoder } from 'node:util';
import { type ArchiveFile, type LargeFile, safeName, sha256 } from './archive.ts';
import type { Inspection, Problem, Subject } from './evidence.ts';
import { type Facts, factsOf, type KnownFacts, type TextOf } from './facts.ts';
import { reportName } from './file-name.ts';
import {
  isPartial,
  type Manifest,
  type ManifestFile,
  type MissingItem,
  parseManifest,
  renderManifest,
} from './manifest.ts';
import { parseTarget, type TakenMemory } from './memory/target-file.ts';
import { type PackedArchive, packArchive } from './pack.ts';
import { MAX_PAGE, withPage } from './page-file.ts';
import { PAGE } from './report.ts';
import { renderSignature, signatureOf } from './signature.ts';
import { type GuestWords, renderReadme, renderSummary } from './summary.ts';
import { vcpuOfShutdown } from './xen-log.ts';

/** A file of a report with what is said of it. */
export interface ReportFile extends ArchiveFile {
  readonly entry: ManifestFile;
  /** For README.txt. */
  readonly what: string;
}

/** The image of the memory with what is said of it. */
export interface ReportImage {
  readonly file: LargeFile;
  readonly entry: ManifestFile;
  readonly what: string;
}

export interface Parts {
  /** Name and version of the tool. */
  readonly tool: string;
  readonly subject: Pick<Subject, 'source' | 'name' | 'domid' | 'uuid'>;
  readonly host?: Manifest['host'];
  readonly known: KnownFacts;
  /** Raw and derived ones, in the order of the collectors. That which is to be the page is empty. */
  readonly files: readonly ReportFile[];
  readonly image?: ReportImage | undefined;
  /** Whole files that are missing. */
  readonly missing: readonly MissingItem[];
  readonly inspection: Inspected | Problem | undefined;
  /** What was taken from the raw files before. */
  readonly redaction?: Manifest['redaction'];
}

/** What looking at the guest gave, as far as it is more than files. */
export type Inspected = Pick<
  Inspection,
  'vcpus' | 'gaps' | 'guestBuildId' | 'symbolsBuildId' | 'symbolsUsed' | 'namesFromGuest'
>;

export interface Assembled extends PackedArchive {
  readonly image?: LargeFile | undefined;
  readonly folder: string;
  /** A name for the file that tells domain, time and crash. */
  readonly fileName: string;
  /** All files but the image, in the order of the container. */
  readonly files: readonly ArchiveFile[];
  readonly manifest: Manifest;
  readonly partial: boolean;
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

/** Items of the ledger that are no files. */
const SYMBOLS = 'symbols';
const MEMORY = 'memory or registers';
const VCPU = /^vcpu\d+$/;

/** Whether an entry of the ledger is made anew with the derived files. */
export const isGap = ({ item }: MissingItem): boolean =>
  item === SYMBOLS || item === MEMORY || VCPU.test(item);

/** What is missing beside whole files. */
function gapsOf(inspected: Inspected | undefined): MissingItem[] {
  const missing: MissingItem[] = [];
  if (inspected && !inspected.symbolsUsed) {
    const reason = inspected.namesFromGuest
      ? "no file was given with -s: names come from the guest's memory, source lines are not known"
      : 'no file was given with -s: addresses have no names';
    missing.push({ item: SYMBOLS, reason, required: false });
  }
  for (const { id, online, missing: reason } of inspected?.vcpus ?? [])
    if (reason !== undefined) missing.push({ item: `vcpu${id}`, reason, required: online });
  for (const reason of inspected?.gaps ?? []) missing.push({ item: MEMORY, reason, required: false });
  return missing;
}

const takenMemory = (text: TextOf, { files, image }: Parts): TakenMemory | undefined => {
  const target = text('target.json');
  const memory = target === undefined ? undefined : parseTarget(target, 'target.json').memory;
  const isThere = files.some(isMemory);
  const none: TakenMemory = { taken: 'none', frames: 0, leftOut: 0 };
  return memory && { ...(isThere ? memory : none), image: image && memory.image };
};

/** All files that the manifest lists and does not make, by name as the collectors are. */
const described = ({ files, image }: Parts): readonly Pick<ReportFile, 'entry' | 'what'>[] =>
  image ? [...files, image].sort((a, b) => (a.entry.name < b.entry.name ? -1 : 1)) : files;

interface Described {
  readonly manifest: Manifest;
  readonly facts: Facts;
  readonly said: GuestWords | undefined;
}

/** Everything that manifest.json says but the files that are made of it. */
function describe(parts: Parts, inspected: Inspected | undefined, text: TextOf): Described {
  const { tool, subject, host, known, missing } = parts;
  const facts = factsOf(subject.source, text, known);
  const said = wordsOf(text);
  const memory = takenMemory(text, parts);
  const manifest: Manifest = {
    tool,
    source: subject.source,
    ...(host && { host }),
    domain: { name: subject.name, domid: subject.domid, uuid: subject.uuid },
    state: facts.state,
    shutdownReason: facts.shutdownReason,
    shutdownVcpu: vcpuOfShutdown((text('xl-dmesg.txt') ?? '').split('\n')),
    kernel: {
      sha256: facts.kernel.sha256,
      buildId: inspected?.guestBuildId ?? facts.kernel.buildId,
      banner: said && linuxBanner(said.text),
    },
    symbolsBuildId: inspected?.symbolsBuildId,
    xen: facts.xen,
    ...(memory && { memory }),
    files: described(parts).map(({ entry }) => entry),
    missing: [...missing, ...gapsOf(inspected)],
    ...(parts.redaction && { redaction: parts.redaction }),
  };
  return { manifest, facts, said };
}

/** Last in the container: who wants the texts alone can stop before it. */
const isMemory = ({ name }: ReportFile): boolean => name === 'memory.core';

const sumOf = (bytes: Uint8Array) => ({ sha256: sha256(bytes), bytes: bytes.length });

/** A file that is made here. */
const madeHere = (name: string, content: string): ReportFile => {
  const bytes = encode(content);
  return { name, bytes, entry: { name, ...sumOf(bytes), origin: 'derived', privacy: 'maybe' }, what: '' };
};

/** Without a page that would be too large for browsers, and for the container. */
const withoutPage = (parts: Parts, bytes: number): Parts => {
  const reason = `it would have ${bytes} bytes, ${MAX_PAGE} is the most`;
  return {
    ...parts,
    files: parts.files.filter(({ name }) => name !== PAGE),
    missing: [...parts.missing, { item: PAGE, reason, cause: 'size', required: false }],
  };
};

/** The files that say what the crash is, made only from what is in the report: whoever reads it comes to the same. */
function textsOf(
  parts: Parts,
  { manifest, facts, said }: Described,
  inspected: Inspected | undefined,
  text: TextOf,
): Readonly<Record<'readme' | 'report' | 'identity', ReportFile>> & { readonly sha8: string } {
  const vcpus = parts.files.some(({ name }) => name === 'crash.json') ? (inspected?.vcpus ?? []) : [];
  const ending = facts.shutdownReason ?? facts.state;
  const signature = signatureOf(ending, said?.text ?? '', vcpus, manifest.shutdownVcpu, {
    domain: parts.subject.name,
    buildId: manifest.kernel.buildId,
    xenLog: text('xl-dmesg.txt'),
  });
  const rows = described(parts).map(({ entry, what }) => [entry.name, what] as const);
  return {
    readme: madeHere('README.txt', renderReadme(rows)),
    report: madeHere('report.txt', renderSummary(manifest, facts, signature, vcpus, said)),
    identity: madeHere('signature.json', renderSignature(signature)),
    sha8: signature.sha8,
  };
}

/** @throws FormatError when domain.json or target.json is damaged. */
export async function assemble(parts: Parts): Promise<Assembled> {
  const { files, image, inspection, subject, host } = parts;
  const text = (name: string): string | undefined => {
    const bytes = files.find((file) => file.name === name)?.bytes;
    return bytes && new TextDecoder().decode(bytes);
  };
  const inspected = inspection === undefined || 'problem' in inspection ? undefined : inspection;
  const told = describe(parts, inspected, text);
  const { manifest: withoutTexts, facts } = told;
  const { readme, report, identity, sha8 } = textsOf(parts, told, inspected, text);
  const entries = [readme.entry, report.entry, identity.entry, ...withoutTexts.files];
  const inContainer: readonly ArchiveFile[] = [
    readme,
    { name: 'manifest.json', bytes: new Uint8Array() },
    report,
    identity,
    ...files.filter((file) => !isMemory(file)),
    ...files.filter(isMemory),
  ];
  const { files: all, manifest } = withPage(inContainer, (some) => {
    const page = some.filter(({ name }) => name === PAGE);
    const listed = entries.flatMap((entry) =>
      entry.name === PAGE ? page.map(({ bytes }) => ({ ...entry, ...sumOf(bytes) })) : [entry],
    );
    // As a reader has it, who may have to write it again.
    return renderManifest(parseManifest(renderManifest({ ...withoutTexts, files: listed }), 'manifest.json'));
  });
  const size = all.find(({ name }) => name === PAGE)?.bytes.length ?? 0;
  if (size > MAX_PAGE) return assemble(withoutPage(parts, size));
  const folder = `pvh-report_${safeName(subject.name).slice(0, 60)}`;
  const packed = await packArchive(folder, all, image?.file);
  const time = facts.guestTime ?? (host && Date.parse(host.collectedAt) / 1000);
  return {
    ...packed,
    image: image?.file,
    folder,
    fileName: reportName(folder, time, sha8),
    files: all,
    manifest,
    partial: isPartial(manifest),
  };
}
