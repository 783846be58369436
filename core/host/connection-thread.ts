// The thread behind a BlockingConnection: it owns the socket, and the guard that says goodbye when the process dies.
//
// The source text of the function is what the thread runs, so that it starts alike from TypeScript and from dist/. It therefore uses
// nothing of what stands around it.
import type { MessagePort } from 'node:worker_threads';

/** What the thread starts with. */
export interface ConnectionThreadData {
  readonly port: MessagePort;
  /** Counts the tidings; waking is by Atomics.notify. */
  readonly signal: Int32Array<SharedArrayBuffer>;
  readonly address: { readonly path: string } | { readonly host: string; readonly port: number };
  /** Sent when the process ends without leave; text of one line. */
  readonly farewell: string;
  /** Shell script: at the end of its input it writes the last line of it, or its argument, to descriptor 3, then a line to its output. */
  readonly guard: string;
}

/** What the thread is told to do. `receive` asks for one piece of data: it reads no further by itself. */
export type ConnectionOrder =
  | { readonly kind: 'send'; readonly bytes: Uint8Array }
  | { readonly kind: 'farewell'; readonly text: string }
  | { readonly kind: 'receive' | 'leave' | 'close' };

export type ConnectionTiding =
  | { readonly kind: 'open' | 'left' }
  | { readonly kind: 'data'; readonly bytes: Uint8Array }
  | { readonly kind: 'end'; readonly why: string };

export function connectionThread(): void {
  const { connect } = process.getBuiltinModule('node:net');
  const { spawn } = process.getBuiltinModule('node:child_process');
  const { workerData } = process.getBuiltinModule('node:worker_threads');
  const { port, signal, address, guard, ...rest } = workerData as ConnectionThreadData; // as BlockingConnection gives it
  let { farewell } = rest;
  let why = 'the other side has closed it';

  const tell = (tiding: ConnectionTiding): void => {
    port.postMessage(tiding);
    Atomics.add(signal, 0, 1);
    Atomics.notify(signal, 0);
  };

  /** A process of its own outlives this one, whatever ends it, and shares the socket. */
  const startGuard = () => {
    const child = spawn('sh', ['-c', guard, 'guard', farewell], {
      stdio: ['pipe', 'pipe', 'ignore', socket],
      detached: true,
    });
    child.unref();
    let stands = true;
    let spoken: (() => void) | undefined;
    const fall = (): void => {
      stands = false;
      spoken?.();
    };
    child.once('error', fall).once('exit', fall);
    child.stdin?.once('error', fall);
    child.stdout?.once('data', () => spoken?.());
    return {
      note: (): boolean => child.stdin?.write(`${farewell}\n`) === true,
      dismiss: (): boolean => child.kill('SIGKILL'),
      /** Calls back when it has spoken; with false when it cannot. */
      speak(then: (done: boolean) => void): void {
        spoken = () => {
          spoken = undefined;
          then(stands);
        };
        if (stands) child.stdin?.end();
        else spoken();
      },
    };
  };

  const socket = connect({ ...address, noDelay: true });
  // As early as there is a descriptor: until the guard has it, nobody would say goodbye.
  let keeper = 'path' in address ? startGuard() : undefined;
  socket.pause();
  socket.on('data', (bytes) => {
    socket.pause();
    tell({ kind: 'data', bytes });
  });
  socket.once('connect', () => {
    keeper ??= startGuard();
    tell({ kind: 'open' });
  });
  socket.once('error', (error) => {
    why = error.message;
  });
  socket.once('close', () => {
    keeper?.dismiss();
    tell({ kind: 'end', why });
    port.close();
  });
  port.on('message', (order: ConnectionOrder) => {
    switch (order.kind) {
      case 'send':
        socket.write(order.bytes);
        break;
      case 'receive':
        socket.resume();
        break;
      case 'farewell':
        farewell = order.text;
        keeper?.note();
        break;
      case 'leave':
        keeper?.speak((done) => {
          if (!done) socket.write(farewell);
          tell({ kind: 'left' });
        });
        break;
      case 'close':
        socket.destroy();
        break;
    }
  });
}
