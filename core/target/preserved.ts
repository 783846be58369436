// A preserved domain of the state directory as a Target: its core.elf with the record and the console log beside it.

import type { DomainRecord } from '../domain/record.ts';
import type { DomainFiles } from '../domain/registry.ts';
import { FileSource } from '../host/file-source.ts';
import { type DumpCoreOptions, openDumpCore } from './dump-core.ts';
import type { Target } from './target.ts';

/** The end of a longer console log is what a crash left. */
const MAX_CONSOLE = 16 << 20;

/** Last bytes of the console log; undefined when there is none. */
export function readConsoleLog(path: string): Uint8Array | undefined {
  let source: FileSource;
  try {
    source = new FileSource(path);
  } catch {
    return undefined;
  }
  try {
    const length = Math.min(source.size, MAX_CONSOLE);
    return source.read(source.size - length, length);
  } finally {
    source.close();
  }
}

/** Opens a dump-core file; the target owns the file. @throws the system's error, PvhError, FormatError */
export function openCoreFile(path: string, options: DumpCoreOptions = {}): Target {
  const source = new FileSource(path);
  try {
    return openDumpCore(source, {
      ...options,
      release: () => {
        source.close();
        options.release?.();
      },
    });
  } catch (error) {
    source.close();
    throw error;
  }
}

export const identityOf = ({
  domid,
  name,
  uuid,
}: DomainRecord): { domid: number; name: string; uuid: string } => ({
  domid,
  name,
  uuid,
});

/** @throws the system's error when core.elf cannot be opened, FormatError when it is damaged. */
export function openPreserved(record: DomainRecord, files: DomainFiles): Target {
  return openCoreFile(files.core, {
    kind: 'preserved',
    description: `preserved domain ${record.domid} (${record.name})`,
    identity: identityOf(record),
    readConsole: () => readConsoleLog(files.console),
  });
}
