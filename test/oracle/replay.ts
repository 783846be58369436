// Replays recorded cases in a UserMachine and says what came out differently. Judges nothing the SDM leaves undefined.
import { OPCODES, type OpcodeRow } from '../../core/cpu/opcodes.ts';
import { GENERAL_REGISTERS } from '../../core/machine/registers.ts';
import { rowId } from './case.ts';
import { COMPARED_FLAGS, FX_UNITS, physicalOrder, type RecordedCase } from './corpus.ts';
import { DATA_BASE, type Outcome, type Patch } from './format.ts';
import { isCloseEnough } from './tolerance.ts';
import { type Undefined, undefinedIn, undefinedInFault } from './undefined.ts';
import type { UserMachine } from './user-machine.ts';

export interface Mismatch {
  readonly recorded: RecordedCase;
  /** One line a difference: `rax: expected ..., got ...`. */
  readonly differences: readonly string[];
}

const ROWS: ReadonlyMap<string, OpcodeRow> = new Map(OPCODES.map((row) => [rowId(row), row]));

/** The table row of a corpus row, undefined for programs and for rows that are no more. */
export function findRow(id: string): OpcodeRow | undefined {
  return ROWS.get(id);
}

const VECTOR_DB = 1;
const VECTOR_GP = 13;
const VECTOR_PF = 14;
/** What a memory access may raise. */
const MEMORY_VECTORS: readonly number[] = [12, 13, 14];
/** Linux tells user code that every page of the kernel's half is present. */
const LINUX_USER_END = 0x7fff_ffff_f000n;

const hex = (value: bigint | number): string => value.toString(16);

/** Whether the machine stopped behind the case: at the HLT there, or fetching where it jumped to. */
function stoppedBehind(expected: Outcome, got: Outcome): boolean {
  if (got.vector === VECTOR_DB) return got.rip === expected.rip;
  if (got.vector === VECTOR_GP) return got.rip === expected.rip && got.error === 0;
  return got.vector === VECTOR_PF && got.rip === expected.rip && (got.error & 0x10) !== 0;
}

function describeEnd({ vector, error, rip, cr2 }: Outcome): string {
  if (vector === VECTOR_DB) return `done at ${hex(rip)}`;
  return `vector ${vector} error ${hex(error)} at ${hex(rip)}${vector === VECTOR_PF ? ` cr2 ${hex(cr2)}` : ''}`;
}

function compareEnd(expected: Outcome, got: Outcome, free: Undefined): string[] {
  const show = `end: expected ${describeEnd(expected)}, got ${describeEnd(got)}`;
  if (expected.vector === VECTOR_DB) return stoppedBehind(expected, got) ? [] : [show];
  const isKernel = expected.vector === VECTOR_PF && expected.cr2 >= LINUX_USER_END;
  const errorMask = isKernel ? ~1 : ~0;
  if (free.access && MEMORY_VECTORS.includes(expected.vector) && MEMORY_VECTORS.includes(got.vector))
    return expected.rip === got.rip ? [] : [show];
  const same =
    expected.vector === got.vector &&
    expected.rip === got.rip &&
    (expected.error & errorMask) === (got.error & errorMask) &&
    (expected.vector !== VECTOR_PF || expected.cr2 === got.cr2);
  return same ? [] : [show];
}

function applyWrites(data: Uint8Array, writes: readonly Patch[]): Uint8Array {
  const after = data.slice();
  for (const { offset, bytes } of writes) after.set(bytes, offset);
  return after;
}

/** The RPL of a null selector does not outlive the IRET of the host's kernel to the recorder. */
const withoutNullRpl = (selector: number): number => (selector < 4 ? 0 : selector);

const toHex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

/** Bytes of a stored FXSAVE image or FPU environment that depend on where code and data stand, or on the CPU model. */
function memoryMask(row: OpcodeRow | undefined): (offset: number, base: number) => boolean {
  if (row && /^FXSAVE/.test(row.mnemonic)) return (offset, base) => isFxPointer((offset - base) & 511);
  return () => false;
}

function isFxPointer(at: number): boolean {
  return (at >= 6 && at < 24) || (at >= 28 && at < 32);
}

function compareMemory(
  before: Uint8Array,
  expected: Outcome,
  got: Outcome,
  ignore: (at: number) => boolean,
): string[] {
  if (expected.writes.length === 0 && got.writes.length === 0) return [];
  const want = applyWrites(before, expected.writes);
  const have = applyWrites(before, got.writes);
  if (Buffer.compare(want, have) === 0) return [];
  const lines: string[] = [];
  for (let at = 0; at < want.length && lines.length < 4; at++) {
    if (want[at] === have[at] || ignore(at)) continue;
    const end = Math.min(want.length, at + 16);
    lines.push(
      `[${hex(DATA_BASE + at)}]: expected ${toHex(want.subarray(at, end))}, got ${toHex(have.subarray(at, end))}, was ${toHex(before.subarray(at, end))}`,
    );
    at = end;
  }
  return lines;
}

function compareFx(
  row: OpcodeRow | undefined,
  recorded: RecordedCase,
  got: Outcome,
  faulted: boolean,
): string[] {
  const was = physicalOrder(recorded.state.fx);
  const want = physicalOrder(recorded.outcome.fx);
  const have = physicalOrder(got.fx);
  const lines: string[] = [];
  for (const { name, at, length } of FX_UNITS) {
    const [w, h] = [want.subarray(at, at + length), have.subarray(at, at + length)];
    if (Buffer.compare(w, h) !== 0 && !isCloseEnough(row, name, w, h, faulted))
      lines.push(
        `${name}: expected ${toHex(w)}, got ${toHex(h)}, was ${toHex(was.subarray(at, at + length))}`,
      );
  }
  return lines;
}

/** What is different, in lines; empty = the same. */
export function compareOutcomes(recorded: RecordedCase, before: Uint8Array, got: Outcome): string[] {
  const { outcome: expected, state } = recorded;
  const row = findRow(recorded.row);
  const isDone = expected.vector === VECTOR_DB;
  const free = isDone ? undefinedIn(row, recorded) : undefinedInFault(row);
  const lines = compareEnd(expected, got, free);
  const flagMask = COMPARED_FLAGS & ~free.flags;
  if ((expected.rflags ^ got.rflags) & flagMask)
    lines.push(
      `rflags: expected ${hex(expected.rflags & flagMask)}, got ${hex(got.rflags & flagMask)}, was ${hex(state.rflags & flagMask)}`,
    );
  if (free.results) return lines;
  GENERAL_REGISTERS.forEach((name, i) => {
    if (expected.gpr[i] !== got.gpr[i])
      lines.push(
        `${name}: expected ${hex(expected.gpr[i] ?? 0n)}, got ${hex(got.gpr[i] ?? 0n)}, was ${hex(state.gpr[i] ?? 0n)}`,
      );
  });
  if (expected.selectors.map(withoutNullRpl).join() !== got.selectors.map(withoutNullRpl).join())
    lines.push(
      `es cs ss ds fs gs: expected ${expected.selectors.map(hex).join(' ')}, got ${got.selectors.map(hex).join(' ')}`,
    );
  for (const name of ['fs_base', 'gs_base'] as const)
    if (expected[name] !== got[name])
      lines.push(`${name}: expected ${hex(expected[name])}, got ${hex(got[name])}`);
  lines.push(...compareFx(row, recorded, got, !isDone));
  const base = expected.writes[0]?.offset ?? 0;
  const mask = memoryMask(row);
  lines.push(...compareMemory(before, expected, got, (at) => mask(at, base)));
  return lines;
}

/** Runs one case; undefined = as recorded. `stepped` sets TF, as the recorder did, for cases of one step. */
export function replayCase(
  machine: UserMachine,
  recorded: RecordedCase,
  stepped = false,
): Mismatch | undefined {
  const { program, state } = recorded;
  const row = findRow(recorded.row);
  // PUSHF stores TF, so it is stepped as it was on silicon; everything else runs freely, through blocks and fused pairs.
  const ending = machine.run(program, state, stepped || row?.mnemonic === 'PUSHF');
  const differences =
    'stuck' in ending ? [`stuck: ${ending.stuck}`] : compareOutcomes(recorded, ending.before, ending.outcome);
  return differences.length ? { recorded, differences } : undefined;
}
