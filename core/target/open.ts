// From what a user typed to a Target: a domid, a domain name, or the path of a dump file. Tells why it cannot.
import { PvhError } from '../../symbols/errors.ts';
import type { DomainRecord } from '../domain/record.ts';
import type { Registry } from '../domain/registry.ts';
import { FileSource } from '../host/file-source.ts';
import { openDumpFile } from './dump-file.ts';
import { openLive } from './live.ts';
import { openPreserved } from './preserved.ts';
import type { Target } from './target.ts';

/** Neither a domain nor a file has this name. */
export class NoSuchDomainError extends PvhError {
  readonly spec: string;
  constructor(spec: string) {
    super('ESRCH', `no domain and no dump file '${spec}'; "xl list" shows the domains`);
    this.spec = spec;
  }
}

/** A domain that ends may start anew, as another domain of its name, and end again. */
const MAX_ENDS = 3;

async function openDomain(record: DomainRecord, registry: Registry, ends = 0): Promise<Target> {
  const files = registry.files(record.domid);
  const name = `domain ${record.domid} (${record.name})`;
  if (record.preserved) return openPreserved(record, files);
  switch (record.state) {
    case 'running': {
      const target = await openLive(record, registry);
      if (target) return target;
      const now = registry.read(record.domid) ?? registry.find(record.name);
      if (!now) throw new NoSuchDomainError(record.name);
      if (ends === MAX_ENDS) throw new PvhError('EBUSY', `${name} ends each time that it is asked`);
      return openDomain(now, registry, ends + 1);
    }
    case 'creating':
      throw new PvhError('EBUSY', `${name} is still being created`);
    case 'lost':
      throw new PvhError('ELOST', `${name} was lost: the process that ran it ended without preserving it`);
    case 'shutdown':
      throw new PvhError(
        'ENODUMP',
        `${name} has ended (${record.shutdownReason}) and its memory was not kept`,
      );
  }
}

function openFile(path: string): Target {
  const source = new FileSource(path);
  try {
    return openDumpFile(source, () => source.close());
  } catch (error) {
    source.close();
    throw error;
  }
}

/**
 * Opens a domain by number or name, else a dump file by path. The caller closes the target.
 * @throws NoSuchDomainError, FormatError for a damaged or foreign file, PvhError when the domain cannot be read,
 * the system's error when the file cannot.
 */
export async function openTarget(spec: string, env: { readonly registry: Registry }): Promise<Target> {
  const record = env.registry.find(spec);
  if (record) return openDomain(record, env.registry);
  try {
    return openFile(spec);
  } catch (error) {
    const absent = error instanceof Error && 'code' in error && error.code === 'ENOENT';
    if (absent && !spec.includes('/')) throw new NoSuchDomainError(spec);
    throw error;
  }
}
