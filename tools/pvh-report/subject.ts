// From what a user typed to what a report is about: a domain of the runtime, one of a real Xen host, a dump file, or a guest behind a gdb stub.
import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { control } from '../../core/domain/control-client.ts';
import { collectInfo } from '../../core/domain/host-info.ts';
import type { DomainRecord } from '../../core/domain/record.ts';
import { Registry } from '../../core/domain/registry.ts';
import { XenLog } from '../../core/domain/xen-log.ts';
import { notXenHost } from '../../core/host/xen-host.ts';
import { locateTarget, NoSuchDomainError, openLocation } from '../../core/target/open.ts';
import type { Target } from '../../core/target/target.ts';
import { ToolFailure } from '../shared/failure.ts';
import { stateDirectory } from '../shared/state-dir.ts';
import { refresh } from '../xl/domains.ts';
import type { Env, FoundSubject, Problem, RuntimeEvidence, Subject, Surroundings } from './evidence.ts';
import { EXIT } from './exit.ts';
import { hostSubject, isClosedToUs, subjectOfXl } from './host-subject.ts';
import { inspectTarget, inWords, lookAt } from './inspect.ts';
import { linesOfDomain } from './xen-log.ts';

/** Keys of xl info that name the host or that other domains change. */
const NOT_OF_THE_GUEST = ['host', 'free_memory'];

/** Without the folders of this host. */
const asProblem = (error: unknown, { stateDir }: Registry): Problem => ({
  problem: inWords(error).replaceAll(`${stateDir}/`, ''),
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
    evidence: (file, image) => ({
      subject,
      runtime: runtimeOf(registry, record, around.now),
      async inspect(signal) {
        try {
          const open = () => openLocation({ source: 'runtime', record }, { registry });
          return await lookAt(open, { file, search: true, env: around.env, signal, image });
        } catch (error) {
          if (signal.aborted) throw error;
          return asProblem(error, registry);
        }
      },
    }),
    close: () => undefined,
  };
}

/** What has no more to tell than a Target has. */
function targetSubject(
  source: 'file' | 'gdb',
  target: Target,
  spec: string,
  around: Surroundings,
): FoundSubject {
  const { name = basename(spec), domid, uuid, xenVersion } = target.identity;
  const subject: Subject = { source, name, domid, uuid, xenVersion };
  return {
    subject,
    ...around,
    evidence: (file, image) => ({
      subject,
      inspect: (signal) => inspectTarget(target, { file, search: true, env: around.env, signal, image }),
    }),
    close: () => target.close(),
  };
}

async function locate(spec: string, registry: Registry, around: Surroundings): Promise<FoundSubject> {
  const location = await locateTarget(spec, { registry });
  if (location.source === 'runtime')
    return runtimeSubject(registry, await refresh(registry, location.record), around);
  if (location.source === 'xen')
    return hostSubject(location.domain, () => openLocation(location, { registry }), around);
  return targetSubject(location.source, await openLocation(location, { registry }), spec, around);
}

/** @throws ToolFailure when there is no such domain, what openTarget throws when it cannot be opened. */
export async function findSubject(spec: string, env: Env): Promise<FoundSubject> {
  const around: Surroundings = {
    env,
    isRoot: process.geteuid?.() === 0,
    logFolder: '/var/log/xen',
    now: () => new Date(),
  };
  try {
    return await locate(spec, new Registry(stateDirectory(env)), around);
  } catch (error) {
    if (error instanceof NoSuchDomainError)
      throw new ToolFailure([`pvh-report: there is no domain '${spec}', and no dump file`], EXIT.unusable);
    const found =
      isClosedToUs(error) && notXenHost() === undefined
        ? await subjectOfXl(spec.replace(/^xen:/, ''), error, around)
        : undefined;
    if (found === undefined) throw error;
    return found;
  }
}
