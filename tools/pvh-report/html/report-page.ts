// The page of one report: verdict, vCPUs, console, timeline, configuration, logs, files, and what is missing.
import { PvhError } from '../../../symbols/errors.ts';
import type { ManifestFile, MissingItem } from '../manifest.ts';
import { renderRedaction } from '../redaction.ts';
import { PAGE, type Report } from '../report.ts';
import { type Page, renderPage, type Section } from './document.ts';
import { type Line, type Log, readLog, renderLog, renderText } from './log-view.ts';
import { html, type Markup } from './markup.ts';
import { type Moment, makeTimeline } from './timeline.ts';
import { renderVcpu } from './vcpu-view.ts';
import { readFacts, type VcpuFacts } from './xenctx-facts.ts';

/** Characters of files beside the console; what is beyond stays in the report. */
const MAX_TEXTS = 8 << 20;
const MAX_FACTS = 8 << 20;
const MAX_ROWS = 1000;
const NOTABLE = 200;

/** Shown in their own sections, or as facts. */
const SHOWN_ELSEWHERE = new Set([
  'README.txt',
  'report.txt',
  'crash.json',
  'signature.json',
  'target.json',
  'xenctx.json',
  'console.log',
  'guest.cfg',
  'xl-list-long.json',
  'manifest.json',
]);
const BINARY = /\.(gz|zst|xz|core|bin)$/;
const CONFIGURATION = ['guest.cfg', 'xl-list-long.json'];

const textOf = ({ files }: Report, name: string): string | undefined => {
  const bytes = files.get(name);
  return bytes === undefined ? undefined : new TextDecoder().decode(bytes);
};

/** Facts of xenctx.json, or why there are none. */
function factsOf(report: Report): ReadonlyMap<number, VcpuFacts> | string {
  const bytes = report.files.get('xenctx.json');
  if (bytes === undefined) return 'xenctx.json is not in this report: source lines and memory are not shown.';
  if (bytes.length > MAX_FACTS) return 'xenctx.json is too large to be shown.';
  try {
    return readFacts(new TextDecoder().decode(bytes), 'xenctx.json');
  } catch (error) {
    if (!(error instanceof PvhError)) throw error;
    return `xenctx.json cannot be read: ${error.message}`;
  }
}

/** Rows at the head of report.txt: a name in 14 columns, its value. */
function summaryRows(report: Report): readonly (readonly [string, string])[] {
  const lines = (textOf(report, 'report.txt') ?? '').slice(0, 1 << 16).split('\n');
  const rows = lines.slice(2, lines.indexOf('', 2));
  return rows.flatMap((line) => {
    const [name, value] = [line.slice(0, 14).trim(), line.slice(15)];
    return name === '' || value === '' ? [] : [[name, value] as const];
  });
}

/** What the guest itself said of it first. */
function firstWords(guest: Log | undefined): Markup | undefined {
  const line = guest?.lines.find(({ severity }) => severity === 'fatal');
  return (
    line &&
    html`<p class="note">First in <a href="#L${line.number}">line ${line.number}</a>: <code>${line.text.slice(0, 400)}</code></p>`
  );
}

/** Rows of report.txt that the verdict has in its own words. */
const SAID_ABOVE: ReadonlySet<string> = new Set(['message', 'where', 'redacted']);

function verdict(report: Report, guest: Log | undefined): Section {
  const { manifest, signature } = report;
  const headline = (textOf(report, 'report.txt') ?? '').slice(0, 4096).split('\n')[0];
  const [top, ...callers] = signature.frames.slice(0, 5).map(({ symbol, address }) => symbol ?? address);
  const required = manifest.missing.filter((item) => item.required).length;
  const rows = summaryRows(report).filter(([name]) => !SAID_ABOVE.has(name));
  return {
    id: 'verdict',
    title: 'Verdict',
    body: html`<p>${headline || manifest.domain.name}</p>
${
  signature.title === undefined
    ? html`<p class="note">No message of a crash was found in what the guest said.</p>`
    : html`<p class="verdict fatal"><code>${signature.title}</code></p>`
}
<p class="verdict">${
      top === undefined ? 'No stack could be read.' : html`in <code>${top.slice(0, 400)}</code>`
    }${signature.vcpu ? html` on <a href="#vcpu${signature.vcpu.id}">vcpu${signature.vcpu.id}</a>` : undefined}${
      callers.length > 0
        ? html`, called by ${callers.map((caller, index) => html`${index > 0 ? ' ← ' : ''}<code>${caller.slice(0, 400)}</code>`)}`
        : undefined
    }</p>
${firstWords(guest)}
${required > 0 ? html`<p class="fatal">This report is partial: ${required} required ${required === 1 ? 'item is' : 'items are'} <a href="#missing">missing</a>.</p>` : undefined}
${manifest.redaction && html`<p class="note">Redacted: ${renderRedaction(manifest.redaction)}.</p>`}
<dl class="facts">${rows.map(([name, value]) => html`<dt>${name}</dt><dd>${value}</dd>\n`)}<dt>ending</dt><dd>${signature.ending}</dd></dl>
<details><summary class="note">How the signature came about</summary><div class="scroll"><table><thead><tr><th scope="col">Rule</th><th scope="col">Did</th></tr></thead><tbody>${signature.steps.map(
      ({ rule, did }) => html`<tr><th scope="row">${rule}</th><td>${did}</td></tr>\n`,
    )}</tbody></table></div></details>`,
  };
}

/** Frames on a page, and of one vCPU. */
const FRAMES = { all: 8192, most: 512 };

function vcpus(report: Report): Section {
  const facts = factsOf(report);
  const problem = typeof facts === 'string' ? facts : undefined;
  const crashing = report.signature.vcpu?.id;
  const role =
    crashing === report.manifest.shutdownVcpu ? 'ended the domain' : 'the one the signature is about';
  const order = report.vcpus.toSorted((a, b) => Number(b.id === crashing) - Number(a.id === crashing));
  const frames = Math.min(FRAMES.most, Math.floor(FRAMES.all / Math.max(order.length, 1)));
  const views = order.map((vcpu) =>
    renderVcpu(vcpu, {
      known: typeof facts === 'string' ? undefined : facts.get(vcpu.id),
      role: vcpu.id === crashing ? role : undefined,
      frames,
    }),
  );
  return {
    id: 'vcpus',
    title: `vCPUs (${order.length})`,
    body: html`${problem && html`<p class="note">${problem}</p>`}${
      order.length === 0 ? html`<p class="note">No vCPU is in this report.</p>` : views
    }`,
  };
}

const lineLink = ({ number, text, severity }: Line): Markup =>
  html`<tr><td class="number"><a href="#L${number}">${number}</a></td><td class="data"><span class="${severity}">${text.slice(0, 200)}</span></td></tr>\n`;

const LONG = 2000;

/** The line with the crash's message, or the last one. */
function startOf({ lines }: Log): number | undefined {
  const message = lines.find(({ severity }) => severity === 'fatal');
  return (message ?? lines.at(-1))?.number;
}

function consoleSection(log: Log, file: string): Section {
  const notable = log.lines.filter(({ severity }) => severity !== undefined);
  const fatal = notable.filter(({ severity }) => severity === 'fatal').length;
  return {
    id: 'console',
    title: file === 'console.log' ? 'Console' : "The guest kernel's log",
    body: html`<search class="bar"><label for="search">Search</label><input id="search" type="search" autocomplete="off" spellcheck="false" aria-keyshortcuts="/"><button type="button" id="search-previous" aria-label="Previous line found">Previous</button><button type="button" id="search-next" aria-label="Next line found">Next</button><output id="search-status" for="search" aria-live="polite"></output></search>
${log.leftOut && html`<p class="note">${log.leftOut}.</p>`}
<div class="log${log.lines.length > LONG ? ' long' : ''}" id="console-lines" role="region" aria-label="Lines of ${file}" tabindex="0" data-start="L${startOf(log)}">
${renderLog(log, 'L')}
</div>
${
  notable.length === 0
    ? html`<p class="note">No line looks like an error.</p>`
    : html`<details><summary>${notable.length} notable ${notable.length === 1 ? 'line' : 'lines'}, ${fatal} of a crash</summary><div class="scroll"><table><thead><tr><th scope="col" class="number">Line</th><th scope="col">Text</th></tr></thead><tbody>
${notable.slice(-NOTABLE).map(lineLink)}</tbody></table></div>${notable.length > NOTABLE ? html`<p class="note">The last ${NOTABLE}; j and k go through all.</p>` : undefined}</details>`
}`,
  };
}

const momentRow = ({ from, time, text, severity, line }: Moment): Markup =>
  html`<tr><td class="data fixed number">${time ?? '—'}</td><td class="fixed source-${from === 'Xen' ? 'xen' : 'guest'}">${from}</td><td class="data"><a href="#${from === 'Xen' ? 'X' : 'L'}${line}" aria-label="Line ${line}">${line}</a> <span class="${severity ?? 'calm'}">${text.slice(0, 400)}</span></td></tr>\n`;

function timelineSection(guest: Log | undefined, xen: Log | undefined): Section {
  const { moments, order, leftOut } = makeTimeline(guest?.lines ?? [], xen?.lines ?? []);
  return {
    id: 'timeline',
    title: 'Timeline',
    body:
      moments.length === 0
        ? html`<p class="note">Neither the guest nor the hypervisor logged anything.</p>`
        : html`<p class="note">${order} Telling lines only${leftOut > 0 ? `; ${leftOut} more are not shown` : ''}.</p>
<div class="scroll"><table><thead><tr><th scope="col" class="number">Time</th><th scope="col">From</th><th scope="col">Line</th></tr></thead><tbody>
${moments.map(momentRow)}</tbody></table></div>`,
  };
}

function configuration(report: Report): Section {
  const found = CONFIGURATION.flatMap((name) => {
    const text = textOf(report, name);
    return text === undefined ? [] : [html`<h3>${name}</h3>${renderText(text.slice(0, 1 << 20))}`];
  });
  return {
    id: 'configuration',
    title: 'Configuration',
    body: html`${found.length === 0 ? html`<p class="note">No configuration is in this report.</p>` : found}`,
  };
}

/** Which files come first among logs. */
const rank = (name: string): number => (name === 'xl-dmesg.txt' ? 0 : /\.log$|dmesg/.test(name) ? 1 : 2);

function logs(report: Report, guestLog: string, xen: Log | undefined): Section {
  let left = MAX_TEXTS;
  const files = report.manifest.files
    .filter(({ name }) => !SHOWN_ELSEWHERE.has(name) && name !== guestLog)
    .toSorted((a, b) => rank(a.name) - rank(b.name));
  const body = files.map(({ name, command, note }) => {
    const bytes = report.files.get(name);
    if (bytes === undefined) return undefined;
    const isText = !(bytes.includes(0) || BINARY.test(name));
    const isShown = isText && bytes.length <= Math.min(left, MAX_TEXTS / 2);
    if (isShown) left -= bytes.length;
    const content =
      name === 'xl-dmesg.txt' && xen
        ? html`<div class="log" role="region" aria-label="Lines of ${name}" tabindex="0">${renderLog(xen, 'X')}</div>`
        : isShown
          ? renderText(new TextDecoder().decode(bytes))
          : html`<p class="note">${isText ? 'Too large for this page: read it in the report.' : `Not a text: ${bytes.length} bytes.`}</p>`;
    return html`<details class="file"><summary><code>${name}</code> <span class="note">${command}</span></summary>${note && html`<p class="note">${note}</p>`}${content}</details>\n`;
  });
  return { id: 'logs', title: 'Logs and other files', body: html`${body}` };
}

const fileRow = ({ name, bytes, origin, privacy, sha256 }: ManifestFile): Markup =>
  html`<tr><th scope="row" class="fixed"><code>${name}</code></th><td class="number">${bytes}</td><td>${origin}</td><td>${privacy}</td><td class="data">${sha256}</td></tr>\n`;

const fileTable = ({ manifest }: Report): Section => ({
  id: 'files',
  title: `Files (${manifest.files.length})`,
  body: html`<div class="scroll"><table><thead><tr><th scope="col">Name</th><th scope="col" class="number">Bytes</th><th scope="col">Origin</th><th scope="col">Private?</th><th scope="col">SHA-256</th></tr></thead><tbody>
${manifest.files.slice(0, MAX_ROWS).map(fileRow)}</tbody></table></div>
<p class="note">Written by ${manifest.tool}. Every hash agreed with its file when this page was made.</p>`,
});

const missingRow = ({ item, reason, cause, required }: MissingItem): Markup =>
  html`<tr><th scope="row"><code>${item}</code></th><td>${required ? html`<strong class="fatal">required</strong>` : 'no'}</td><td>${cause ?? ''}</td><td>${reason}</td></tr>\n`;

const missing = ({ manifest }: Report): Section => ({
  id: 'missing',
  title: `Missing (${manifest.missing.length})`,
  body:
    manifest.missing.length === 0
      ? html`<p class="good">Nothing: everything that could be taken is here.</p>`
      : html`<div class="scroll"><table><thead><tr><th scope="col">Item</th><th scope="col">Required</th><th scope="col">Cause</th><th scope="col">Reason</th></tr></thead><tbody>
${manifest.missing.slice(0, MAX_ROWS).map(missingRow)}</tbody></table></div>`,
});

/** All but the page itself, which may be among them. */
function withoutPage(report: Report): Report {
  const files = report.manifest.files.filter(({ name }) => name !== PAGE);
  return { ...report, manifest: { ...report.manifest, files } };
}

/** The same report gives the same bytes. */
export function renderReportPage(whole: Report): string {
  const report = withoutPage(whole);
  const guestLog = report.files.has('console.log') ? 'console.log' : 'guest-dmesg.txt';
  const guest = report.console === undefined ? undefined : readLog(report.console);
  const xen = report.xenLog === undefined ? undefined : readLog(report.xenLog.slice(0, MAX_TEXTS / 8));
  const { name, domid } = report.manifest.domain;
  const page: Page = {
    kind: 'Report of a Xen PVH guest',
    title: domid === undefined ? name : `${name} (domain ${domid})`,
    sections: [
      verdict(report, guest),
      vcpus(report),
      ...(guest ? [consoleSection(guest, guestLog)] : []),
      timelineSection(guest, xen),
      configuration(report),
      logs(report, guestLog, xen),
      fileTable(report),
      missing(report),
    ],
    hasConsole: guest !== undefined,
    footer: html`Made by pvh-report from the other files of this report. This page loads nothing.`,
  };
  return renderPage(page);
}
