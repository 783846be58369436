// What the collectors look at: one domain, opened once. Nothing here changes the domain.

import type { DomainRecord } from '../../core/domain/record.ts';
import type { DomainFiles } from '../../core/domain/registry.ts';
import type { CrashVcpu } from './crash.ts';

/** Symbols and text of the vCPUs: made from a Target, or why there is none. */
export interface Inspection {
  readonly kind: string;
  /** What the source cannot know, in words. */
  readonly lacks: readonly string[];
  readonly xenctxText: string;
  readonly xenctxJson: string;
  readonly vcpus: readonly CrashVcpu[];
}

export interface Evidence {
  readonly record: DomainRecord;
  readonly files: DomainFiles;
  /** Lines of the runtime's log about this domain. */
  readonly xenLog: readonly string[];
  /** Of `xl info`, without what names the host or changes while other domains run. */
  readonly info: Readonly<Record<string, string | number>>;
  readonly inspection: Inspection | { readonly problem: string };
  /** Build-id of the file given with -s; undefined without one. */
  readonly symbols:
    | { readonly buildId: string | undefined; readonly problem?: string | undefined }
    | undefined;
}
