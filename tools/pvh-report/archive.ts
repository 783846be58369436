// The container of a report: a .tar.gz of plain files in one folder, a memory image behind them. What its writer and its reader both
// know; knows nothing of what the files say.
import { createHash } from 'node:crypto';

export interface ArchiveFile {
  /** Without a folder: `[A-Za-z0-9._-]`, not beginning with a dot. */
  readonly name: string;
  readonly bytes: Uint8Array;
}

/** A file that is not held in memory. */
export interface LargeFile {
  readonly name: string;
  readonly size: number;
  readonly sha256: string;
  /** Its bytes; may be asked for several times. */
  chunks(): AsyncIterable<Uint8Array> | Iterable<Uint8Array>;
}

/** The one large file that a report may have: the last, so that who does not want it can stop before it. */
export const IMAGE = 'memory-image.core.zst';

/** What does not fit into a file name becomes `_`. */
export const safeName = (text: string): string => text.replace(/[^A-Za-z0-9._-]/g, '_').replace(/^\./, '_');

export const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');
