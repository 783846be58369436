// The asking end of a domain's control socket.
import { connect, type Socket } from 'node:net';
import { PvhError } from '../../symbols/errors.ts';
import { shortSocketPath } from '../host/unix-socket.ts';
import { type ControlAnswer, type ControlRequest, MAX_LINE_BYTES } from './protocol.ts';

/** The domain's process did not answer. */
export class ControlError extends PvhError {
  constructor(message: string, options?: ErrorOptions) {
    super('ECONTROL', message, options);
  }
}

function open(socketPath: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const { path, release } = shortSocketPath(socketPath);
    const socket = connect(path);
    socket.once('connect', () => {
      release();
      resolve(socket);
    });
    socket.once('error', (cause) => {
      release();
      reject(
        new ControlError(`cannot reach the domain's process (${socketPath}: ${cause.message})`, { cause }),
      );
    });
  });
}

/** Sends one request. @returns the answer and the bytes that came behind it. */
function exchange(
  socket: Socket,
  request: ControlRequest,
  timeoutMs: number,
): Promise<{ answer: ControlAnswer; rest: Buffer }> {
  return new Promise((resolve, reject) => {
    let received = Buffer.alloc(0);
    const fail = (why: string): void => {
      done();
      socket.destroy();
      reject(new ControlError(`the domain's process ${why}`));
    };
    const timer = setTimeout(() => fail(`did not answer within ${timeoutMs} ms`), timeoutMs);
    const onData = (bytes: Buffer): void => {
      received = Buffer.concat([received, bytes]);
      const end = received.indexOf('\n');
      if (end < 0) {
        if (received.length > MAX_LINE_BYTES * 16) fail('answered without end');
        return;
      }
      let answer: ControlAnswer;
      try {
        answer = JSON.parse(received.toString('utf8', 0, end));
      } catch {
        fail('answered something that is not JSON');
        return;
      }
      done();
      resolve({ answer, rest: received.subarray(end + 1) });
    };
    const onClose = (): void => fail('ended without an answer');
    const onError = (error: Error): void => fail(`cannot be heard (${error.message})`);
    const done = (): void => {
      clearTimeout(timer);
      socket.off('data', onData).off('close', onClose).off('error', onError);
    };
    socket.on('data', onData).on('close', onClose).on('error', onError);
    socket.write(`${JSON.stringify(request)}\n`);
  });
}

/** Writing a dump takes the longest. */
const ANSWER_MS = 60_000;

type Granted = Extract<ControlAnswer, { ok: true }>;

/**
 * Asks the process of a domain for something, and uses the answer while the connection stands.
 * @throws ControlError when it cannot be asked, PvhError EREFUSED when it says no.
 */
export async function withControl<T>(
  socketPath: string,
  request: ControlRequest,
  use: (answer: Granted) => T,
  timeoutMs: number = ANSWER_MS,
): Promise<T> {
  const socket = await open(socketPath);
  try {
    const { answer } = await exchange(socket, request, timeoutMs);
    if (!answer.ok) throw new PvhError('EREFUSED', answer.error);
    return use(answer);
  } finally {
    socket.destroy();
  }
}

/** Asks the process of a domain for something. @throws as withControl */
export const control = (
  socketPath: string,
  request: ControlRequest,
  timeoutMs: number = ANSWER_MS,
): Promise<Granted> => withControl(socketPath, request, (answer) => answer, timeoutMs);

/** Attaches to the console. @returns the connection, and what the guest wrote until now that came with the answer. */
export async function attachConsole(socketPath: string): Promise<{ socket: Socket; first: Buffer }> {
  const socket = await open(socketPath);
  const { answer, rest } = await exchange(socket, { op: 'console' }, 10_000);
  if (!answer.ok) {
    socket.destroy();
    throw new PvhError('EREFUSED', answer.error);
  }
  return { socket, first: rest };
}
