// The state directory: which domains there are, their numbers and names. One folder a domain, layout in record.ts.
// Reading never waits and never writes; everything that gives out a number or a name does so under one lock.
import { closeSync, existsSync, mkdirSync, openSync, readdirSync, readFileSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { PvhError } from '../../symbols/errors.ts';
import { removeFolder, replaceFile } from '../host/files.ts';
import { withLock } from '../host/lock.ts';
import { isAlive } from '../host/process-identity.ts';
import type { DomainRecord, DomainState } from './record.ts';

/** A name that another domain has. */
export class NameTakenError extends PvhError {
  readonly holder: DomainRecord;
  constructor(holder: DomainRecord) {
    const { name, domid, state } = holder;
    const lost = state === 'lost' ? ' It was lost: its process ended without a word.' : '';
    super(
      'EEXIST',
      `Domain with name "${name}" already exists (domain ${domid}).${lost} See "xl list", "xl destroy".`,
    );
    this.holder = holder;
  }
}

/** Paths below one domain's folder. */
export interface DomainFiles {
  readonly folder: string;
  readonly record: string;
  readonly config: string;
  readonly console: string;
  readonly inputLog: string;
  readonly core: string;
  /** The xenstore tree of a preserved domain as text. */
  readonly xenstore: string;
  readonly socket: string;
}

const filesIn = (folder: string): DomainFiles => ({
  folder,
  record: join(folder, 'domain.json'),
  config: join(folder, 'config.cfg'),
  console: join(folder, 'console.log'),
  inputLog: join(folder, 'input.log'),
  core: join(folder, 'core.elf'),
  xenstore: join(folder, 'xenstore.txt'),
  socket: join(folder, 'control.sock'),
});

/** Domain ids that Xen gives to domains: 1 to 0x7fef (xen/include/public/xen.h, DOMID_FIRST_RESERVED). */
export const LAST_DOMID = 0x7fef;

const STATES: readonly unknown[] = ['creating', 'running', 'shutdown', 'lost'] satisfies DomainState[];

/** True when what every listing needs is there; a record that somebody edited must not stop the others. */
function isRecord(value: unknown, domid: number): value is DomainRecord {
  if (typeof value !== 'object' || value === null) return false;
  const { schema, domid: own, name, uuid, state, memoryKiB, vcpus } = value as Partial<DomainRecord>; // each checked below
  return (
    schema === 1 &&
    own === domid &&
    typeof name === 'string' &&
    typeof uuid === 'string' &&
    STATES.includes(state) &&
    typeof memoryKiB === 'number' &&
    Array.isArray(vcpus) &&
    vcpus.every((vcpu: unknown) => typeof vcpu === 'object' && vcpu !== null)
  );
}

/** A domain whose process is gone although it should run is lost. */
function withLiveness(record: DomainRecord): DomainRecord {
  if (record.state !== 'running' && record.state !== 'creating') return record;
  if (record.process !== undefined && isAlive(record.process)) return record;
  return { ...record, state: 'lost', process: undefined };
}

export class Registry {
  readonly stateDir: string;
  readonly #domains: string;

  /** @param stateDir its folders are made when something is first written. */
  constructor(stateDir: string) {
    this.stateDir = stateDir;
    this.#domains = join(stateDir, 'domains');
  }

  files(domid: number): DomainFiles {
    return filesIn(join(this.#domains, String(domid)));
  }

  /** Where coredump-destroy puts the dump of the domain called `name`. */
  dumpPath(name: string): string {
    return join(this.stateDir, 'dump', name);
  }

  monitorLogPath(name: string): string {
    return join(this.stateDir, 'log', `xl-${name}.log`);
  }

  xenLogPath(): string {
    return join(this.stateDir, 'xen.log');
  }

  /** Makes the folders; only the user may look inside. */
  prepare(): void {
    for (const folder of ['domains', 'log', 'dump'])
      mkdirSync(join(this.stateDir, folder), { recursive: true, mode: 0o700 });
  }

  /** The record of one domain as it stands on the disk, liveness checked; undefined when there is none. */
  read(domid: number): DomainRecord | undefined {
    let text: string;
    try {
      text = readFileSync(this.files(domid).record, 'utf8');
    } catch {
      return undefined;
    }
    try {
      const value: unknown = JSON.parse(text);
      return isRecord(value, domid) ? withLiveness(value) : undefined;
    } catch {
      return undefined;
    }
  }

  /** The text from which the domain was made. */
  readConfig(domid: number): string {
    return readFileSync(this.files(domid).config, 'utf8');
  }

  /** All domains, by domid. */
  list(): DomainRecord[] {
    let names: string[];
    try {
      names = readdirSync(this.#domains);
    } catch {
      return [];
    }
    return names
      .filter((name) => /^[1-9]\d{0,4}$/.test(name))
      .map(Number)
      .sort((a, b) => a - b)
      .flatMap((domid) => this.read(domid) ?? []);
  }

  /** By domid when `spec` is a number that exists as one, else by name, as xl looks. */
  find(spec: string): DomainRecord | undefined {
    if (/^\d{1,5}$/.test(spec)) {
      const byNumber = this.read(Number(spec));
      if (byNumber !== undefined) return byNumber;
    }
    return this.list().find(({ name }) => name === spec);
  }

  /** Replaces the record of a domain that has its folder. */
  write(record: DomainRecord): void {
    replaceFile(this.files(record.domid).record, `${JSON.stringify(record, undefined, 2)}\n`);
  }

  /**
   * Gives out a domid and a name and makes the folder, all or nothing.
   * @param make the first record and the config text, given the domid.
   * @throws NameTakenError
   */
  async allocate(
    name: string,
    make: (domid: number) => { record: DomainRecord; config: string },
  ): Promise<DomainRecord> {
    this.prepare();
    return this.#locked(() => {
      this.#checkName(name);
      this.#removeLeftovers();
      const domid = this.#nextDomid();
      const { record, config } = make(domid);
      const building = filesIn(join(this.#domains, `.new.${domid}`));
      mkdirSync(building.folder, { mode: 0o700 });
      try {
        replaceFile(building.config, config);
        closeSync(openSync(building.console, 'a', 0o600));
        replaceFile(building.record, `${JSON.stringify(record, undefined, 2)}\n`);
        renameSync(building.folder, this.files(domid).folder);
      } catch (error) {
        removeFolder(building.folder);
        throw error;
      }
      replaceFile(join(this.stateDir, 'next-domid'), `${domid + 1}\n`);
      return record;
    });
  }

  /** Gives a domain another name (and whatever else `change` says) when the name is free. @throws NameTakenError */
  async rename(domid: number, name: string, change: Partial<DomainRecord> = {}): Promise<DomainRecord> {
    return this.#locked(() => {
      const record = this.read(domid);
      if (record === undefined) throw new PvhError('ENOENT', `Domain '${domid}' does not exist.`);
      if (name !== record.name) this.#checkName(name);
      const renamed = { ...record, ...change, name };
      this.write(renamed);
      return renamed;
    });
  }

  /** Forgets a domain and all its files. Whoever runs it must have ended. */
  remove(domid: number): void {
    removeFolder(this.files(domid).folder);
  }

  #locked<T>(work: () => T): Promise<T> {
    return withLock(join(this.stateDir, 'registry.lock'), work);
  }

  #checkName(name: string): void {
    const holder = this.list().find((record) => record.name === name);
    if (holder !== undefined) throw new NameTakenError(holder);
  }

  /** Folders that a killed process left between two steps; only the holder of the lock may tell. */
  #removeLeftovers(): void {
    for (const name of readdirSync(this.#domains))
      if (/^\.new\.\d+$/.test(name)) removeFolder(join(this.#domains, name));
  }

  #nextDomid(): number {
    let next = 1;
    try {
      next = Number.parseInt(readFileSync(join(this.stateDir, 'next-domid'), 'utf8'), 10);
    } catch {}
    if (!(next >= 1 && next <= LAST_DOMID)) next = 1;
    for (let tried = 0; tried < LAST_DOMID; tried++, next = next === LAST_DOMID ? 1 : next + 1)
      if (!existsSync(this.files(next).folder)) return next;
    throw new PvhError('EFULL', `all ${LAST_DOMID} domain numbers are in use below ${this.#domains}`);
  }
}
