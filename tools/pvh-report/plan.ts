// What --dry-run and --estimate print: a table of what would be taken, or of what was and would be written.

import type { Collected } from './collect.ts';
import { type Collector, KIB, MIB, NotThere } from './collector.ts';
import type { Subject } from './evidence.ts';
import type { Source } from './manifest.ts';
import { packedSize } from './pack.ts';

/** Where it would come from, in words. */
function origin({ take }: Collector, subject: Subject, logFolder: string): string {
  try {
    if ('inspection' in take) return 'registers and memory of the guest';
    if ('runtime' in take) return 'the runtime';
    if ('others' in take) return 'the other files of the report';
    if ('program' in take) return take.program(subject).join(' ');
    return take
      .logs(subject)
      .map((name) => `${logFolder}/${name}`)
      .join(' or ');
  } catch (error) {
    if (error instanceof NotThere) return error.message;
    throw error;
  }
}

const size = (bytes: number): string =>
  bytes >= MIB
    ? `${Math.ceil(bytes / MIB)} MiB`
    : bytes >= KIB
      ? `${Math.ceil(bytes / KIB)} KiB`
      : `${bytes} B`;

const isForRoot = ({ take }: Collector): boolean => ('program' in take && take.root) || 'logs' in take;

/** Columns as wide as they need to be; the last one is left as it is. */
function table(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows
    .map((row) =>
      row
        .map((cell, column) => (column === row.length - 1 ? cell : cell.padEnd(widths[column] ?? 0)))
        .join('  '),
    )
    .map((line) => `${line}\n`)
    .join('');
}

interface PlannedFile {
  readonly file: string;
  readonly from: string;
  readonly privacy: string;
  readonly required: boolean;
  readonly needsRoot: boolean;
  readonly maxBytes: number;
  readonly maxSeconds: number;
}

export interface Plan {
  readonly schema: 'pvh-report-plan/1';
  readonly domain: Subject;
  readonly deadlineSeconds: number;
  readonly files: readonly PlannedFile[];
  readonly skipped: readonly string[];
}

export interface PlanOptions {
  readonly subject: Subject;
  readonly collectors: readonly Collector[];
  readonly skipped: readonly Collector[];
  readonly secondsFor: (collector: Collector) => number;
  readonly deadline: number;
  readonly logFolder: string;
}

export function makePlan({
  subject,
  collectors,
  skipped,
  secondsFor,
  deadline,
  logFolder,
}: PlanOptions): Plan {
  return {
    schema: 'pvh-report-plan/1',
    domain: subject,
    deadlineSeconds: deadline,
    files: collectors.map((collector) => ({
      file: collector.file,
      from: origin(collector, subject, logFolder),
      privacy: collector.privacy,
      required: collector.required,
      needsRoot: subject.source === 'xen' && isForRoot(collector),
      maxBytes: collector.bound,
      maxSeconds: secondsFor(collector),
    })),
    skipped: skipped.map(({ file }) => file),
  };
}

const SOURCES: Readonly<Record<Source, string>> = {
  runtime: 'a domain of the runtime',
  xen: 'a domain of this Xen host',
  file: 'a dump file',
  gdb: 'a guest behind a gdb stub',
};

/** @param isRoot whether what needs root would be got. */
export function renderPlan({ domain, deadlineSeconds, files, skipped }: Plan, isRoot: boolean): string {
  const number = domain.domid === undefined ? '' : ` (domain ${domain.domid})`;
  const forRoot = files.filter(({ needsRoot }) => needsRoot).length;
  return [
    `${domain.name}${number}, ${SOURCES[domain.source]}; nothing is done now, and nothing would be changed\n\n`,
    table([
      ['FILE', 'AT MOST', 'WITHIN', 'PRIVATE', 'ROOT', 'FROM'],
      ...files.map(({ file, maxBytes, maxSeconds, privacy, needsRoot, from }) => [
        file,
        size(maxBytes),
        `${maxSeconds} s`,
        privacy,
        needsRoot ? 'yes' : 'no',
        from,
      ]),
    ]),
    `\nEverything within ${deadlineSeconds} s.\n`,
    ...(skipped.length > 0 ? [`Left out: ${skipped.join(' ')}\n`] : []),
    ...(forRoot > 0 && !isRoot ? [`You are not root: ${forRoot} of these need it.\n`] : []),
  ].join('');
}

/** What a report that was not written would have had. */
interface Estimate {
  readonly schema: 'pvh-report-estimate/1';
  readonly fileName: string;
  /** Of the files. */
  readonly bytes: number;
  readonly packedBytes: number;
  readonly inspectionSeconds: number;
  /** `seconds` is absent where it is part of the inspection. */
  readonly files: readonly { readonly file: string; readonly bytes: number; readonly seconds?: number }[];
}

export function makeEstimate(collected: Collected): Estimate {
  const { gathered, files, image, fileName } = collected;
  const seconds = (milliseconds: number): number => Math.round(milliseconds / 10) / 100;
  const sizes = new Map(files.map(({ name, bytes }) => [name, bytes.length]));
  const rows: Estimate['files'] = [
    ...gathered.files.flatMap(({ name, milliseconds }) => {
      const bytes = sizes.get(name);
      return bytes === undefined ? [] : [{ file: name, bytes, seconds: seconds(milliseconds) }];
    }),
    ...(image ? [{ file: image.name, bytes: image.size }] : []),
  ];
  return {
    schema: 'pvh-report-estimate/1',
    fileName,
    bytes: rows.reduce((sum, { bytes }) => sum + bytes, 0),
    packedBytes: packedSize(collected),
    inspectionSeconds: seconds(gathered.inspectionMilliseconds),
    files: rows,
  };
}

/** Sizes and times of what was collected; the archive was not written. */
export function renderEstimate({ files, bytes, packedBytes, inspectionSeconds, fileName }: Estimate): string {
  return `${table([
    ['FILE', 'BYTES', 'SECONDS'],
    ['(reading the domain)', '', inspectionSeconds.toFixed(2)],
    ...files.map(({ file, bytes: size, seconds }) => [file, String(size), seconds?.toFixed(2) ?? '(above)']),
  ])}\n${bytes} bytes in ${files.length} files; ${fileName} would have ${packedBytes} bytes. Nothing was written.\n`;
}
