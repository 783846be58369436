// A collector: one row of the table of what goes into a report. Says what it takes and within which bounds; runs nothing itself.
import type { LargeFile } from './archive.ts';
import type { Inspection, Problem, RuntimeEvidence, Subject } from './evidence.ts';
import type { Origin, Privacy, Source } from './manifest.ts';

/** Says why there is nothing to collect; anything else that is thrown is a failure of ours or of the system. */
export class NotThere extends Error {}

type Text = string | Uint8Array;

/** Where a collector gets it from. */
export type Take =
  /** Registers and memory of the guest. @throws NotThere */
  | { readonly inspection: (inspection: Inspection) => Text | LargeFile | Problem }
  /** What our runtime keeps of a domain. @throws NotThere */
  | { readonly runtime: (runtime: RuntimeEvidence) => Text | Promise<Text> }
  /** A program of the host, which changes nothing: its arguments. @throws NotThere */
  | {
      readonly program: (subject: Subject) => readonly [string, ...string[]];
      readonly root: boolean;
      /** Takes a part of what it printed. @throws NotThere */
      readonly select?: (text: string, subject: Subject) => string;
    }
  /** Log files of the host, relative to Xen's folder: the first name that is there, with its rotated ones. @throws NotThere */
  | { readonly logs: (subject: Subject) => readonly string[]; readonly absent: string }
  /** All other files of the report: it is empty until they are there. */
  | { readonly others: true };

export interface Collector {
  /** Its name in the report. */
  readonly file: string;
  /** For README.txt. */
  readonly what: string;
  readonly from: readonly Source[];
  readonly take: Take;
  readonly origin: Origin;
  readonly privacy: Privacy;
  /** Without it the report is partial. */
  readonly required: boolean;
  /** Bytes; of more, the first quarter and the last three quarters are kept. */
  readonly bound: number;
  /** How long it may take. */
  readonly seconds: number;
}

export const KIB: number = 1 << 10;
export const MIB: number = 1 << 20;
