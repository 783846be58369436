// What manifest.json says of a report from which `redact` took what is private: how much, by which rule, and what stands there now.
import { FormatError } from '../../symbols/errors.ts';
import { asArray, asNumber, asObject, asString } from '../shared/json.ts';

/** What one rule replaced. */
export interface RuleCount {
  readonly rule: string;
  readonly replacements: number;
  /** Distinct ones. */
  readonly values: number;
}

export interface Redaction {
  readonly rules: readonly RuleCount[];
  /** What the user wanted to be left. */
  readonly kept: readonly string[];
  /** None, or not looked for: files were made again of memory that was not redacted. */
  readonly leaks: 0 | 'unknown';
  readonly signature: 'same';
  /** Every stand-in: these words are nobody's. */
  readonly standIns: readonly string[];
}

const MAX_LINE = 2000;

/** One line for people: what was replaced, by rule and how often. */
export function renderRedaction({ rules, kept, leaks }: Redaction): string {
  const counts = rules.map(({ rule, replacements }) => `${rule} ${replacements}`);
  const parts = [
    rules.length === 0
      ? 'nothing private was found'
      : `stand-ins for private values, by rule ${counts.join(', ')}`,
    ...(kept.length === 0 ? [] : [`kept ${kept.join(', ')}`]),
    ...(leaks === 0 ? [] : ['parts were made again since, of memory that was not redacted']),
  ];
  return parts
    .join('; ')
    .replace(/\p{Cc}/gu, '?')
    .slice(0, MAX_LINE);
}

/** As many values as redact takes, each in two forms. */
const MAX_STAND_INS = 1 << 18;

/** @throws FormatError */
export function parseRedaction(value: unknown, place: string): Redaction {
  const redaction = asObject(value, place);
  const { leaks, signature } = redaction;
  if ((leaks !== 0 && leaks !== 'unknown') || signature !== 'same')
    throw new FormatError('not what redact writes', { source: place });
  return {
    rules: asArray(redaction['rules'], place).map((each) => {
      const row = asObject(each, place);
      return {
        rule: asString(row['rule'], place),
        replacements: asNumber(row['replacements'], place),
        values: asNumber(row['values'], place),
      };
    }),
    kept: asArray(redaction['kept'], place).map((each) => asString(each, place)),
    leaks,
    signature,
    standIns: asArray(redaction['standIns'], place, MAX_STAND_INS).map((each) => asString(each, place)),
  };
}
