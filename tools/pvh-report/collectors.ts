// What goes into a report, one row a file: of the guest itself, whatever it runs on, and of domains of our runtime.
import { existsSync, readFileSync } from 'node:fs';
import { basename, isAbsolute } from 'node:path';
import { renderInfo } from '../xl/info.ts';
import { listEntry, renderList } from '../xl/render.ts';
import { IMAGE } from './archive.ts';
import { type Collector, KIB, MIB, NotThere } from './collector.ts';
import { renderCrash } from './crash.ts';
import { renderRecord } from './domain-file.ts';
import { HOST_COLLECTORS } from './host-collectors.ts';
import { MAX_IMAGE } from './memory/image.ts';
import { MAX_PAGE } from './page-file.ts';
import { PAGE } from './report.ts';

/** Read once for all of them; the time is that of the whole. */
const GUEST = {
  from: ['runtime', 'xen', 'file', 'gdb'],
  origin: 'derived',
  required: true,
  seconds: 300,
} as const;
const RUNTIME = { from: ['runtime'], origin: 'raw', privacy: 'maybe', required: true, seconds: 30 } as const;

const json = (value: unknown): string => `${JSON.stringify(value, undefined, 2)}\n`;

function fileOf(path: string, absent: string): Buffer {
  if (!existsSync(path)) throw new NotThere(absent);
  return readFileSync(path);
}

function written(text: Uint8Array): Uint8Array {
  if (text.length === 0) throw new NotThere('the guest wrote nothing on its console');
  return text;
}

/** As private as what is on it. */
const PAGE_COLLECTOR = {
  ...GUEST,
  file: PAGE,
  what: 'all of this as one page: open this first, in a browser',
  take: { others: true },
  required: false,
  bound: MAX_PAGE,
} as const;

const GUEST_COLLECTORS: readonly Collector[] = [
  {
    ...GUEST,
    file: 'console.log',
    what: 'what the guest wrote on its console',
    from: ['file', 'gdb'],
    take: {
      inspection({ console }) {
        if (console === undefined)
          throw new NotThere('neither a dump file nor a stub tells what the guest wrote on its console');
        return written(console);
      },
    },
    origin: 'raw',
    privacy: 'maybe',
    required: false,
    bound: 4 * MIB,
  },
  {
    ...GUEST,
    file: 'crash.json',
    what: 'vCPUs, registers and stacks with names, for `pvh-report diff`',
    take: { inspection: ({ vcpus }) => renderCrash(vcpus) },
    privacy: 'none',
    bound: 16 * MIB,
  },
  {
    ...GUEST,
    file: 'guest-dmesg.txt',
    what: "the guest kernel's log, as it stands in its memory",
    from: ['xen', 'file', 'gdb'],
    take: {
      inspection({ kernelLog }) {
        if (typeof kernelLog !== 'string') throw new NotThere(kernelLog.problem);
        return kernelLog;
      },
    },
    privacy: 'maybe',
    required: false,
    bound: 4 * MIB,
  },
  {
    ...GUEST,
    file: IMAGE,
    what: 'the memory of the guest (`zstd -d`, then the form of `xl dump-core`)',
    take: {
      inspection({ image, memory }) {
        if (image === undefined)
          throw new NotThere('problem' in memory ? memory.problem : 'the memory was not read');
        return 'problem' in image ? image : image.file;
      },
    },
    origin: 'raw',
    privacy: 'maybe',
    bound: MAX_IMAGE,
  },
  {
    ...GUEST,
    file: 'memory.core',
    what: 'the parts of memory that the stacks, names and texts here come from (the form of `xl dump-core`)',
    take: {
      inspection({ memory }) {
        if ('problem' in memory) throw new NotThere(memory.problem);
        return memory;
      },
    },
    origin: 'raw',
    privacy: 'maybe',
    required: false,
    bound: 64 * MIB,
  },
  { ...PAGE_COLLECTOR, from: ['runtime', 'file', 'gdb'], privacy: 'maybe' },
  { ...PAGE_COLLECTOR, from: ['xen'], privacy: 'host' },
  {
    ...GUEST,
    file: 'target.json',
    what: 'what registers and memory were read from, what that lacks, and the registers as they were',
    take: { inspection: ({ targetJson }) => targetJson },
    origin: 'raw',
    privacy: 'maybe',
    bound: 4 * MIB,
  },
  {
    ...GUEST,
    file: 'xenctx-unwind.txt',
    what: '`xenctx -C`: every vCPU with its true call trace',
    take: { inspection: ({ unwindText }) => unwindText },
    privacy: 'none',
    bound: 4 * MIB,
  },
  {
    ...GUEST,
    file: 'xenctx.json',
    what: 'the same as data',
    take: { inspection: ({ xenctxJson }) => xenctxJson },
    privacy: 'maybe',
    bound: 16 * MIB,
  },
  {
    ...GUEST,
    file: 'xenctx.txt',
    what: '`xenctx -f -a -C`: registers, code, stack and trace of every vCPU',
    take: { inspection: ({ xenctxText }) => xenctxText },
    privacy: 'maybe',
    bound: 4 * MIB,
  },
];

const RUNTIME_COLLECTORS: readonly Collector[] = [
  {
    ...RUNTIME,
    file: 'console.log',
    what: 'what the guest wrote on its console',
    take: {
      runtime: ({ files }) => written(fileOf(files.console, 'the domain has no console log')),
    },
    bound: 4 * MIB,
  },
  {
    ...RUNTIME,
    file: 'domain.json',
    what: 'what the runtime knows of the domain',
    take: { runtime: (runtime) => renderRecord(runtime.record) },
    bound: 256 * KIB,
  },
  {
    ...RUNTIME,
    file: 'guest.cfg',
    what: 'the configuration, overrides appended, without the folders of kernel and ramdisk',
    take: {
      runtime({ files, record: { kernel, ramdisk } }) {
        const text = fileOf(files.config, 'the domain has no configuration file').toString();
        return [kernel.path, ramdisk?.path ?? kernel.path]
          .filter((path) => isAbsolute(path))
          .reduce((left, path) => left.replaceAll(path, basename(path)), text);
      },
    },
    bound: 256 * KIB,
  },
  {
    ...RUNTIME,
    file: 'input.log',
    what: 'what was done to the guest and when (typed, sysrq, NMI, shutdown), for `pvh-report replay`; empty: nothing',
    // The runtime makes it at the first input.
    take: { runtime: ({ files }) => (existsSync(files.inputLog) ? readFileSync(files.inputLog) : '') },
    required: false,
    bound: 4 * MIB,
  },
  {
    ...RUNTIME,
    file: 'xenstore.txt',
    what: "the domain's part of xenstore",
    take: {
      async runtime(runtime) {
        const tree = await runtime.xenstore();
        if (typeof tree !== 'string') throw new NotThere(tree.problem);
        return tree;
      },
    },
    required: false,
    bound: 1 * MIB,
  },
  {
    ...RUNTIME,
    file: 'xl-dmesg.txt',
    what: "the lines of `xl dmesg` about this domain; others' are left out",
    take: {
      runtime({ xenLog }) {
        if (xenLog.length === 0) throw new NotThere('xl dmesg has no line about this domain any more');
        return `${xenLog.join('\n')}\n`;
      },
    },
    required: false,
    bound: 1 * MIB,
  },
  {
    ...RUNTIME,
    file: 'xl-info.txt',
    what: '`xl info` without the name of the host',
    take: { runtime: ({ info }) => renderInfo(info) },
    privacy: 'none',
    required: false,
    bound: 64 * KIB,
  },
  {
    ...RUNTIME,
    file: 'xl-list.json',
    what: 'what `xl list` knows of this domain, as data',
    take: { runtime: ({ record }) => json([listEntry(record)]) },
    privacy: 'none',
    bound: 64 * KIB,
  },
  {
    ...RUNTIME,
    file: 'xl-list.txt',
    what: '`xl list -v` of this domain',
    take: { runtime: ({ record }) => renderList([record], { verbose: true }) },
    privacy: 'none',
    bound: 64 * KIB,
  },
];

/** By name, so that a report has its files in one order whoever made which first. */
export const COLLECTORS: readonly Collector[] = [
  ...GUEST_COLLECTORS,
  ...RUNTIME_COLLECTORS,
  ...HOST_COLLECTORS,
].sort((a, b) => (a.file < b.file ? -1 : 1));
