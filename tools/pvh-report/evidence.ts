// What the collectors look at: one domain or dump file, and where it lives. Nothing here changes any of it.
import type { DomainRecord } from '../../core/domain/record.ts';
import type { DomainFiles } from '../../core/domain/registry.ts';
import type { SymbolFile } from '../shared/symbol-file.ts';
import type { CrashVcpu } from './crash.ts';
import type { Cause, Source } from './manifest.ts';
import type { Image, ImageOrder } from './memory/image-order.ts';

export type Env = Readonly<Record<string, string | undefined>>;

/** What a Target gave: made once, used by several collectors. */
export interface Inspection {
  readonly xenctxText: string;
  /** The same vCPUs with true call traces. */
  readonly unwindText: string;
  readonly xenctxJson: string;
  /** What the source is and what it lacks, as JSON. */
  readonly targetJson: string;
  /** memory.core: the frames that all of this was made from, or why there are none. */
  readonly memory: Uint8Array | Problem;
  /** Of all its memory, or of the kernel's; undefined when nobody asked for it. */
  readonly image?: Image | Problem | undefined;
  /** The guest kernel's log, out of its memory. */
  readonly kernelLog: string | Problem;
  readonly vcpus: readonly CrashVcpu[];
  /** Build-id that the guest's own memory has, where the symbols say it should be. */
  readonly guestBuildId: string | undefined;
  /** Build-id of the file that the names come from, given or found. */
  readonly symbolsBuildId: string | undefined;
  /** Whether names come from a file, given or found. */
  readonly symbolsUsed: boolean;
  /** True when no file was given, but the guest's memory had its symbols. */
  readonly namesFromGuest: boolean;
  /** What the guest wrote on its console, where the source keeps that. */
  readonly console: Uint8Array | undefined;
  /** What could not be read, each with its reason. */
  readonly gaps: readonly string[];
}

/** Something that could not be had, and why. */
export interface Problem {
  readonly problem: string;
  readonly cause?: Cause;
}

/** What a report is about. */
export interface Subject {
  readonly source: Source;
  readonly name: string;
  readonly domid?: number | undefined;
  readonly uuid?: string | undefined;
  /** Of the host, as far as the target knows it. */
  readonly xenVersion?: string | undefined;
}

/** What the runtime keeps of a domain. */
export interface RuntimeEvidence {
  readonly record: DomainRecord;
  readonly files: DomainFiles;
  /** Lines of the runtime's log about this domain. */
  readonly xenLog: readonly string[];
  /** Of `xl info`, without what names the host or changes while other domains run. */
  readonly info: Readonly<Record<string, string | number>>;
  xenstore(): Promise<string | Problem>;
}

/** A real Xen host, as far as collectors may touch it: programs that only read, and log files. */
export interface HostEvidence {
  /** PATH says where programs are. */
  readonly env: Env;
  /** Xen's own is /var/log/xen. */
  readonly logFolder: string;
  /** Whether we may read what only root may. */
  readonly isRoot: boolean;
  /** When it was looked at, ISO 8601: what a host says is of a moment. */
  readonly collectedAt: string;
}

export interface Evidence {
  readonly subject: Subject;
  /** Opens the target, looks at it, closes it. Called once at most. @param signal asks to give up. */
  inspect(signal: AbortSignal): Promise<Inspection | Problem>;
  /** Set for domains of the runtime. */
  readonly runtime?: RuntimeEvidence;
  /** Set for domains of a real host. */
  readonly host?: HostEvidence;
}

export interface FoundSubject {
  readonly subject: Subject;
  readonly isRoot: boolean;
  readonly logFolder: string;
  /** @param file given with -s. */
  evidence(file: SymbolFile | undefined, image?: ImageOrder): Evidence;
  /** Lets go of what is open. */
  close(): void;
}

/** Where we are: what is asked of the system once. */
export interface Surroundings {
  readonly env: Env;
  readonly isRoot: boolean;
  /** Where Xen's tools keep their logs. */
  readonly logFolder: string;
  readonly now: () => Date;
}
