// A running domain as a Target: its process writes a snapshot in dump-core format, which this one reads and removes. The guest
// stands still only while the snapshot is written; an interrupted reader leaves nothing paused.
import { control } from '../domain/control-client.ts';
import type { DomainRecord } from '../domain/record.ts';
import type { DomainFiles } from '../domain/registry.ts';
import { removeFile, temporaryBeside } from '../host/files.ts';
import { identityOf, openCoreFile, readConsoleLog } from './preserved.ts';
import type { Target } from './target.ts';

/** @throws ControlError when the domain's process cannot be asked, PvhError when it refuses. */
export async function openLive(record: DomainRecord, files: DomainFiles): Promise<Target> {
  const path = temporaryBeside(files.core);
  try {
    await control(files.socket, { op: 'snapshot', path });
    return openCoreFile(path, {
      kind: 'live',
      description: `snapshot of running domain ${record.domid} (${record.name})`,
      identity: identityOf(record),
      readConsole: () => readConsoleLog(files.console),
    });
  } finally {
    // The open file stays readable without its name.
    removeFile(path);
  }
}
