// One incarnation of a domain, from its first instruction to its shutdown or destruction: runs it against the host's clock,
// keeps its record and console on the disk, answers its control socket. What happens afterwards is afterlife.ts.
import { appendFileSync } from 'node:fs';
import { isAbsolute } from 'node:path';
import { PvhError } from '../../symbols/errors.ts';
import { writeDumpCore } from '../dump/dump-core.ts';
import { createFile, removeFile, temporaryBeside } from '../host/files.ts';
import { type BuiltDomain, buildDomain } from './build-domain.ts';
import { checkDomainName, loadGuestConfig } from './config.ts';
import { ConsoleFile } from './console-file.ts';
import { ControlServer } from './control-server.ts';
import type { Domain, DomainEnd, DomainEvent } from './domain.ts';
import { GuestOutput } from './guest-output.ts';
import { type HostInput, inputLine } from './host-input.ts';
import type { ControlAnswer, ControlRequest, StartMessage } from './protocol.ts';
import type { DomainRecord } from './record.ts';
import type { Registry } from './registry.ts';
import { XenLog } from './xen-log.ts';

/** Instructions between two looks at sockets and timers: a few milliseconds. */
const TURN_INSTRUCTIONS = 1_000_000;
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

/** Resolves after `ms`. */
export const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
/** What an error says. */
export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** One incarnation of the domain: from its first instruction to its shutdown or destruction. */
export class RunningDomain {
  readonly #options: DomainProcessOptions;
  readonly #xenLog: XenLog;
  readonly #domain: Domain;
  readonly #console: ConsoleFile;
  readonly #server: ControlServer;
  #record: DomainRecord;
  /** What the guest wrote since the last look. */
  readonly #output: GuestOutput;
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
    output: GuestOutput,
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
      answer: (request, onGone) => this.#answer(request, onGone),
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
    const { registry, now, report } = options;
    const { domid } = record;
    const output = new GuestOutput(domid);
    const hostSeconds = Math.floor(now().getTime() / 1000);
    const { config } = loadGuestConfig(registry.readConfig(domid), registry.files(domid).config, hostSeconds);
    const built = buildDomain(config, record, output, report);
    const running = new RunningDomain(options, built, output, paused);
    const plural = config.vcpus > 1 ? 's' : '';
    running.#xenLog.append(
      `d${domid}: ${record.name}: ${config.memoryMiB} MiB, ${config.vcpus} vCPU${plural}, kernel ${record.kernel.path}`,
    );
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

  #runGuest(): DomainEvent {
    try {
      return this.#domain.run(TURN_INSTRUCTIONS);
    } catch (error) {
      console.error(error);
      return this.#domain.fail(`the runtime failed: ${messageOf(error)}`);
    }
  }

  /** Nothing to do until virtual time `until`: goes there at once, unless the guest's time leads the host's too far. */
  #doze(until: number | undefined): void {
    const wall = performance.now();
    if (until === undefined) {
      // Only input can wake it; its clock goes on until then.
      this.#sleep = { from: this.#domain.now(), wall, until: Number.MAX_SAFE_INTEGER };
      return;
    }
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
    const lines = this.#output.takeLines();
    if (lines.length > 0) this.#xenLog.appendRaw(...lines);
    const bytes = this.#output.takeConsole();
    if (bytes.length === 0) return;
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

  async #answer(request: ControlRequest, onGone: (action: () => void) => void): Promise<ControlAnswer> {
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
        const wrong = checkDomainName(request.name);
        if (wrong !== undefined) throw new PvhError('EREFUSED', wrong);
        this.#record = await registry.rename(this.#record.domid, request.name, this.record);
        return { ok: true };
      }
      case 'dump-core':
        this.writeCore(checkPath(request.path));
        return { ok: true };
      case 'snapshot': {
        const path = temporaryBeside(this.#options.registry.files(this.#record.domid).core);
        this.writeCore(path);
        onGone(() => removeFile(path));
        return { ok: true, path };
      }
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
