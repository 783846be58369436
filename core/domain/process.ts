// The process that owns one domain, through all its restarts. One domain a process.
import { assert } from '../../symbols/errors.ts';
import { identifyProcess } from '../host/process-identity.ts';
import { Afterlife } from './afterlife.ts';
import { MonitorLog } from './monitor-log.ts';
import { type DomainProcessOptions, messageOf, RunningDomain } from './running-domain.ts';
import { XenLog } from './xen-log.ts';

/** Runs a domain with all its restarts. @returns the exit status of the process. */
export async function runDomainProcess(options: DomainProcessOptions): Promise<number> {
  const { registry, report, now } = options;
  const xenLog = new XenLog(registry.xenLogPath(), now);
  let record = registry.read(options.domid);
  assert(record !== undefined, `domain ${options.domid} has a record`);
  const monitor = new MonitorLog(registry.monitorLogPath(record.name), true);
  for (let first = true; ; first = false) {
    const { domid, name } = record;
    record = { ...record, state: 'creating', process: identifyProcess() };
    let running: RunningDomain;
    try {
      registry.write(record);
      running = await RunningDomain.start(options, record, first && options.startPaused);
    } catch (error) {
      xenLog.append(`d${domid}: cannot build domain ${name}: ${messageOf(error)}`);
      monitor.append(`cannot (re-)build domain: ${messageOf(error)}`);
      registry.remove(domid);
      report({ kind: 'failed', lines: [`cannot build domain ${name}: ${messageOf(error)}`], exitStatus: 3 });
      return 3;
    }
    monitor.append(`Waiting for domain ${name} (domid ${domid}) to die [pid ${process.pid}]`);
    if (first) report({ kind: 'started' });
    const end = await running.run();
    if (end.kind === 'destroyed') {
      running.close();
      registry.remove(domid);
      xenLog.append(`d${domid}: destroyed`);
      monitor.append(`Domain ${domid} has been destroyed.`);
      return 0;
    }
    const next = await new Afterlife(options, running, end.end, xenLog, monitor).run();
    if (next.restart === undefined) return next.exitStatus;
    record = next.restart;
  }
}
