// What of a report a replay needs, or why it cannot be replayed. Trusts nothing of it.
import { checkDomainName, type GuestConfig, loadGuestConfig } from '../../../core/domain/config.ts';
import { ConfigError } from '../../../core/domain/config-file.ts';
import type { HostInput, RecordedInput } from '../../../core/domain/host-input.ts';
import { LAST_DOMID } from '../../../core/domain/registry.ts';
import type { Target } from '../../../core/target/target.ts';
import { FormatError, PvhError } from '../../../symbols/errors.ts';
import { asNumber, asObject, asString, parseJson } from '../../shared/json.ts';
import { type PortableRecord, parseRecord } from '../domain-file.ts';
import { verifyFiles } from '../manifest.ts';
import { openRecord } from '../memory/record.ts';
import { parseTarget } from '../memory/target-file.ts';
import type { Unpacked } from '../report.ts';

/** There is nothing to replay, or too little. */
export class NotReplayableError extends PvhError {
  constructor(path: string, why: string) {
    super('ENOREPLAY', `${path}: cannot be replayed: ${why}`);
  }
}

/** Files without which nothing can be replayed. */
export const REPLAYED_FROM = ['domain.json', 'guest.cfg', 'target.json', 'input.log'] as const;

export interface Recorded {
  readonly record: PortableRecord & { readonly shutdownInstruction: number };
  readonly config: GuestConfig;
  readonly inputs: readonly RecordedInput[];
  readonly vcpus: Target['vcpus'];
  /** The frames that are in the report. */
  readonly memory: Target | undefined;
  /** Empty when the guest wrote nothing; undefined when that is not known. */
  readonly console: string | undefined;
  /** Only the beginning of the console can be compared. */
  readonly isConsoleCut: boolean;
  /** Whether words of it were replaced, also of what the guest was told. */
  readonly isRedacted: boolean;
}

const REQUESTS = ['poweroff', 'reboot'] as const;
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

function asCount(value: unknown, place: string): number {
  const count = asNumber(value, place);
  if (count < 0) throw new FormatError('below 0', { source: place });
  return count;
}

function parseInput(value: Readonly<Record<string, unknown>>, vcpus: number, place: string): HostInput {
  const { kind, text, key, request, vcpu } = value;
  switch (kind) {
    case 'console':
      if (typeof text !== 'string') throw new FormatError('no text', { source: place });
      return { kind, bytes: Buffer.from(text, 'latin1') };
    case 'sysrq':
      return { kind, key: asString(key, place).slice(0, 1) };
    case 'shutdown': {
      const known = REQUESTS.find((each) => each === request);
      if (known !== undefined) return { kind, request: known };
      break;
    }
    case 'nmi': {
      const id = asCount(vcpu, place);
      if (id < vcpus) return { kind, vcpu: id };
      throw new FormatError(`there is no vCPU ${id}`, { source: place });
    }
  }
  throw new FormatError('of a kind that is not known', { source: place });
}

/** @param vcpus how many the guest has. @throws FormatError */
export function parseInputLog(text: string, vcpus: number, source: string): RecordedInput[] {
  const lines = text.split('\n');
  if (lines.pop() !== '') throw new FormatError('the last line is not whole', { source });
  return lines.map((line, index) => {
    const place = `${source}: line ${index + 1}`;
    const value = asObject(parseJson(line, place), place);
    return {
      at: asCount(value['at'], place),
      slice: asCount(value['slice'], place),
      instruction: asCount(value['instruction'], place),
      input: parseInput(value, vcpus, place),
    };
  });
}

/** The guest's own settings: name and UUID are those that it was told. @throws NotReplayableError */
function configOf(text: string, record: PortableRecord, path: string): GuestConfig {
  const { name, uuid } = record.builtAs ?? record;
  const wrong = checkDomainName(name);
  if (wrong !== undefined || !UUID.test(uuid) || record.domid < 1 || record.domid > LAST_DOMID)
    throw new NotReplayableError(path, `domain.json: ${wrong ?? 'no UUID or number of a domain'}`);
  try {
    const { config } = loadGuestConfig(text, 'guest.cfg', record.wallclock.seconds);
    return { ...config, name, uuid };
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    throw new NotReplayableError(path, `guest.cfg: ${error.lines.join('; ')}`);
  }
}

function consoleOf({ files, manifest }: Unpacked): Pick<Recorded, 'console' | 'isConsoleCut'> {
  const bytes = files.get('console.log');
  const wroteNothing = manifest.missing.some(
    ({ item, cause }) => item === 'console.log' && cause === 'absent',
  );
  return {
    console: bytes === undefined ? (wroteNothing ? '' : undefined) : Buffer.from(bytes).toString('latin1'),
    isConsoleCut: manifest.files.some(({ name, note }) => name === 'console.log' && note !== undefined),
  };
}

/** @throws NotReplayableError; FormatError for a report that was changed. */
export function recordedOf(report: Unpacked): Recorded {
  const { path, manifest, files } = report;
  verifyFiles(manifest, files, path, report.image);
  if (manifest.source !== undefined && manifest.source !== 'runtime')
    throw new NotReplayableError(path, 'it is not of a domain of our runtime');
  const need = (name: (typeof REPLAYED_FROM)[number]): string => {
    const bytes = files.get(name);
    if (bytes !== undefined) return new TextDecoder().decode(bytes);
    const gap = manifest.missing.find(({ item }) => item === name);
    const why = gap?.reason ?? `it was made by ${manifest.tool}, which had none`;
    throw new NotReplayableError(path, `it has no ${name}: ${why}`);
  };
  const record = parseRecord(need('domain.json'), `${path}: domain.json`);
  const { state, shutdownInstruction } = record;
  if (state !== 'shutdown' || shutdownInstruction === undefined)
    throw new NotReplayableError(
      path,
      `the domain had not ended (${state}), so there is no place to come to`,
    );
  const config = configOf(need('guest.cfg'), record, path);
  const targetJson = need('target.json');
  const inputLog = need('input.log');
  const cut = manifest.files.find(({ name }) => name === 'input.log')?.note;
  if (cut !== undefined) throw new NotReplayableError(path, `its input.log is not whole: ${cut}`);
  const memory = files.get('memory.core');
  return {
    record: { ...record, shutdownInstruction },
    config,
    inputs: parseInputLog(inputLog, config.vcpus, `${path}: input.log`),
    vcpus: parseTarget(targetJson, `${path}: target.json`).vcpus,
    memory: memory && openRecord({ targetJson, memory }, path),
    ...consoleOf(report),
    isRedacted: manifest.redaction !== undefined,
  };
}
