// A comparison as text of at most 80 lines, most decisive first. `<` is only in A, `>` only in B.
// What a guest or a stranger wrote is shown without the characters that steer a terminal.
import type { AlignedRow } from './align.ts';
import type { Comparison, Side } from './compare.ts';
import { firstPlace, type Template } from './console.ts';
import { leftOutLines } from './left-out.ts';
import type { Pair } from './pair.ts';

const MAX_LINES = 80;
const WIDTH = 100;

const cut = (text: string, width: number) => (text.length > width ? `${text.slice(0, width - 1)}…` : text);

/** At most `limit` lines, the last of which says how many are left out. */
function clip(lines: readonly string[], limit: number): string[] {
  return lines.length <= limit
    ? [...lines]
    : [...lines.slice(0, limit - 1), `  … ${lines.length - limit + 1} more (--json has all)`];
}

const pair = ({ what, a, b }: Pair): string =>
  `  ${what}: ${cut(a ?? '(none)', WIDTH / 2)} / ${cut(b ?? '(none)', WIDTH / 2)}`;

function section(title: string, lines: readonly string[], limit: number): string[] {
  return lines.length === 0 ? [] : ['', title, ...clip(lines, limit)];
}

const MARK = { both: '    ', a: '  < ', b: '  > ' };

function consoleLines({ console }: Comparison): string[] {
  if (console === undefined) return [];
  const { divergence, lines, surplus, numbers, hunks } = console;
  if (divergence === undefined)
    return numbers === 0 ? [] : [`  the same words; other numbers in ${numbers} of ${lines.a} lines`];
  const { a, b } = divergence.seconds;
  const when = (seconds: number | undefined) => (seconds === undefined ? '?' : `${seconds.toFixed(3)} s`);
  return [
    `  first difference in line ${firstPlace(console)}, at ${when(a)} / ${when(b)}; ${hunks.length} in all`,
    `  A has ${lines.a} lines, B ${lines.b}; without partner ${surplus.a} / ${surplus.b}; other numbers in ${numbers}`,
    ...divergence.before.map((line) => MARK.both + line),
    ...divergence.a.map((line) => MARK.a + line),
    ...divergence.b.map((line) => MARK.b + line),
    ...divergence.after.map((line) => MARK.both + line),
  ];
}

/** What only one console says, most often said first. */
function onlyLines({ console }: Comparison): string[] {
  if (console === undefined) return [];
  const said = (mark: string, templates: readonly Template[]) =>
    templates.map(({ text, count }) => ({ count, line: `${mark}${count > 1 ? `${count}x ` : ''}${text}` }));
  return [...said(MARK.a, console.only.a), ...said(MARK.b, console.only.b)]
    .sort((x, y) => y.count - x.count)
    .map(({ line }) => line);
}

/** Rows of a stack; long runs of equal ones in one line. */
function stackLines(rows: readonly AlignedRow[]): string[] {
  const lines: string[] = [];
  const equal: string[] = [];
  const flush = () => {
    const hidden = equal.length - 4;
    if (hidden > 1) lines.push(...equal.slice(0, 2), `      … ${hidden} equal`, ...equal.slice(-2));
    else lines.push(...equal);
    equal.length = 0;
  };
  for (const row of rows) {
    if (row.in === 'both') equal.push(MARK.both + row.text);
    else {
      flush();
      lines.push(MARK[row.in] + row.text);
    }
  }
  flush();
  return lines;
}

const seconds = (value: number | undefined): string =>
  value === undefined ? 'not reached' : `${value.toFixed(3)} s`;

const signatureOfSide = ({ signature: { sha8, text, weak } }: Side): string =>
  `${sha8}${weak ? ' (weak)' : ''} ${text}`;

const VERDICT_TEXT = {
  same: 'same crash',
  different: 'different crash',
  'not comparable': 'not comparable',
};

export function renderComparison(comparison: Comparison): string {
  const { judgement, sides, conditions, changed, stack, registers, config, xenLog, missing, leftOut } =
    comparison;
  const verdict = judgement.otherSite
    ? `${VERDICT_TEXT.same} (the same signature, another place in the function)`
    : VERDICT_TEXT[judgement.verdict];
  const because =
    judgement.a === undefined && judgement.b === undefined
      ? judgement.rule
      : `${judgement.rule}: ${judgement.a ?? '(none)'} / ${judgement.b ?? '(none)'}`;
  const notEqual = registers.filter(({ relation }) => relation !== 'equal');
  const stacksDiffer = stack.rows.some((row) => row.in !== 'both');
  const lines = [
    `${verdict}: ${because}`,
    `confidence ${judgement.confidence}`,
    ...leftOutLines(leftOut),
    `A  ${sides.a.path}  ${sides.a.domain}  ${sides.a.kernel}`,
    `B  ${sides.b.path}  ${sides.b.domain}  ${sides.b.kernel}`,
    ...section(
      changed > 1
        ? `Conditions: ${changed} things changed between the two, so read the rest with care`
        : 'Conditions',
      conditions.map(pair),
      6,
    ),
    ...section(
      comparison.sides.a.signature.text === comparison.sides.b.signature.text ? 'Signature' : 'Signatures',
      comparison.sides.a.signature.text === comparison.sides.b.signature.text
        ? [`  ${signatureOfSide(sides.a)}`]
        : [`${MARK.a}${signatureOfSide(sides.a)}`, `${MARK.b}${signatureOfSide(sides.b)}`],
      2,
    ),
    ...section(
      `Stack of vcpu${stack.vcpu.a ?? '?'} / vcpu${stack.vcpu.b ?? '?'}${stacksDiffer ? '' : ': equal'}`,
      stackLines(stack.rows),
      14,
    ),
    ...section('Other vCPUs', comparison.vcpus.map(pair), 3),
    ...section(
      `Registers: ${registers.length - notEqual.length} of ${registers.length} equal`,
      notEqual.map(
        ({ name, relation, a, b, bits }) =>
          `  ${name.padStart(6)} ${a} / ${b}  ${bits?.join(' ') ?? relation}`,
      ),
      8,
    ),
    ...section('Configuration', config.filter(({ harmless }) => !harmless).map(pair), 6),
    ...section('Console', consoleLines(comparison), 16),
    ...section('Only one console says', onlyLines(comparison), 6),
    ...section(
      'Xen log',
      [...xenLog.a.map((line) => MARK.a + line), ...xenLog.b.map((line) => MARK.b + line)],
      5,
    ),
    ...section(
      'Time',
      comparison.timing
        .filter(({ differs }) => differs)
        .map(({ phase, a, b }) => `  ${phase}: ${seconds(a)} / ${seconds(b)}`),
      3,
    ),
    ...section('Missing on one side', missing.map(pair), 4),
  ];
  return `${clip(lines, MAX_LINES)
    .map((line) => cut(line.replace(/[\p{Cc}\p{Cf}]/gu, '?'), 160))
    .join('\n')}\n`;
}
