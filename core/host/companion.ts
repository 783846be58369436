// A small process that outlives whatever ends this one: in a session of its own, so that Ctrl-C does not reach it.
import { spawn } from 'node:child_process';

/**
 * Starts a script of ours with Node, as this process was started.
 * @param channel descriptor that becomes its standard input; the caller still closes its own copy.
 * @throws Error when no process can be made.
 */
export function startCompanion(script: string, args: readonly string[], channel: number): void {
  const child = spawn(process.execPath, [...process.execArgv, script, ...args], {
    detached: true,
    cwd: '/',
    stdio: [channel, 'ignore', 'ignore'],
  });
  // One that cannot be started leaves its end of the channel closed: the caller sees that.
  child.once('error', () => {});
  child.unref();
}
