// xl pause
import type { XlCommand, XlContext } from './command.ts';
import { askDomain, isLive, requireDomain } from './domains.ts';

/** Pauses or unpauses. A domain that has shut down only takes note of it, as in Xen. */
export async function setPaused({ registry }: XlContext, name: string, paused: boolean): Promise<number> {
  const record = requireDomain(registry, name);
  if (isLive(record) || record.state === 'creating')
    await askDomain(registry, record, { op: paused ? 'pause' : 'unpause' });
  else if (record.state === 'shutdown') registry.write({ ...record, paused });
  return 0;
}

export const command: XlCommand = {
  run: (context, [name = '']) => setPaused(context, name, true),
};
