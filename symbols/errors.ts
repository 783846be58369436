// The error classes that cross room borders. Guest faults are data and are not here.
import { hex16 } from './address.ts';

/** Base of all errors that a user's input can cause: the message says what, where and what to do next. */
export class PvhError extends Error {
  readonly code: string;
  constructor(code: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = new.target.name;
    this.code = code;
  }
}

/** Where in an input a FormatError was found. */
export interface FormatErrorPlace {
  /** File or section name as the user knows it. */
  readonly source?: string;
  /** Byte offset inside it. */
  readonly offset?: number;
  readonly cause?: unknown;
}

/** Bytes that are not what their format promises. Parsers throw nothing else. */
export class FormatError extends PvhError {
  readonly source: string | undefined;
  readonly offset: number | undefined;
  constructor(message: string, place: FormatErrorPlace = {}) {
    const at = place.offset === undefined ? '' : ` at offset 0x${place.offset.toString(16)}`;
    const where = place.source === undefined ? at : ` (${place.source}${at})`;
    super('EFORMAT', message + where, { cause: place.cause });
    this.source = place.source;
    this.offset = place.offset;
  }
}

/** Why guest memory at an address could not be read. */
export type MemoryFaultReason = 'not mapped' | 'not in dump' | 'not present' | 'not canonical' | 'read error';

/** An address of the guest that cannot be read; zeros are never invented in its place. */
export class MemoryFault extends PvhError {
  readonly space: 'virtual' | 'physical';
  readonly address: bigint;
  readonly reason: MemoryFaultReason;
  constructor(space: 'virtual' | 'physical', address: bigint, reason: MemoryFaultReason, detail = '') {
    super('EFAULT', `${space} ${hex16(address)}: ${reason}${detail && ` (${detail})`}`);
    this.space = space;
    this.address = address;
    this.reason = reason;
  }
}

/** A bug of ours. */
export class InternalError extends PvhError {
  constructor(message: string) {
    super('EINTERNAL', `internal error: ${message}`);
  }
}

/** Throws InternalError unless `condition` holds. */
export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new InternalError(message);
}
