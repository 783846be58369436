// As much of JSON Schema 2020-12 as docs/schema uses. A keyword that it does not know is an error, so that no rule is passed over.

type Json = Readonly<Record<string, unknown>>;

const isObject = (value: unknown): value is Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const TYPES: Readonly<Record<string, (value: unknown) => boolean>> = {
  object: isObject,
  array: Array.isArray,
  string: (value) => typeof value === 'string',
  integer: Number.isSafeInteger,
  number: (value) => typeof value === 'number',
  boolean: (value) => typeof value === 'boolean',
  null: (value) => value === null,
};

/** Say nothing of a value. */
const SILENT = ['$schema', '$id', '$defs', 'title', 'description'];

/** One rule of a schema: yields what is wrong. */
type Rule = (rule: unknown, value: unknown, place: string, check: Check) => Iterable<string>;
type Check = (schema: unknown, value: unknown, place: string) => Iterable<string>;

const RULES: Readonly<Record<string, Rule>> = {
  *type(rule, value, place) {
    const kinds: readonly unknown[] = Array.isArray(rule) ? rule : [rule];
    if (!kinds.some((kind) => TYPES[String(kind)]?.(value))) yield `${place}: no ${kinds.join(' or ')}`;
  },
  *const(rule, value, place) {
    if (value !== rule) yield `${place}: not ${rule}`;
  },
  *enum(rule, value, place) {
    if (!(rule as unknown[]).includes(value)) yield `${place}: ${value} is none of ${rule}`; // a schema of ours
  },
  *pattern(rule, value, place) {
    if (typeof value === 'string' && !new RegExp(String(rule), 'u').test(value))
      yield `${place}: ${value} does not match ${rule}`;
  },
  *minimum(rule, value, place) {
    if (typeof value === 'number' && value < Number(rule)) yield `${place}: below ${rule}`;
  },
  *maxItems(rule, value, place) {
    if (Array.isArray(value) && value.length > Number(rule)) yield `${place}: more than ${rule}`;
  },
  *required(rule, value, place) {
    for (const name of rule as string[]) // a schema of ours
      if (isObject(value) && !(name in value)) yield `${place}: no ${name}`;
  },
  *anyOf(rule, value, place, check) {
    const each = (rule as unknown[]).map((schema) => [...check(schema, value, place)]); // a schema of ours
    if (each.every((wrong) => wrong.length > 0)) yield each.map((wrong) => wrong.join(', ')).join('; or ');
  },
  *items(rule, value, place, check) {
    for (const [index, item] of Array.isArray(value) ? value.entries() : [])
      yield* check(rule, item, `${place}[${index}]`);
  },
};

/**
 * What is wrong with a value. Properties that the schema does not name are wrong too: a reader takes them, but what we write is to
 * be written down.
 * @param others schemas that it refers to, by their `$id`.
 */
export function violations(
  root: Json,
  value: unknown,
  others: ReadonlyMap<unknown, Json> = new Map(),
): string[] {
  const check: Check = function* (schema, given, place) {
    if (!isObject(schema)) throw new Error(`${place}: no schema`);
    const { properties, additionalProperties, $ref, ...rest } = schema;
    if (typeof $ref === 'string') {
      const other = others.get($ref);
      const target = $ref
        .split('/')
        .slice(1)
        .reduce((at: unknown, part) => (isObject(at) ? at[part] : undefined), root);
      yield* other
        ? violations(other, given, others).map((wrong) => place + wrong)
        : check(target, given, place);
    }
    for (const [keyword, rule] of Object.entries(rest)) {
      if (SILENT.includes(keyword)) continue;
      const known = RULES[keyword];
      if (!known) throw new Error(`${place}: keyword ${keyword} is not known here`);
      yield* known(rule, given, place, check);
    }
    if (!isObject(given) || (properties ?? additionalProperties) === undefined) return;
    for (const [name, part] of Object.entries(given)) {
      const own = (isObject(properties) ? properties[name] : undefined) ?? additionalProperties;
      if (own === undefined) yield `${place}.${name}: not in the schema`;
      else yield* check(own, part, `${place}.${name}`);
    }
  };
  return [...check(root, value, '')];
}
