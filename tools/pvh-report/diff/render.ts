// A comparison as text of at most 80 lines, most decisive first. `<` is only in A, `>` only in B.
// What a guest or a stranger wrote is shown without the characters that steer a terminal.
import type { Comparison, Pair } from './compare.ts';

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
  const { divergence, lines, surplus } = console;
  if (divergence === undefined) return [];
  return [
    `  first difference in line ${divergence.line} (A has ${lines.a} lines, B ${lines.b}; without partner ${surplus.a} / ${surplus.b})`,
    ...divergence.before.map((line) => MARK.both + line),
    ...divergence.a.map((line) => MARK.a + line),
    ...divergence.b.map((line) => MARK.b + line),
  ];
}

const VERDICT_TEXT = {
  same: 'same crash',
  different: 'different crash',
  'not comparable': 'not comparable',
};

export function renderComparison(comparison: Comparison): string {
  const { judgement, sides, conditions, stack, registers, config, xenLog, missing } = comparison;
  const because =
    judgement.a === undefined && judgement.b === undefined
      ? judgement.rule
      : `${judgement.rule}: ${judgement.a ?? '(none)'} / ${judgement.b ?? '(none)'}`;
  const notEqual = registers.filter(({ relation }) => relation !== 'equal');
  const stacksDiffer = stack.rows.some((row) => row.in !== 'both');
  const lines = [
    `${VERDICT_TEXT[judgement.verdict]}: ${because}`,
    `confidence ${judgement.confidence}`,
    `A  ${sides.a.path}  ${sides.a.domain}  ${sides.a.kernel}`,
    `B  ${sides.b.path}  ${sides.b.domain}  ${sides.b.kernel}`,
    ...section(
      conditions.length > 1
        ? `Conditions: ${conditions.length} things changed between the two, so read the rest with care`
        : 'Conditions',
      conditions.map(pair),
      5,
    ),
    ...section(
      `Stack of vcpu${stack.vcpu.a ?? '?'} / vcpu${stack.vcpu.b ?? '?'}${stacksDiffer ? '' : ': equal'}`,
      stack.rows.map((row) => MARK[row.in] + row.text),
      18,
    ),
    ...section(
      `Registers: ${registers.length - notEqual.length} of ${registers.length} equal`,
      notEqual.map(
        ({ name, relation, a, b, bits }) =>
          `  ${name.padStart(6)} ${a} / ${b}  ${bits?.join(' ') ?? relation}`,
      ),
      10,
    ),
    ...section('Configuration', config.map(pair), 6),
    ...section('Console', consoleLines(comparison), 11),
    ...section(
      'Xen log',
      [...xenLog.a.map((line) => MARK.a + line), ...xenLog.b.map((line) => MARK.b + line)],
      8,
    ),
    ...section('Missing on one side', missing.map(pair), 4),
  ];
  return `${clip(lines, MAX_LINES)
    .map((line) => cut(line.replace(/[\p{Cc}\p{Cf}]/gu, '?'), 160))
    .join('\n')}\n`;
}
