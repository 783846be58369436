// Typing on the console of a domain of the runtime, as `xl console` does without a terminal.
import { once } from 'node:events';
import { connect } from 'node:net';
import { shortSocketPath } from '../../core/host/unix-socket.ts';
import type { Host } from '../kernel/guest.ts';

/** Texts come one by one. */
export async function type(host: Host, domid: number, ...texts: string[]): Promise<void> {
  const { path, release } = shortSocketPath(host.file(domid, 'control.sock'));
  const socket = connect(path);
  socket.write('{"op":"console"}\n');
  await once(socket, 'data');
  release();
  for (const text of texts) {
    socket.write(text);
    await new Promise((wake) => setTimeout(wake, 100));
  }
  socket.end();
}
