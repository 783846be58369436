// A report without what is private, or the reason why there is none: names and addresses gone, the crash still the same crash, nothing
// of what was found left anywhere. Opens no files.
import { asArray, asObject } from '../../shared/json.ts';
import { type ArchiveFile, IMAGE, safeName } from '../archive.ts';
import { renderReportPage } from '../html/report-page.ts';
import { leaveOut } from '../leave-out.ts';
import type { Manifest, MissingItem } from '../manifest.ts';
import { packArchive } from '../pack.ts';
import type { Redaction, RuleCount } from '../redaction.ts';
import { PAGE, type Report, readFiles, reportOf, type Unpacked } from '../report.ts';
import { latin1, openDocument, readable } from './document.ts';
import { type MapRow, pinnedBy } from './key-file.ts';
import { isOwnFile } from './own.ts';
import { type Leak, Redactor } from './redact.ts';
import { RULES } from './rules.ts';
import { type PrivateValue, Vault } from './vault.ts';

/** What `--keep` names beside rules and classes: files that hold memory of the guest. */
const MEMORY = 'memory';

/** Everything that can be kept. */
export const KEEPABLE: readonly string[] = [
  MEMORY,
  ...new Set(RULES.flatMap((rule) => [rule.class, rule.name])),
];

export interface RedactOptions {
  readonly key: Uint8Array;
  /** Names out of KEEPABLE. */
  readonly keep: ReadonlySet<string>;
  /** What an earlier run found: private here too, with the same stand-ins. */
  readonly earlier: readonly MapRow[];
}

export interface Redacted {
  readonly bytes: Buffer;
  readonly digest: string;
  readonly manifest: Manifest;
  readonly counts: readonly RuleCount[];
  readonly values: readonly PrivateValue[];
  readonly folder: string;
  readonly files: readonly ArchiveFile[];
  /** Files that were left out. */
  readonly removed: readonly string[];
  /** Why it must not be written. */
  readonly refused: string | undefined;
  /** Why what was made of it must not be written: something private is left, or the crash would look like another one. */
  readonly objection: (made: Unpacked) => string | undefined;
  /** A text of the report's own, such as its file's name, without what is private. */
  readonly rename: (text: string) => string;
}

/** ELF, gzip, zstd, kdump-compressed: memory, or what hides from rules. */
const MAGIC = ['7f454c46', '1f8b', '28b52ffd', '4b44554d50', 'fd377a58'];

const isMemory = ({ name, bytes }: ArchiveFile): boolean => {
  const start = Buffer.from(bytes.subarray(0, 8)).toString('hex');
  return (
    /^memory\b|\.(?:core|elf|vmcore|kdump|bin|gz|zst|xz)$/.test(name) ||
    MAGIC.some((magic) => start.startsWith(magic))
  );
};

const INPUT_LOG = 'input.log';
/** A password that was typed stands there as what it is; with another one the guest would not do what it did. */
const isTyped = ({ name, bytes }: ArchiveFile): boolean =>
  name === INPUT_LOG &&
  latin1(bytes)
    .split('\n')
    .some((line) => line !== '' && !/"kind":"(?:sysrq|shutdown|nmi)"/.test(line));

/** Why a file is left out. */
export const whyLeftOut = (name: string): string =>
  `holds ${name === INPUT_LOG ? 'console input' : 'memory'} of the guest`;

/** Names of functions of this guest. @param files that are texts. */
function machineryOf(files: readonly ArchiveFile[]): Set<string> {
  const names = new Set<string>();
  for (const { bytes } of files)
    for (const [, name = ''] of latin1(bytes).matchAll(/(?<![\w.])([A-Za-z_][\w.]{1,120})\+0x[0-9a-f]/g))
      names.add(name.toLowerCase());
  return names;
}

function addCounts(before: readonly RuleCount[], now: readonly RuleCount[]): RuleCount[] {
  const sums = new Map(before.map((row) => [row.rule, row]));
  for (const row of now) {
    const sum = sums.get(row.rule);
    sums.set(row.rule, {
      rule: row.rule,
      replacements: (sum?.replacements ?? 0) + row.replacements,
      values: (sum?.values ?? 0) + row.values,
    });
  }
  return [...sums.values()];
}

/** The manifest with the names that files have now. */
function renameFiles(manifestText: string, renamed: ReadonlyMap<string, string>): string {
  const top = asObject(JSON.parse(manifestText), 'manifest.json');
  const files = asArray(top['files'], 'manifest.json: files').map((value) => {
    const entry = asObject(value, 'manifest.json: files');
    const name = String(entry['name']);
    return { ...entry, name: renamed.get(name) ?? name };
  });
  return JSON.stringify({ ...top, files });
}

const leftOut = (item: string): MissingItem => ({
  item,
  reason: `${whyLeftOut(item)}: left out by redact${item === INPUT_LOG || item === IMAGE ? '' : ' (--keep memory keeps it as it is)'}`,
  cause: 'redacted',
  required: false,
});

const where = (leaks: readonly Leak[]): string =>
  leaks.map(({ file, rule, line }) => `${file}:${line} (${rule})`).join(', ');

/** The page of a report of which only crash and vCPUs are known: the words that every page has. */
function plainPage(made: Unpacked): string {
  const files = new Map([...made.files].filter(([name]) => /^(?:crash|xenctx)\.json$/.test(name)));
  const said = { 'console.log': '[1.0] 0\n[1.1] Panic: \n', 'xl-dmesg.txt': '(XEN) d1v0 crashed\n' };
  for (const [name, text] of Object.entries(said)) files.set(name, Buffer.from(text));
  return renderReportPage(readFiles({ ...made, files }));
}

/** What identifies the crash, evidence included: not the line as it was printed, nor which line that is. */
const identity = ({ signature: { title: _, steps: __, ...rest } }: Report): string => JSON.stringify(rest);

/** @param rulesIn what found private words in a text. */
function changedSignature(
  before: Report,
  after: Report,
  rulesIn: (text: string) => readonly string[],
): string | undefined {
  if (identity(before) === identity(after)) return undefined;
  const [was = 'none', is = 'none'] = [before.signature.message, after.signature.message];
  const rules = was === is ? [] : rulesIn(was);
  return [
    'the crash signature would not be the same',
    ...(was === is ? [] : [`: its message ${JSON.stringify(was)} would be ${JSON.stringify(is)}`]),
    ...(rules.length === 0 ? [] : [`; if that may be shown: pvh-report redact --keep ${rules.join(',')}`]),
  ].join('');
}

/** @throws FormatError for a report that was changed, or has too many private values. */
export async function redactReport(
  unpacked: Unpacked,
  { key, keep, earlier }: RedactOptions,
): Promise<Redacted> {
  const { files, image, folder, path } = unpacked;
  const report = reportOf(unpacked);
  const all = [...files].map(([name, bytes]) => ({ name, bytes }));
  const left = all.filter((file) => isTyped(file) || (isMemory(file) && !keep.has(MEMORY)));
  const removed = [...(image ? [image.name] : []), ...left.map(({ name }) => name)];
  // The page is made anew of what is left.
  const texts = all.filter((file) => !isMemory(file) && !isTyped(file) && file.name !== PAGE);
  const documents = texts.map(({ name, bytes }) => openDocument(name, bytes));
  const manifestBytes = files.get('manifest.json') ?? new Uint8Array();
  const { rules = [], kept: keptBefore = [], standIns = [] } = unpacked.manifest.redaction ?? {};
  const vault = new Vault(key, machineryOf(texts), standIns, pinnedBy(earlier));
  const redactor = new Redactor(vault, keep);
  redactor.learn(documents, earlier);

  const leaks: Leak[] = [];
  const renamed = new Map<string, string>();
  const outputs = new Map<string, Uint8Array>();
  for (const document of documents) {
    const { name } = document;
    const { bytes, leaks: found } = redactor.redact(document);
    outputs.set(name, bytes);
    leaks.push(...found);
    const other = isOwnFile(name) ? name : redactor.redactText('file name', name);
    if (other !== name) renamed.set(readable(name), other);
  }
  const { name: oldName } = report.manifest.domain;
  const redactedManifest = Buffer.from(outputs.get('manifest.json') ?? manifestBytes).toString('utf8');
  const newName = String(
    asObject(asObject(JSON.parse(redactedManifest), 'manifest.json')['domain'], 'domain')['name'],
  );
  // A name that is a common word is one here, behind the folder's `pvh-report_`.
  const rename = (text: string): string =>
    redactor.redactText(
      'file name',
      text.replace(`pvh-report_${safeName(oldName)}`, `pvh-report_${safeName(newName)}`),
    );

  const kept = all.flatMap(({ name, bytes }): ArchiveFile[] => {
    if (removed.includes(name)) return [];
    return [{ name: renamed.get(name) ?? name, bytes: outputs.get(name) ?? bytes }];
  });
  const redaction: Redaction = {
    rules: addCounts(rules, redactor.counts),
    kept: [...new Set([...keptBefore, ...keep])].sort(),
    leaks: 0,
    signature: 'same',
    standIns: [...new Set([...standIns, ...redactor.used])].sort(),
  };
  const { files: made, manifest } = leaveOut(
    renameFiles(redactedManifest, renamed),
    new Map(kept.map((file) => [file.name, file])),
    removed.map(leftOut),
    { redaction },
  );

  const objection: Redacted['objection'] = (of) => {
    const found = [
      ...leaks,
      ...redactor.leaks('name of the folder', Buffer.from(of.folder)),
      ...[...of.files].flatMap(([name, content]) => [
        ...(isOwnFile(name) ? [] : redactor.leaks('name of a file', Buffer.from(name))),
        ...(isMemory({ name, bytes: content })
          ? []
          : name === PAGE
            ? redactor.leaksOnPage(name, content, of.files, () => plainPage(of))
            : redactor.leaks(name, content)),
      ]),
    ];
    if (found.length > 0) return `something private would be left: ${where(found)}`;
    return changedSignature(report, reportOf(of), (text) => redactor.rulesIn(text));
  };
  const newFolder = rename(folder);
  const packed = [...made].map(([name, each]) => ({ name, bytes: each }));
  const { bytes, digest } = await packArchive(newFolder, packed);
  const refused = objection({ path, digest, folder: newFolder, manifest, files: made });
  return {
    bytes,
    digest,
    manifest,
    counts: redactor.counts,
    values: redactor.values,
    folder: newFolder,
    files: packed,
    removed,
    refused,
    objection,
    rename,
  };
}
