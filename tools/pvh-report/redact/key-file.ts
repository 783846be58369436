// What must stay with whoever redacts: the key, and the map of private values and their stand-ins. Never part of a report.
import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { FormatError } from '../../../symbols/errors.ts';
import { asArray, asObject, asString, parseJson } from '../../shared/json.ts';
import { latin1, readable } from './document.ts';
import { VALUE_CLASSES, type ValueClass } from './rule.ts';
import { lowerCase, type PrivateValue } from './vault.ts';

const MAP_SCHEMA = 'pvh-report-private-map/1';

/** Shorter ones could be guessed. */
const MIN_KEY_BYTES = 16;
const MAX_KEY_BYTES = 4096;
const MAX_MAP_BYTES = 64 << 20;

export interface MapRow {
  readonly class: ValueClass;
  readonly rule: string;
  readonly value: string;
  readonly standIn: string;
}

export interface PrivateMap {
  /** Absent when it was given as a file. */
  readonly key?: Uint8Array;
  readonly values: readonly MapRow[];
}

export const newKey = (): Uint8Array => randomBytes(32);

/** @throws FormatError unless it can be a key; system errors as they come. */
export function readKey(path: string): Uint8Array {
  const { size } = statSync(path);
  if (size < MIN_KEY_BYTES || size > MAX_KEY_BYTES)
    throw new FormatError(
      `a key has ${MIN_KEY_BYTES} to ${MAX_KEY_BYTES} bytes (head -c 32 /dev/urandom > FILE makes one)`,
      { source: path },
    );
  return readFileSync(path);
}

/** Not `asString`: values have any characters and lengths. */
function text(value: unknown, place: string): string {
  if (typeof value !== 'string') throw new FormatError('not a text', { source: place });
  return value;
}

function asClass(value: unknown, place: string): ValueClass {
  const known = VALUE_CLASSES.find((each) => each === value);
  if (known === undefined) throw new FormatError('a class of values that is not known', { source: place });
  return known;
}

/** The map of an earlier run; undefined when there is none at this path. @throws FormatError */
export function readMap(path: string): PrivateMap | undefined {
  if (!existsSync(path)) return undefined;
  if (statSync(path).size > MAX_MAP_BYTES) throw new FormatError('too large for a map', { source: path });
  const top = asObject(parseJson(readFileSync(path, 'utf8'), path), path);
  if (top['schema'] !== MAP_SCHEMA) throw new FormatError(`not of schema ${MAP_SCHEMA}`, { source: path });
  const key = top['key'] === undefined ? undefined : Buffer.from(asString(top['key'], `${path}: key`), 'hex');
  if (key !== undefined && key.length < MIN_KEY_BYTES) throw new FormatError('no key', { source: path });
  return {
    ...(key && { key }),
    values: asArray(top['values'], `${path}: values`).map((each) => {
      const place = `${path}: values`;
      const row = asObject(each, place);
      return {
        class: asClass(row['class'], place),
        rule: text(row['rule'], place),
        value: text(row['value'], place),
        standIn: text(row['standIn'], place),
      };
    }),
  };
}

/** Stand-ins by `class value`, as a vault wants them. */
export const pinnedBy = (rows: readonly MapRow[]): Map<string, string> =>
  new Map(rows.map((row) => [`${row.class} ${lowerCase(latin1(Buffer.from(row.value)))}`, row.standIn]));

/** @param before what the map had already: stays. */
export function renderMap(
  key: Uint8Array | undefined,
  values: readonly PrivateValue[],
  before: PrivateMap | undefined,
): string {
  const rows = new Map<string, MapRow>();
  const put = (row: MapRow): unknown => rows.set(`${row.class} ${row.value} ${row.standIn}`, row);
  for (const row of before?.values ?? []) put(row);
  for (const { class: kind, rule, value, standIn } of values)
    put({ class: kind, rule, value: readable(value), standIn });
  const map = {
    schema: MAP_SCHEMA,
    ...(key && { key: Buffer.from(key).toString('hex') }),
    values: [...rows.values()],
  };
  return `${JSON.stringify(map, undefined, 1)}\n`;
}
