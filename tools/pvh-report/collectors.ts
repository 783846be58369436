// What goes into a report, one row a file. A row says what it takes, how private it is and how much of it at most.
import { existsSync, readFileSync } from 'node:fs';
import { basename, isAbsolute } from 'node:path';
import { renderInfo } from '../xl/info.ts';
import { listEntry, renderList } from '../xl/render.ts';
import { renderCrash } from './crash.ts';
import type { Evidence, Inspection } from './evidence.ts';
import type { Origin, Privacy } from './manifest.ts';

/** Says why there is nothing to collect; anything else that is thrown is a failure of ours or of the system. */
export class NotThere extends Error {}

export interface Collector {
  readonly file: string;
  /** For README.txt. */
  readonly what: string;
  readonly origin: Origin;
  readonly privacy: Privacy;
  /** Without it the report is partial. */
  readonly required: boolean;
  /** Bytes; of more, the first quarter and the last three quarters are kept. */
  readonly bound: number;
  /** @throws NotThere with the reason. */
  readonly take: (evidence: Evidence) => string | Uint8Array;
}

const KIB = 1 << 10;
const MIB = 1 << 20;

const json = (value: unknown): string => `${JSON.stringify(value, undefined, 2)}\n`;

function inspected({ inspection }: Evidence): Inspection {
  if ('problem' in inspection) throw new NotThere(inspection.problem);
  return inspection;
}

/** domain.json without what only this host and this moment know: processes, host times, folders. */
function portableRecord({ record }: Evidence): object {
  const { process: _process, createdAt: _createdAt, kernel, ramdisk, ...rest } = record;
  return {
    ...rest,
    kernel: { ...kernel, path: basename(kernel.path) },
    ...(ramdisk && { ramdisk: { ...ramdisk, path: basename(ramdisk.path) } }),
  };
}

function fileOf(path: string, absent: string): Buffer {
  if (!existsSync(path)) throw new NotThere(absent);
  return readFileSync(path);
}

export const COLLECTORS: readonly Collector[] = [
  {
    file: 'console.log',
    what: 'what the guest wrote on its console',
    origin: 'raw',
    privacy: 'maybe',
    required: true,
    bound: 4 * MIB,
    take({ files }) {
      const text = fileOf(files.console, 'the domain has no console log');
      if (text.length === 0) throw new NotThere('the guest wrote nothing on its console');
      return text;
    },
  },
  {
    file: 'crash.json',
    what: 'vCPUs, registers and stacks with names, for `pvh-report diff`',
    origin: 'derived',
    privacy: 'none',
    required: true,
    bound: 16 * MIB,
    take: (evidence) => renderCrash(inspected(evidence).vcpus),
  },
  {
    file: 'domain.json',
    what: 'what the runtime knows of the domain',
    origin: 'raw',
    privacy: 'maybe',
    required: true,
    bound: 256 * KIB,
    take: (evidence) => json(portableRecord(evidence)),
  },
  {
    file: 'guest.cfg',
    what: 'the configuration, overrides appended, without the folders of kernel and ramdisk',
    origin: 'raw',
    privacy: 'maybe',
    required: true,
    bound: 256 * KIB,
    take({ files, record: { kernel, ramdisk } }) {
      const text = fileOf(files.config, 'the domain has no configuration file').toString();
      return [kernel.path, ramdisk?.path ?? kernel.path]
        .filter((path) => isAbsolute(path))
        .reduce((left, path) => left.replaceAll(path, basename(path)), text);
    },
  },
  {
    file: 'xenctx-unwind.txt',
    what: '`xenctx -C`: every vCPU with its true call trace',
    origin: 'derived',
    privacy: 'none',
    required: true,
    bound: 4 * MIB,
    take: (evidence) => inspected(evidence).unwindText,
  },
  {
    file: 'xenctx.json',
    what: 'the same as data',
    origin: 'derived',
    privacy: 'maybe',
    required: true,
    bound: 16 * MIB,
    take: (evidence) => inspected(evidence).xenctxJson,
  },
  {
    file: 'xenctx.txt',
    what: '`xenctx -f -a -C`: registers, code, stack and trace of every vCPU',
    origin: 'derived',
    privacy: 'maybe',
    required: true,
    bound: 4 * MIB,
    take: (evidence) => inspected(evidence).xenctxText,
  },
  {
    file: 'xenstore.txt',
    what: "the domain's part of xenstore",
    origin: 'raw',
    privacy: 'maybe',
    required: false,
    bound: 1 * MIB,
    take({ xenstore }) {
      if (typeof xenstore !== 'string') throw new NotThere(xenstore.problem);
      return xenstore;
    },
  },
  {
    file: 'xl-dmesg.txt',
    what: "the lines of `xl dmesg` about this domain; others' are left out",
    origin: 'raw',
    privacy: 'maybe',
    required: false,
    bound: 1 * MIB,
    take({ xenLog }) {
      if (xenLog.length === 0) throw new NotThere('xl dmesg has no line about this domain any more');
      return `${xenLog.join('\n')}\n`;
    },
  },
  {
    file: 'xl-info.txt',
    what: '`xl info` without the name of the host',
    origin: 'raw',
    privacy: 'none',
    required: false,
    bound: 64 * KIB,
    take: ({ info }) => renderInfo(info),
  },
  {
    file: 'xl-list.json',
    what: 'the same as data',
    origin: 'derived',
    privacy: 'none',
    required: true,
    bound: 64 * KIB,
    take: ({ record }) => json([listEntry(record)]),
  },
  {
    file: 'xl-list.txt',
    what: '`xl list -v` of this domain',
    origin: 'derived',
    privacy: 'none',
    required: true,
    bound: 64 * KIB,
    take: ({ record }) => renderList([record], { verbose: true }),
  },
];

/** What of `bytes` fits into `bound`, and a note when that is not all. */
export function boundTo(bytes: Uint8Array, bound: number): { bytes: Uint8Array; note?: string } {
  if (bytes.length <= bound) return { bytes };
  const head = bytes.subarray(0, bound / 4);
  const tail = bytes.subarray(bytes.length - (bound / 4) * 3);
  const left = bytes.length - head.length - tail.length;
  const mark = new TextEncoder().encode(`\n[... ${left} bytes left out ...]\n`);
  return {
    bytes: Buffer.concat([head, mark, tail]),
    note: `${left} of ${bytes.length} bytes left out after the first ${head.length}`,
  };
}
