// What becomes of a domain that has shut down: takes the steps that lifecycle.ts decides on.
import { replaceFile } from '../host/files.ts';
import { identifyProcess } from '../host/process-identity.ts';
import type { Domain, DomainEnd } from './domain.ts';
import { planShutdown, preservedSuffix, type ShutdownPlan } from './lifecycle.ts';
import type { MonitorLog } from './monitor-log.ts';
import { type DomainRecord, SHUTDOWN_REASONS } from './record.ts';
import { registerDump } from './register-dump.ts';
import { NameTakenError } from './registry.ts';
import { type DomainProcessOptions, messageOf, type RunningDomain, sleep } from './running-domain.ts';
import { deriveUuid } from './uuid.ts';
import type { XenLog } from './xen-log.ts';

/** xl waits so long before it builds a domain anew, and a guest that dies at once does not spin the host. */
const RESTART_DELAY_MS = 2000;
/** How often a domain whose memory could not be written tries again. */
const RETRY_MS = 10_000;

/**
 * Lines for xl dmesg about a guest that stopped by its own call. Xen itself is silent then; a triple fault or the
 * watchdog have had their lines from the Xen side. A crash shows all vCPUs in the layout of Xen's own dumps.
 */
function shutdownLines({ domid }: DomainRecord, domain: Domain, end: DomainEnd): string[] {
  const lines: string[] = [];
  const code = SHUTDOWN_REASONS.indexOf(end.reason);
  if (end.problem !== undefined) lines.push(`d${domid}: ${end.problem}`);
  else if (end.asked) lines.push(`d${domid}v${end.vcpu} shut down, reason code ${code} (${end.reason})`);
  if (end.reason !== 'crash' && end.reason !== 'watchdog') return lines;
  for (const { id, online, registers } of domain.dumpImage().vcpus)
    if (online) lines.push(...registerDump(domid, id, registers));
  return lines;
}

/** The end of one incarnation. */
export class Afterlife {
  readonly #options: DomainProcessOptions;
  readonly #running: RunningDomain;
  readonly #end: DomainEnd;
  readonly #plan: ShutdownPlan;
  readonly #xenLog: XenLog;
  readonly #monitor: MonitorLog;

  constructor(
    options: DomainProcessOptions,
    running: RunningDomain,
    end: DomainEnd,
    xenLog: XenLog,
    monitor: MonitorLog,
  ) {
    this.#options = options;
    this.#running = running;
    this.#end = end;
    this.#xenLog = xenLog;
    this.#monitor = monitor;
    const { actions } = running.record;
    const preserve = {
      action: 'preserve',
      dump: false,
      preserve: true,
      rename: false,
      restart: false,
    } as const;
    this.#plan =
      options.followActions && end.problem === undefined ? planShutdown(end.reason, actions) : preserve;
  }

  /** Takes the steps of the plan. @returns the record of the next incarnation, or how the process ends. */
  async run(): Promise<{ readonly restart?: DomainRecord; readonly exitStatus: number }> {
    const { registry } = this.#options;
    const running = this.#running;
    const plan = this.#plan;
    const { reason, instruction, problem } = this.#end;
    const record = running.update({
      state: 'shutdown',
      shutdownReason: reason,
      shutdownInstruction: instruction,
      problem,
    });
    const { domid, name } = record;
    this.#xenLog.append(...shutdownLines(record, running.domain, this.#end));
    const code = SHUTDOWN_REASONS.indexOf(reason);
    this.#monitor.append(
      `Domain ${domid} has shut down, reason code ${code} 0x${code.toString(16)}`,
      `Action for shutdown reason code ${code} is ${plan.action}`,
    );
    if (plan.refused !== undefined) {
      this.#monitor.append(`${plan.action} refused: ${plan.refused}`);
      this.#xenLog.append(`d${domid}: ${plan.action} refused: ${plan.refused}`);
    }
    if (plan.dump) this.#dump(registry.dumpPath(name));
    const config = registry.readConfig(domid);
    if (plan.preserve && !(await this.#preserve())) return { exitStatus: 0 };
    running.close();
    if (plan.rename) await this.#rename();
    if (!plan.preserve) {
      this.#monitor.append(`Domain ${domid} needs to be cleaned up: destroying the domain`);
      registry.remove(domid);
    }
    if (!plan.restart) {
      this.#monitor.append('Done. Exiting now');
      return { exitStatus: 0 };
    }
    this.#monitor.append('Done. Rebooting now');
    await sleep(RESTART_DELAY_MS);
    return this.#restart(config);
  }

  #dump(path: string): void {
    this.#monitor.append(`dumping core to ${path}`);
    try {
      this.#running.writeCore(path);
    } catch (error) {
      this.#monitor.append(`core dump failed (rc=-3): ${messageOf(error)}`);
      this.#xenLog.append(`d${this.#running.record.domid}: core dump to ${path} failed: ${messageOf(error)}`);
    }
  }

  /**
   * Writes core.elf, then the record that says so. While the disk does not take it, the guest's memory stays in this
   * process, which goes on answering: `xl dump-core` elsewhere and `xl destroy` work.
   * @returns false when the domain was destroyed meanwhile.
   */
  async #preserve(): Promise<boolean> {
    const { registry } = this.#options;
    const running = this.#running;
    const { domid } = running.record;
    const files = registry.files(domid);
    for (let reported = false; ; ) {
      try {
        running.writeCore(files.core);
        replaceFile(files.xenstore, running.domain.xenstoreText());
        registry.write(running.update({ preserved: true, process: undefined, problem: this.#end.problem }));
        return true;
      } catch (error) {
        const problem = `core.elf cannot be written (${messageOf(error)}); the memory is kept in process ${process.pid}, which tries again`;
        running.update({ problem });
        if (!reported) {
          this.#xenLog.append(`d${domid}: ${problem}`);
          this.#monitor.append(problem);
        }
        reported = true;
      }
      if (await running.waitForDestroy(RETRY_MS)) {
        running.close();
        registry.remove(domid);
        this.#monitor.append(`Domain ${domid} has been destroyed.`);
        return false;
      }
    }
  }

  async #rename(): Promise<void> {
    const { registry, now } = this.#options;
    const { domid, name, uuid } = this.#running.record;
    const suffix = preservedSuffix(now());
    this.#monitor.append(`Preserving domain ${domid} ${name} with suffix${suffix}`);
    for (let attempt = 1; ; attempt++) {
      const kept = `${name}${suffix}${attempt === 1 ? '' : `-${attempt}`}`;
      try {
        await registry.rename(domid, kept, { uuid: deriveUuid(uuid, kept) });
        return;
      } catch (error) {
        // Two deaths within a minute.
        if (!(error instanceof NameTakenError)) throw error;
      }
    }
  }

  async #restart(config: string): Promise<{ restart?: DomainRecord; exitStatus: number }> {
    const { registry, now } = this.#options;
    const { record: old } = this.#running;
    try {
      const restart = await registry.allocate(old.name, (domid) => ({
        config,
        record: {
          ...old,
          domid,
          state: 'creating',
          shutdownReason: undefined,
          shutdownInstruction: undefined,
          problem: undefined,
          preserved: false,
          paused: false,
          process: identifyProcess(),
          createdAt: now().toISOString(),
        },
      }));
      return { restart, exitStatus: 0 };
    } catch (error) {
      this.#monitor.append(`cannot (re-)build domain: ${messageOf(error)}`);
      this.#xenLog.append(`${old.name}: cannot be restarted: ${messageOf(error)}`);
      return { exitStatus: 3 };
    }
  }
}
