// How a domain stands, in the words of manifest and report.txt: from the runtime's record, or from what the host's xl printed.
import { type DomainRecord, SHUTDOWN_REASONS } from '../../core/domain/record.ts';
import { stateLetters, totalSeconds } from '../xl/render.ts';
import type { Evidence } from './evidence.ts';
import { parseHostConfig } from './host-config.ts';

export interface Facts {
  /** `running`, `shutdown`, ...; `unknown` when nothing tells. */
  readonly state: string;
  readonly shutdownReason?: string | undefined;
  /** SHA-256 and build-id of the kernel's file, where known. */
  readonly kernel: { readonly sha256?: string | undefined; readonly buildId?: string | undefined };
  readonly xen?: string | undefined;
  /** More lines of report.txt: name and value. */
  readonly rows: readonly (readonly [string, string])[];
}

/** A file of the report as text. */
export type TextOf = (file: string) => string | undefined;

const machine = (mib: number, vcpus: number, xen: string | undefined): string =>
  `${mib} MiB, ${vcpus} vCPU${vcpus === 1 ? '' : 's'}, Xen ${xen ?? 'unknown'}`;

function factsOfRecord(record: DomainRecord, xen: string | undefined): Facts {
  return {
    state: record.state,
    shutdownReason: record.shutdownReason,
    kernel: record.kernel,
    xen,
    rows: [
      ['xl list', stateLetters(record)],
      ['kernel file', `SHA-256 ${record.kernel.sha256}`],
      ['command line', record.cmdline || '(empty)'],
      ['machine', machine(record.memoryKiB / 1024, record.vcpus.length, xen)],
      [
        'guest time',
        `${(record.virtualNanoseconds / 1e9).toFixed(6)} s, of that ${totalSeconds(record).toFixed(6)} s busy`,
      ],
      [
        'repeat it',
        `seed ${record.seed}, wall clock ${record.wallclock.seconds} (${record.wallclock.source})`,
      ],
    ],
  };
}

/** The row of `xl list -v` behind the name: id, memory, vCPUs, letters, time, UUID, reason (hexadecimal). */
const LIST_ROW =
  /^(?<name>\S.*?) +(?<domid>\d+) +(?<mib>\d+) +(?<vcpus>\d+) +(?<letters>[r-][b-][p-][s-]\S[d-]) +[\d.]+ +(?<uuid>[0-9a-f-]{36}) +(?<reason>[0-9a-f]+|-)\s/m;

export interface ListRow {
  readonly name: string;
  readonly domid: number;
  readonly uuid: string;
  readonly letters: string;
  readonly vcpus: number;
  readonly mib: number;
  /** SCHEDOP_shutdown reason; undefined while it has not shut down. */
  readonly reason: number | undefined;
}

/** @param text of `xl list -v` of one domain. */
export function parseListRow(text: string): ListRow | undefined {
  const { name, domid, uuid, letters, vcpus, mib, reason = '-' } = LIST_ROW.exec(text)?.groups ?? {};
  if (letters === undefined || name === undefined || uuid === undefined) return undefined;
  return {
    name,
    domid: Number(domid),
    uuid,
    letters,
    vcpus: Number(vcpus),
    mib: Number(mib),
    reason: reason === '-' ? undefined : Number.parseInt(reason, 16),
  };
}

const stateOf = ({ letters }: ListRow): string =>
  letters[5] === 'd' ? 'dying' : letters[3] === 's' ? 'shutdown' : letters[2] === 'p' ? 'paused' : 'running';

function factsOfHost(text: TextOf, xenVersion: string | undefined): Facts {
  const row = parseListRow(text('xl-list.txt') ?? '');
  const config = parseHostConfig(text('xl-list-long.json') ?? '');
  const xen = /^xen_version +: (\S+)/m.exec(text('host-xl-info.txt') ?? '')?.[1] ?? xenVersion;
  const vcpus = config?.vcpus ?? row?.vcpus;
  return {
    state: row === undefined ? 'unknown' : stateOf(row),
    shutdownReason:
      row?.reason === undefined ? undefined : (SHUTDOWN_REASONS[row.reason] ?? `reason ${row.reason}`),
    kernel: {},
    xen,
    rows: [
      ['xl list', row?.letters ?? 'unknown'],
      ...(config?.kernel === undefined ? [] : [['kernel file', config.kernel] as const]),
      ...(config === undefined ? [] : [['command line', config.cmdline || '(empty)'] as const]),
      ...(row === undefined || vcpus === undefined
        ? []
        : [['machine', machine(row.mib, vcpus, xen)] as const]),
    ],
  };
}

/** @param text the files that were collected. @param xenVersion as the target knows it. */
export function factsOf({ subject, runtime }: Evidence, text: TextOf, xenVersion: string | undefined): Facts {
  if (runtime) {
    const { xen_version: xen } = runtime.info;
    return factsOfRecord(runtime.record, typeof xen === 'string' ? xen : undefined);
  }
  if (subject.source === 'xen') return factsOfHost(text, xenVersion);
  return { state: subject.source === 'gdb' ? 'live' : 'dump', kernel: {}, xen: xenVersion, rows: [] };
}

/** The end of the first line of report.txt. */
export function ending({ state, shutdownReason }: Facts): string {
  switch (state) {
    case 'shutdown':
      return `shut down, reason ${shutdownReason ?? 'unknown'}`;
    case 'lost':
      return 'lost: its process ended without a word';
    case 'dump':
      return 'a dump file: nothing tells how the domain ended';
    case 'unknown':
      return 'nothing tells whether it runs';
    default:
      return `${state}: this is a look at a domain that goes on`;
  }
}
