// The answering end of a domain's control socket. Knows the lines, not what they ask for.
import { rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { shortSocketPath } from '../host/unix-socket.ts';
import { type ControlAnswer, type ControlRequest, MAX_LINE_BYTES } from './protocol.ts';

export interface ControlHandler {
  /**
   * Answers a request; what it throws becomes a refusal.
   * @param onGone takes what has to be done when the client is no longer there.
   */
  answer(
    request: ControlRequest,
    onGone: (action: () => void) => void,
  ): ControlAnswer | Promise<ControlAnswer>;
  /** A client has attached to the console: what it types goes to the guest until it closes. */
  typed(bytes: Uint8Array): void;
  /** The number of attached consoles has changed. */
  attached(count: number): void;
}

const MAX_CLIENTS = 64;
/** A console client that does not read is cut off, so that it cannot fill memory. */
const MAX_UNREAD_BYTES = 4 << 20;

export class ControlServer {
  readonly #server: Server;
  readonly #path: string;
  readonly #handler: ControlHandler;
  readonly #consoles: Set<Socket> = new Set();
  readonly #clients: Set<Socket> = new Set();

  constructor(path: string, handler: ControlHandler) {
    this.#path = path;
    this.#handler = handler;
    this.#server = createServer((socket) => this.#serve(socket));
  }

  /** @throws the system's error when the socket cannot be made. */
  listen(): Promise<void> {
    rmSync(this.#path, { force: true });
    return new Promise((resolve, reject) => {
      const { path, release } = shortSocketPath(this.#path);
      this.#server.once('error', reject);
      this.#server.listen(path, () => {
        release();
        resolve();
      });
    });
  }

  /** Hands what the guest wrote to the attached consoles. */
  broadcast(bytes: Uint8Array): void {
    for (const socket of this.#consoles)
      if (socket.writableLength > MAX_UNREAD_BYTES) socket.destroy();
      else socket.write(bytes);
  }

  /** Ends all connections once what was written to them is on its way. */
  close(): void {
    this.#server.close();
    for (const socket of this.#clients) socket.end();
    rmSync(this.#path, { force: true });
  }

  #serve(socket: Socket): void {
    if (this.#clients.size >= MAX_CLIENTS) {
      socket.destroy();
      return;
    }
    this.#clients.add(socket);
    let received = Buffer.alloc(0);
    let console = false;
    socket.on('error', () => socket.destroy());
    socket.on('close', () => {
      this.#clients.delete(socket);
      if (this.#consoles.delete(socket)) this.#handler.attached(this.#consoles.size);
    });
    socket.on('data', (bytes: Buffer) => {
      if (console) return this.#handler.typed(bytes);
      received = Buffer.concat([received, bytes]);
      const end = received.indexOf('\n');
      if (end < 0) {
        if (received.length > MAX_LINE_BYTES) socket.destroy();
        return;
      }
      const line = received.toString('utf8', 0, end);
      const rest = received.subarray(end + 1);
      received = Buffer.alloc(0);
      this.#answer(socket, line, () => {
        console = true;
        this.#consoles.add(socket);
        this.#handler.attached(this.#consoles.size);
        if (rest.length > 0) this.#handler.typed(rest);
      });
    });
  }

  #answer(socket: Socket, line: string, becomeConsole: () => void): void {
    const send = (answer: ControlAnswer): void => {
      if (!socket.destroyed) socket.write(`${JSON.stringify(answer)}\n`);
    };
    const refuse = (error: unknown): void =>
      send({ ok: false, error: error instanceof Error ? error.message : String(error) });
    let request: ControlRequest;
    try {
      request = JSON.parse(line);
    } catch {
      refuse('not a JSON line');
      return;
    }
    if (typeof request !== 'object' || request === null) refuse('not a request');
    else if (request.op === 'console') {
      send({ ok: true });
      becomeConsole();
    } else
      Promise.resolve()
        .then(() =>
          this.#handler.answer(request, (action) => {
            if (socket.destroyed) action();
            else socket.once('close', action);
          }),
        )
        .then(send, refuse);
  }
}
