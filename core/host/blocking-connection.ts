// A TCP or unix connection whose reads block, with a deadline: a Target is synchronous. A thread owns the socket.
//
// Whatever ends the process, a last message is sent: by a small process that shares the socket and waits for this one to end.
import { MessageChannel, receiveMessageOnPort, Worker } from 'node:worker_threads';
import { PvhError } from '../../symbols/errors.ts';
import {
  type ConnectionOrder,
  type ConnectionThreadData,
  type ConnectionTiding,
  connectionThread,
} from './connection-thread.ts';
import { shortSocketPath } from './unix-socket.ts';

export type PeerAddress = { readonly path: string } | { readonly host: string; readonly port: number };

/** The other side cannot be reached, has gone, or does not answer. */
export class ConnectionError extends PvhError {
  constructor(message: string) {
    super('ECONNECTION', message);
  }
}

/** The pause at the end: were the socket closed at once, bytes that nobody has read would make TCP drop the farewell. */
const GUARD =
  'trap "" INT HUP TERM PIPE; farewell=$1; while IFS= read -r line; do farewell=$line; done; printf %s "$farewell" >&3; echo; exec sleep 1';

/** Address as people write it: `host:port`, `[ipv6]:port` or `unix:path`. Undefined when it is none of them. */
export function parsePeerAddress(text: string): PeerAddress | undefined {
  if (text.startsWith('unix:')) return text.length > 5 ? { path: text.slice(5) } : undefined;
  const [, bracketed, plain, port] = /^(?:\[([^\]]+)\]|([^:]*)):(\d{1,5})$/.exec(text) ?? [];
  if (port === undefined || Number(port) > 65535) return undefined;
  return { host: bracketed ?? (plain || '127.0.0.1'), port: Number(port) };
}

export interface BlockingConnectionOptions {
  readonly timeoutMs: number;
  /** Printable text of one line, sent when the process ends without close(). */
  readonly farewell: string;
}

export class BlockingConnection {
  readonly #port;
  readonly #signal: Int32Array<SharedArrayBuffer> = new Int32Array(new SharedArrayBuffer(4));
  readonly #timeoutMs: number;
  #farewell: string;
  /** Data has been asked for and not come yet. */
  #awaiting = false;
  /** Data that came while something else was waited for. */
  #early: Uint8Array | undefined;
  #ended: string | undefined;

  /** Connects. @throws ConnectionError when the other side cannot be reached in time. */
  constructor(address: PeerAddress, { timeoutMs, farewell }: BlockingConnectionOptions) {
    const { port1, port2 } = new MessageChannel();
    this.#port = port1;
    this.#timeoutMs = timeoutMs;
    this.#farewell = farewell;
    const short = 'path' in address ? shortSocketPath(address.path) : undefined;
    const data: ConnectionThreadData = {
      port: port2,
      signal: this.#signal,
      address: short ? { path: short.path } : address,
      farewell,
      guard: GUARD,
    };
    const options = { eval: true, workerData: data, transferList: [port2], execArgv: [] };
    new Worker(`(${connectionThread})()`, options).unref();
    try {
      this.#next();
    } catch (error) {
      this.close();
      throw error;
    } finally {
      short?.release();
    }
  }

  send(bytes: Uint8Array): void {
    // A copy: what is posted takes the whole buffer below it along.
    this.#order({ kind: 'send', bytes: new Uint8Array(bytes) });
  }

  /** At least one byte. @throws ConnectionError when none comes in time, or none will come. */
  receive(timeoutMs: number = this.#timeoutMs): Uint8Array {
    const early = this.#early;
    this.#early = undefined;
    if (early) return early;
    if (!this.#awaiting) this.#order({ kind: 'receive' });
    this.#awaiting = true;
    for (;;) {
      const tiding = this.#next(timeoutMs);
      if (tiding.kind === 'data') return tiding.bytes;
    }
  }

  /** Replaces what is sent at the end. */
  set farewell(text: string) {
    if (text === this.#farewell) return;
    this.#farewell = text;
    this.#order({ kind: 'farewell', text });
  }

  /** Sends the farewell. Answers to it are received as usual. @throws ConnectionError when the connection has ended. */
  leave(): void {
    this.#order({ kind: 'leave' });
    for (;;) {
      const tiding = this.#next();
      if (tiding.kind === 'left') return;
      if (tiding.kind === 'data') this.#early = tiding.bytes;
    }
  }

  /** Ends the connection without a farewell. */
  close(): void {
    this.#ended ??= 'it is closed';
    this.#order({ kind: 'close' });
  }

  #order(order: ConnectionOrder): void {
    this.#port.postMessage(order);
  }

  #next(timeoutMs: number = this.#timeoutMs): Exclude<ConnectionTiding, { kind: 'end' }> {
    const end = performance.now() + timeoutMs;
    for (;;) {
      if (this.#ended !== undefined) throw new ConnectionError(this.#ended);
      const seen = Atomics.load(this.#signal, 0);
      const tiding = receiveMessageOnPort(this.#port)?.message as ConnectionTiding | undefined; // of connection-thread.ts
      if (tiding?.kind === 'end') this.#ended = tiding.why;
      else if (tiding) {
        if (tiding.kind === 'data') this.#awaiting = false;
        return tiding;
      } else {
        const left = end - performance.now();
        if (left <= 0) throw new ConnectionError(`no answer within ${timeoutMs / 1000} s`);
        Atomics.wait(this.#signal, 0, seen, left);
      }
    }
  }
}
