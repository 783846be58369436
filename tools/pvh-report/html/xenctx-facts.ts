// What xenctx.json says of a vCPU beyond crash.json: frames with source lines, the stack's words, code. It may come from anybody:
// what is not of its shape is refused, and long lists are cut.
import { FormatError } from '../../../symbols/errors.ts';
import { asArray, asNumber, asObject, asOptional, asString, parseJson } from '../../shared/json.ts';

export interface SourcePlace {
  readonly function: string | undefined;
  readonly file: string | undefined;
  readonly line: number | undefined;
}

/** A name and a value. */
type Row = readonly [string, string];

export interface FrameFacts {
  /** `registers`, `orc`, `cfi`, `fp`, `scan`; or `exception`, `gap`, `overflow`. */
  readonly how: string;
  readonly address: string | undefined;
  readonly symbol: string | undefined;
  /** Where on the stack the address lies. */
  readonly at: string | undefined;
  /** Which stack. */
  readonly stack: string | undefined;
  readonly doubt: string | undefined;
  readonly why: string | undefined;
  /** Innermost first: inlined functions, then the one they are in. */
  readonly source: readonly SourcePlace[];
  /** Of an exception: what was interrupted. */
  readonly registers: readonly Row[];
}

export interface StackWord {
  readonly address: string;
  /** Absent where memory could not be read. */
  readonly value: string | undefined;
}

export interface VcpuFacts {
  readonly id: number;
  readonly mode: string | undefined;
  readonly task: string | undefined;
  readonly flags: readonly string[];
  readonly segments: readonly Row[];
  readonly code: { readonly start: string; readonly bytes: readonly string[] } | undefined;
  readonly stack: readonly StackWord[];
  readonly frames: readonly FrameFacts[];
  /** Why there are no more frames. */
  readonly end: string | undefined;
  /** Of user mode below the kernel. */
  readonly user: readonly Row[];
  readonly unreadable: readonly Row[];
}

const MAX = { vcpus: 128, frames: 2048, words: 8192, rows: 64, places: 64, bytes: 256 };
const HEX16 = /^[0-9a-f]{16}$/;

const text = (value: unknown, place: string): string | undefined => asOptional(asString, value, place);

function list(value: unknown, limit: number, place: string): readonly unknown[] {
  return (asOptional(asArray, value, place) ?? []).slice(0, limit);
}

function hex16(value: unknown, place: string): string {
  const digits = asString(value, place);
  if (!HEX16.test(digits)) throw new FormatError('not 16 hex digits', { source: place });
  return digits;
}

function rows(value: unknown, place: string): Row[] {
  const entries = Object.entries(asOptional(asObject, value, place) ?? {}).slice(0, MAX.rows);
  return entries.flatMap(([name, each]): Row[] =>
    typeof each === 'string' || typeof each === 'number'
      ? [[name.slice(0, 40), String(each).slice(0, 80)]]
      : [],
  );
}

/** `cs` and the like: selector, base and limit in one line. */
function segments(value: unknown, place: string): Row[] {
  const entries = Object.entries(asOptional(asObject, value, place) ?? {}).slice(0, MAX.rows * 2);
  return entries.flatMap(([name, each]): Row[] => {
    if (typeof each !== 'object' || each === null) return [];
    const parts = rows(each, place).map(([part, content]) =>
      part === 'base' ? `base ${content}` : `${part} ${Number(content).toString(16)}`,
    );
    return [[name.slice(0, 40), parts.join(', ')]];
  });
}

function frame(value: unknown, place: string): FrameFacts {
  const fields = asObject(value, place);
  return {
    how: asString(fields['how'], `${place}: how`),
    address: asOptional(hex16, fields['address'], `${place}: address`),
    symbol: text(fields['symbol'], `${place}: symbol`),
    at: asOptional(hex16, fields['at'], `${place}: at`),
    stack: text(fields['stack'], `${place}: stack`),
    doubt: text(fields['doubt'], `${place}: doubt`),
    why: text(fields['why'], `${place}: why`),
    source: list(fields['source'], MAX.places, `${place}: source`).map((each) => {
      const source = asObject(each, `${place}: source`);
      return {
        function: text(source['function'], `${place}: function`),
        file: text(source['file'], `${place}: file`),
        line: asOptional(asNumber, source['line'], `${place}: line`),
      };
    }),
    registers: rows(fields['registers'], `${place}: registers`),
  };
}

function code(value: unknown, place: string): VcpuFacts['code'] {
  const fields = asOptional(asObject, value, place);
  if (fields === undefined) return undefined;
  const bytes = asString(fields['bytes'], `${place}: bytes`).split(' ').slice(0, MAX.bytes);
  return { start: hex16(fields['start'], `${place}: start`), bytes };
}

function task(value: unknown, place: string): string | undefined {
  const fields = asOptional(asObject, asOptional(asObject, value, place)?.['task'], place);
  if (fields === undefined) return undefined;
  return `${text(fields['comm'], place) ?? '?'} (pid ${asOptional(asNumber, fields['pid'], place) ?? 'unknown'})`;
}

function vcpu(value: unknown, source: string): VcpuFacts {
  const fields = asObject(value, source);
  const id = asNumber(fields['id'], `${source}: id`);
  const place = `${source}: vcpu ${id}`;
  const unwind = asOptional(asObject, fields['unwind'], `${place}: unwind`) ?? {};
  return {
    id,
    mode: text(fields['mode'], `${place}: mode`),
    task: task(fields['current'], `${place}: current`),
    flags: list(fields['flags'], MAX.rows, `${place}: flags`).map((each) =>
      asString(each, `${place}: flags`),
    ),
    segments: segments(fields['registers'], `${place}: registers`),
    code: code(fields['code'], `${place}: code`),
    stack: list(fields['stack'], MAX.words, `${place}: stack`).map((each) => {
      const word = asObject(each, `${place}: stack`);
      return {
        address: hex16(word['address'], `${place}: stack`),
        value: asOptional(hex16, word['value'], `${place}: stack`),
      };
    }),
    frames: list(unwind['frames'], MAX.frames, `${place}: frames`).map((each) =>
      frame(each, `${place}: frames`),
    ),
    end: text(unwind['detail'], `${place}: detail`) ?? text(unwind['end'], `${place}: end`),
    user: rows(unwind['user'], `${place}: user`),
    unreadable: list(fields['unreadable'], MAX.rows, `${place}: unreadable`).map((each): Row => {
      const gap = asObject(each, `${place}: unreadable`);
      return [asString(gap['address'], place), asString(gap['reason'], place)];
    }),
  };
}

/** @param json of xenctx.json. @throws FormatError */
export function readFacts(json: string, source: string): ReadonlyMap<number, VcpuFacts> {
  const top = asObject(parseJson(json, source), source);
  const vcpus = list(top['vcpus'], MAX.vcpus, `${source}: vcpus`).map((each) => vcpu(each, source));
  return new Map(vcpus.map((each) => [each.id, each]));
}
