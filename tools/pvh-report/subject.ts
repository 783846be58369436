// From what a user typed to what a report is about: a domain of the runtime, one of a real Xen host, or a dump file.
import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { control } from '../../core/domain/control-client.ts';
import { collectInfo } from '../../core/domain/host-info.ts';
import type { DomainRecord } from '../../core/domain/record.ts';
import { Registry } from '../../core/domain/registry.ts';
import { XenLog } from '../../core/domain/xen-log.ts';
import { NoSuchDomainError, openTarget } from '../../core/target/open.ts';
import type { Target } from '../../core/target/target.ts';
import { explainFailure, ToolFailure } from '../shared/failure.ts';
import { stateDirectory } from '../shared/state-dir.ts';
import type { SymbolFile } from '../shared/symbol-file.ts';
import { refresh } from '../xl/domains.ts';
import type { Evidence, Inspection, Problem, RuntimeEvidence, Subject } from './evidence.ts';
import { EXIT } from './exit.ts';
import { inspectTarget } from './inspect.ts';
import { linesOfDomain } from './xen-log.ts';

type Env = Readonly<Record<string, string | undefined>>;

/** The file given with -s. */
export interface GivenSymbols {
  readonly file: SymbolFile;
  readonly buildId: string | undefined;
}

export interface FoundSubject {
  readonly subject: Subject;
  readonly isRoot: boolean;
  readonly logFolder: string;
  evidence(symbols: GivenSymbols | undefined): Evidence;
  /** Lets go of the domain. */
  close(): void;
}

/** Where we are: what is asked of the system once. */
export interface Surroundings {
  readonly env: Env;
  readonly isRoot: boolean;
  /** Where Xen's tools keep their logs. */
  readonly logFolder: string;
  readonly now: () => Date;
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

/** The log's lines about the domain; paths of this host are left out. */
function xenLogOf(registry: Registry, record: DomainRecord, now: () => Date): string[] {
  const lines = new XenLog(registry.xenLogPath(), now).read(false);
  return linesOfDomain(lines, record.domid).map((line) =>
    line.replaceAll(record.kernel.path, record.kernel.path.replace(/^.*\//, '')),
  );
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

const runtimeOf = (registry: Registry, record: DomainRecord, now: () => Date): RuntimeEvidence => ({
  record,
  files: registry.files(record.domid),
  xenLog: xenLogOf(registry, record, now),
  info: Object.fromEntries(
    Object.entries(collectInfo(registry)).filter(([key]) => !NOT_OF_THE_GUEST.includes(key)),
  ),
  xenstore: () => xenstoreOf(registry, record),
});

function runtimeSubject(registry: Registry, record: DomainRecord, around: Surroundings): FoundSubject {
  const { domid, name, uuid } = record;
  const subject: Subject = { source: 'runtime', name, domid, uuid };
  return {
    subject,
    ...around,
    evidence: (symbols) => ({
      subject,
      symbols,
      runtime: runtimeOf(registry, record, around.now),
      async inspect(signal) {
        let target: Target | undefined;
        try {
          target = await openTarget(String(domid), { registry });
          return await inspectTarget(target, { file: symbols?.file, env: around.env, signal });
        } catch (error) {
          if (signal.aborted) throw error;
          return asProblem(error, registry);
        } finally {
          target?.close();
        }
      },
    }),
    close: () => undefined,
  };
}

/** A target that is open: a domain of a real host, or a dump file. It is closed as soon as it was looked at. */
export function targetSubject(target: Target, spec: string, around: Surroundings): FoundSubject {
  const { name, domid, uuid, xenVersion } = target.identity;
  const ofHost = target.kind === 'xen';
  const subject: Subject = {
    source: ofHost ? 'xen' : 'file',
    name: name ?? (ofHost ? `domain-${domid}` : basename(spec)),
    domid,
    uuid,
    xenVersion,
  };
  let open = true;
  const close = (): void => {
    if (open) target.close();
    open = false;
  };
  const inspect = async (file: SymbolFile | undefined, signal: AbortSignal): Promise<Inspection> => {
    try {
      return await inspectTarget(target, { file, env: around.env, signal });
    } finally {
      close();
    }
  };
  return {
    subject,
    ...around,
    evidence: (symbols) => ({
      subject,
      symbols,
      inspect: (signal) => inspect(symbols?.file, signal),
      ...(ofHost && { host: { ...around, collectedAt: around.now().toISOString() } }),
    }),
    close,
  };
}

/** @throws ToolFailure when there is no such domain. */
export async function findSubject(spec: string, env: Env): Promise<FoundSubject> {
  const around: Surroundings = {
    env,
    isRoot: process.geteuid?.() === 0,
    logFolder: '/var/log/xen',
    now: () => new Date(),
  };
  const registry = new Registry(stateDirectory(env));
  const record = registry.find(spec);
  if (record !== undefined) return runtimeSubject(registry, await refresh(registry, record), around);
  try {
    return targetSubject(await openTarget(spec, { registry }), spec, around);
  } catch (error) {
    if (!(error instanceof NoSuchDomainError)) throw error;
    throw new ToolFailure([`pvh-report: there is no domain '${spec}', and no dump file`], EXIT.unusable);
  }
}
