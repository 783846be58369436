// xl destroy
import { control } from '../../core/domain/control-client.ts';
import type { DomainRecord } from '../../core/domain/record.ts';
import type { Registry } from '../../core/domain/registry.ts';
import { XenLog } from '../../core/domain/xen-log.ts';
import { isAlive } from '../../core/host/process-identity.ts';
import { ToolFailure } from '../shared/failure.ts';
import type { XlCommand } from './command.ts';
import { requireDomain } from './domains.ts';

const PATIENCE_MS = 3000;
const POLL_MS = 20;

const pause = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, POLL_MS));

/** Ends the process of a domain: asks, then kills. */
async function endProcess(registry: Registry, { domid, process: owner }: DomainRecord): Promise<void> {
  if (owner === undefined || !isAlive(owner)) return;
  try {
    await control(registry.files(domid).socket, { op: 'destroy' }, PATIENCE_MS);
  } catch {
    // It does not listen: the signal below does not ask.
  }
  for (const start = Date.now(); isAlive(owner) && Date.now() - start < PATIENCE_MS; ) await pause();
  if (!isAlive(owner)) return;
  process.kill(owner.pid, 'SIGKILL');
  for (const start = Date.now(); isAlive(owner) && Date.now() - start < PATIENCE_MS; ) await pause();
}

export const command: XlCommand = {
  declare: (parser) => parser.option('-f'),
  async run({ registry, now }, [name = '']) {
    if (name === '0')
      throw new ToolFailure([`Error: Domain '0' does not exist: this runtime has no control domain.`]);
    let record: DomainRecord;
    try {
      record = requireDomain(registry, name);
    } catch (error) {
      if (error instanceof ToolFailure && /^\d+$/.test(name))
        throw new ToolFailure([...error.lines, 'destroy failed (rc=-21)']);
      throw error;
    }
    await endProcess(registry, record);
    if (registry.read(record.domid) !== undefined) {
      registry.remove(record.domid);
      new XenLog(registry.xenLogPath(), now).append(`d${record.domid}: destroyed`);
    }
    return 0;
  },
};
