// pvh-report collect
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { control } from '../../core/domain/control-client.ts';
import { collectInfo } from '../../core/domain/host-info.ts';
import type { DomainRecord } from '../../core/domain/record.ts';
import { Registry } from '../../core/domain/registry.ts';
import { XenLog } from '../../core/domain/xen-log.ts';
import { replaceFile } from '../../core/host/files.ts';
import { openTarget } from '../../core/target/open.ts';
import { fileBuildId } from '../../symbols/kernel/identity.ts';
import { explainFailure, ToolFailure } from '../shared/failure.ts';
import { Progress, stderrOutput } from '../shared/progress.ts';
import { stateDirectory } from '../shared/state-dir.ts';
import { openSymbolFile, type SymbolFile } from '../shared/symbol-file.ts';
import { packageVersion } from '../shared/version.ts';
import { currentDomains } from '../xl/domains.ts';
import { collect } from './collect.ts';
import type { Evidence, Inspection, Problem } from './evidence.ts';
import { EXIT, type Streams } from './exit.ts';
import { inspectTarget } from './inspect.ts';
import { linesOfDomain } from './xen-log.ts';

export interface CollectOptions {
  readonly symbolTable?: string;
  readonly output?: string;
  readonly json?: true;
  readonly quiet?: true;
}

/** Keys of xl info that name the host or that other domains change. */
const NOT_OF_THE_GUEST = ['host', 'free_memory'];

/** In words, without the folders of this host. */
const asProblem = (error: unknown, registry: Registry): Problem => ({
  problem: explainFailure('pvh-report', error, false)
    .lines.join('; ')
    .replace(/^pvh-report: /, '')
    .replaceAll(`${registry.stateDir}/`, ''),
});

async function inspect(
  registry: Registry,
  record: DomainRecord,
  symbols: SymbolFile | undefined,
  env: Readonly<Record<string, string | undefined>>,
): Promise<Inspection | Problem> {
  try {
    const target = await openTarget(String(record.domid), { registry });
    try {
      return await inspectTarget(target, record.domid, symbols, env);
    } finally {
      target.close();
    }
  } catch (error) {
    return asProblem(error, registry);
  }
}

async function xenstoreOf(registry: Registry, record: DomainRecord): Promise<string | Problem> {
  const files = registry.files(record.domid);
  try {
    if (record.state !== 'running') return readFileSync(files.xenstore, 'utf8');
    const { text } = await control(files.socket, { op: 'xenstore' });
    return text ?? { problem: 'the process of the domain did not answer with its tree' };
  } catch (error) {
    return asProblem(error, registry);
  }
}

/** The log's lines about the domain; paths of this host are left out. */
function xenLogOf(registry: Registry, record: DomainRecord, now: () => Date): string[] {
  const lines = new XenLog(registry.xenLogPath(), now).read(false);
  return linesOfDomain(lines, record.domid).map((line) =>
    line.replaceAll(record.kernel.path, record.kernel.path.replace(/^.*\//, '')),
  );
}

/** @returns the exit status. @throws ToolFailure when there is no such domain. */
export async function runCollect(
  domain: string,
  options: CollectOptions,
  env: Readonly<Record<string, string | undefined>>,
  { out, err }: Streams,
): Promise<number> {
  const registry = new Registry(stateDirectory(env));
  const now = () => new Date();
  const progress = new Progress(
    options.quiet
      ? { write: () => undefined, isTerminal: false, colour: false, columns: 80 }
      : stderrOutput(),
  );
  const [record] = await currentDomains(registry, domain);
  if (record === undefined)
    throw new ToolFailure([`pvh-report: there is no domain '${domain}'`], EXIT.unusable);
  const symbols = options.symbolTable === undefined ? undefined : openSymbolFile(options.symbolTable);
  try {
    progress.step(`Reading ${record.name}`);
    for (const warning of symbols?.warnings ?? []) err(`pvh-report: ${warning}\n`);
    const info = Object.fromEntries(
      Object.entries(collectInfo(registry)).filter(([key]) => !NOT_OF_THE_GUEST.includes(key)),
    );
    const evidence: Evidence = {
      record,
      files: registry.files(record.domid),
      xenLog: xenLogOf(registry, record, now),
      info,
      xenstore: await xenstoreOf(registry, record),
      inspection: await inspect(registry, record, symbols, env),
      symbols: symbols && { buildId: symbols.elf && fileBuildId(symbols.elf) },
    };
    const collected = await collect(evidence, `pvh-report ${packageVersion()}`, (...step) =>
      progress.step(...step),
    );
    const path = resolve(options.output ?? collected.fileName);
    replaceFile(path, collected.bytes);
    progress.clear();
    for (const { item, reason, required } of collected.manifest.missing)
      if (!options.quiet || required) err(`missing: ${item}: ${reason}\n`);
    out(
      options.json
        ? `${JSON.stringify({ path, digest: collected.digest, partial: collected.partial, manifest: collected.manifest }, undefined, 2)}\n`
        : `${path}\n`,
    );
    return collected.partial ? EXIT.partial : EXIT.ok;
  } finally {
    progress.clear();
    symbols?.close();
  }
}
