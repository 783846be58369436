// Runs the collectors, several at a time, each within its time. One that fails takes nothing else with it: why goes into the ledger.
import { join } from 'node:path';
import { TextEncoder } from 'node:util';
import { systemError } from '../shared/failure.ts';
import { type LargeFile, sha256 } from './archive.ts';
import type { ReportFile, ReportImage } from './assemble.ts';
import { type Collector, NotThere } from './collector.ts';
import type { Evidence, HostEvidence, Inspection, Problem } from './evidence.ts';
import { type Bounded, boundTo } from './host/bounded-output.ts';
import { readLogs } from './host/logs.ts';
import { findProgram, type ProgramRun, runProgram } from './host/program.ts';
import { Interrupted, type Limits, OutOfTime, orStopped } from './limits.ts';
import type { Cause, ManifestFile, MissingItem } from './manifest.ts';

export type OnStep = (text: string, done: number, total: number) => void;

export interface CollectedFile extends ReportFile {
  readonly milliseconds: number;
}

export interface Gathered {
  /** In the order of the collectors. */
  readonly files: readonly CollectedFile[];
  readonly image?: ReportImage | undefined;
  readonly missing: readonly MissingItem[];
  /** What the target gave; undefined when no collector asked for it. */
  readonly inspection: Inspection | Problem | undefined;
  readonly inspectionMilliseconds: number;
}

/** So many programs at a time: a host that is in trouble should not be given more to do. */
const AT_A_TIME = 4;

/** After so long a user is told what it is that takes long. */
const WAITING_MS = 1000;

/** Room for a failed collector's reason. */
const MAX_REASON = 500;

/** What a collector brought: bytes, why they are not all, or both. */
interface Taken {
  readonly content?: Bounded;
  readonly image?: LargeFile;
  readonly command?: string;
  readonly notes?: readonly string[];
  readonly problem?: { readonly reason: string; readonly cause: Cause };
}

type Result = Taken & { readonly milliseconds: number };

const encode = (taken: string | Uint8Array): Uint8Array =>
  typeof taken === 'string' ? new TextEncoder().encode(taken) : taken;

/** How a program ended, in words; undefined when it did what it was asked. */
function whyNot({ end, complaint }: ProgramRun): { reason: string; cause: Cause } | undefined {
  const said = complaint === '' ? '' : `: ${complaint}`;
  switch (end.kind) {
    case 'exit':
      return end.status === 0 ? undefined : { reason: `exit status ${end.status}${said}`, cause: 'failed' };
    case 'signal':
      return { reason: `ended by ${end.signal}${said}`, cause: 'failed' };
    case 'not started':
      return { reason: `cannot be started: ${end.why}`, cause: 'failed' };
    case 'stopped': {
      const why = end.why instanceof Error ? end.why.message : String(end.why);
      return { reason: `${why}${said}`, cause: end.why instanceof OutOfTime ? 'time' : 'failed' };
    }
  }
}

async function takeProgram(
  collector: Collector,
  take: Extract<Collector['take'], { program: unknown }>,
  { subject }: Evidence,
  host: HostEvidence,
  signal: AbortSignal,
): Promise<Taken> {
  const [program, ...args] = take.program(subject);
  const command = [program, ...args].join(' ');
  const path = findProgram(program, host.env);
  if (path === undefined)
    return { problem: { reason: `${command}: ${program} is not in PATH`, cause: 'program' } };
  const run = await runProgram(path, args, { env: host.env, bound: collector.bound, signal });
  const failure = whyNot(run);
  const problem =
    failure &&
    ({
      reason: `${command}: ${failure.reason}`,
      cause: take.root && !host.isRoot && failure.cause === 'failed' ? 'root' : failure.cause,
    } as const);
  const notes =
    failure === undefined && run.complaint !== '' ? [`stderr: ${run.complaint.slice(0, MAX_REASON)}`] : [];
  if (run.output.bytes.length === 0) {
    if (problem) return { problem };
    throw new NotThere(`${command} printed nothing${run.complaint === '' ? '' : `: ${run.complaint}`}`);
  }
  const { bytes, note } = run.output;
  try {
    const selected = take.select ? encode(take.select(Buffer.from(bytes).toString(), subject)) : bytes;
    const content = { bytes: selected, ...(note !== undefined && { note }) };
    return { content, command, notes, ...(problem && { problem }) };
  } catch (error) {
    // What is not in half a text may be in the other half.
    if (problem && error instanceof NotThere) return { problem };
    throw error;
  }
}

function takeLogs(
  { bound }: Collector,
  take: Extract<Collector['take'], { logs: unknown }>,
  { subject }: Evidence,
  { logFolder, isRoot }: HostEvidence,
): Taken {
  const paths = take.logs(subject).map((name) => join(logFolder, name));
  try {
    for (const path of paths) {
      const content = readLogs(path, bound);
      if (content !== undefined) return { content };
    }
  } catch (error) {
    const reason = systemError(error);
    if (reason === undefined) throw error;
    const refused = reason === 'Permission denied';
    return { problem: { reason: `${paths[0]}: ${reason}`, cause: refused && !isRoot ? 'root' : 'failed' } };
  }
  throw new NotThere(take.absent);
}

/** Runs one collector. @throws NotThere, Interrupted, OutOfTime and whatever goes wrong. */
async function run(
  collector: Collector,
  evidence: Evidence,
  inspection: Inspection | Problem | undefined,
  signal: AbortSignal,
): Promise<Taken> {
  const { take, bound } = collector;
  if ('others' in take) return { content: { bytes: new Uint8Array() } };
  if ('inspection' in take) {
    if (inspection === undefined) throw new NotThere('the domain was not looked at');
    if ('problem' in inspection)
      return { problem: { reason: inspection.problem, cause: inspection.cause ?? 'failed' } };
    const taken = take.inspection(inspection);
    if (typeof taken === 'string' || taken instanceof Uint8Array)
      return { content: boundTo(encode(taken), bound) };
    if ('problem' in taken) return { problem: { reason: taken.problem, cause: taken.cause ?? 'failed' } };
    return { image: taken };
  }
  if ('runtime' in take) {
    const { runtime } = evidence;
    if (runtime === undefined) throw new NotThere('not a domain of the runtime');
    const taken = await orStopped(signal, Promise.resolve(take.runtime(runtime)));
    return { content: boundTo(encode(taken), bound) };
  }
  const { host } = evidence;
  if (host === undefined) throw new NotThere('not a domain of a Xen host');
  return 'program' in take
    ? takeProgram(collector, take, evidence, host, signal)
    : takeLogs(collector, take, evidence, host);
}

function explain(error: unknown): NonNullable<Taken['problem']> {
  const reason = error instanceof Error ? error.message : String(error);
  if (error instanceof NotThere) return { reason, cause: 'absent' };
  if (error instanceof OutOfTime) return { reason, cause: 'time' };
  return { reason: `failed: ${reason}`, cause: 'failed' };
}

function fileOf(
  { file: name, what, origin, privacy }: Collector,
  { bytes, note }: Bounded,
  { command, notes = [], problem, milliseconds }: Result,
): CollectedFile {
  const said = [
    ...(note === undefined ? [] : [note]),
    ...notes,
    ...(problem ? ['not whole: see missing'] : []),
  ];
  const entry: ManifestFile = {
    name,
    sha256: sha256(bytes),
    bytes: bytes.length,
    origin,
    privacy,
    ...(command !== undefined && { command }),
    ...(said.length > 0 && { note: said.join('; ') }),
  };
  return { name, bytes, what, entry, milliseconds };
}

const imageOf = ({ what, origin, privacy }: Collector, file: LargeFile): ReportImage => ({
  file,
  what,
  entry: { name: file.name, sha256: file.sha256, bytes: file.size, origin, privacy },
});

/** The domain itself: alone and first, while nothing else makes it wait. */
async function inspect(
  collector: Collector,
  evidence: Evidence,
  limits: Limits,
): Promise<Inspection | Problem> {
  try {
    return await limits.within(collector, (signal) => orStopped(signal, evidence.inspect(signal)));
  } catch (error) {
    if (error instanceof OutOfTime) return { problem: `reading the domain: ${error.message}`, cause: 'time' };
    throw error;
  }
}

/** What each brought, in their order. @throws Interrupted; nothing else that a collector does ends the others. */
async function runAll(
  collectors: readonly Collector[],
  evidence: Evidence,
  inspection: Inspection | Problem | undefined,
  limits: Limits,
  onStep: OnStep,
): Promise<Result[]> {
  const total = collectors.length;
  const results: Result[] = [];
  const running = new Set<string>();
  let next = 0;
  let done = 0;
  const worker = async (): Promise<void> => {
    for (let index = next++; ; index = next++) {
      const collector = collectors[index];
      if (collector === undefined) return;
      limits.throwIfInterrupted();
      running.add(collector.file);
      onStep(`Collecting ${collector.file}`, done, total);
      const start = performance.now();
      let taken: Taken;
      try {
        taken = await limits.within(collector, (signal) => run(collector, evidence, inspection, signal));
      } catch (error) {
        if (error instanceof Interrupted) throw error;
        taken = { problem: explain(error) };
      }
      results[index] = { ...taken, milliseconds: performance.now() - start };
      running.delete(collector.file);
      done++;
    }
  };
  const waiting = setInterval(
    () => onStep(`Waiting for ${[...running].join(', ')}`, done, total),
    WAITING_MS,
  );
  try {
    await Promise.all(Array.from({ length: AT_A_TIME }, worker));
  } finally {
    clearInterval(waiting);
  }
  limits.throwIfInterrupted();
  return results;
}

/** @throws Interrupted */
export async function gather(
  collectors: readonly Collector[],
  evidence: Evidence,
  limits: Limits,
  onStep: OnStep,
): Promise<Gathered> {
  const asking = collectors.find(({ take }) => 'inspection' in take);
  onStep(`Reading ${evidence.subject.name}`, 0, collectors.length);
  const start = performance.now();
  const inspection = asking && (await inspect(asking, evidence, limits));
  const inspectionMilliseconds = performance.now() - start;
  const results = await runAll(collectors, evidence, inspection, limits, onStep);
  const files: CollectedFile[] = [];
  let image: ReportImage | undefined;
  const missing: MissingItem[] = [];
  for (const [index, collector] of collectors.entries()) {
    const result = results[index];
    if (result?.content) files.push(fileOf(collector, result.content, result));
    if (result?.image) image = imageOf(collector, result.image);
    if (result?.problem) {
      const { reason, cause } = result.problem;
      const { file: item, required } = collector;
      missing.push({ item, reason: reason.slice(0, MAX_REASON), cause, required });
    }
  }
  return { files, image, missing, inspection, inspectionMilliseconds };
}
