// A report as a mail to a mailing list: plain text with a subject, under the limit of the lists, the most telling first.
// Tells nothing of the host that is not in the report.
import { ending } from '../facts.ts';
import type { Source } from '../manifest.ts';
import type { Report } from '../report.ts';
import { releaseOf } from '../triage/row.ts';
import { byteLength, cut, foreignLines, headerText, keep, plain, wrap } from './text.ts';

/** What vger.kernel.org takes; lists.xenproject.org takes more. */
export const MAIL_BYTES = 100_000;

const WIDTH = 78;

/** The file that the mail is about. */
export interface Attachment {
  readonly name: string;
  readonly bytes: number;
  readonly sha256: string;
}

interface Section {
  readonly title: string;
  readonly lines: readonly string[];
  readonly which: 'first' | 'last';
  /** Bytes; without it, what the others leave. */
  readonly limit?: number;
}

/** What a reader must know before he looks for the fault in his own code. */
const SOURCES: Readonly<Record<Source, string>> = {
  runtime: 'It ran in the emulated PVH runtime of pvh-report, not on a Xen host.',
  xen: 'It ran on a Xen host.',
  file: 'This is from a dump file of the guest.',
  gdb: 'This is from a gdb stub of the guest.',
};

const kernelOf = ({ manifest: { kernel } }: Report): string => {
  const release = releaseOf(kernel.banner);
  if (release !== undefined) return `Linux ${release}`;
  return kernel.buildId === undefined ? 'unknown kernel' : `kernel ${kernel.buildId.slice(0, 12)}`;
};

const xenOf = ({ manifest: { xen } }: Report): string => (xen === undefined ? 'unknown Xen' : `Xen ${xen}`);

function subjectOf(report: Report): string {
  const { kind, title = `${kind}, no message` } = report.signature;
  const { name } = report.manifest.domain;
  const text = `[BUG] PVH guest ${cut(name, 60)}: ${cut(title, 120)}, ${cut(kernelOf(report), 60)} on ${cut(xenOf(report), 40)}`;
  return `Subject: ${headerText(plain(text))}`;
}

/** What happened. */
function storyOf(report: Report): string[] {
  const { manifest, signature } = report;
  const { title, sha8, weak, names } = signature;
  const { name, domid } = manifest.domain;
  const { state, shutdownReason } = manifest;
  const end = ending({ state, shutdownReason, kernel: {}, rows: [] });
  const where =
    signature.vcpu === undefined
      ? 'no vCPU could be read'
      : `vcpu${signature.vcpu.id} ${weak || names.length === 0 ? `at ${signature.vcpu.frames[0]?.address ?? 'an unknown address'}` : `in ${names.join(', called by ')}`}`;
  const sentences = [
    `PVH guest ${name}${domid === undefined ? '' : ` (domain ${domid})`}, ${kernelOf(report)} on ${xenOf(report)}: ${end}.${manifest.source === undefined ? '' : ` ${SOURCES[manifest.source]}`}`,
    `Message: ${title ?? 'none found in what the guest said'}`,
    `Where: ${where} (signature ${sha8}${weak ? ', weak: no names' : ''}).`,
  ];
  return sentences.flatMap((sentence) => wrap(plain(cut(sentence, 600)), WIDTH, '  '));
}

/** Up to the console and the list of what is missing: these have sections of their own here. */
const summaryOf = (text: string): string => text.split(/^(?:End of the |Missing$)/m)[0] ?? '';

function attachmentLines({ digest, manifest }: Report, { name, bytes, sha256 }: Attachment): string[] {
  return [
    `  ${cut(plain(name), 100)}`,
    `    ${bytes} bytes, SHA-256 ${sha256}`,
    `    unpacked SHA-256 ${digest}, with:`,
    ...manifest.files.map(
      (file) => `  ${file.sha256} ${String(file.bytes).padStart(9)} ${cut(file.name, 60)}`,
    ),
  ];
}

function sectionsOf(report: Report, attachment: Attachment): Section[] {
  const { manifest, files, xenLog, config, hostConfig } = report;
  const text = (name: string): string | undefined => {
    const bytes = files.get(name);
    return bytes && new TextDecoder().decode(bytes);
  };
  const summary = text('report.txt');
  const words = text('console.log');
  const log = text('guest-dmesg.txt');
  const section = (
    title: string,
    content: string | undefined,
    which: Section['which'],
    limit?: number,
  ): Section[] =>
    content === undefined || content.trim() === ''
      ? []
      : [{ title, lines: foreignLines(content), which, ...(limit !== undefined && { limit }) }];
  const missing = manifest.missing.map(
    ({ item, reason, required }) =>
      `  ${cut(item, 60)}${required ? ' (required)' : ''}: ${cut(plain(reason), 400)}`,
  );
  return [
    ...section('Summary (report.txt)', summary && summaryOf(summary), 'first', 24_000),
    ...section('Console, its end (console.log)', words, 'last'),
    ...(words === undefined ? section("The guest kernel's log, its end (guest-dmesg.txt)", log, 'last') : []),
    ...section('Hypervisor log, lines about this domain (xl-dmesg.txt)', xenLog, 'last', 12_000),
    ...section('Configuration (guest.cfg)', config, 'first', 8000),
    ...(config === undefined ? section('Configuration (xl list -l)', hostConfig, 'first', 8000) : []),
    {
      title: 'Missing from the report',
      lines: missing.length === 0 ? ['  nothing'] : missing,
      which: 'first',
      limit: 6000,
    },
    { title: 'Attached', lines: attachmentLines(report, attachment), which: 'first', limit: 12_000 },
  ];
}

const rule = (title: string): string => `== ${title} `.padEnd(WIDTH, '=');

/** Headers and text, at most `limit` bytes. */
export function renderMail(report: Report, attachment: Attachment, limit: number = MAIL_BYTES): string {
  const head = [
    subjectOf(report),
    'MIME-Version: 1.0',
    'Content-Type: text/plain; charset=utf-8',
    'Content-Transfer-Encoding: 8bit',
    '',
    ...storyOf(report),
  ];
  const sections = sectionsOf(report, attachment);
  // First those of a known size; the one without takes what is left.
  const bounded = sections.map(({ lines, which, limit: own }) =>
    own === undefined ? undefined : keep(which, lines, own),
  );
  const frame = (title: string, lines: readonly string[]): string[] => ['', rule(title), '', ...lines];
  const textOf = (open: readonly string[]): string =>
    `${[...head, ...sections.flatMap(({ title }, at) => frame(title, bounded[at] ?? open))].join('\n')}\n`;
  const room = limit - byteLength(textOf([]));
  const rest = sections.find((section) => section.limit === undefined);
  return textOf(rest === undefined ? [] : keep(rest.which, rest.lines, room));
}
