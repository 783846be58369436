// report.txt: the crash on one page, made from the other files. README.txt: what the files are.

import { IMAGE } from './archive.ts';
import type { CrashVcpu } from './crash.ts';
import { ending, type Facts } from './facts.ts';
import type { Manifest } from './manifest.ts';
import type { ImageMemory } from './memory/target-file.ts';
import { type Redaction, renderRedaction } from './redaction.ts';
import { REPLAYED_FROM } from './replay/recorded.ts';
import { PAGE } from './report.ts';
import { functionName, type Signature } from './signature.ts';

const STACK_LINES = 24;
const CONSOLE_LINES = 20;

const row = (name: string, value: string) => `${name.padEnd(14)} ${value}`;

function place({ vcpu, frames }: Signature): string {
  if (vcpu === undefined) return 'unknown: no vCPU could be read';
  const named = frames.flatMap(({ symbol }) => (symbol === undefined ? [] : [symbol]));
  const [first, second] = named;
  if (first === undefined)
    return `vcpu${vcpu.id} at ${frames[0]?.address ?? 'an unknown address'} (no symbols: collect with -s and the kernel's vmlinux)`;
  return `vcpu${vcpu.id} in ${first}${second === undefined ? '' : `, called by ${functionName(second)}`}`;
}

function symbolsLine({ symbolsBuildId, kernel, missing }: Manifest): string {
  if (symbolsBuildId === undefined)
    return (
      missing.find(({ item }) => item === 'symbols')?.reason ??
      'no build-id known of the file given with -s, or none given'
    );
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

/** Rows of report.txt that are there as long as these files are, whole. */
export const ROWS_OF_FILES: Readonly<Record<'replay' | 'memory image', readonly string[]>> = {
  replay: REPLAYED_FROM,
  'memory image': [IMAGE],
};

const OPENED = `zstd -d ${IMAGE}, then xenctx -C ${IMAGE.replace('.zst', '')}`;

function imageLine({ taken, frames, leftOut }: ImageMemory): string {
  const all = Object.values(leftOut).reduce((sum, count) => sum + count, frames);
  return `${taken === 'all' ? 'everything' : "the kernel's"}, ${frames} of ${all} frames: ${OPENED}`;
}

/** What can be done with the report, beside reading it. */
function offers({ files, memory }: Manifest, { replayed }: Facts): [string, string][] {
  const whole = new Set(files.flatMap(({ name, note }) => (note === undefined ? [name] : [])));
  const isThere = (row: keyof typeof ROWS_OF_FILES) => ROWS_OF_FILES[row].every((name) => whole.has(name));
  const options = replayed?.map((image) => ` --${image} FILE`).join('');
  return [
    ...(options !== undefined && isThere('replay')
      ? [['replay', `pvh-report replay REPORT.tar.gz${options}`] satisfies [string, string]]
      : []),
    ...(memory?.image && isThere('memory image')
      ? [['memory image', imageLine(memory.image)] satisfies [string, string]]
      : []),
  ];
}

/** Without what would steer a terminal. */
const plain = (text: string): string => text.replace(/\p{Cc}/gu, '?');

/** Lines of the guest's console, without what would steer a terminal. */
export const consoleTail = (text: string): string[] =>
  text
    .replace(/\r/g, '')
    .replace(/\n$/, '')
    .split('\n')
    .slice(-CONSOLE_LINES)
    .map((line) => `  ${plain(line).slice(0, 160)}`);

/** The last that is known of the guest's own words. */
export interface GuestWords {
  readonly heading: string;
  readonly text: string;
}

/** The end of report.txt. */
export const missingLines = (missing: Manifest['missing']): string[] => [
  'Missing',
  ...(missing.length === 0
    ? ['  nothing']
    : missing.map(
        ({ item, reason, required }) => `  ${item}${required ? ' (required)' : ''}: ${plain(reason)}`,
      )),
];

const REDACTED = 'redacted';
/** The last of the rows at the head of report.txt. */
const redactedRow = (redaction: Redaction): string => row(REDACTED, renderRedaction(redaction));

/** report.txt with the row that says so. */
export function sayRedacted(text: string, redaction: Redaction): string {
  const lines = text.split('\n');
  const end = lines.indexOf('', 2);
  if (end <= 2 || lines[2] === 'Missing') return text;
  const rows = lines.slice(2, end).filter((line) => !line.startsWith(row(REDACTED, '')));
  return [...lines.slice(0, 2), ...rows, redactedRow(redaction), ...lines.slice(end)].join('\n');
}

export function renderSummary(
  manifest: Manifest,
  facts: Facts,
  signature: Signature,
  vcpus: readonly CrashVcpu[],
  said: GuestWords | undefined,
): string {
  const { vcpu } = signature;
  const { name, domid } = manifest.domain;
  const lines = [
    `${plain(name)}${domid === undefined ? '' : ` (domain ${domid})`}: ${ending(facts)}`,
    '',
    row('message', signature.title ?? 'none found in what the guest said'),
    row('where', place(signature)),
    row(
      'signature',
      `${signature.sha8}${signature.weak ? ' (weak: no names)' : ''} ${plain(signature.text)}`,
    ),
    row('kernel', manifest.kernel.banner ?? `build-id ${manifest.kernel.buildId ?? 'unknown'}`),
    row('symbols', symbolsLine(manifest)),
    ...[...facts.rows, ...offers(manifest, facts)].map(([what, value]) => row(what, plain(value))),
    ...(manifest.host
      ? [row('collected', `${manifest.host.collectedAt}${manifest.host.root ? '' : ', not as root'}`)]
      : []),
    ...(manifest.redaction ? [redactedRow(manifest.redaction)] : []),
    '',
    ...vcpus.map(({ id, online, missing }) => row(`vcpu${id}`, missing ?? (online ? 'online' : 'offline'))),
    ...(vcpu === undefined ? [] : ['', ...stackLines(vcpu), '', ...registerLines(vcpu)]),
    '',
    said?.heading ?? 'End of the console',
    ...(said === undefined ? ['  (no console)'] : consoleTail(said.text)),
    '',
    ...missingLines(manifest.missing),
  ];
  return `${lines.join('\n')}\n`;
}

const TEXTS_OF_GUEST = ['console.log', 'guest-dmesg.txt', 'guest.cfg', 'input.log', 'xenstore.txt'];

/** @param collected names and what they are, in the order of the report. */
export function renderReadme(collected: readonly (readonly [string, string])[]): string {
  const page = collected.filter(([name]) => name === PAGE);
  const files = [
    ...page,
    ['report.txt', `the crash on one page${page.length > 0 ? ', as text' : ': read this first'}`],
    ['manifest.json', 'versions, SHA-256 of every file, and what is missing and why'],
    ['signature.json', 'what identifies this crash, and how that came about'],
    ...collected.filter(([name]) => name !== PAGE),
  ] as const;
  const width = Math.max(...files.map(([name]) => name.length));
  const isThere = (name: string): boolean => collected.some(([each]) => each === name);
  const texts = TEXTS_OF_GUEST.filter(isThere);
  const ofHost = collected.some(([name]) => name.startsWith('host-'));
  const lines = [
    'This is a report of pvh-report about one Xen PVH guest.',
    '',
    ...files.map(([name, what]) => `  ${name.padEnd(width)} ${what}`),
    '',
    `Texts of the guest (${[...texts, 'the stack in xenctx.txt'].join(', ')}) may`,
    'hold names, addresses and other private data: read them before you pass the report on.',
    ...(page.length > 0 ? ['report.html shows all of them.'] : []),
    ...(isThere('memory.core')
      ? [
          'memory.core has stacks and other memory of the kernel, with whatever stood there.',
          'Symbols are added by: pvh-report symbolize REPORT.tar.gz -s vmlinux',
        ]
      : []),
    ...(isThere(IMAGE)
      ? [
          `${IMAGE} has the memory of the guest itself: think of who will have it. To look into it:`,
          `${OPENED} (or pvh-report gdbserver, pvh-report export)`,
        ]
      : []),
    ...(REPLAYED_FROM.every(isThere)
      ? [
          'If the domain had ended: pvh-report replay REPORT.tar.gz --kernel FILE runs it again to the same',
          'instruction. FILE (and --ramdisk FILE) is what it began with: report.txt has names and SHA-256.',
        ]
      : []),
    ...(ofHost
      ? ['Files called host-... tell of the host and of the other domains on it: read them too.']
      : []),
    'Two reports are compared by: pvh-report diff A.tar.gz B.tar.gz',
  ];
  return `${lines.join('\n')}\n`;
}
