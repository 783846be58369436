// From what a user typed to a Target: a domid, a domain name, a gdb stub, or the path of a dump file. Tells why it cannot.
// On a Xen host a number or a name may be that of two domains, one of the host and one of our runtime: then it must be said which.
import { PvhError } from '../../symbols/errors.ts';
import type { DomainRecord } from '../domain/record.ts';
import type { Registry } from '../domain/registry.ts';
import { FileSource } from '../host/file-source.ts';
import { notXenHost } from '../host/xen-host.ts';
import { openDumpFile } from './dump-file.ts';
import { openGdbStub } from './gdb-stub.ts';
import { openLive } from './live.ts';
import { openPreserved } from './preserved.ts';
import type { Target } from './target.ts';
import { findXenDomain, type NamedDomain, openXenDomain } from './xen.ts';

/** Before a number or a name: a domain of the real Xen host, or one of our runtime. */
const HOST = 'xen:';
const RUNTIME = 'pvh:';
/** Before HOST:PORT or unix:PATH: a guest behind a gdb remote stub. */
const STUB = 'gdb:';
/** A domain that ends may start anew, as another domain with its name, and end again. */
const MAX_ENDS = 3;

/** Neither a domain nor a file has this name. */
export class NoSuchDomainError extends PvhError {
  readonly spec: string;
  constructor(spec: string) {
    super('ESRCH', `no domain and no dump file '${spec}'; "xl list" shows the domains`);
    this.spec = spec;
  }
}

/** Undefined when the domain ended while it was asked. */
function openDomain(record: DomainRecord, registry: Registry): Target | Promise<Target | undefined> {
  const files = registry.files(record.domid);
  const name = `domain ${record.domid} (${record.name})`;
  if (record.preserved) return openPreserved(record, files);
  switch (record.state) {
    case 'running':
      return openLive(record, registry);
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

async function openRuntime(found: DomainRecord, registry: Registry): Promise<Target> {
  let record = found;
  for (let attempt = 0; attempt < MAX_ENDS; attempt++) {
    const target = await openDomain(record, registry);
    if (target) return target;
    const now = registry.read(found.domid) ?? registry.find(found.name);
    if (!now) throw new NoSuchDomainError(found.name);
    record = now;
  }
  throw new PvhError('EBUSY', `domain ${found.name} ends each time that it is asked`);
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

/** The host's domain of that name or number, with why it was not looked for. Costs nothing where this is no Xen host. */
async function lookOnHost(spec: string): Promise<{ found?: NamedDomain | undefined; obstacle?: PvhError }> {
  if (notXenHost() !== undefined || spec.includes('/')) return {};
  try {
    return { found: await findXenDomain(spec) };
  } catch (error) {
    if (error instanceof PvhError) return { obstacle: error };
    throw error;
  }
}

/** What a user's words mean. Nothing is open yet: a domain that runs goes on. */
export type Location =
  | { readonly source: 'runtime'; readonly record: DomainRecord }
  | { readonly source: 'xen'; readonly domain: NamedDomain }
  | { readonly source: 'gdb'; readonly address: string }
  /** `obstacle` is why the Xen host could not be asked. */
  | { readonly source: 'file'; readonly path: string; readonly obstacle?: PvhError | undefined };

/**
 * Finds a domain by number or name, without opening it. `xen:` before it means the real Xen host's, `pvh:` our runtime's;
 * without either it is the one that there is. `gdb:` means a stub. What is none of them is taken for the path of a file.
 * @throws NoSuchDomainError, PvhError when two are meant or the host cannot be asked.
 */
export async function locateTarget(spec: string, { registry }: { registry: Registry }): Promise<Location> {
  if (spec.startsWith(HOST)) {
    const domain = await findXenDomain(spec.slice(HOST.length));
    if (domain) return { source: 'xen', domain };
    throw new PvhError('ESRCH', `this Xen host has no domain '${spec.slice(HOST.length)}'; see xl list`);
  }
  if (spec.startsWith(RUNTIME)) {
    const record = registry.find(spec.slice(RUNTIME.length));
    if (record === undefined) throw new NoSuchDomainError(spec);
    return { source: 'runtime', record };
  }
  if (spec.startsWith(STUB)) return { source: 'gdb', address: spec.slice(STUB.length) };
  const record = registry.find(spec);
  const { found, obstacle } = await lookOnHost(spec);
  if (record && found)
    throw new PvhError(
      'ETWO',
      `two domains are called '${spec}': say ${HOST}${spec} for the Xen host's, ${RUNTIME}${spec} for the one of pvh-report's xl`,
    );
  // Whoever may not ask Xen can only mean his own.
  if (record) return { source: 'runtime', record };
  return found ? { source: 'xen', domain: found } : { source: 'file', path: spec, obstacle };
}

/** Opens what was found. @throws as openTarget */
export async function openLocation(
  location: Location,
  { registry }: { registry: Registry },
): Promise<Target> {
  if (location.source === 'runtime') return openRuntime(location.record, registry);
  if (location.source === 'gdb') return openGdbStub(location.address);
  if (location.source === 'xen') return openXenDomain(location.domain.domid);
  const { path, obstacle } = location;
  try {
    return openFile(path);
  } catch (error) {
    const absent = error instanceof Error && 'code' in error && error.code === 'ENOENT';
    if (absent && !path.includes('/')) throw obstacle ?? new NoSuchDomainError(path);
    throw error;
  }
}

/**
 * Opens a domain by number or name, a guest behind a stub, else a dump file by path; see locateTarget. The caller closes the target.
 * @throws NoSuchDomainError, FormatError for a damaged or foreign file, PvhError when the domain cannot be read or when two are
 * meant, the system's error when the file cannot.
 */
export const openTarget = async (spec: string, env: { readonly registry: Registry }): Promise<Target> =>
  openLocation(await locateTarget(spec, env), env);
