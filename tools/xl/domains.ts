// Finding domains for commands, with xl's words when there is none.
import type * as Client from '../../core/domain/control-client.ts';
import type { ControlRequest } from '../../core/domain/protocol.ts';
import type { DomainRecord } from '../../core/domain/record.ts';
import type { Registry } from '../../core/domain/registry.ts';
import { ToolFailure } from '../shared/failure.ts';

/** Loaded when a domain runs: node:net takes longer than listing those that do not. */
async function control(...request: Parameters<typeof Client.control>): ReturnType<typeof Client.control> {
  return (await import('../../core/domain/control-client.ts')).control(...request);
}

/** How long a listing waits for a domain that is busy, for example writing its memory. */
const INFO_TIMEOUT_MS = 400;

/** @throws ToolFailure in xl's words. */
export function requireDomain(registry: Registry, spec: string): DomainRecord {
  const record = registry.find(spec);
  if (record !== undefined) return record;
  if (/^\d+$/.test(spec)) throw new ToolFailure([`Error: Domain '${spec}' does not exist.`]);
  throw new ToolFailure([`${spec} is an invalid domain identifier (rc=-6)`]);
}

export const isLive = ({ state }: DomainRecord): boolean => state === 'running';

/** The record as the domain's process has it now; the one on the disk when it does not answer in time. */
export async function refresh(registry: Registry, record: DomainRecord): Promise<DomainRecord> {
  if (!isLive(record)) return record;
  try {
    const answer = await control(registry.files(record.domid).socket, { op: 'info' }, INFO_TIMEOUT_MS);
    return answer.record ?? record;
  } catch {
    // It may have ended in the meantime: then the disk knows more.
    return registry.read(record.domid) ?? record;
  }
}

/** The domains that `spec` names, or all, as they are now. */
export async function currentDomains(registry: Registry, spec?: string): Promise<DomainRecord[]> {
  const records = spec === undefined ? registry.list() : [requireDomain(registry, spec)];
  return Promise.all(records.map((record) => refresh(registry, record)));
}

/** Asks the process of a running domain. @throws ToolFailure when the domain is not running. */
export async function askDomain(
  registry: Registry,
  record: DomainRecord,
  request: ControlRequest,
  timeoutMs?: number,
): Promise<{ readonly record?: DomainRecord; readonly text?: string }> {
  if (!isLive(record)) {
    const state =
      record.state === 'lost'
        ? 'was lost: the process that ran it ended without a word'
        : record.state === 'creating'
          ? 'is still being created'
          : 'has already shut down';
    throw new ToolFailure([`Error: Domain '${record.name}' (${record.domid}) ${state}.`]);
  }
  return control(registry.files(record.domid).socket, request, timeoutMs);
}
