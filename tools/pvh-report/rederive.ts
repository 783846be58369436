// Makes a report again from its raw files, with other symbols or with the same: what is derived is derived anew.
import { PvhError } from '../../symbols/errors.ts';
import type { SymbolFile } from '../shared/symbol-file.ts';
import { type Assembled, assemble, isGap, type Parts, type ReportFile } from './assemble.ts';
import { COLLECTORS } from './collectors.ts';
import type { Inspection } from './evidence.ts';
import { gather } from './gather.ts';
import { deriveFromRecord } from './inspect.ts';
import { Limits } from './limits.ts';
import type { Manifest, MissingItem, Source } from './manifest.ts';
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
function whyNoRecord({ missing }: Manifest): string {
  const reasons = missing
    .filter(({ item }) => item === 'memory.core' || item === 'target.json')
    .map(({ item, reason }) => `${item}: ${reason}`);
  return `it has no memory of the guest, so nothing can be made again (${reasons.join('; ') || 'made before reports had any'})`;
}

const whatIs = (name: string, source: Source): string =>
  COLLECTORS.find(({ file, from }) => file === name && from.includes(source))?.what ?? '';

/** What is not made of anything: raw files and the image, as they are. */
function rawOf({ manifest, files, image }: Unpacked, source: Source): Pick<Parts, 'files' | 'image'> {
  const entries = manifest.files.map((entry) => ({ entry, what: whatIs(entry.name, source) }));
  const ofImage = entries.find(({ entry }) => entry.name === image?.name);
  return {
    files: entries
      .filter((each) => each.entry.origin === 'raw' && each !== ofImage)
      .map(({ entry, what }): ReportFile => {
        const { name } = entry;
        return { name, bytes: files.get(name) ?? new Uint8Array(), entry, what };
      }),
    image: image && ofImage && { file: image, ...ofImage },
  };
}

export interface RederiveOptions {
  /** Name and version that stand in the manifest. */
  readonly tool: string;
  readonly file: SymbolFile | undefined;
}

/**
 * @param report whose files are what its manifest says.
 * @throws NoRecordError, FormatError when raw files are damaged, PvhError when it takes too long.
 */
export async function rederive(
  report: Unpacked,
  { tool, file }: RederiveOptions,
): Promise<Assembled & { readonly inspection: Inspection }> {
  const { path, manifest, files } = report;
  const [memory, target] = [files.get('memory.core'), files.get('target.json')];
  if (!memory || !target) throw new NoRecordError(path, whyNoRecord(manifest));
  const source = manifest.source ?? 'runtime';
  const record = { targetJson: new TextDecoder().decode(target), memory };
  using limits = new Limits({ timeout: SECONDS, deadline: SECONDS }, new AbortController().signal);
  const { state, shutdownReason, kernel, xen, domain, host } = manifest;
  const skipped = manifest.missing.filter(isLeftOut);
  // A report from before there were pages is none that lacks one.
  const unwanted = [...skipped.map(({ item }) => item), ...(files.has(PAGE) ? [] : [PAGE])];
  const collectors = derivedCollectors(source, new Set(unwanted));
  const signal = AbortSignal.timeout(SECONDS * 1000);
  const options = { file, search: false, env: {}, signal };
  const derived = await deriveFromRecord(record, path, options).catch((cause: unknown) => {
    if (cause !== signal.reason) throw cause;
    throw new PvhError('ETIME', `${path}: could not be made again within ${SECONDS} s`, { cause });
  });
  const inspection: Inspection = { ...derived, ...record, console: undefined };
  const evidence = { subject: { source, ...domain }, inspect: async () => inspection };
  const gathered = await gather(collectors, evidence, limits, () => undefined);
  const raw = rawOf(report, source);
  const isDerived = (item: string): boolean => collectors.some((each) => each.file === item);
  const missing = manifest.missing.filter(
    (item) => !isLeftOut(item) && !isGap(item) && !isDerived(item.item),
  );
  const assembled = await assemble({
    tool,
    subject: { source, ...domain },
    ...(host && { host }),
    known: { state, shutdownReason, kernel, xen },
    files: [...raw.files, ...gathered.files].sort((a, b) => (a.name < b.name ? -1 : 1)),
    image: raw.image,
    missing: [...inOrder([...missing, ...gathered.missing]), ...skipped],
    inspection,
    redaction: manifest.redaction,
  });
  return { ...assembled, inspection };
}
