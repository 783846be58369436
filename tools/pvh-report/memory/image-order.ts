// An image of a guest's memory as it is asked for, and as it was made. Makes none.
import type { LargeFile } from '../archive.ts';
import type { Spool } from './spool.ts';
import type { ImageMemory } from './target-file.ts';

/** What the user asked for. */
export interface ImageOrder {
  readonly kind: ImageMemory['taken'];
  /** Keeps it until it is in the report. */
  readonly spool: Spool;
  /** How long it may take. */
  readonly seconds: number;
}

export interface Image {
  readonly file: LargeFile;
  readonly memory: ImageMemory;
}
