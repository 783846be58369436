// The commands that read a report, and what one of them did with one.
import { join } from 'node:path';

/** From a report and the folder around it to arguments. */
export const COMMANDS: Readonly<Record<string, (report: string, root: string) => readonly string[]>> = {
  show: (report) => ['show', report],
  'show --html': (report) => ['show', '--html', report],
  'diff, left': (report, root) => ['diff', report, join(root, 'good.tar.gz')],
  'diff, right': (report, root) => ['diff', join(root, 'good.tar.gz'), report, '--html', 'diff.html'],
  verify: (report) => ['verify', report],
  symbolize: (report, root) => ['symbolize', report, '-s', join(root, 'System.map')],
  redact: (report) => ['redact', report],
  'redact --show': (report) => ['redact', report, '--show'],
  fit: (report) => ['fit', report],
  mail: (report) => ['mail', report, '-o', 'mail.txt'],
  signature: (report) => ['signature', report, '--explain'],
};

export interface Ran {
  readonly bundle: string;
  readonly command: string;
  readonly status: number;
  /** The beginning of it. */
  readonly out: string;
  readonly err: string;
  /** Files that are new or changed. */
  readonly left: readonly string[];
  readonly seconds: number;
  /** Resident memory so far. */
  readonly peakMiB: number;
}
