// What the collectors look at: one domain, opened once. Nothing here changes the domain.

import type { DomainRecord } from '../../core/domain/record.ts';
import type { DomainFiles } from '../../core/domain/registry.ts';
import type { CrashVcpu } from './crash.ts';

/** What a Target gave: made once, used by several collectors. */
export interface Inspection {
  readonly xenctxText: string;
  /** The same vCPUs with true call traces. */
  readonly unwindText: string;
  readonly xenctxJson: string;
  readonly vcpus: readonly CrashVcpu[];
  /** Build-id that the guest's own memory has, where the symbols say it should be. */
  readonly guestBuildId: string | undefined;
  /** Build-id of the file that the names come from, given or found. */
  readonly symbolsBuildId: string | undefined;
  /** True when no file was given, but the guest's memory had its symbols. */
  readonly namesFromGuest: boolean;
  /** What could not be read, each with its reason. */
  readonly gaps: readonly string[];
}

/** Something that could not be had, and why. */
export interface Problem {
  readonly problem: string;
}

export interface Evidence {
  readonly record: DomainRecord;
  readonly files: DomainFiles;
  /** Lines of the runtime's log about this domain. */
  readonly xenLog: readonly string[];
  /** Of `xl info`, without what names the host or changes while other domains run. */
  readonly info: Readonly<Record<string, string | number>>;
  readonly xenstore: string | Problem;
  readonly inspection: Inspection | Problem;
  /** The file given with -s; undefined without one. */
  readonly symbols: { readonly buildId: string | undefined } | undefined;
}
