// How a domain stands, in the words of manifest and report.txt: from the runtime's record, or from what the host's xl printed.
import { SHUTDOWN_REASONS } from '../../core/domain/record.ts';
import { stateLetters, totalSeconds } from '../xl/render.ts';
import { type PortableRecord, parseRecord } from './domain-file.ts';
import { parseHostConfig } from './host-config.ts';
import type { Source } from './manifest.ts';

export interface Facts {
  /** `running`, `shutdown`, ...; `unknown` when nothing tells. */
  readonly state: string;
  readonly shutdownReason?: string | undefined;
  /** SHA-256 and build-id of the kernel's file, where known. */
  readonly kernel: { readonly sha256?: string | undefined; readonly buildId?: string | undefined };
  readonly xen?: string | undefined;
  /** When the domain stood still or ended by the guest's own clock, seconds since 1970. */
  readonly guestTime?: number | undefined;
  /** What `replay` has to be given; undefined where the run has no end to come to. */
  readonly replayed?: readonly ('kernel' | 'ramdisk')[] | undefined;
  /** More lines of report.txt: name and value. */
  readonly rows: readonly (readonly [string, string])[];
}

/** What is known without the files of a report: its manifest has it too. */
export type KnownFacts = Pick<Facts, 'state' | 'shutdownReason' | 'kernel' | 'xen'>;

/** A file of the report as text. */
export type TextOf = (file: string) => string | undefined;

const machine = (mib: number, vcpus: number, xen: string | undefined): string =>
  `${mib} MiB, ${vcpus} vCPU${vcpus === 1 ? '' : 's'}, Xen ${xen ?? 'unknown'}`;

const named = ({ path, sha256 }: PortableRecord['kernel']): string => `${path}, SHA-256 ${sha256}`;

function factsOfRecord(record: PortableRecord, xen: string | undefined): Facts {
  const { state, shutdownReason, shutdownInstruction, kernel, ramdisk } = record;
  const isOver = state === 'shutdown' && shutdownInstruction !== undefined;
  return {
    state,
    shutdownReason,
    kernel,
    xen,
    guestTime: record.wallclock.seconds + record.virtualNanoseconds / 1e9,
    replayed: isOver ? ['kernel', ...(ramdisk ? (['ramdisk'] as const) : [])] : undefined,
    rows: [
      ['xl list', stateLetters(record)],
      ['kernel file', named(kernel)],
      ...(ramdisk ? [['ramdisk', named(ramdisk)] as const] : []),
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

/** @param info what `xl info` printed. */
const xenOf = (info = ''): string | undefined => /^xen_version +: (\S+)/m.exec(info)?.[1];

function factsOfHost(text: TextOf, xenVersion: string | undefined): Facts {
  const row = parseListRow(text('xl-list.txt') ?? '');
  const config = parseHostConfig(text('xl-list-long.json') ?? '');
  const xen = xenOf(text('host-xl-info.txt')) ?? xenVersion;
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

/** @param text the files that were collected. @throws FormatError when one that is ours is damaged. */
export function factsOf(source: Source, text: TextOf, known: KnownFacts): Facts {
  switch (source) {
    case 'runtime': {
      const record = text('domain.json');
      const xen = xenOf(text('xl-info.txt')) ?? known.xen;
      return record === undefined
        ? { ...known, xen, rows: [] }
        : factsOfRecord(parseRecord(record, 'domain.json'), xen);
    }
    case 'xen':
      return factsOfHost(text, known.xen);
    default:
      return { state: source === 'gdb' ? 'live' : 'dump', kernel: {}, xen: known.xen, rows: [] };
  }
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
    case 'live':
      return 'live: this is a look through a gdb stub, and nothing tells how the domain stands';
    case 'unknown':
      return 'nothing tells whether it runs';
    default:
      return `${state}: this is a look at a domain that goes on`;
  }
}
