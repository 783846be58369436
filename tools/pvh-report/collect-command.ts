// pvh-report collect
import { dirname, resolve } from 'node:path';
import { replaceFileBy } from '../../core/host/files.ts';
import { Progress, stderrOutput } from '../shared/progress.ts';
import { openSymbolFile, type SymbolFile } from '../shared/symbol-file.ts';
import { packageVersion } from '../shared/version.ts';
import { IMAGE } from './archive.ts';
import { type Collected, collect } from './collect.ts';
import type { Collector } from './collector.ts';
import type { FoundSubject } from './evidence.ts';
import { EXIT, type Streams } from './exit.ts';
import { type Destination, fitReport, LIMITS } from './fit.ts';
import { sayDropped } from './fit-command.ts';
import { interruptible, SIGNAL_STATUS } from './interruptible.ts';
import { DEFAULT_DEADLINE_SECONDS, Interrupted, Limits } from './limits.ts';
import { MANIFEST_SCHEMA } from './manifest.ts';
import type { ImageOrder } from './memory/image-order.ts';
import { Spool } from './memory/spool.ts';
import { packedSize, piecesOf } from './pack.ts';
import { makeEstimate, makePlan, renderEstimate, renderPlan } from './plan.ts';
import { redactCollected } from './redact-command.ts';
import { unpackedOf } from './report.ts';
import { parseSeconds, select } from './selection.ts';
import { findSubject } from './subject.ts';

export interface CollectOptions {
  readonly symbolTable?: string;
  readonly output?: string;
  readonly json?: true;
  readonly quiet?: true;
  readonly only?: readonly string[];
  readonly skip?: readonly string[];
  readonly timeout?: string;
  readonly deadline?: string;
  readonly dryRun?: true;
  readonly estimate?: true;
  readonly fit?: Destination;
  readonly redact?: true;
  readonly redactKey?: string;
  readonly memory?: 'none' | 'stacks' | 'kernel' | 'all';
}

/** Lines about what is not in the report. */
function complain({ manifest }: Collected, quiet: boolean, err: Streams['err']): void {
  for (const { item, reason, required, cause } of manifest.missing)
    if (required || !(cause === 'skipped' || cause === 'size' || quiet))
      err(`missing: ${item}: ${reason.replace(/\p{Cc}/gu, '?')}\n`);
  const forRoot = manifest.missing.filter(({ cause }) => cause === 'root').length;
  if (forRoot > 0) err(`pvh-report: ${forRoot} of these need root: run it as root to have them\n`);
}

/** The report as it goes out: what is too much for there is left out. */
async function fitTo(whole: Collected, fit: CollectOptions['fit'], err: Streams['err']): Promise<Collected> {
  if (fit === undefined) return whole;
  const fitted = await fitReport(unpackedOf(whole, 'the report'), packedSize(whole), LIMITS[fit]);
  if (!fitted) return whole;
  sayDropped(fitted, err);
  const { bytes, digest, manifest, files } = fitted;
  return { ...whole, bytes, digest, manifest, files, image: undefined, imageMember: undefined };
}

/** An image may take three quarters of the time that looking at the domain has: what else is looked at counts more. */
const IMAGE_SHARE = 0.75;

/** Undefined when none is wanted. */
function imageOrder(
  { memory, output }: CollectOptions,
  collectors: readonly Collector[],
  limits: Limits,
): ImageOrder | undefined {
  const row = collectors.find(({ file }) => file === IMAGE);
  if (!row || (memory !== 'kernel' && memory !== 'all')) return undefined;
  // Where the report goes there is room for it.
  const spool = new Spool(dirname(resolve(output ?? 'report')));
  return { kind: memory, spool, seconds: limits.secondsFor(row) * IMAGE_SHARE };
}

async function run(
  found: FoundSubject,
  symbols: SymbolFile | undefined,
  options: CollectOptions,
  progress: Progress,
  { out, err }: Streams,
): Promise<number> {
  const { only, skip = [], memory } = options;
  const redacts = options.redact === true || options.redactKey !== undefined;
  const unwanted = memory === 'none' ? [...skip, 'memory.core'] : skip;
  const { collectors, skipped } = select(found.subject.source, {
    only,
    skip: unwanted,
    image: memory === 'kernel' || memory === 'all',
  });
  const deadline =
    options.deadline === undefined ? DEFAULT_DEADLINE_SECONDS : parseSeconds(options.deadline, '--deadline');
  const timeout = options.timeout === undefined ? undefined : parseSeconds(options.timeout, '--timeout');
  return interruptible(async (interrupt) => {
    using limits = new Limits({ timeout, deadline }, interrupt);
    if (options.dryRun) {
      const plan = makePlan({
        subject: found.subject,
        collectors,
        skipped,
        secondsFor: (collector) => limits.secondsFor(collector),
        deadline,
        logFolder: found.logFolder,
      });
      out(options.json ? `${JSON.stringify(plan, undefined, 2)}\n` : renderPlan(plan, found.isRoot));
      return EXIT.ok;
    }
    const image = imageOrder(options, collectors, limits);
    using _ = image?.spool;
    const evidence = found.evidence(symbols, image);
    const order = { collectors, skipped, limits };
    const whole = await collect(evidence, order, `pvh-report ${packageVersion()}`, (...step) =>
      progress.step(...step),
    );
    progress.clear();
    const shrink = (made: Collected): Promise<Collected> => fitTo(made, options.fit, err);
    const redaction = redacts ? await redactCollected(whole, options.redactKey, shrink, { err }) : undefined;
    if (redaction?.refused !== undefined) return redaction.refused;
    const collected = redaction?.collected ?? (await shrink(whole));
    complain(collected, options.quiet === true, err);
    const { digest, partial, manifest } = collected;
    if (options.estimate) {
      const estimate = makeEstimate(collected);
      out(options.json ? `${JSON.stringify(estimate, undefined, 2)}\n` : renderEstimate(estimate));
    } else {
      const path = resolve(options.output ?? collected.fileName);
      if (redaction) redaction.write(path, collected.bytes);
      else await replaceFileBy(path, piecesOf(collected));
      const written = { schema: MANIFEST_SCHEMA, ...manifest };
      const result = { schema: 'pvh-report-collect/1', path, digest, partial, manifest: written };
      out(options.json ? `${JSON.stringify(result, undefined, 2)}\n` : `${path}\n`);
    }
    return partial ? EXIT.partial : EXIT.ok;
  });
}

/**
 * @param find where the domain is looked for.
 * @returns the exit status. @throws ToolFailure when there is no such domain.
 */
export async function runCollect(
  domain: string,
  options: CollectOptions,
  env: Readonly<Record<string, string | undefined>>,
  streams: Streams,
  find: typeof findSubject = findSubject,
): Promise<number> {
  const progress = new Progress(
    options.quiet
      ? { write: () => undefined, isTerminal: false, colour: false, columns: 80 }
      : stderrOutput(),
  );
  let found: FoundSubject | undefined;
  let symbols: SymbolFile | undefined;
  try {
    symbols = options.symbolTable === undefined ? undefined : openSymbolFile(options.symbolTable);
    for (const warning of symbols?.warnings ?? []) streams.err(`pvh-report: ${warning}\n`);
    found = await find(domain, env);
    return await run(found, symbols, options, progress, streams);
  } catch (error) {
    if (!(error instanceof Interrupted)) throw error;
    progress.clear();
    streams.err('pvh-report: interrupted, nothing was written\n');
    return SIGNAL_STATUS[error.signal] ?? EXIT.unusable;
  } finally {
    progress.clear();
    symbols?.close();
    found?.close();
  }
}
