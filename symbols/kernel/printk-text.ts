// Log records as the lines that the guest's console showed (linux kernel/printk/printk.c, info_print_prefix). Colours nothing.
import type { PrintkRecord } from './printk.ts';

export interface PrintkStyle {
  /** False for `printk.time=0`. */
  readonly time: boolean;
  /** True for kernels with CONFIG_PRINTK_CALLER. */
  readonly caller: boolean;
}

/** `[    3.256293]`: seconds in 5 columns, microseconds in 6. */
export function printkTime(timestampNs: bigint): string {
  const micros = (timestampNs / 1000n) % 1_000_000n;
  return `[${`${timestampNs / 1_000_000_000n}`.padStart(5)}.${`${micros}`.padStart(6, '0')}]`;
}

/** Lines of one record; each has the prefix. */
export function printkLines(record: PrintkRecord, { time, caller }: PrintkStyle): string[] {
  const parts = [
    ...(time ? [printkTime(record.timestampNs)] : []),
    ...(caller && record.caller !== undefined ? [`[${record.caller.padStart(6)}]`] : []),
  ];
  const prefix = parts.length > 0 ? `${parts.join('')} ` : '';
  return record.text.split('\n').map((line) => prefix + line);
}
