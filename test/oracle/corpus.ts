// The recorded corpus: code bytes and what they changed, per row, in one compressed file. Inputs are not stored: the state
// follows from row, index, profile and mode (state.ts).
import { brotliCompressSync, brotliDecompressSync, constants } from 'node:zlib';
import { caseSeed, type OracleCase } from './case.ts';
import { CODE_BASE, type InitialState, type Outcome, type Patch, type Program } from './format.ts';
import { initialState, PROFILES } from './state.ts';

export interface RecordedCase extends OracleCase {
  readonly state: InitialState;
  readonly outcome: Outcome;
}

export interface Corpus {
  /** The CPU it was recorded on, as it names itself. */
  readonly cpu: string;
  readonly rows: ReadonlyMap<string, readonly RecordedCase[]>;
}

const VERSION = 1;

/** CF PF AF ZF SF DF OF NT AC ID: what user code can change and single stepping does not disturb. */
export const COMPARED_FLAGS = 0x24_4cd5;

class Writer {
  private bytes = new Uint8Array(1 << 16);
  private length = 0;

  u8(value: number): void {
    if (this.length === this.bytes.length) {
      const larger = new Uint8Array(this.bytes.length * 2);
      larger.set(this.bytes);
      this.bytes = larger;
    }
    this.bytes[this.length++] = value;
  }
  varint(value: bigint | number): void {
    let rest = BigInt(value);
    for (; rest >= 0x80n; rest >>= 7n) this.u8(Number(rest & 0x7fn) | 0x80);
    this.u8(Number(rest));
  }
  raw(bytes: Uint8Array): void {
    for (const byte of bytes) this.u8(byte);
  }
  u64(value: bigint): void {
    for (let shift = 0n; shift < 64n; shift += 8n) this.u8(Number((value >> shift) & 0xffn));
  }
  finish(): Uint8Array {
    return this.bytes.slice(0, this.length);
  }
}

class Reader {
  private readonly bytes: Uint8Array;
  private readonly view: DataView;
  private at = 0;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  }
  u8(): number {
    return this.view.getUint8(this.at++);
  }
  /** Up to 2^53. */
  varint(): number {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = this.u8();
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
    }
  }
  bigVarint(): bigint {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = this.u8();
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
  }
  raw(length: number): Uint8Array {
    const part = this.bytes.slice(this.at, this.at + length);
    this.at += length;
    return part;
  }
  u64(): bigint {
    this.at += 8;
    return this.view.getBigUint64(this.at - 8, true);
  }
}

/** Places of an FXSAVE image that are compared, and whether they turn with TOP. */
export interface FxUnit {
  readonly name: string;
  readonly at: number;
  readonly length: number;
}

export const FX_UNITS: readonly FxUnit[] = [
  { name: 'fcw', at: 0, length: 2 },
  { name: 'fsw', at: 2, length: 2 },
  { name: 'ftw', at: 4, length: 1 },
  { name: 'mxcsr', at: 24, length: 4 },
  ...Array.from({ length: 8 }, (_, i) => ({ name: `r${i}`, at: 32 + i * 16, length: 10 })),
  ...Array.from({ length: 16 }, (_, i) => ({ name: `xmm${i}`, at: 160 + i * 16, length: 16 })),
];

/** The image with ST(i) put where physical register R(i) is: then a push or pop changes one register, not eight. */
export function physicalOrder(fx: Uint8Array): Uint8Array {
  const top = ((fx[3] ?? 0) >> 3) & 7;
  const turned = Uint8Array.from(fx); // not slice(): that of a Buffer shares its bytes
  for (let i = 0; i < 8; i++) turned.set(fx.subarray(32 + i * 16, 48 + i * 16), 32 + ((top + i) & 7) * 16);
  return turned;
}

function stackOrder(turned: Uint8Array): Uint8Array {
  const top = ((turned[3] ?? 0) >> 3) & 7;
  const fx = Uint8Array.from(turned);
  for (let i = 0; i < 8; i++)
    fx.set(turned.subarray(32 + ((top + i) & 7) * 16, 48 + ((top + i) & 7) * 16), 32 + i * 16);
  return fx;
}

const equalBytes = (a: Uint8Array, b: Uint8Array): boolean => a.every((byte, i) => byte === b[i]);

const zigzag = (value: bigint): bigint => {
  const signed = BigInt.asIntN(64, value);
  return BigInt.asUintN(64, signed < 0n ? (~signed << 1n) | 1n : signed << 1n);
};
const unzigzag = (value: bigint): bigint => BigInt.asUintN(64, value & 1n ? ~(value >> 1n) : value >> 1n);

/** Selectors es cs ss ds fs gs before a case. */
export function initialSelectors(mode: 32 | 64): readonly number[] {
  return [0x2b, mode === 64 ? 0x33 : 0x23, 0x2b, 0x2b, 0, 0];
}

/** Streams of one row, kept apart because like compresses like. */
const STREAMS = ['inputs', 'code', 'outcomes', 'flags', 'values', 'fx', 'writes'] as const;
type Streams<T> = Record<(typeof STREAMS)[number], T>;

function writeCase(
  to: Streams<Writer>,
  { program, state, outcome, profile, index }: RecordedCase,
  previous: number,
): void {
  to.inputs.varint(index - previous);
  to.inputs.u8(PROFILES.indexOf(profile) | (program.mode === 64 ? 0x80 : 0));
  to.inputs.varint(program.offset);
  to.inputs.varint(program.steps);
  to.inputs.u8(program.code.length);
  to.inputs.u8(program.patches.length);
  to.code.raw(program.code);
  for (const { offset, bytes } of program.patches) {
    to.inputs.varint(offset);
    to.inputs.u8(bytes.length);
    to.inputs.raw(bytes);
  }
  to.outcomes.u8(outcome.vector);
  to.outcomes.varint(zigzag(outcome.rip - BigInt(CODE_BASE + program.offset)));
  if (outcome.vector !== 1) to.outcomes.varint(outcome.error);
  if (outcome.vector === 14) to.outcomes.varint(outcome.cr2);
  to.flags.varint((outcome.rflags ^ state.rflags) & COMPARED_FLAGS);
  let changed = 0;
  outcome.gpr.forEach((value, i) => {
    if (value !== state.gpr[i]) changed |= 1 << i;
  });
  to.outcomes.varint(changed);
  outcome.gpr.forEach((value, i) => {
    if (changed & (1 << i)) to.values.u64(value);
  });
  const selectors = initialSelectors(program.mode);
  const bases = outcome.fs_base !== state.fs_base || outcome.gs_base !== state.gs_base;
  const segments = bases || outcome.selectors.some((selector, i) => selector !== selectors[i]);
  const before = physicalOrder(state.fx);
  const after = physicalOrder(outcome.fx);
  const differs = FX_UNITS.map(
    ({ at, length }) => !equalBytes(before.subarray(at, at + length), after.subarray(at, at + length)),
  );
  const hasFx = differs.includes(true);
  to.outcomes.u8((segments ? 1 : 0) | (hasFx ? 2 : 0) | (outcome.writes.length ? 4 : 0));
  if (segments) {
    for (const selector of outcome.selectors) to.values.varint(selector);
    to.values.u64(outcome.fs_base);
    to.values.u64(outcome.gs_base);
  }
  if (hasFx) {
    to.outcomes.varint(differs.reduce((mask, differ, i) => mask + (differ ? 2 ** i : 0), 0));
    FX_UNITS.forEach(({ at, length }, i) => {
      if (differs[i]) to.fx.raw(after.subarray(at, at + length));
    });
  }
  if (outcome.writes.length) {
    to.outcomes.varint(outcome.writes.length);
    for (const { offset, bytes } of outcome.writes) {
      to.outcomes.varint(offset);
      to.outcomes.varint(bytes.length);
      to.writes.raw(bytes);
    }
  }
}

function readCase(from: Streams<Reader>, row: string, previous: number): RecordedCase {
  const index = previous + from.inputs.varint();
  const kind = from.inputs.u8();
  const mode = kind & 0x80 ? 64 : 32;
  const profile = PROFILES[kind & 0x7f];
  if (profile === undefined) throw new Error(`corpus: profile ${kind & 0x7f} of ${row}`);
  const offset = from.inputs.varint();
  const steps = from.inputs.varint();
  const length = from.inputs.u8();
  const patchCount = from.inputs.u8();
  const patches: Patch[] = [];
  for (let i = 0; i < patchCount; i++)
    patches.push({ offset: from.inputs.varint(), bytes: from.inputs.raw(from.inputs.u8()) });
  const program: Program = { code: from.code.raw(length), offset, mode, steps, patches };
  const state = initialState(profile, mode, caseSeed(row, index));
  const vector = from.outcomes.u8();
  const rip = BigInt.asUintN(64, BigInt(CODE_BASE + offset) + unzigzag(from.outcomes.bigVarint()));
  const error = vector === 1 ? 0 : from.outcomes.varint();
  const cr2 = vector === 14 ? from.outcomes.bigVarint() : 0n;
  const rflags = state.rflags ^ from.flags.varint();
  const changed = from.outcomes.varint();
  const gpr = state.gpr.slice();
  for (let i = 0; i < 16; i++) if (changed & (1 << i)) gpr[i] = from.values.u64();
  const parts = from.outcomes.u8();
  let selectors = initialSelectors(mode);
  let { fs_base, gs_base } = state;
  if (parts & 1) {
    selectors = selectors.map(() => from.values.varint());
    fs_base = from.values.u64();
    gs_base = from.values.u64();
  }
  let { fx } = state;
  if (parts & 2) {
    const mask = from.outcomes.varint();
    const turned = physicalOrder(state.fx);
    FX_UNITS.forEach(({ at, length: bytes }, i) => {
      if (mask & (1 << i)) turned.set(from.fx.raw(bytes), at);
    });
    fx = stackOrder(turned);
  }
  const writes: Patch[] = [];
  if (parts & 4)
    for (let n = from.outcomes.varint(); n > 0; n--) {
      const at = from.outcomes.varint();
      writes.push({ offset: at, bytes: from.writes.raw(from.outcomes.varint()) });
    }
  const outcome: Outcome = { gpr, rip, rflags, vector, error, cr2, fs_base, gs_base, selectors, fx, writes };
  return { row, index, profile, program, state, outcome };
}

/** The corpus as the bytes of its file. */
export function packCorpus(cpu: string, rows: ReadonlyMap<string, readonly RecordedCase[]>): Uint8Array {
  const out = new Writer();
  const text = (value: string): void => {
    const bytes = new TextEncoder().encode(value);
    out.varint(bytes.length);
    out.raw(bytes);
  };
  out.u8(VERSION);
  text(cpu);
  out.varint(rows.size);
  for (const [row, cases] of rows) {
    text(row);
    out.varint(cases.length);
    const streams = Object.fromEntries(STREAMS.map((name) => [name, new Writer()])) as Streams<Writer>; // keys are STREAMS
    let previous = 0;
    for (const recorded of cases) {
      writeCase(streams, recorded, previous);
      previous = recorded.index;
    }
    for (const name of STREAMS) {
      const bytes = streams[name].finish();
      out.varint(bytes.length);
      out.raw(bytes);
    }
  }
  return brotliCompressSync(out.finish(), {
    params: {
      [constants.BROTLI_PARAM_QUALITY]: 9,
      [constants.BROTLI_PARAM_LGWIN]: 22,
    },
  });
}

/** @throws Error when the file is of another version. */
export function unpackCorpus(file: Uint8Array, only?: (row: string) => boolean): Corpus {
  const reader = new Reader(brotliDecompressSync(file));
  const text = (): string => new TextDecoder().decode(reader.raw(reader.varint()));
  const version = reader.u8();
  if (version !== VERSION) throw new Error(`corpus version ${version}, not ${VERSION}: run npm run oracle`);
  const cpu = text();
  const rows = new Map<string, RecordedCase[]>();
  for (let n = reader.varint(); n > 0; n--) {
    const row = text();
    const count = reader.varint();
    const streams = Object.fromEntries(
      STREAMS.map((name) => [name, new Reader(reader.raw(reader.varint()))]),
    ) as Streams<Reader>; // keys are STREAMS
    if (only && !only(row)) continue;
    const cases: RecordedCase[] = [];
    let previous = 0;
    for (let i = 0; i < count; i++) {
      const recorded = readCase(streams, row, previous);
      previous = recorded.index;
      cases.push(recorded);
    }
    rows.set(row, cases);
  }
  return { cpu, rows };
}
