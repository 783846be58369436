// The process that owns one domain. `xl create` starts it; people do not. Arguments: domid and flags; it reports on descriptor 3.
import { closeSync, writeSync } from 'node:fs';
import { runDomainProcess } from '../../core/domain/process.ts';
import type { StartMessage } from '../../core/domain/protocol.ts';
import { Registry } from '../../core/domain/registry.ts';
import { stateDirectory } from '../shared/state-dir.ts';

const REPORT_FD = 3;
const [domid = '', ...flags] = process.argv.slice(2);

let reporting = true;
function report(message: StartMessage): void {
  if (!reporting) return;
  try {
    writeSync(REPORT_FD, `${JSON.stringify(message)}\n`);
    if (message.kind === 'progress') return;
    closeSync(REPORT_FD);
  } catch {
    // Whoever started this has gone; the domain lives on.
  }
  reporting = false;
}

process.exitCode = await runDomainProcess({
  registry: new Registry(stateDirectory(process.env)),
  domid: Number(domid),
  startPaused: flags.includes('--paused'),
  followActions: !flags.includes('--keep'),
  report,
  now: () => new Date(),
});
