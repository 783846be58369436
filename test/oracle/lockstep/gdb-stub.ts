// A client of QEMU's gdb stub, as far as lockstep traces need it: breakpoints, continue, registers.
import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

export class GdbStub {
  readonly #socket: Socket;
  #buffer = '';
  #wake: (() => void) | undefined;
  #closed = false;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.setEncoding('latin1');
    socket.on('data', (text: string) => {
      this.#buffer += text;
      this.#wake?.();
    });
    socket.on('close', () => {
      this.#closed = true;
      this.#wake?.();
    });
  }

  /** Waits up to `milliseconds` for the socket to accept. */
  static async open(path: string, milliseconds: number): Promise<GdbStub> {
    for (const end = Date.now() + milliseconds; ; await sleep(50)) {
      try {
        const socket = connect(path);
        await new Promise<void>((resolve, reject) => {
          socket.once('connect', resolve);
          socket.once('error', reject);
        });
        return new GdbStub(socket);
      } catch (error) {
        if (Date.now() > end) throw error;
      }
    }
  }

  /** Sends one packet and returns the answer. @throws Error when QEMU goes away or says nothing for 5 s. */
  async ask(command: string): Promise<string> {
    const sum = [...command].reduce((total, char) => (total + char.charCodeAt(0)) & 0xff, 0);
    this.#socket.write(`$${command}#${sum.toString(16).padStart(2, '0')}`);
    for (const end = Date.now() + 5_000; ; ) {
      const match = /^\+*\$([^#]*)#[0-9a-f]{2}/.exec(this.#buffer);
      if (match) {
        this.#buffer = this.#buffer.slice(match[0].length);
        this.#socket.write('+');
        return expandRuns(match[1] ?? '');
      }
      if (this.#closed || Date.now() > end) throw new Error(`gdb stub: no answer to ${command.slice(0, 40)}`);
      await Promise.race([
        new Promise<void>((resolve) => {
          this.#wake = resolve;
        }),
        sleep(1000),
      ]);
    }
  }

  close(): void {
    this.#socket.destroy();
  }
}

/** `x*n` repeats x (GDB manual, Overview of the remote protocol). */
function expandRuns(text: string): string {
  return text.replaceAll(/(.)\*(.)/g, (_all, char: string, count: string) =>
    char.repeat(count.charCodeAt(0) - 28),
  );
}
