// A running domain as a Target: its process writes a snapshot in dump-core format, which this one opens. The guest stands still
// only while the snapshot is written. The file belongs to the process: it removes it when the connection ends, however it ends.
import { PvhError } from '../../symbols/errors.ts';
import { withControl } from '../domain/control-client.ts';
import type { DomainRecord } from '../domain/record.ts';
import type { DomainFiles } from '../domain/registry.ts';
import { identityOf, openCoreFile, readConsoleLog } from './preserved.ts';
import type { Target } from './target.ts';

/** @throws ControlError when the domain's process cannot be asked, PvhError when it refuses. */
export function openLive(record: DomainRecord, files: DomainFiles): Promise<Target> {
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
