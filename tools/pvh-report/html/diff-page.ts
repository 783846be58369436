// The page of a comparison: what `diff` found, most decisive first. Decides nothing itself.
import type { AlignedRow } from '../diff/align.ts';
import type { Comparison, Side } from '../diff/compare.ts';
import { firstPlace, type Template } from '../diff/console.ts';
import { leftOutLines } from '../diff/left-out.ts';
import type { Pair } from '../diff/pair.ts';
import type { RegisterDifference } from '../diff/registers.ts';
import type { Section as SectionName } from '../diff/scope.ts';
import { renderPage, type Section } from './document.ts';
import { html, type Markup, type Part } from './markup.ts';

/** Of each list; `diff --json` has all. */
const MAX_ROWS = 2000;
const MAX_TEXT = 1000;

const VERDICTS = {
  same: { text: 'The same crash', look: 'good' },
  different: { text: 'Different crashes', look: 'fatal' },
  'not comparable': { text: 'Not comparable', look: 'warning' },
};

const short = (text: string): string => (text.length > MAX_TEXT ? `${text.slice(0, MAX_TEXT)}…` : text);
const value = (text: string | undefined): Markup =>
  text === undefined ? html`<span class="note">none</span>` : html`<code>${short(text)}</code>`;

interface Table {
  readonly columns: readonly string[];
  readonly rows: readonly Markup[];
}

/** A table, or what it means that there are no rows. */
function table({ columns, rows }: Table, empty: string): Markup {
  if (rows.length === 0) return html`<p class="note">${empty}</p>`;
  const more = rows.length - MAX_ROWS;
  return html`<div class="scroll"><table><thead><tr>${columns.map((name) => html`<th scope="col">${name}</th>`)}</tr></thead><tbody>
${rows.slice(0, MAX_ROWS)}</tbody></table></div>${more > 0 ? html`<p class="note">${more} more: diff --json has all.</p>` : undefined}`;
}

const SHORT = 30;

/** A long table opens when it is asked for. */
const folded = (content: Markup, count: number): Markup =>
  count > SHORT ? html`<details><summary>${count} lines</summary>${content}</details>` : content;

/** @param said what the last column says of the two. */
const comparedRow = (what: Part, a: Part, b: Part, said?: string, differs = false): Markup =>
  html`<tr class="${differs ? 'differs' : ''}"><th scope="row">${what}</th><td>${a}</td><td>${b}</td>${said && html`<td>${said}</td>`}</tr>\n`;

const pairRow = ({ what, a, b }: Pair): Markup => comparedRow(short(what), value(a), value(b));

const pairs = (rows: readonly Pair[], empty: string): Markup =>
  table({ columns: ['What', 'A', 'B'], rows: rows.map(pairRow) }, empty);

function sideFacts(name: string, { path, domain, kernel, signature }: Side): Markup {
  return html`<div><h3>${name}</h3><dl class="facts"><dt>report</dt><dd>${short(path.replace(/^.*\//, ''))}</dd><dt>domain</dt><dd>${short(domain)}</dd><dt>kernel</dt><dd>${short(kernel.replace(/^kernel /, ''))}</dd><dt>signature</dt><dd><code>${signature.sha8}</code>${
    signature.weak ? ' (weak: no names)' : ''
  } ${short(signature.text)}</dd></dl></div>`;
}

const has = ({ leftOut }: Comparison, section: SectionName): boolean => !leftOut?.sections.includes(section);

function changes({ conditions, changed }: Comparison): Markup {
  return html`<h3>What else changed between the two</h3>
${changed > 1 ? html`<p class="warning">${changed} things changed between the two: read the rest with care.</p>` : undefined}${pairs(
  conditions,
  'Kernel, symbols, Xen, tool and number of vCPUs are the same.',
)}`;
}

function verdict(comparison: Comparison): Section {
  const { judgement, sides, leftOut } = comparison;
  const { text, look } = VERDICTS[judgement.verdict];
  const looked =
    judgement.a === undefined && judgement.b === undefined
      ? undefined
      : html`<p>A: ${value(judgement.a)}<br>B: ${value(judgement.b)}</p>`;
  return {
    id: 'verdict',
    title: 'Verdict',
    body: html`<p class="verdict ${look}"><strong>${text}</strong>${
      judgement.otherSite ? ' (the same signature, another place in the function)' : ''
    }</p>
<p>Decided by: ${short(judgement.rule)}. Confidence: ${judgement.confidence}.</p>
${looked}<div class="pair">${sideFacts('A', sides.a)}${sideFacts('B', sides.b)}</div>
${leftOutLines(leftOut).map((line) => html`<p class="note">${short(line)}</p>`)}${has(comparison, 'conditions') ? changes(comparison) : undefined}`,
  };
}

const SIDE = { both: 'both', a: 'A only', b: 'B only' };

const alignedRow = (row: AlignedRow): Markup =>
  html`<tr class="${row.in === 'both' ? 'both' : `only-${row.in}`}"><td class="fixed">${SIDE[row.in]}</td><td>${
    row.in === 'b' ? undefined : value(row.text)
  }</td><td>${row.in === 'a' ? undefined : value(row.text)}</td></tr>\n`;

function stack(comparison: Comparison): Section {
  const { vcpu, rows } = comparison.stack;
  const columns = ['In', `A: vcpu${vcpu.a ?? '?'}`, `B: vcpu${vcpu.b ?? '?'}`];
  return {
    id: 'stack',
    title: 'Stacks',
    body: html`${
      has(comparison, 'stack')
        ? table({ columns, rows: rows.map(alignedRow) }, 'Neither report has a stack.')
        : undefined
    }${
      has(comparison, 'vcpus')
        ? html`<h3>Other vCPUs</h3>${pairs(comparison.vcpus, 'No other vCPU was in different functions.')}`
        : undefined
    }`,
  };
}

const registerRow = ({ name, relation, a, b, bits }: RegisterDifference): Markup => {
  const said = bits && bits.length > 0 ? `bits ${bits.join(' ')}` : relation;
  return comparedRow(value(name), value(a), value(b), said, relation === 'differs');
};

function registers({ registers: all }: Comparison): Section {
  const columns = ['Register', 'A', 'B', 'How they relate'];
  const equal = all.filter(({ relation }) => relation === 'equal');
  const others = all.filter(({ relation }) => relation !== 'equal');
  return {
    id: 'registers',
    title: `Registers (${equal.length} of ${all.length} equal)`,
    body: html`${table({ columns, rows: others.map(registerRow) }, 'None differs.')}${
      equal.length > 0
        ? html`<details><summary>${equal.length} equal</summary>${table({ columns, rows: equal.map(registerRow) }, '')}</details>`
        : undefined
    }`,
  };
}

const configuration = ({ config }: Comparison): Section => ({
  id: 'configuration',
  title: 'Configuration',
  body: table(
    {
      columns: ['Setting', 'A', 'B', 'May matter'],
      rows: config.map(({ what, a, b, harmless }) =>
        comparedRow(value(what), value(a), value(b), harmless ? 'no' : 'yes'),
      ),
    },
    'No setting differs, as far as both reports have them.',
  ),
});

const seconds = (time: number | undefined): string =>
  time === undefined ? 'no time' : `${time.toFixed(3)} s`;

const lines = (side: 'both' | 'a' | 'b', texts: readonly string[]): Markup[] =>
  texts.map(
    (text) =>
      html`<tr class="${side === 'both' ? 'both' : `only-${side}`}"><td class="fixed">${SIDE[side]}</td><td class="data">${short(text)}</td></tr>\n`,
  );

const templates = (side: 'a' | 'b', found: readonly Template[]): Markup[] =>
  found.map(
    ({ text, count }) =>
      html`<tr><td class="fixed">${SIDE[side]}</td><td class="number">${count}</td><td class="data">${short(text)}</td></tr>\n`,
  );

function consoles({ console }: Comparison): Section {
  const head = { id: 'console', title: 'Consoles' };
  if (console === undefined)
    return { ...head, body: html`<p class="note">One of the reports has no console.</p>` };
  const { divergence, numbers, surplus, only, lines: count } = console;
  const columns = ['In', 'Line'];
  return {
    ...head,
    body: html`<p>A has ${count.a} lines, B ${count.b}. Without a partner: ${surplus.a} / ${surplus.b}. With other numbers only: ${numbers}.</p>
<h3>First difference</h3>
${
  divergence === undefined
    ? html`<p class="note">There is none: both say the same.</p>`
    : html`<p>In line ${firstPlace(console)}, at ${seconds(divergence.seconds.a)} / ${seconds(divergence.seconds.b)}.</p>${table(
        {
          columns,
          rows: [
            ...lines('both', divergence.before),
            ...lines('a', divergence.a),
            ...lines('b', divergence.b),
            ...lines('both', divergence.after),
          ],
        },
        '',
      )}`
}
<h3>What only one of them says</h3>
${folded(
  table(
    {
      columns: ['In', 'Times', 'Line'],
      rows: [...templates('a', only.a), ...templates('b', only.b)],
    },
    'Nothing.',
  ),
  only.a.length + only.b.length,
)}`,
  };
}

const xenLog = ({ xenLog: { a, b } }: Comparison): Section => ({
  id: 'xen-log',
  title: 'Hypervisor log',
  body: folded(
    table(
      { columns: ['In', 'Line'], rows: [...lines('a', a), ...lines('b', b)] },
      'No line differs, as far as both reports have them.',
    ),
    a.length + b.length,
  ),
});

const timing = ({ timing: phases }: Comparison): Section => ({
  id: 'timing',
  title: 'Timing',
  body: table(
    {
      columns: ['Phase', 'A', 'B', 'Differs'],
      rows: phases.map(({ phase, a, b, differs }) =>
        comparedRow(phase, seconds(a), seconds(b), differs ? 'yes' : 'no', differs),
      ),
    },
    'The consoles have no times that tell.',
  ),
});

const missing = ({ missing: rows }: Comparison): Section => ({
  id: 'missing',
  title: 'Missing on one side',
  body: pairs(rows, 'Both have the same parts.'),
});

type Shown = readonly [shown: (comparison: Comparison) => Section, ...of: readonly SectionName[]];

const SECTIONS: readonly Shown[] = [
  [stack, 'stack', 'vcpus'],
  [registers, 'registers'],
  [configuration, 'config'],
  [consoles, 'console'],
  [xenLog, 'xenLog'],
  [timing, 'timing'],
  [missing, 'missing'],
];

/** The same comparison gives the same bytes. */
export const renderDiffPage = (comparison: Comparison): string =>
  renderPage({
    kind: 'Comparison of two reports',
    title: `${short(comparison.sides.a.domain)} and ${short(comparison.sides.b.domain)}`,
    sections: [
      verdict(comparison),
      ...SECTIONS.filter(([, ...of]) => of.some((name) => has(comparison, name))).map(([section]) =>
        section(comparison),
      ),
    ],
    hasConsole: false,
    footer: html`Made by pvh-report diff. This page loads nothing.`,
  });
