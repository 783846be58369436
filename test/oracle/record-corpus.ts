// `npm run oracle`: generates all cases, runs them on this machine's CPU, and writes corpus.bin.br. Twice, to find what
// differs from run to run.
import { readFileSync, writeFileSync } from 'node:fs';
import { OPCODES } from '../../core/cpu/opcodes.ts';
import { caseSeed, type OracleCase, PROGRAM_ROW, rowId } from './case.ts';
import { COMPARED_FLAGS, packCorpus, physicalOrder, type RecordedCase } from './corpus.ts';
import { CODE_BASE, type Outcome } from './format.ts';
import { casesOf, generateCase, generateProgram, PROGRAMS } from './generate.ts';
import { buildRecorder } from './recorder.ts';
import { initialState } from './state.ts';

const CORPUS = new URL('corpus.bin.br', import.meta.url);

function cpuName(): string {
  const text = readFileSync('/proc/cpuinfo', 'utf8');
  const field = (name: string): string => new RegExp(`^${name}\\s*: (.*)$`, 'm').exec(text)?.[1] ?? '?';
  return `${field('vendor_id')} family ${field('cpu family')} model ${field('model')} stepping ${field('stepping')}`;
}

/**
 * After MOV SS and POP SS the trap waits for one more instruction, the HLT behind the case, which faults: that is a case
 * that was done.
 */
function normalise(made: OracleCase, outcome: Outcome): Outcome {
  const end = BigInt(CODE_BASE + made.program.offset + made.program.code.length);
  const done = outcome.vector === 13 && outcome.error === 0 && outcome.rip === end;
  return done ? { ...outcome, vector: 1 } : outcome;
}

/** A case whose end nothing marks: it stopped inside its own code because its steps were used up. */
function isUnfinished(made: OracleCase, outcome: Outcome): boolean {
  const start = BigInt(CODE_BASE + made.program.offset);
  return (
    outcome.vector === 1 && outcome.rip >= start && outcome.rip < start + BigInt(made.program.code.length)
  );
}

function sameOutcome(a: Outcome, b: Outcome): boolean {
  const text = (o: Outcome): string =>
    [
      o.vector,
      o.error,
      o.rip,
      o.vector === 14 ? o.cr2 : 0n,
      o.rflags & COMPARED_FLAGS,
      o.gpr.join(),
      o.fs_base,
      o.gs_base,
      o.selectors.join(),
      Buffer.from(physicalOrder(o.fx).subarray(0, 416)).toString('hex', 24),
      o.writes.map((w) => `${w.offset}:${Buffer.from(w.bytes).toString('hex')}`).join(),
    ].join(' ');
  return text(a) === text(b);
}

const recorder = buildRecorder();
const rows = new Map<string, RecordedCase[]>();
const dropped = { unfinished: 0, unstable: 0, died: 0 };

async function recordRow(
  name: string,
  count: number,
  generate: (index: number) => OracleCase | undefined,
): Promise<void> {
  const cases: OracleCase[] = [];
  for (let i = 0; i < count; i++) {
    const made = generate(i);
    if (made) cases.push(made);
  }
  const inputs = cases.map((made) => ({
    program: made.program,
    state: initialState(made.profile, made.program.mode, caseSeed(made.row, made.index)),
  }));
  const first = await recorder.record(inputs);
  const second = await recorder.record(inputs);
  const kept: RecordedCase[] = [];
  cases.forEach((made, i) => {
    const raw = first[i];
    const again = second[i];
    const state = inputs[i]?.state;
    if (!raw || !again || !state) dropped.died++;
    else if (!sameOutcome(raw, again)) {
      dropped.unstable++;
      process.stderr.write(`unstable: ${name} ${Buffer.from(made.program.code).toString('hex')}\n`);
    } else {
      const outcome = normalise(made, raw);
      if (isUnfinished(made, outcome)) dropped.unfinished++;
      else kept.push({ ...made, state, outcome });
    }
  });
  if (kept.length) rows.set(name, kept);
}

try {
  for (const row of OPCODES) await recordRow(rowId(row), casesOf(row), (i) => generateCase(row, i));
  await recordRow(PROGRAM_ROW, PROGRAMS, generateProgram);
} finally {
  recorder.close();
}
const bytes = packCorpus(cpuName(), rows);
writeFileSync(CORPUS, bytes);
const total = [...rows.values()].reduce((sum, cases) => sum + cases.length, 0);
process.stdout.write(
  `${total} cases of ${rows.size} rows in ${bytes.length} bytes; dropped ${JSON.stringify(dropped)}\n`,
);
