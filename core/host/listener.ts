// A socket on which one client at a time is served: on loopback, or in the file system. Knows no protocol.
import { once } from 'node:events';
import { chmodSync, rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { PvhError } from '../../symbols/errors.ts';
import { shortSocketPath } from './unix-socket.ts';

export type ListenAddress = { readonly host: string; readonly port: number } | { readonly path: string };

const MAX_PORT = 0xffff;
/** A client that neither completes what it began nor reads what it asked for is taken for gone. */
const STUCK_MS = 60_000;
/** bind(2) tells of a folder that is not there as node has it: as of one that is closed. */
const NO_FOLDER = 'no such folder, or no permission';
/** By the system's code. */
const ADVICE: Readonly<Record<string, string>> = {
  EADDRINUSE: 'it is in use; choose another (port 0: any free one)',
  EADDRNOTAVAIL: 'this host has no such address',
  EACCES: 'permission denied; ports below 1024 need root',
  ENOTFOUND: 'no such host',
};

/** @returns undefined when it is neither HOST:PORT nor unix:PATH. */
export function parseListenAddress(text: string): ListenAddress | undefined {
  const path = /^unix:(.+)$/s.exec(text)?.[1];
  if (path !== undefined) return { path };
  const [, bracketed, plain, digits] = /^(?:\[([0-9a-f:.]+)\]|([^:[\]]+)):(\d{1,5})$/i.exec(text) ?? [];
  const [host, port] = [bracketed ?? plain, Number(digits)];
  return host !== undefined && port <= MAX_PORT ? { host, port } : undefined;
}

export const isLoopback = (address: ListenAddress): boolean =>
  'path' in address || /^(?:localhost|127(?:\.\d+){3}|::1)$/.test(address.host);

/** In the form in which gdb takes it, behind `target remote`. */
function formatAddress(address: ListenAddress): string {
  if ('path' in address) return address.path;
  return `${address.host.includes(':') ? `[${address.host}]` : address.host}:${address.port}`;
}

/** Talks to one client. */
export interface ClientHandler {
  /** What to send for bytes that came; taken no faster than the client reads. */
  receive(bytes: Uint8Array): Iterable<Uint8Array>;
  /** True when nothing more is to be read. */
  readonly ended: boolean;
  /** True when more must follow. */
  readonly isPartial: boolean;
}

export interface ListenerEvents {
  /** @throws nothing */
  readonly connected: () => ClientHandler;
  readonly left: () => void;
}

/** Resolves when the client has read, or has gone. */
function drained(socket: Socket): Promise<void> {
  if (socket.destroyed) return Promise.resolve();
  return new Promise((resolve) => {
    const done = (): void => {
      socket.off('drain', done);
      socket.off('close', done);
      resolve();
    };
    socket.on('drain', done);
    socket.on('close', done);
  });
}

async function serve(socket: Socket, client: ClientHandler): Promise<void> {
  socket.setTimeout(0);
  socket.on('timeout', () => socket.destroy());
  try {
    for await (const bytes of socket as AsyncIterable<Uint8Array>) {
      for (const answer of client.receive(bytes)) {
        if (socket.destroyed) return;
        if (socket.write(answer)) continue;
        socket.setTimeout(STUCK_MS);
        await drained(socket);
      }
      if (client.ended) return;
      socket.setTimeout(client.isPartial ? STUCK_MS : 0);
    }
  } catch {
    // The connection broke: the client is gone, which is how it ends for us too.
  } finally {
    if (client.ended && !socket.destroyed) socket.end();
    else socket.destroy();
  }
}

export class Listener {
  readonly #server: Server;
  readonly #address: ListenAddress;
  #client: Socket | undefined;

  private constructor(address: ListenAddress, server: Server) {
    this.#address = address;
    this.#server = server;
  }

  /** @throws PvhError when it cannot listen there. */
  static async open(address: ListenAddress, events: ListenerEvents): Promise<Listener> {
    const server = createServer({ keepAlive: true, noDelay: true });
    const listener = new Listener(address, server);
    server.on('connection', (socket) => listener.#accept(socket, events));
    const { path, release } =
      'path' in address ? shortSocketPath(address.path) : { path: undefined, release: () => undefined };
    try {
      server.listen(path === undefined ? address : { path });
      await once(server, 'listening');
      if (path !== undefined) chmodSync(path, 0o600);
    } catch (error) {
      server.close();
      const code = error instanceof Error && 'code' in error ? String(error.code) : String(error);
      const advice = code === 'EACCES' && 'path' in address ? NO_FOLDER : (ADVICE[code] ?? code);
      throw new PvhError('ELISTEN', `cannot listen on ${formatAddress(address)}: ${advice}`, {
        cause: error,
      });
    } finally {
      release();
    }
    return listener;
  }

  /** Where it listens, the port that was free among it. */
  get address(): string {
    const bound = this.#server.address();
    const port = bound && typeof bound === 'object' ? bound.port : 0;
    return formatAddress('path' in this.#address ? this.#address : { ...this.#address, port });
  }

  #accept(socket: Socket, { connected, left }: ListenerEvents): void {
    socket.on('error', () => socket.destroy());
    // A second debugger is told at once, by the end of its connection, rather than left without an answer.
    if (this.#client) {
      socket.destroy();
      return;
    }
    this.#client = socket;
    socket.once('close', () => {
      this.#client = undefined;
      left();
    });
    void serve(socket, connected());
  }

  /** Ends the connection, and listens no more. */
  close(): void {
    this.#client?.destroy();
    this.#server.close();
    if ('path' in this.#address) rmSync(this.#address.path, { force: true });
  }
}
