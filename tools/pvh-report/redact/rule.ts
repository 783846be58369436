// What a rule is: one kind of place in a report at which something private stands. The rules themselves: secret-rules.ts,
// address-rules.ts, name-rules.ts; their order: rules.ts.
//
// Every pattern takes time linear in the text: no repetition holds another, every open end is bounded, and what may come before a
// value is a fixed text or a class that the value cannot begin with. JSON is shown to them as lines `parent:key="value"`.

/** What a value is: says how its stand-in looks. */
export const VALUE_CLASSES = [
  'host',
  'user',
  'domain',
  'dns',
  'email',
  'ipv4',
  'ipv6',
  'mac',
  'uuid',
  'secret',
] as const;
export type ValueClass = (typeof VALUE_CLASSES)[number];

export interface Rule {
  readonly name: string;
  readonly class: ValueClass;
  /** Files that have it; all without. */
  readonly files?: RegExp;
  /** With flags `gd`; group `v` is the value, and so is `v2`. */
  readonly pattern: RegExp;
  /** Every line in which the pattern finds something has this: quicker to look for. Only where no match goes beyond its line. */
  readonly sign?: RegExp;
  /** Whether what the pattern found is meant. @param before at most 100 characters that stand before it. */
  readonly accept?: (value: string, before: string) => boolean;
  /** The value is these pieces of what `v` has; what lies between them stays. */
  readonly pieces?: RegExp;
  /** The value is of this place only: it is not looked for elsewhere. */
  readonly local?: true;
  /** `after` has the class in angle brackets for each stand-in. */
  readonly example: { readonly file?: string; readonly before: string; readonly after: string };
}

/** A pattern as rules want it. */
export const g = (source: string, flags = ''): RegExp => new RegExp(source, `gd${flags}`);
