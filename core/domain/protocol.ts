// What is said over a domain's control socket. One JSON line asks, one answers; after `console` the connection carries
// the console's bytes both ways. The socket's folder is its owner's alone, so whoever can connect may do everything.
import type { DomainRecord } from './record.ts';

export type ControlRequest =
  /** Answers with the record as it is now. */
  | { readonly op: 'info' }
  | { readonly op: 'pause' }
  | { readonly op: 'unpause' }
  /** Ends the domain and removes its folder. */
  | { readonly op: 'destroy' }
  /** Asks the guest, through xenstore control/shutdown. */
  | { readonly op: 'shutdown'; readonly request: 'poweroff' | 'reboot' }
  /** Through xenstore control/sysrq. */
  | { readonly op: 'sysrq'; readonly key: string }
  | { readonly op: 'nmi'; readonly vcpu: number }
  | { readonly op: 'rename'; readonly name: string }
  /** Writes a dump-core file at an absolute path; the guest stands still meanwhile. */
  | { readonly op: 'dump-core'; readonly path: string }
  /** The same, at a path that the answer tells: the file goes when the connection does. */
  | { readonly op: 'snapshot' }
  /** Answers with the xenstore tree, one `path = "value"` a line. */
  | { readonly op: 'xenstore' }
  | { readonly op: 'console' };

export type ControlAnswer =
  | { readonly ok: true; readonly record?: DomainRecord; readonly text?: string; readonly path?: string }
  | { readonly ok: false; readonly error: string };

/** One line from the domain process to the `xl create` that started it. */
export type StartMessage =
  | { readonly kind: 'progress'; readonly text: string; readonly done?: number; readonly total?: number }
  | { readonly kind: 'started' }
  | { readonly kind: 'failed'; readonly lines: readonly string[]; readonly exitStatus: number };

/** A request or an answer is never longer; a peer that sends more is cut off. */
export const MAX_LINE_BYTES: number = 1 << 20;
