// A report without what is private, or the reason why there is none: names and addresses gone, the crash still the same crash, nothing
// of what was found left anywhere. Opens no files.
import { asArray, asObject } from '../../shared/json.ts';
import { type ArchiveFile, IMAGE, packArchive, safeName, sha256 } from '../archive.ts';
import { type Manifest, parseManifest } from '../manifest.ts';
import type { Redaction, RuleCount } from '../redaction.ts';
import { type Report, reportOf, type Unpacked } from '../report.ts';
import { latin1, openDocument, readable } from './document.ts';
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
  /** Stand-ins of an earlier run, by `class value`. */
  readonly pinned: ReadonlyMap<string, string>;
}

export interface Redacted {
  readonly bytes: Uint8Array;
  readonly digest: string;
  readonly manifest: Manifest;
  readonly counts: readonly RuleCount[];
  readonly values: readonly PrivateValue[];
  /** Files that were left out. */
  readonly removed: readonly string[];
  /** Why it must not be written: something private is left, or the crash would look like another one. */
  readonly refused: string | undefined;
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

/** The manifest without what is private, about the files as they are now. */
function rewriteManifest(
  redacted: string,
  files: readonly ArchiveFile[],
  renamed: ReadonlyMap<string, string>,
  removed: readonly string[],
  redaction: Redaction,
): string {
  const top = asObject(JSON.parse(redacted), 'manifest.json');
  const listed = new Map(files.map((file) => [file.name, file]));
  const entries = asArray(top['files'], 'manifest.json: files').flatMap((value) => {
    const entry = asObject(value, 'manifest.json: files');
    const name = String(entry['name']);
    const file = listed.get(renamed.get(name) ?? name);
    return file === undefined
      ? []
      : [{ ...entry, name: file.name, sha256: sha256(file.bytes), bytes: file.bytes.length }];
  });
  const missing = [
    ...asArray(top['missing'], 'manifest.json: missing'),
    ...removed.map((item) => ({
      item,
      reason: `holds memory of the guest: left out by redact${item === IMAGE ? '' : ' (--keep memory keeps it as it is)'}`,
      cause: 'redacted',
      required: false,
    })),
  ];
  const { memory } = top;
  const none = removed.some((name) => name !== IMAGE) ? { taken: 'none', frames: 0 } : {};
  const noMemory =
    typeof memory === 'object' && removed.length > 0
      ? { memory: { ...memory, ...none, image: undefined } }
      : {};
  return `${JSON.stringify({ ...top, ...noMemory, files: entries, missing, redaction }, undefined, 2)}\n`;
}

const where = (leaks: readonly Leak[]): string =>
  leaks.map(({ file, rule, line }) => `${file}:${line} (${rule})`).join(', ');

/** What identifies the crash, evidence included. */
const identity = ({ signature }: Report): string => JSON.stringify(signature);

function changedSignature(before: Report, after: Report): string | undefined {
  if (identity(before) === identity(after)) return undefined;
  const [was, is] = [before.signature.title, after.signature.title];
  return was === is
    ? 'the crash signature would not be the same'
    : `the crash signature would not be the same: its message ${JSON.stringify(was)} would be ${JSON.stringify(is)}; if you may show that, --keep the rule that found it (see redact --show)`;
}

/** @throws FormatError for a report that was changed, or has too many private values. */
export async function redactReport(
  unpacked: Unpacked,
  { key, keep, pinned }: RedactOptions,
): Promise<Redacted> {
  const { files, image, folder, path } = unpacked;
  const report = reportOf(unpacked);
  const all = [...files].map(([name, bytes]) => ({ name, bytes }));
  const removed = [
    ...(image ? [image.name] : []),
    ...(keep.has(MEMORY) ? [] : all.filter(isMemory).map(({ name }) => name)),
  ];
  const texts = all.filter((file) => !isMemory(file));
  const documents = texts.map(({ name, bytes }) => openDocument(name, bytes));
  const manifestBytes = files.get('manifest.json') ?? new Uint8Array();
  const { rules = [], kept = [], standIns = [] } = unpacked.manifest.redaction ?? {};
  const vault = new Vault(key, machineryOf(texts), standIns, pinned);
  const redactor = new Redactor(vault, keep);
  redactor.learn(documents);

  const leaks: Leak[] = [];
  const renamed = new Map<string, string>();
  const outputs = new Map<string, Uint8Array>();
  for (const document of documents) {
    const { name } = document;
    const { bytes, leaks: found } = redactor.redact(document);
    outputs.set(name, bytes);
    leaks.push(...found);
    const other = redactor.redactText('file name', name);
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

  const packed = all.flatMap(({ name, bytes }): ArchiveFile[] => {
    if (removed.includes(name)) return [];
    return [{ name: renamed.get(name) ?? name, bytes: outputs.get(name) ?? bytes }];
  });
  const redaction: Redaction = {
    rules: addCounts(rules, redactor.counts),
    kept: [...new Set([...kept, ...keep])].sort(),
    leaks: 0,
    signature: 'same',
    standIns: [...new Set([...standIns, ...redactor.used])].sort(),
  };
  const manifestText = rewriteManifest(redactedManifest, packed, renamed, removed, redaction);
  const made = packed.map((file) =>
    file.name === 'manifest.json' ? { ...file, bytes: Buffer.from(manifestText, 'utf8') } : file,
  );

  const newFolder = rename(folder);
  leaks.push(
    ...redactor.leaks('name of the folder', Buffer.from(newFolder)),
    ...made.flatMap((file) => [
      ...redactor.leaks('name of a file', Buffer.from(file.name)),
      ...(isMemory(file) ? [] : redactor.leaks(file.name, file.bytes)),
    ]),
  );

  const { bytes, digest } = await packArchive(newFolder, made);
  const after = reportOf({
    path,
    digest,
    folder: newFolder,
    manifest: parseManifest(manifestText, `${path}: manifest.json`),
    files: new Map(made.map((file) => [file.name, file.bytes])),
  });
  return {
    bytes,
    digest,
    manifest: after.manifest,
    counts: redactor.counts,
    values: vault.values,
    removed,
    refused:
      leaks.length > 0 ? `something private would be left: ${where(leaks)}` : changedSignature(report, after),
    rename,
  };
}
