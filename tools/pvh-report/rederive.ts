// Makes a report again from its raw files, with other symbols or with the same: what is derived is derived anew.
import { PvhError } from '../../symbols/errors.ts';
import type { SymbolFile } from '../shared/symbol-file.ts';
import { type Assembled, assemble, isGap, type ReportFile } from './assemble.ts';
import { COLLECTORS } from './collectors.ts';
import type { Inspection } from './evidence.ts';
import { gather } from './gather.ts';
import { deriveFromRecord } from './inspect.ts';
import { Limits } from './limits.ts';
import type { MissingItem, Source } from './manifest.ts';
import { PAGE, type Unpacked } from './report.ts';

/** There is nothing to make it from. */
export class NoRecordError extends PvhError {
  constructor(path: string, why: string) {
    super('ENORECORD', `${path}: ${why}`);
  }
}

/** A report is some MiB: what takes longer than this was made to. */
const SECONDS = 300;

const place = (name: string): number => COLLECTORS.findIndex(({ file }) => file === name);

/** Left out because the user said so: not to be made again either. */
const isLeftOut = ({ cause }: MissingItem): boolean =>
  cause === 'skipped' || cause === 'size' || cause === 'redacted';

/** What of a report's source is made from the record. */
const derivedCollectors = (source: Source, skipped: ReadonlySet<string>) =>
  COLLECTORS.filter(
    ({ from, take, origin, file }) =>
      from.includes(source) &&
      ('inspection' in take || 'others' in take) &&
      origin === 'derived' &&
      !skipped.has(file),
  );

const inOrder = (missing: readonly MissingItem[]): MissingItem[] =>
  [...missing].sort((a, b) => place(a.item) - place(b.item));

/** Why a report cannot be made again. */
function whyNoRecord({ manifest, files }: Unpacked): string | undefined {
  if (files.has('memory.core') && files.has('target.json')) return undefined;
  const reasons = manifest.missing
    .filter(({ item }) => item === 'memory.core' || item === 'target.json')
    .map(({ item, reason }) => `${item}: ${reason}`);
  return `it has no memory of the guest, so nothing can be made again (${reasons.join('; ') || 'made before reports had any'})`;
}

export interface RederiveOptions {
  /** Name and version that stand in the manifest. */
  readonly tool: string;
  readonly file: SymbolFile | undefined;
}

/** @throws NoRecordError, FormatError when raw files are damaged, OutOfTime. */
export async function rederive(
  report: Unpacked,
  { tool, file }: RederiveOptions,
): Promise<Assembled & { readonly inspection: Inspection }> {
  const { path, manifest, files, image } = report;
  const problem = whyNoRecord(report);
  const [memory, target] = [files.get('memory.core'), files.get('target.json')];
  if (problem !== undefined || !memory || !target) throw new NoRecordError(path, problem ?? 'no record');
  const source = manifest.source ?? 'runtime';
  const record = { targetJson: new TextDecoder().decode(target), memory };
  using limits = new Limits({ timeout: SECONDS, deadline: SECONDS }, new AbortController().signal);
  const { state, shutdownReason, kernel, xen, domain, host } = manifest;
  const skipped = manifest.missing.filter(isLeftOut);
  // A report from before there were pages is none that lacks one.
  const unwanted = [...skipped.map(({ item }) => item), ...(files.has(PAGE) ? [] : [PAGE])];
  const collectors = derivedCollectors(source, new Set(unwanted));
  const signal = AbortSignal.timeout(SECONDS * 1000);
  const derived = await deriveFromRecord(record, path, { file, search: false, env: {}, signal });
  const inspection: Inspection = { ...derived, ...record, console: undefined };
  const evidence = { subject: { source, ...domain }, inspect: async () => inspection };
  const gathered = await gather(collectors, evidence, limits, () => undefined);
  const whatIs = (name: string): string =>
    COLLECTORS.find((each) => each.file === name && each.from.includes(source))?.what ?? '';
  const raw = manifest.files
    .filter(({ origin, name }) => origin === 'raw' && name !== image?.name)
    .map((entry): ReportFile => {
      const { name } = entry;
      return { name, bytes: files.get(name) ?? new Uint8Array(), entry, what: whatIs(name) };
    });
  const imageEntry = manifest.files.find(({ name }) => name === image?.name);
  const isDerived = (item: string): boolean => collectors.some((each) => each.file === item);
  const missing = manifest.missing.filter(
    (item) => !isLeftOut(item) && !isGap(item) && !isDerived(item.item),
  );
  const assembled = await assemble({
    tool,
    subject: { source, ...domain },
    ...(host && { host }),
    known: { state, shutdownReason, kernel, xen },
    files: [...raw, ...gathered.files].sort((a, b) => (a.name < b.name ? -1 : 1)),
    ...(image && imageEntry && { image: { file: image, entry: imageEntry, what: whatIs(image.name) } }),
    missing: [...inOrder([...missing, ...gathered.missing]), ...skipped],
    inspection,
    redaction: manifest.redaction,
  });
  return { ...assembled, inspection };
}
