// The process that owns one domain: runs it against the host's clock, keeps its record and console on the disk, answers
// its control socket, and does what the configuration says when it has shut down. One domain a process; a restarted
// domain stays in it. What it decides comes from lifecycle.ts, what it runs from domain.ts.
import { appendFileSync, closeSync, fsyncSync, openSync, renameSync, writeSync } from 'node:fs';
import { isAbsolute } from 'node:path';
import { assert, PvhError } from '../../symbols/errors.ts';
import { writeDumpCore } from '../dump/dump-core.ts';
import { createFile, replaceFile } from '../host/files.ts';
import { identifyProcess } from '../host/process-identity.ts';
import { type BuiltDomain, buildDomain } from './build-domain.ts';
import { ControlServer } from './control-server.ts';
import type { Domain, DomainEnd, DomainEvent } from './domain.ts';
import { type HostInput, inputLine } from './host-input.ts';
import { planShutdown, preservedSuffix, type ShutdownPlan } from './lifecycle.ts';
import { MonitorLog } from './monitor-log.ts';
import type { ControlAnswer, ControlRequest, StartMessage } from './protocol.ts';
import { type DomainRecord, SHUTDOWN_REASONS } from './record.ts';
import { registerDump } from './register-dump.ts';
import { deriveUuid, NameTakenError, type Registry } from './registry.ts';
import { XenLog } from './xen-log.ts';

/** Instructions between two looks at sockets and timers: a few milliseconds. */
const TURN_INSTRUCTIONS = 1_000_000;
/** console.log becomes console.log.1 at this size: a guest that writes for ever cannot fill the disk. */
const CONSOLE_BYTES = 64 << 20;
/** xl waits so long before it builds a domain anew, and a guest that dies at once does not spin the host. */
const RESTART_DELAY_MS = 2000;
/** How often a domain whose memory could not be written tries again. */
const RETRY_MS = 10_000;
const NS_PER_MS = 1e6;

export interface DomainProcessOptions {
  readonly registry: Registry;
  /** A domain that `Registry.allocate` made. */
  readonly domid: number;
  readonly startPaused: boolean;
  /** False for `xl create -e`: nobody acts on a shutdown, the domain is preserved. */
  readonly followActions: boolean;
  /** Tells `xl create` how the start goes. */
  readonly report: (message: StartMessage) => void;
  readonly now: () => Date;
}

type End = { readonly kind: 'destroyed' } | { readonly kind: 'shutdown'; readonly end: DomainEnd };

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** Appends to console.log and begins a new one when it has become too long. */
class ConsoleFile {
  readonly #path: string;
  #file: number;
  #size = 0;

  constructor(path: string) {
    this.#path = path;
    this.#file = openSync(path, 'a', 0o600);
  }

  write(bytes: Uint8Array): void {
    if (this.#size > CONSOLE_BYTES) {
      closeSync(this.#file);
      renameSync(this.#path, `${this.#path}.1`);
      this.#file = openSync(this.#path, 'a', 0o600);
      this.#size = 0;
    }
    for (let done = 0; done < bytes.length; ) done += writeSync(this.#file, bytes, done);
    this.#size += bytes.length;
  }

  close(): void {
    try {
      fsyncSync(this.#file);
    } finally {
      closeSync(this.#file);
    }
  }
}

/** One incarnation of the domain: from its first instruction to its shutdown or destruction. */
class RunningDomain {
  readonly #options: DomainProcessOptions;
  readonly #xenLog: XenLog;
  readonly #domain: Domain;
  readonly #console: ConsoleFile;
  readonly #server: ControlServer;
  #record: DomainRecord;
  /** What the guest wrote since the last look. */
  readonly #output: Uint8Array[];
  readonly #timeLeadMs: number;
  #consoleFailed = false;
  #paused: boolean;
  #idle = false;
  #pausedSince = 0;
  /** Host time at which virtual time 0 would have been. */
  #origin = performance.now();
  #consoles = 0;
  #timer: NodeJS.Timeout | undefined;
  #sleep: { readonly from: number; readonly wall: number; readonly until: number } | undefined;
  #scheduled = false;
  #resolve: ((end: End) => void) | undefined;
  #ended: End | undefined;
  #destroyed = false;

  private constructor(
    options: DomainProcessOptions,
    built: BuiltDomain,
    output: Uint8Array[],
    paused: boolean,
  ) {
    const { domain, record, config } = built;
    this.#options = options;
    this.#record = { ...record, state: 'running' };
    this.#domain = domain;
    this.#output = output;
    this.#timeLeadMs = config.timeLeadSeconds * 1000;
    this.#paused = paused;
    this.#pausedSince = this.#origin;
    const files = options.registry.files(record.domid);
    this.#xenLog = new XenLog(options.registry.xenLogPath(), options.now);
    this.#console = new ConsoleFile(files.console);
    this.#server = new ControlServer(files.socket, {
      answer: (request) => this.#answer(request),
      typed: (bytes) => this.#input({ kind: 'console', bytes }),
      attached: (count) => this.#attached(count),
    });
    domain.onInput = (recorded) => {
      try {
        appendFileSync(files.inputLog, inputLine(recorded), { mode: 0o600 });
      } catch (error) {
        this.#complain(`input.log: ${messageOf(error)}`);
      }
    };
  }

  /** Builds the guest and opens its socket. @throws what building throws. */
  static async start(
    options: DomainProcessOptions,
    record: DomainRecord,
    paused: boolean,
  ): Promise<RunningDomain> {
    const output: Uint8Array[] = [];
    const built = buildDomain(options, record, (bytes) => output.push(bytes));
    const running = new RunningDomain(options, built, output, paused);
    await running.#server.listen();
    running.#save();
    return running;
  }

  get domain(): Domain {
    return this.#domain;
  }

  /** The record as it is now. */
  get record(): DomainRecord {
    return {
      ...this.#record,
      paused: this.#paused,
      idle: this.#idle,
      vcpus: this.#domain.vcpuRecords(),
      virtualNanoseconds: this.#domain.now(),
    };
  }

  update(change: Partial<DomainRecord>): DomainRecord {
    this.#record = { ...this.#record, ...change };
    return this.record;
  }

  /** Runs until the guest has shut down or somebody destroys it. */
  run(): Promise<End> {
    return new Promise((resolve) => {
      this.#resolve = resolve;
      this.#schedule();
    });
  }

  /** Ends all connections; a restarted domain opens its own. */
  close(): void {
    clearTimeout(this.#timer);
    this.#flush();
    this.#server.close();
    try {
      this.#console.close();
    } catch (error) {
      this.#complain(`console.log: ${messageOf(error)}`);
    }
  }

  #save(): void {
    this.#options.registry.write(this.record);
  }

  #complain(text: string): void {
    this.#xenLog.append(`d${this.#record.domid}: ${text}`);
  }

  #end(end: End): void {
    if (end.kind === 'destroyed') this.#destroyed = true;
    else if (this.#ended !== undefined) return;
    this.#ended ??= end;
    this.#flush();
    this.#resolve?.(end);
  }

  /** After the shutdown: true as soon as somebody destroys the domain, false after `ms`. */
  async waitForDestroy(ms: number): Promise<boolean> {
    await Promise.race([new Promise((resolve) => (this.#resolve = resolve)), sleep(ms)]);
    return this.#destroyed;
  }

  #schedule(): void {
    if (this.#scheduled || this.#paused || this.#ended !== undefined) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      this.#turn();
    });
  }

  #turn(): void {
    if (this.#paused || this.#ended !== undefined) return;
    this.#wake();
    const event = this.#runGuest();
    this.#flush();
    this.#idle = event.kind === 'idle';
    if (event.kind === 'shutdown') this.#end({ kind: 'shutdown', end: event });
    else if (event.kind === 'budget') this.#schedule();
    else this.#doze(event.until);
  }

  /** A bug of ours must not take the guest's state with it: it ends as a crash that is always preserved. */
  #runGuest(): DomainEvent {
    try {
      return this.#domain.run(TURN_INSTRUCTIONS);
    } catch (error) {
      const problem = `the runtime failed: ${messageOf(error)}`;
      console.error(error);
      const instruction = this.#domain.retired();
      return { kind: 'shutdown', reason: 'crash', vcpu: 0, asked: false, problem, instruction };
    }
  }

  /** Nothing to do until virtual time `until`: goes there at once, unless the guest's time leads the host's too far. */
  #doze(until: number | undefined): void {
    if (until === undefined) return; // only input can wake it
    const wall = performance.now();
    const lead = until / NS_PER_MS - (wall - this.#origin);
    const allowed = this.#consoles > 0 ? 0 : this.#timeLeadMs;
    if (lead <= allowed) {
      this.#domain.skipTo(until);
      this.#schedule();
      return;
    }
    this.#sleep = { from: this.#domain.now(), wall, until };
    this.#timer = setTimeout(
      () => {
        this.#domain.skipTo(until);
        this.#sleep = undefined;
        this.#schedule();
      },
      Math.min(lead - allowed, 0x7fff_ffff),
    );
  }

  /** Ends a doze early: the guest's clock has gone on meanwhile. */
  #wake(): void {
    if (this.#sleep === undefined) return;
    clearTimeout(this.#timer);
    const { from, wall, until } = this.#sleep;
    this.#sleep = undefined;
    this.#domain.skipTo(Math.min(until, Math.trunc(from + (performance.now() - wall) * NS_PER_MS)));
  }

  #input(input: HostInput): void {
    if (this.#ended !== undefined) return;
    this.#wake();
    this.#domain.input(input);
    this.#idle = false;
    this.#schedule();
  }

  #attached(count: number): void {
    // Somebody watches: from here on the guest's clock goes with the host's.
    if (this.#consoles === 0 && count > 0) this.#origin = performance.now() - this.#domain.now() / NS_PER_MS;
    this.#consoles = count;
  }

  #setPaused(paused: boolean): void {
    if (paused === this.#paused) return;
    if (paused) {
      this.#wake();
      this.#pausedSince = performance.now();
    } else this.#origin += performance.now() - this.#pausedSince;
    this.#paused = paused;
    this.#save();
    this.#schedule();
  }

  #flush(): void {
    if (this.#output.length === 0) return;
    const bytes = Buffer.concat(this.#output.splice(0));
    this.#server.broadcast(bytes);
    try {
      this.#console.write(bytes);
      this.#consoleFailed = false;
    } catch (error) {
      if (!this.#consoleFailed) this.#complain(`console.log cannot be written: ${messageOf(error)}`);
      this.#consoleFailed = true;
    }
  }

  #requestShutdown(request: 'poweroff' | 'reboot'): void {
    if (!this.#domain.understands(request))
      throw new PvhError(
        'EREFUSED',
        'PV control interface not available: external graceful shutdown not possible.',
      );
    this.#input({ kind: 'shutdown', request });
  }

  async #answer(request: ControlRequest): Promise<ControlAnswer> {
    switch (request.op) {
      case 'info':
        return { ok: true, record: this.record };
      case 'pause':
      case 'unpause':
        this.#setPaused(request.op === 'pause');
        return { ok: true };
      case 'destroy':
        // The answer leaves before the connection does.
        setImmediate(() => this.#end({ kind: 'destroyed' }));
        return { ok: true };
      case 'shutdown':
        this.#requestShutdown(request.request === 'reboot' ? 'reboot' : 'poweroff');
        return { ok: true };
      case 'sysrq':
        this.#input({ kind: 'sysrq', key: String(request.key).slice(0, 1) });
        return { ok: true };
      case 'nmi':
        this.#input({ kind: 'nmi', vcpu: checkVcpu(request.vcpu, this.#record) });
        return { ok: true };
      case 'rename': {
        const { registry } = this.#options;
        this.#record = await registry.rename(this.#record.domid, request.name, this.record);
        return { ok: true };
      }
      case 'dump-core':
      case 'snapshot':
        this.writeCore(checkPath(request.path));
        return { ok: true };
      case 'xenstore':
        return { ok: true, text: this.#domain.xenstoreText() };
      default:
        throw new PvhError('EREFUSED', 'unknown request');
    }
  }

  /** Writes the guest's memory and registers; the file is whole or not there. @throws the system's error. */
  writeCore(path: string): void {
    createFile(path, (file) => file.extend(writeDumpCore(file, this.#domain.dumpImage())));
  }
}

function checkVcpu(vcpu: unknown, { vcpus }: DomainRecord): number {
  if (typeof vcpu === 'number' && vcpus.some(({ id }) => id === vcpu)) return vcpu;
  throw new PvhError('EREFUSED', `there is no vCPU ${String(vcpu)}`);
}

function checkPath(path: unknown): string {
  if (typeof path === 'string' && isAbsolute(path)) return path;
  throw new PvhError('EREFUSED', 'the path of a dump must be absolute');
}

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
    registry.write(record);
    let running: RunningDomain;
    try {
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

/** What becomes of a domain that has shut down. */
class Afterlife {
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
