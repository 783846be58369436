// domain.json: what the runtime knows of a domain, as a report has it. Without what only one host and one moment know.
import { basename } from 'node:path';
import { type DomainRecord, SHUTDOWN_REASONS } from '../../core/domain/record.ts';
import { FormatError } from '../../symbols/errors.ts';
import { asArray, asBoolean, asNumber, asObject, asOptional, asString, parseJson } from '../shared/json.ts';

/** What the facts of a report are made of, and a replay. */
export type PortableRecord = Pick<
  DomainRecord,
  | 'domid'
  | 'name'
  | 'uuid'
  | 'builtAs'
  | 'state'
  | 'shutdownReason'
  | 'shutdownInstruction'
  | 'kernel'
  | 'ramdisk'
  | 'cmdline'
  | 'memoryKiB'
  | 'vcpus'
  | 'virtualNanoseconds'
  | 'seed'
  | 'wallclock'
  | 'paused'
  | 'idle'
  | 'problem'
>;

const MAX_VCPUS = 512;
const STATES: readonly DomainRecord['state'][] = ['creating', 'running', 'shutdown', 'lost'];

/** Without processes, host times and folders. */
export function renderRecord(record: DomainRecord): string {
  const { process: _process, createdAt: _createdAt, kernel, ramdisk, ...rest } = record;
  const portable = {
    ...rest,
    kernel: { ...kernel, path: basename(kernel.path) },
    ...(ramdisk && { ramdisk: { ...ramdisk, path: basename(ramdisk.path) } }),
  };
  return `${JSON.stringify(portable, undefined, 2)}\n`;
}

function asFinite(value: unknown, place: string): number {
  if (typeof value !== 'number' || !Number.isFinite(value))
    throw new FormatError('not a number', { source: place });
  return value;
}

function oneOf<T>(known: readonly T[], value: unknown, place: string): T {
  const found = known.find((each) => each === value);
  if (found === undefined) throw new FormatError('of a kind that is not known', { source: place });
  return found;
}

function asNamed(value: unknown, place: string): NonNullable<DomainRecord['builtAs']> {
  const named = asObject(value, place);
  return { name: asString(named['name'], `${place}.name`), uuid: asString(named['uuid'], `${place}.uuid`) };
}

function asFile(value: unknown, place: string): NonNullable<DomainRecord['ramdisk']> {
  const file = asObject(value, place);
  return {
    path: asString(file['path'], `${place}.path`),
    sha256: asString(file['sha256'], `${place}.sha256`),
  };
}

/** @throws FormatError */
export function parseRecord(text: string, source: string): PortableRecord {
  const top = asObject(parseJson(text, source), source);
  const at = (name: string): [unknown, string] => [top[name], `${source}: ${name}`];
  const wallclock = asObject(...at('wallclock'));
  const vcpus = asArray(...at('vcpus'));
  if (vcpus.length > MAX_VCPUS) throw new FormatError(`more than ${MAX_VCPUS} vCPUs`, { source });
  return {
    domid: asNumber(...at('domid')),
    ...asNamed(top, source),
    builtAs: asOptional(asNamed, ...at('builtAs')),
    state: oneOf(STATES, ...at('state')),
    shutdownReason: asOptional(
      (value, place) => oneOf(SHUTDOWN_REASONS, value, place),
      ...at('shutdownReason'),
    ),
    shutdownInstruction: asOptional(asNumber, ...at('shutdownInstruction')),
    kernel: {
      ...asFile(...at('kernel')),
      buildId: asOptional(asString, asObject(...at('kernel'))['buildId'], `${source}: kernel.buildId`),
    },
    ramdisk: asOptional(asFile, ...at('ramdisk')),
    cmdline: asString(...at('cmdline')),
    memoryKiB: asNumber(...at('memoryKiB')),
    vcpus: vcpus.map((value) => {
      const vcpu = asObject(value, `${source}: vcpus`);
      return {
        id: asNumber(vcpu['id'], `${source}: vcpus.id`),
        online: asBoolean(vcpu['online'], `${source}: vcpus.online`),
        seconds: asFinite(vcpu['seconds'], `${source}: vcpus.seconds`),
      };
    }),
    virtualNanoseconds: asNumber(...at('virtualNanoseconds')),
    seed: asFinite(...at('seed')),
    wallclock: {
      seconds: asFinite(wallclock['seconds'], `${source}: wallclock.seconds`),
      source: oneOf(['fixed', 'host'] as const, wallclock['source'], `${source}: wallclock.source`),
    },
    paused: asBoolean(...at('paused')),
    idle: asBoolean(...at('idle')),
    problem: asOptional(asString, ...at('problem')),
  };
}
