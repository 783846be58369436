// report.txt: the crash on one page, made from the other files. README.txt: what the files are.

import type { DomainRecord } from '../../core/domain/record.ts';
import { stateLetters, totalSeconds } from '../xl/render.ts';
import type { Collector } from './collectors.ts';
import type { CrashVcpu } from './crash.ts';
import type { Manifest } from './manifest.ts';
import { functionName, type Signature } from './signature.ts';

const STACK_LINES = 24;
const CONSOLE_LINES = 20;

const row = (name: string, value: string) => `${name.padEnd(14)} ${value}`;

function ending({ state, shutdownReason }: DomainRecord): string {
  if (state === 'shutdown') return `shut down, reason ${shutdownReason ?? 'unknown'}`;
  if (state === 'lost') return 'lost: its process ended without a word';
  return `${state}: this is a look at a domain that goes on`;
}

function place({ vcpu, frames }: Signature): string {
  if (vcpu === undefined) return 'unknown: no vCPU could be read';
  const named = frames.flatMap(({ symbol }) => (symbol === undefined ? [] : [symbol]));
  const [first, second] = named;
  if (first === undefined)
    return `vcpu${vcpu.id} at ${frames[0]?.address ?? 'an unknown address'} (no symbols: collect with -s and the kernel's vmlinux)`;
  return `vcpu${vcpu.id} in ${first}${second === undefined ? '' : `, called by ${functionName(second)}`}`;
}

function symbolsLine({ symbolsBuildId, kernel }: Manifest): string {
  if (symbolsBuildId === undefined) return 'no build-id known of the file given with -s, or none given';
  if (kernel.buildId === undefined) return `build-id ${symbolsBuildId}; that of the guest is unknown`;
  return symbolsBuildId === kernel.buildId
    ? `build-id ${symbolsBuildId}, the same as the guest's`
    : `build-id ${symbolsBuildId}, BUT THE GUEST HAS ${kernel.buildId}: names may be wrong`;
}

const TRACES: Readonly<Record<string, string>> = {
  orc: "by the kernel's unwind tables",
  cfi: 'by call frame information',
  fp: 'by frame pointers, where tables did not help',
  scan: 'words that look like code, where nothing else helped: may be stale',
  none: 'only where it stands',
};

function stackLines(vcpu: CrashVcpu): string[] {
  const lines = vcpu.frames.map(({ address, symbol }) => `  [<${address}>] ${symbol ?? '?'}`);
  const more = lines.length - STACK_LINES;
  return [
    `Stack of vcpu${vcpu.id} (${TRACES[vcpu.trace] ?? vcpu.trace})`,
    ...lines.slice(0, STACK_LINES),
    ...(more > 0 ? [`  ... ${more} more in crash.json`] : []),
  ];
}

function registerLines(vcpu: CrashVcpu): string[] {
  const cells = vcpu.registers.map(({ name, value }) => `${name.padStart(6)} ${value}`);
  const lines: string[] = [];
  for (let at = 0; at < cells.length; at += 4) lines.push(`  ${cells.slice(at, at + 4).join('  ')}`);
  return [`Registers of vcpu${vcpu.id}`, ...lines];
}

/** Lines of the guest's console, without what would steer a terminal. */
export const consoleTail = (text: string): string[] =>
  text
    .replace(/\r/g, '')
    .replace(/\n$/, '')
    .split('\n')
    .slice(-CONSOLE_LINES)
    .map((line) => `  ${line.replace(/\p{Cc}/gu, '?').slice(0, 160)}`);

export function renderSummary(
  record: DomainRecord,
  manifest: Manifest,
  signature: Signature,
  vcpus: readonly CrashVcpu[],
  consoleText: string | undefined,
): string {
  const { vcpu } = signature;
  const lines = [
    `${record.name} (domain ${record.domid}): ${ending(record)}`,
    '',
    row('message', signature.title ?? 'none found on the console'),
    row('where', place(signature)),
    row('xl list', stateLetters(record)),
    row('kernel', manifest.kernel.banner ?? `build-id ${manifest.kernel.buildId ?? 'unknown'}`),
    row('kernel file', `SHA-256 ${manifest.kernel.sha256}`),
    row('symbols', symbolsLine(manifest)),
    row('command line', record.cmdline || '(empty)'),
    row(
      'machine',
      `${record.memoryKiB / 1024} MiB, ${record.vcpus.length} vCPU${record.vcpus.length === 1 ? '' : 's'}, Xen ${manifest.xen ?? 'unknown'}`,
    ),
    row(
      'guest time',
      `${(record.virtualNanoseconds / 1e9).toFixed(6)} s, of that ${totalSeconds(record).toFixed(6)} s busy`,
    ),
    row(
      'repeat it',
      `seed ${record.seed}, wall clock ${record.wallclock.seconds} (${record.wallclock.source})`,
    ),
    '',
    ...vcpus.map(({ id, online, missing }) => row(`vcpu${id}`, missing ?? (online ? 'online' : 'offline'))),
    ...(vcpu === undefined ? [] : ['', ...stackLines(vcpu), '', ...registerLines(vcpu)]),
    '',
    'End of the console',
    ...(consoleText === undefined ? ['  (no console)'] : consoleTail(consoleText)),
    '',
    'Missing',
    ...(manifest.missing.length === 0
      ? ['  nothing']
      : manifest.missing.map(
          ({ item, reason, required }) => `  ${item}${required ? ' (required)' : ''}: ${reason}`,
        )),
  ];
  return `${lines.join('\n')}\n`;
}

export function renderReadme(collectors: readonly Collector[], present: ReadonlySet<string>): string {
  const files: [string, string][] = [
    ['report.txt', 'the crash on one page: read this first'],
    ['manifest.json', 'versions, SHA-256 of every file, and what is missing and why'],
    ...collectors
      .filter(({ file }) => present.has(file))
      .map(({ file, what }): [string, string] => [file, what]),
  ];
  const lines = [
    'This is a report of pvh-report about one Xen PVH guest.',
    '',
    ...files.map(([name, what]) => `  ${name.padEnd(14)} ${what}`),
    '',
    'Texts of the guest (console.log, guest.cfg, xenstore.txt, the stack in xenctx.txt) may hold names,',
    'addresses and other private data: read them before you pass the report on.',
    'Two reports are compared by: pvh-report diff A.tar.gz B.tar.gz',
  ];
  return `${lines.join('\n')}\n`;
}
