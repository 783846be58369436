// xl console: the terminal of a running domain; Ctrl-] leaves.
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { attachConsole, control } from '../../core/domain/control-client.ts';
import type { DomainRecord } from '../../core/domain/record.ts';
import type { Registry } from '../../core/domain/registry.ts';
import { ToolFailure } from '../shared/failure.ts';
import type { XlCommand, XlContext } from './command.ts';
import { isLive, requireDomain } from './domains.ts';

const ESCAPE = 0x1d;
/** How much of a dead domain's console is shown. */
const TAIL_BYTES = 32 << 10;

/** The end of a file as bytes. */
function tail(path: string): Buffer {
  const file = openSync(path, 'r');
  try {
    const { size } = fstatSync(file);
    const bytes = Buffer.alloc(Math.min(size, TAIL_BYTES));
    return bytes.subarray(0, readSync(file, bytes, 0, bytes.length, size - bytes.length));
  } finally {
    closeSync(file);
  }
}

/**
 * Connects this terminal with the domain's console until the domain ends or Ctrl-] is typed.
 * @param unpause whether to let the guest go once the console is attached.
 * @returns the exit status.
 */
export async function runConsole(
  registry: Registry,
  record: DomainRecord,
  unpause: boolean,
): Promise<number> {
  const socketPath = registry.files(record.domid).socket;
  const { socket, first } = await attachConsole(socketPath);
  if (unpause) await control(socketPath, { op: 'unpause' });
  const { stdin, stdout } = process;
  const raw = stdin.isTTY === true;
  if (raw) stdin.setRawMode(true);
  try {
    await new Promise<void>((resolve) => {
      socket.on('data', (bytes) => stdout.write(bytes)).once('close', () => resolve());
      socket.on('error', () => resolve());
      stdin.on('data', (bytes: Buffer) => {
        const end = bytes.indexOf(ESCAPE);
        socket.write(end < 0 ? bytes : bytes.subarray(0, end));
        if (end >= 0) resolve();
      });
      stdout.write(first);
    });
  } finally {
    if (raw) stdin.setRawMode(false);
    stdin.pause();
    socket.destroy();
  }
  return 0;
}

function showDead({ registry, err }: XlContext, record: DomainRecord): number {
  process.stdout.write(tail(registry.files(record.domid).console));
  err(
    `\nDomain ${record.domid} (${record.name}) ${record.state === 'lost' ? 'was lost' : 'has shut down'}: this is what it wrote last.\n`,
  );
  return 0;
}

export const command: XlCommand = {
  declare: (parser) => parser.option('-t <type>').option('-n <number>'),
  async run(context, [name = ''], options) {
    const { registry } = context;
    const record = requireDomain(registry, name);
    const { t: type = 'pv', n: number = '0' } = options;
    if (type !== 'pv' || number !== '0')
      throw new ToolFailure([
        `a PVH guest has one console here: type pv, number 0`,
        'Unable to attach console',
      ]);
    if (!isLive(record)) return showDead(context, record);
    return runConsole(registry, record, false);
  },
};
