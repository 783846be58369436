// A running domain as a Target: its process writes a snapshot in dump-core format, which this one opens. The guest stands still
// only while the snapshot is written. The file belongs to the process: it removes it when the connection ends, however it ends.
import { setTimeout as sleep } from 'node:timers/promises';
import { PvhError } from '../../symbols/errors.ts';
import { ControlError, withControl } from '../domain/control-client.ts';
import type { DomainRecord } from '../domain/record.ts';
import type { DomainFiles, Registry } from '../domain/registry.ts';
import { identityOf, openCoreFile, readConsoleLog } from './preserved.ts';
import type { Target } from './target.ts';

/** @throws ControlError when the domain's process cannot be asked, PvhError when it refuses. */
function openSnapshot(record: DomainRecord, files: DomainFiles): Promise<Target> {
  return withControl(files.socket, { op: 'snapshot' }, ({ path }) => {
    if (path === undefined) throw new PvhError('ECONTROL', "the domain's process tells of no snapshot");
    // The open file stays readable without its name.
    return openCoreFile(path, {
      kind: 'live',
      description: `snapshot of running domain ${record.domid} (${record.name})`,
      identity: identityOf(record),
      readConsole: () => readConsoleLog(files.console),
    });
  });
}

/** A process that has stopped answering writes the domain's end, or goes, within this: it waits for nothing else then. */
const END_MS = 2000;
const LOOK_MS = 50;

/** Whether a domain that was running no longer is, at once or soon. */
async function hasEnded({ domid }: DomainRecord, registry: Registry): Promise<boolean> {
  for (const end = performance.now() + END_MS; performance.now() < end; await sleep(LOOK_MS))
    if (registry.read(domid)?.state !== 'running') return true;
  return false;
}

/**
 * @returns undefined when the domain ended while it was asked: it panicked at this very moment, say. Its record tells what it is now.
 * @throws ControlError when the domain's process cannot be asked, PvhError when it refuses.
 */
export async function openLive(record: DomainRecord, registry: Registry): Promise<Target | undefined> {
  try {
    return await openSnapshot(record, registry.files(record.domid));
  } catch (error) {
    if (error instanceof ControlError && (await hasEnded(record, registry))) return undefined;
    throw error;
  }
}
