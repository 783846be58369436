// What happened, in order: telling lines of the guest's log, and what the hypervisor logged about the guest. Lines are put in
// one order only where they have the same clock; where not, the table says so.
import { isRepeated } from '../xen-log.ts';
import type { Line } from './log-view.ts';
import type { Severity } from './severity.ts';

export interface Moment {
  readonly from: 'guest' | 'Xen';
  /** As its own clock has it; undefined when the line has no time. */
  readonly time: string | undefined;
  readonly text: string;
  readonly severity: Severity | undefined;
  /** Of the log it stands in. */
  readonly line: number;
}

export interface Timeline {
  readonly moments: readonly Moment[];
  /** How the two logs were put together, in words. */
  readonly order: string;
  readonly leftOut: number;
}

const MAX_MOMENTS = 400;

/** Wall clock, as xenconsoled and `console_timestamps=date` write it. */
const DATE = /^\[?(\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(?:\.\d{1,9})?)\]? ?/;
/** `[    1.234567] `, of printk or of Xen (`console_timestamps=boot`), with the caller that CONFIG_PRINTK_CALLER adds. */
const SECONDS = /^\[ {0,9}(\d{1,9}\.\d{1,9})\](?:\[ {0,9}[TC]\d{1,9}\])? ?/;
const LEVEL = /^<\d{1,3}>/;
const XEN = /^\(XEN\) /;

interface Timed {
  readonly date: string | undefined;
  readonly seconds: string | undefined;
  readonly text: string;
}

/** A line without its times. */
function timed(line: string): Timed {
  let text = line;
  const take = (pattern: RegExp): string | undefined => {
    const found = pattern.exec(text);
    if (found) text = text.slice(found[0].length);
    return found?.[1];
  };
  const date = take(DATE);
  take(LEVEL);
  const seconds = take(SECONDS);
  return { date, seconds, text };
}

/** Where a boot goes from one part into the next. Linux v6.1 init/main.c, kernel/panic.c; systemd; busybox init. */
const PHASES =
  /^(Linux version |Command line: |Hypervisor detected|Booting paravirtualized|smp: Brought up|Freeing unused kernel|Run \S+ as init|systemd\[1\]: |init started|Kernel Offset: |---\[ end |sample \S+$)/;

/** The hypervisor's words for an end: what follows is about it. */
const ENDING = /shut down|Triple fault|crashed|Dumping |domain_crash/;

interface Entry extends Moment {
  readonly date: string | undefined;
}

function guestEntries(lines: readonly Line[]): Entry[] {
  return lines.flatMap(({ text: line, number, severity }, index) => {
    const isEnd = index === 0 || index === lines.length - 1;
    const { date, seconds, text } = timed(line);
    if (text.trim() === '' || !(isEnd || severity !== undefined || PHASES.test(text))) return [];
    return [{ from: 'guest', date, time: seconds ?? date, text, severity, line: number }];
  });
}

function xenEntries(lines: readonly Line[]): Entry[] {
  return lines.flatMap(({ text: line, number, severity }) => {
    if (line.trim() === '' || (isRepeated(line) && !/: .* MiB, \d+ vCPUs?, kernel /.test(line))) return [];
    const { date, seconds, text } = timed(line.replace(XEN, ''));
    return [{ from: 'Xen', date, time: date ?? seconds, text, severity, line: number }];
  });
}

/** Both by the wall clock; a line without one stays behind the line it followed. */
function byDate(guest: readonly Entry[], xen: readonly Entry[]): Entry[] {
  const keyed = [guest, xen].flatMap((entries) => {
    let last = '';
    return entries.map((entry) => {
      last = entry.date?.replace('T', ' ') ?? last;
      return { entry: { ...entry, time: entry.date ?? entry.time }, key: last };
    });
  });
  return keyed.sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0)).map(({ entry }) => entry);
}

/** The hypervisor's lines before the guest's, but for those about its end. */
function byMeaning(guest: readonly Entry[], xen: readonly Entry[]): Entry[] {
  const end = xen.findIndex(({ text }) => ENDING.test(text));
  const before = end < 0 ? xen.length : end;
  return [...xen.slice(0, before), ...guest, ...xen.slice(before)];
}

const ALONE = 'Only one of the two logs is in this report.';
const DATES = 'Both logs have wall-clock times: the lines stand in their order.';
const MEANING =
  "The two logs have no clock in common: the hypervisor's lines stand before the guest's, those about its end behind them.";

/** The first and the last ones where there are too many; those that are not fatal go first. */
function thin(entries: readonly Entry[]): readonly Entry[] {
  if (entries.length <= MAX_MOMENTS) return entries;
  const half = MAX_MOMENTS / 2;
  const telling = entries.filter(({ severity, from }) => severity === 'fatal' || from === 'Xen');
  const kept = new Set([...entries.slice(0, half / 2), ...entries.slice(-half / 2)]);
  for (const entry of [...telling.slice(0, half / 2), ...telling.slice(-half / 2)]) kept.add(entry);
  return entries.filter((entry) => kept.has(entry));
}

/** @param guest lines of its console or of its kernel's log. @param xen lines of the hypervisor's log about it. */
export function makeTimeline(guest: readonly Line[], xen: readonly Line[]): Timeline {
  const [guests, xens] = [guestEntries(guest), xenEntries(xen)];
  const dated = guests.some(({ date }) => date) && xens.some(({ date }) => date);
  const all = dated ? byDate(guests, xens) : byMeaning(guests, xens);
  const kept = thin(all);
  return {
    moments: kept.map(({ from, time, text, severity, line }) => ({ from, time, text, severity, line })),
    order: guests.length === 0 || xens.length === 0 ? ALONE : dated ? DATES : MEANING,
    leftOut: all.length - kept.length,
  };
}
