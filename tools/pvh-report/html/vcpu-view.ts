// One vCPU: where it stands, its frames, registers, the words of its stack and the code it was in.
import type { CrashRegister, CrashVcpu } from '../crash.ts';
import { html, type Markup } from './markup.ts';
import type { FrameFacts, SourcePlace, StackWord, VcpuFacts } from './xenctx-facts.ts';

const HOW: Readonly<Record<string, string>> = {
  registers: 'where it stands',
  orc: "the kernel's unwind tables",
  cfi: 'call frame information',
  fp: 'frame pointer',
  scan: 'a word on the stack that looks like code: may be stale',
  exception: 'an exception came in between',
  gap: 'the trace goes on after a gap',
  overflow: 'the stack overflowed here',
};

/** Of names that a stranger made up, no more is shown. */
const MAX_NAME = 200;
const MAX_REGISTERS = 64;

const name = (text: string): string => (text.length > MAX_NAME ? `${text.slice(0, MAX_NAME)}…` : text);

/** What is shown of a vCPU beside crash.json. */
export interface Shown {
  /** What xenctx.json adds. */
  readonly known: VcpuFacts | undefined;
  /** Of the vCPU that the report is about: why it is. */
  readonly role: string | undefined;
  /** So many frames at most. */
  readonly frames: number;
}

type Row = readonly [string, string | Markup | undefined];

const facts = (rows: readonly Row[]): Markup =>
  html`<dl class="facts">${rows.map(([what, value]) =>
    value === undefined ? undefined : html`<dt>${what}</dt><dd>${value}</dd>\n`,
  )}</dl>`;

const placeText = ({ file, line }: SourcePlace): string | undefined =>
  file === undefined ? undefined : `${name(file)}${line === undefined ? '' : `:${line}`}`;

/** `a/b/c.c:12` as `c.c:12`, and the inlined function that is there. */
function shortPlace([innermost, ...outer]: readonly SourcePlace[]): string | undefined {
  const place = innermost && placeText(innermost)?.replace(/^.*\//, '');
  return place === undefined || outer.length === 0
    ? place
    : `${place} in ${name(innermost?.function ?? '?')} (inlined)`;
}

/** Which functions were inlined where: innermost first. */
const chain = (source: readonly SourcePlace[]): Markup | undefined =>
  source.length === 0
    ? undefined
    : html`<ul class="chain">${source.map(
        (place, index) =>
          html`<li><code>${name(place.function ?? '?')}</code> <code>${placeText(place) ?? 'file unknown'}</code>${
            index < source.length - 1 ? ' (inlined)' : ''
          }</li>`,
      )}</ul>`;

const registerText = (rows: FrameFacts['registers']): Markup =>
  html`<code>${rows.map(([register, value]) => `${register} ${value}`).join('  ')}</code>`;

const EVENTS = ['exception', 'gap', 'overflow'];

function frameItem(frame: FrameFacts): Markup {
  const { how, address, symbol, at, stack, doubt, why, source, registers } = frame;
  const isEvent = EVENTS.includes(how);
  const title = isEvent
    ? html`<em>${HOW[how]}</em>`
    : html`<code>${name(symbol ?? address ?? 'unknown')}</code>`;
  const inner = shortPlace(source);
  const interrupted = new Map(registers).get('rip');
  return html`<li class="${isEvent ? 'event' : 'real'}"><details><summary><span>${title}${
    inner === undefined ? undefined : html`<code class="place">${inner}</code>`
  }</span><span class="how">${isEvent ? (interrupted ?? '') : how}</span></summary><div>${facts([
    ['address', address && html`<code>${address}</code>`],
    ['source', chain(source)],
    ['found by', isEvent ? undefined : (HOW[how] ?? how)],
    ['return address at', isEvent || at === undefined ? undefined : html`<code>${at}</code>`],
    ['at', isEvent && at !== undefined ? html`<code>${at}</code>` : undefined],
    ['stack', stack],
    ['doubt', doubt],
    ['why', why],
    ['interrupted', registers.length === 0 ? undefined : registerText(registers)],
  ])}</div></details></li>`;
}

const plainFrames = ({ frames }: CrashVcpu): FrameFacts[] =>
  frames.map(({ address, symbol, how }) => ({
    how: how ?? 'unknown',
    address,
    symbol,
    at: undefined,
    stack: undefined,
    doubt: undefined,
    why: undefined,
    source: [],
    registers: [],
  }));

const WHOLE = 'end of stack';

function frameList(vcpu: CrashVcpu, { known, frames: limit }: Shown): Markup {
  const id = `frames${vcpu.id}`;
  const frames = known !== undefined && known.frames.length > 0 ? known.frames : plainFrames(vcpu);
  if (frames.length === 0) return html`<h3>Frames</h3><p class="note">None could be read.</p>`;
  const more = frames.length - limit;
  const end = known?.end === undefined || known.end === WHOLE ? undefined : `The trace ends: ${known.end}.`;
  return html`<div class="heading"><h3>Frames</h3><button type="button" data-open="${id}" aria-pressed="false">Open all</button></div>
<ol class="frames" id="${id}">${frames.slice(0, limit).map(frameItem)}</ol>
${more > 0 ? html`<p class="note">${more} more in xenctx.json.</p>` : undefined}${end && html`<p class="note">${end}</p>`}${
  known && known.user.length > 0
    ? html`<details><summary class="note">Registers of user mode</summary><p>${registerText(known.user)}</p></details>`
    : undefined
}`;
}

const registerTable = ({ id, registers }: CrashVcpu): Markup =>
  html`<div class="scroll"><table class="dense"><thead><tr><th scope="col">Register</th><th scope="col">Value</th><th scope="col">Points to</th></tr></thead><tbody>
${registers
  .slice(0, MAX_REGISTERS)
  .map(
    (register) =>
      html`<tr><th scope="row" class="fixed"><code>${name(register.name)}</code></th><td class="data fixed">${register.value}</td><td class="data">${register.symbol && name(register.symbol)}</td></tr>\n`,
  )}</tbody></table></div>${registers.length === 0 ? html`<p class="note">None of vcpu${id} could be read.</p>` : undefined}`;

const rowTable = (caption: string, rows: readonly (readonly [string, string])[]): Markup | undefined =>
  rows.length === 0
    ? undefined
    : html`<details><summary class="note">${caption}</summary><div class="scroll"><table><thead><tr><th scope="col">Name</th><th scope="col">Value</th></tr></thead><tbody>${rows.map(
        ([what, value]) =>
          html`<tr><th scope="row" class="fixed"><code>${what}</code></th><td class="data">${name(value)}</td></tr>\n`,
      )}</tbody></table></div></details>`;

function ascii(word: string | undefined): string {
  if (word === undefined) return '........';
  const bytes = word.match(/../g) ?? [];
  // Words are little-endian in memory.
  return bytes
    .reverse()
    .map((byte) => {
      const code = Number.parseInt(byte, 16);
      return code >= 0x20 && code < 0x7f ? String.fromCharCode(code) : '.';
    })
    .join('');
}

function stackTable(words: readonly StackWord[], frames: readonly FrameFacts[]): Markup {
  const returns = new Map(
    frames.flatMap(({ at, symbol, address }) => (at ? [[at, symbol ?? address] as const] : [])),
  );
  return html`<p class="note">Lowest address first; where a frame's return address lies, its function.</p><div class="scroll"><table class="plain dense"><thead><tr><th scope="col">Address</th><th scope="col">Word</th><th scope="col">Text</th><th scope="col">Frame</th></tr></thead><tbody>
${words.map(({ address, value }) => {
  const symbol = returns.get(address);
  return html`<tr><td class="data fixed">${address}</td><td class="data fixed">${value ?? 'unreadable'}</td><td class="data fixed">${ascii(value)}</td><td class="data">${symbol && name(symbol)}</td></tr>\n`;
})}</tbody></table></div>`;
}

function codeView({ start, bytes }: NonNullable<VcpuFacts['code']>, rip: string | undefined): Markup {
  const here = rip === undefined ? -1 : Number(BigInt(`0x${rip}`) - BigInt(`0x${start}`));
  return html`<h3>Code from ${start}, rip marked</h3><pre class="bytes" tabindex="0" aria-label="Code around rip">${bytes.map(
    (byte, index) => (index === here ? html`<span class="here">${byte}</span> ` : `${byte} `),
  )}</pre>`;
}

/** How it came here: frames, and the stack they lie on. */
const flow = (vcpu: CrashVcpu, shown: Shown): Markup => {
  const { known } = shown;
  return html`${frameList(vcpu, shown)}${
    known && known.stack.length > 0
      ? html`<h3>Memory at the stack pointer</h3>${stackTable(known.stack, known.frames)}`
      : undefined
  }${rowTable('Memory that could not be read', known?.unreadable ?? [])}`;
};

const ripOf = ({ registers }: CrashVcpu): CrashRegister | undefined =>
  registers.find(({ name: register }) => register === 'rip');

/** What it holds: registers, and the code it was in. */
const state = (vcpu: CrashVcpu, known: VcpuFacts | undefined): Markup =>
  html`<h3>Registers</h3>${registerTable(vcpu)}${
    known && known.flags.length > 0
      ? html`<p class="note">Flags set: <code>${known.flags.join(' ')}</code></p>`
      : undefined
  }${rowTable('Segments and tables', known?.segments ?? [])}${known?.code && codeView(known.code, ripOf(vcpu)?.value)}`;

export function renderVcpu(vcpu: CrashVcpu, shown: Shown): Markup {
  const { known, role } = shown;
  const { id, online, missing } = vcpu;
  const at = ripOf(vcpu);
  const place = missing ?? (online ? (at?.symbol ?? at?.value ?? 'online') : 'offline');
  const head = html`<summary><h3 id="vcpu${id}">vcpu${id}</h3><span class="note">${
    role && html`<strong class="fatal">${role}</strong> `
  }<code>${name(place)}</code>${known?.task && ` ${name(known.task)}`}${known?.mode && known.mode !== 'long' ? `, ${known.mode} mode` : ''}</span></summary>`;
  const body =
    missing === undefined
      ? html`<div class="columns"><div>${flow(vcpu, shown)}</div><div>${state(vcpu, known)}</div></div>`
      : html`<div><p class="note">${missing}</p></div>`;
  return role !== undefined
    ? html`<details class="vcpu" open>${head}${body}</details>\n`
    : html`<details class="vcpu">${head}${body}</details>\n`;
}
