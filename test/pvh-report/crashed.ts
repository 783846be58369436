// Real domains that crashed: the sample guests, preserved, in a state directory of the test's own.
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Host } from '../kernel/guest.ts';

const samples = fileURLToPath(new URL('../../samples/', import.meta.url));
const xl = fileURLToPath(new URL('../../dist/tools/bin/xl.js', import.meta.url));

export const vmlinuxOf = (sample: string): string => join(samples, sample, 'vmlinux');

/** Boots a sample and waits for its end. @returns its domid. */
export async function crash(host: Host, sample: string): Promise<number> {
  execFileSync(process.execPath, [xl, 'create', '-q', 'guest.cfg'], {
    cwd: join(samples, sample),
    env: { ...process.env, PVH_STATE_DIR: host.stateDir },
  });
  const domid = Number(host.ok('xl', 'domid', sample));
  await host.untilShutdown(domid);
  return domid;
}

export interface Made {
  readonly path: string;
  readonly digest: string;
}

/** `pvh-report collect`; the memory of these domains is whole, so the report is. */
export function collectReport(host: Host, domid: number, ...options: string[]): Made {
  const printed = host.ok('pvh-report', 'collect', String(domid), '-q', '--json', ...options);
  return JSON.parse(printed) as Made; // collect --json prints these
}
