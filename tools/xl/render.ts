// The tables of xl, from records. Pure: also pvh-report prints them.
import { type DomainRecord, SHUTDOWN_REASONS, type VcpuRecord } from '../../core/domain/record.ts';

/** By shutdown code, as xl list shows them behind the `s`. */
const REASON_LETTERS = '-rscwS';

/** The six letters of xl list. A lost domain has none of xl's states. */
export function stateLetters({
  state,
  paused,
  idle,
  vcpus,
  shutdownReason,
}: Pick<DomainRecord, 'state' | 'paused' | 'idle' | 'vcpus' | 'shutdownReason'>): string {
  if (state === 'lost') return 'lost--';
  const down = state === 'shutdown';
  const running = state === 'running' && !paused && !idle;
  const blocked = state === 'running' && idle && vcpus.some(({ online }) => online);
  const reason =
    shutdownReason === undefined ? '-' : REASON_LETTERS[SHUTDOWN_REASONS.indexOf(shutdownReason)];
  return `${running ? 'r' : '-'}${blocked ? 'b' : '-'}${paused ? 'p' : '-'}${down ? 's' : '-'}${down ? (reason ?? '?') : '-'}-`;
}

/** Xen's number of the reason; undefined while it has none. */
export const reasonCode = ({ state, shutdownReason }: DomainRecord): number | undefined =>
  state === 'shutdown' && shutdownReason !== undefined ? SHUTDOWN_REASONS.indexOf(shutdownReason) : undefined;

const onlineCount = ({ vcpus }: DomainRecord): number => vcpus.filter(({ online }) => online).length;
export const totalSeconds = ({ vcpus }: Pick<DomainRecord, 'vcpus'>): number =>
  vcpus.reduce((sum, { seconds }) => sum + seconds, 0);

export interface ListColumns {
  readonly verbose?: boolean;
  readonly context?: boolean;
  readonly cpupool?: boolean;
  readonly numa?: boolean;
}

/** `xl list` with the columns of -v, -Z, -c and -n. */
export function renderList(records: readonly DomainRecord[], columns: ListColumns = {}): string {
  const { verbose, context, cpupool, numa } = columns;
  let header = `${'Name'.padEnd(40)}    ID   Mem VCPUs\tState\tTime(s)`;
  if (verbose) header += '   UUID                            Reason-Code\tSecurity Label';
  else if (context) header += '   Security Label';
  if (cpupool) header += '         Cpupool';
  if (numa) header += ' NODE Affinity';
  const rows = records.map((record) => {
    let row = [
      record.name.padEnd(40),
      String(record.domid).padStart(5),
      String(Math.floor(record.memoryKiB / 1024)).padStart(5),
      `${String(onlineCount(record)).padStart(5)}     ${stateLetters(record)} `,
      totalSeconds(record).toFixed(1).padStart(8),
    ].join(' ');
    if (verbose) row += ` ${record.uuid} ${(reasonCode(record)?.toString(16) ?? '-').padStart(8)}`;
    if (verbose || context) row += ` ${'-'.padStart(16)}`;
    if (cpupool) row += 'Pool-0'.padStart(16);
    if (numa) row += ' all';
    return row;
  });
  return `${[header, ...rows].join('\n')}\n`;
}

/** What `xl list --json` says of a domain. */
export const listEntry = (record: DomainRecord): object => ({
  domid: record.domid,
  name: record.name,
  uuid: record.uuid,
  state: record.state,
  letters: stateLetters(record),
  paused: record.paused,
  ...(record.shutdownReason && { shutdown_reason: record.shutdownReason, reason_code: reasonCode(record) }),
  memory_kib: record.memoryKiB,
  vcpus_online: onlineCount(record),
  seconds: Number(totalSeconds(record).toFixed(3)),
  preserved: record.preserved,
  ...(record.problem !== undefined && { problem: record.problem }),
});

const vcpuState = (record: DomainRecord, { online }: VcpuRecord): string => {
  if (!online) return '   -   --p ';
  const live = record.state === 'running';
  const running = live && !record.paused && !record.idle;
  return `${'0'.padStart(4)}   ${running ? 'r' : '-'}${live && record.idle ? 'b' : '-'}- `;
};

/** `xl vcpu-list`. One thread runs a domain, so all its vCPUs are on CPU 0. */
export function renderVcpuList(records: readonly DomainRecord[]): string {
  const header = `${'Name'.padEnd(32)}    ID  VCPU   CPU State   Time(s) Affinity (Hard / Soft)`;
  const rows = records.flatMap((record) =>
    record.vcpus.map(
      (vcpu) =>
        `${record.name.padEnd(32)} ${String(record.domid).padStart(5)} ${String(vcpu.id).padStart(5)} ` +
        `${vcpuState(record, vcpu)}${vcpu.seconds.toFixed(1).padStart(9)}  all / all`,
    ),
  );
  return `${[header, ...rows].join('\n')}\n`;
}

export const vcpuEntries = (record: DomainRecord): object[] =>
  record.vcpus.map(({ id, online, seconds }) => ({
    domid: record.domid,
    name: record.name,
    vcpu: id,
    online,
    seconds: Number(seconds.toFixed(3)),
  }));

const two = (n: number): string => String(n).padStart(2, '0');

/** Seconds as xl uptime prints them: ` 0:01:23`, `2 days,  3:04:05`. */
export function duration(seconds: number, withSeconds: boolean): string {
  const days = Math.floor(seconds / 86400);
  const hours = Math.floor(seconds / 3600) % 24;
  const clock = `${String(hours).padStart(2)}:${two(Math.floor(seconds / 60) % 60)}`;
  const text = withSeconds ? `${clock}:${two(seconds % 60)}` : clock;
  return days === 0 ? text : `${days} day${days > 1 ? 's' : ''}, ${text}`;
}

/** Whole seconds of host time since the domain was created. */
export const uptimeSeconds = ({ createdAt }: DomainRecord, now: Date): number =>
  Math.max(0, Math.floor((now.getTime() - Date.parse(createdAt)) / 1000)) || 0;

/** `xl uptime`, or `xl uptime -s`. */
export function renderUptime(records: readonly DomainRecord[], now: Date, short: boolean): string {
  if (short) {
    const clock = `${two(now.getHours())}:${two(now.getMinutes())}:${two(now.getSeconds())}`;
    const rows = records.map(
      (record) =>
        ` ${clock} up ${duration(uptimeSeconds(record, now), false)}, ${record.name} (${record.domid})\n`,
    );
    return rows.join('');
  }
  const rows = records.map(
    (record) =>
      `${record.name.padEnd(33)} ${String(record.domid).padStart(4)} ${duration(uptimeSeconds(record, now), true)}`,
  );
  return `${['Name                                ID Uptime', ...rows].join('\n')}\n`;
}
