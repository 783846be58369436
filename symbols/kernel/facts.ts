// What a guest's kernel tells of itself: which it is, how it was started, how it died. Each fact alone, or the reason why it is absent.
import { FormatError } from '../errors.ts';
import { attempt, type Known, type LinuxMemory } from './linux-memory.ts';
import { cpusOfMask } from './per-cpu.ts';
import type { PrintkRecord } from './printk.ts';
import { taintLetters } from './taints.ts';
import { guestClock } from './timekeeping.ts';

export interface Uptime {
  readonly ns: bigint;
  /** `timekeeper`: of the last tick; `printk`: of the last log record, so at least this. */
  readonly from: 'timekeeper' | 'printk';
}

export interface KernelFacts {
  /** `Linux version ...`, one line. */
  readonly banner: Known<string>;
  readonly release: Known<string>;
  readonly hostname: Known<string>;
  readonly commandLine: Known<string>;
  /** The mask and its letters; no letters when nothing taints it. */
  readonly taints: Known<{ readonly mask: bigint; readonly letters: string }>;
  /** The CPU that called panic(), or none. */
  readonly panicCpu: Known<number | 'none'>;
  readonly oopsInProgress: Known<boolean>;
  /** Text of the last `Kernel panic - not syncing: ...` record, without those words. */
  readonly panicMessage: Known<string>;
  /** First record of the trouble that led to the panic: a `BUG:`, `Oops:`, ... or the panic's own. Without a panic the last trouble. */
  readonly cause: Known<PrintkRecord>;
  readonly uptime: Known<Uptime>;
  /** Seconds since 1970 by the guest's own clock at its last tick. */
  readonly wallClock: Known<number>;
  readonly cpusOnline: Known<readonly number[]>;
  readonly cpusPossible: Known<readonly number[]>;
}

const MAX_TEXT = 4096;
/** Fields of new_utsname. */
const MAX_UTS = 65;
const PANIC = 'Kernel panic - not syncing: ';
const NO_PANIC_CPU = -1;

/** Records that begin an oops: linux arch/x86/mm/fault.c, arch/x86/kernel/traps.c and dumpstack.c, kernel/watchdog.c, lib/bug.c. */
const CAUSES: readonly RegExp[] = [
  /^BUG: /,
  /^kernel BUG at /,
  /^Oops: /,
  /^general protection fault/,
  /^(?:invalid opcode|divide error|int3|stack segment|segment not present|double fault|alignment check)\b.*: [0-9a-f]{4}/,
  /^(?:traps: )?PANIC: double fault/,
  /^watchdog: BUG: /,
  /^(?:NMI )?watchdog: Watchdog detected hard LOCKUP/,
  /^rcu: INFO: rcu_.* stall/,
  /^INFO: task .* blocked for more than/,
  /^Out of memory: /,
  /^mce: \[Hardware Error\]/,
];
/** A warning is a cause only for a guest that panics at warnings. */
const WARNINGS: readonly RegExp[] = [/^WARNING: /, /^UBSAN: /];
const PANIC_ON_WARN = /panic_on_warn/;

/** How long before the panic its cause can have been reported: what oopsed earlier was survived. */
const CAUSE_WINDOW_NS = 2_000_000_000n;
/** Last line of a report. */
const END_OF_REPORT = /^---\[ end /;

/** The panic's record and the first record of the last report of trouble before it. */
export function findPanic(records: readonly PrintkRecord[]): {
  panic: PrintkRecord | undefined;
  cause: PrintkRecord | undefined;
} {
  const at = records.findLastIndex(({ text }) => text.startsWith(PANIC));
  const panic = records[at];
  const patterns = PANIC_ON_WARN.test(panic?.text ?? '') ? [...CAUSES, ...WARNINGS] : CAUSES;
  const isCause = ({ text, timestampNs }: PrintkRecord): boolean =>
    patterns.some((pattern) => pattern.test(text)) &&
    (!panic || panic.timestampNs - timestampNs <= CAUSE_WINDOW_NS);
  const before = panic ? records.slice(0, at) : records;
  let cause = before.findLastIndex(isCause);
  // One report can have several such lines: `BUG: ...`, then `Oops: ...`.
  for (let index = cause - 1; index >= 0; index--) {
    const record = before[index];
    if (!record || END_OF_REPORT.test(record.text)) break;
    if (isCause(record)) cause = index;
  }
  return { panic, cause: before[cause] ?? panic };
}

function utsname(linux: LinuxMemory, field: string): string {
  const type = linux.has('uts_namespace', `name.${field}`) ? field : undefined;
  if (type !== undefined)
    return linux.reader.text(
      linux.address('init_uts_ns') + linux.offset('uts_namespace', `name.${field}`),
      MAX_UTS,
    );
  // VMCOREINFO knows where the names begin; each has 65 bytes.
  const index = ['sysname', 'nodename', 'release'].indexOf(field);
  const names = linux.address('init_uts_ns') + linux.offset('uts_namespace', 'name');
  return linux.reader.text(names + BigInt(index * MAX_UTS), MAX_UTS);
}

function banner(linux: LinuxMemory): string {
  const text = linux.reader.text(linux.address('linux_banner'), MAX_TEXT).split('\n')[0] ?? '';
  if (!text.startsWith('Linux version ')) throw new FormatError('no banner where linux_banner is');
  return text;
}

function uptime(linux: LinuxMemory, last: PrintkRecord | undefined): Uptime {
  const clock = attempt(() => guestClock(linux));
  if (clock.value && clock.value.monotonicNs >= (last?.timestampNs ?? 0n))
    return { ns: clock.value.monotonicNs, from: 'timekeeper' };
  if (last) return { ns: last.timestampNs, from: 'printk' };
  throw new FormatError(`neither clock nor log: ${clock.missing ?? 'the clock is behind the log'}`);
}

/** @param records the guest's log as far as it could be read, or why not. */
export function kernelFacts(linux: LinuxMemory, records: Known<readonly PrintkRecord[]>): KernelFacts {
  const log = (): readonly PrintkRecord[] => {
    if (records.missing !== undefined) throw new FormatError(records.missing);
    return records.value;
  };
  const { panic, cause } = findPanic(records.value ?? []);
  const fromLog = <T extends {}>(value: T | undefined, what: string): Known<T> =>
    attempt(() => {
      const count = log().length;
      if (value === undefined) throw new FormatError(`no ${what} among ${count} log records`);
      return value;
    });
  return {
    banner: attempt(() => banner(linux)),
    release: attempt(() => utsname(linux, 'release')),
    hostname: attempt(() => utsname(linux, 'nodename')),
    commandLine: attempt(() =>
      linux.reader.text(linux.reader.u64(linux.address('saved_command_line')), MAX_TEXT),
    ),
    taints: attempt(() => {
      const mask = linux.reader.u64(linux.address('tainted_mask'));
      return { mask, letters: taintLetters(mask) };
    }),
    panicCpu: attempt(() => {
      const cpu = linux.reader.i32(linux.address('panic_cpu'));
      return cpu === NO_PANIC_CPU ? ('none' as const) : cpu;
    }),
    oopsInProgress: attempt(() => linux.reader.u32(linux.address('oops_in_progress')) !== 0),
    panicMessage: fromLog(panic?.text.slice(PANIC.length), 'panic'),
    cause: fromLog(cause, 'panic'),
    uptime: attempt(() => uptime(linux, records.value?.at(-1))),
    wallClock: attempt(() => guestClock(linux).wallSeconds),
    cpusOnline: attempt(() => cpusOfMask(linux, '__cpu_online_mask')),
    cpusPossible: attempt(() => cpusOfMask(linux, '__cpu_possible_mask')),
  };
}
